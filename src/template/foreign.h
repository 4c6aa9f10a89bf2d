// Images and kernel bundles that were made on another host, in a workspace of this one.
#pragma once

#include <string>

#include "base/result.h"
#include "os/file_lock.h"
#include "os/paths.h"
#include "template/workspace.h"

namespace wrenn::template_ {

// A kernel bundle in a folder, by two names.
struct ForeignKernel {
  std::string own;   // KernelManifest::Hash(): of what it says it was made of
  std::string hash;  // of that and of what its files hold
};

// kInvalidArgument when it is no bundle.
Result<ForeignKernel> IdentifyKernel(const std::string& folder);

// Moves the workspace's `folder`, a bundle, to its place and answers the name that it has there.
// The bundle of this host's own making, where there is one that holds the same, is taken instead.
// Any other is stored under `hash`, where no build looks: else whoever sends a bundle that only
// claims to be made of Debian's kernel would give it to the templates of this host.
// `catalogue_lock` is LockCatalogue()'s, as below.
Result<std::string> PublishKernel(const os::Paths& paths, const Workspace& workspace,
                                  const std::string& folder, const ForeignKernel& kernel,
                                  const os::FileLock& catalogue_lock);

// Moves the workspace's `folder`, which holds `rootfs`, to its place. `hash` is the SHA-256 of
// that, as the caller has found. No build of a template takes it for its own.
Status PublishImage(const os::Paths& paths, const Workspace& workspace, const std::string& folder,
                    const std::string& hash, const os::FileLock& catalogue_lock);

}  // namespace wrenn::template_
