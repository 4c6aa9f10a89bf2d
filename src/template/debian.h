// Templates of the kind "debian": a root file system of Debian packages, made by mmdebstrap.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "template/ext4.h"
#include "template/workspace.h"

namespace wrenn::template_ {

// The machine's apt set-up as a build uses it: the files of its package sources, and its options
// for fetching (proxies, time-outs, certificates, dates), in the syntax of apt.conf(5).
struct AptSetup {
  std::vector<std::string> sources;
  std::string options;
};
Result<AptSetup> ReadAptSetup(const Workspace& workspace);

// A finished tree, and how mke2fs must be run to see its owners.
struct DebianTree {
  std::string path;
  std::vector<std::string> wrapper;
};

// Installs the packages and what they depend on into a new tree in the workspace, with a user
// `user` (uid 1000, sudo without password where sudo is installed), in UTF-8, without
// documentation, caches and package lists; apt works in it. As root directly; otherwise in a user
// namespace, or with fakechroot where there is none (kFailedPrecondition with the remedy when
// nothing fits). `say` gets news about once a second.
Result<DebianTree> MakeDebianTree(const Workspace& workspace, const AptSetup& apt,
                                  const std::vector<std::string>& packages,
                                  const std::function<void(const std::string&)>& say);

}  // namespace wrenn::template_
