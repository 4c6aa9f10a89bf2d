// Templates made of sandboxes.
#pragma once

#include "sandbox/sandbox.h"

namespace wrenn::sandbox {

// See Manager::CreateSnapshot().
Result<store::TemplateRecord> SnapshotAsTemplate(Services& services, Sandbox& sandbox,
                                                 std::string name, bool overwrite);

}  // namespace wrenn::sandbox
