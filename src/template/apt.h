// Packages by the machine's own apt: its sources, options, proxies and keys, as they are.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "template/workspace.h"

namespace wrenn::template_ {

// Whether `name` is a Debian package's name (Debian Policy 5.6.1: two or more of [a-z0-9+.-], the
// first a letter or digit). Checked before a name reaches a command line. A '-' at the end is
// refused, since apt takes it for an order to remove.
bool IsPackageName(std::string_view name);

struct AvailablePackage {
  std::string name;
  std::string version;  // that apt would install
};

// The package that a meta-package stands for: its first dependency, e.g. of linux-image-cloud-amd64
// the kernel's own package. When apt has no package lists they are fetched (as root; otherwise
// kFailedPrecondition tells to run 'apt-get update').
Result<AvailablePackage> ResolveMetaPackage(const Workspace& workspace, const std::string& name);

// Downloads a package's file to `directory`, checked by apt against the signed lists, and answers
// its path. Nothing is installed.
Result<std::string> DownloadPackage(const Workspace& workspace, const std::string& name,
                                    const std::string& directory);

// Unpacks a package's file to `directory`. Nothing of it is run.
Status UnpackPackage(const Workspace& workspace, const std::string& file,
                     const std::string& directory);

// The version in a package's file.
Result<std::string> PackageVersion(const Workspace& workspace, const std::string& file);

}  // namespace wrenn::template_
