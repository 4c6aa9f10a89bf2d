// Snapshots to other hosts and from them, as one stream each (docs/snapshot-format.md, "The packed
// form").
#pragma once

#include <string>

#include "sandbox/services.h"
#include "snapshot/packed.h"

namespace wrenn::sandbox {

// See Manager::ExportSnapshot() and Manager::ImportSnapshot().
Status ExportSnapshot(const Services& services, const std::string& tenant, const std::string& name,
                      const snapshot::GoOn& go_on, const snapshot::ByteSink& sink);
Result<store::TemplateRecord> ImportSnapshot(Services& services, const std::string& tenant,
                                             const std::string& name, bool overwrite,
                                             snapshot::ByteSource source);

}  // namespace wrenn::sandbox
