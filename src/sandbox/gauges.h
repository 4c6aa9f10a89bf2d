// Gauges: what a manager has now, for GET /v1/metrics.
#pragma once

#include <map>
#include <string>

#include "sandbox/admission.h"
#include "sandbox/warm_pool.h"

namespace wrenn::sandbox {

// In the text format of Prometheus, as Metrics::Render().
std::string RenderGauges(const Amount& used, const std::map<std::string, int>& pool, int standbys);

}  // namespace wrenn::sandbox
