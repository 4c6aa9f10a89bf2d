// Templates made of sandboxes.
#pragma once

#include <optional>
#include <string>

#include "os/file_lock.h"
#include "sandbox/sandbox.h"

namespace wrenn::sandbox {

// Whether a new snapshot may have this name. Answers the template whose place it would take; none
// when the name is free. kInvalidArgument for what is no name; kAlreadyExists when it is taken, by
// a template that was built or without `overwrite`.
Result<std::optional<store::TemplateRecord>> CheckSnapshotName(Services& services,
                                                               const std::string& tenant,
                                                               const std::string& name,
                                                               bool overwrite);

// Records a snapshot that is in its place, in the place of `before` where there is one: what
// CheckSnapshotName() answered under the same `catalogue_lock`. On failure its folder is for the
// caller to remove.
Status RecordSnapshot(Services& services, store::TemplateRecord& record,
                      const std::optional<store::TemplateRecord>& before,
                      const os::FileLock& catalogue_lock);

// See Manager::CreateSnapshot().
Result<store::TemplateRecord> SnapshotAsTemplate(Services& services, Sandbox& sandbox,
                                                 std::string name, bool overwrite);

}  // namespace wrenn::sandbox
