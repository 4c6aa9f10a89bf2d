// Gauges: what a manager has now, for GET /v1/metrics.
#pragma once

#include <string>
#include <vector>

#include "sandbox/admission.h"
#include "sandbox/warm_pool.h"

namespace wrenn::sandbox {

// In the text format of Prometheus, as Metrics::Render().
std::string RenderGauges(const Amount& used, const std::vector<WarmPool::Size>& pool, int standbys);

}  // namespace wrenn::sandbox
