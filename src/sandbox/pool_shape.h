// Pool shapes: which machines of the warm pool fit a request.
#pragma once

#include <string>

#include "sandbox/warm_pool.h"

namespace wrenn::sandbox {

// Whether it asks for the template's machine as it is, which a template with a number of its own
// always has ready.
bool IsPlain(const std::string& tenant, const CreateRequest& request);

// What a sandbox that starts from `source`, a snapshot, can take from the pool.
PoolShape ShapeOf(const store::SandboxRecord& record, const Source& source, bool plain);

}  // namespace wrenn::sandbox
