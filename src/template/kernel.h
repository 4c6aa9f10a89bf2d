// Kernel bundles: kernels/<hash>/{vmlinux, initramfs, manifest.json}, what machines start with.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "os/paths.h"
#include "template/workspace.h"

namespace wrenn::template_ {

// What a bundle is made of; its hash covers all of it.
struct KernelManifest {
  std::string package;               // "linux-image-6.1.0-56-cloud-amd64"
  std::string version;               // "6.1.192-2"
  std::string guest;                 // SHA-256 of the guest program
  std::vector<std::string> modules;  // file names in loading order
  // Which modules were asked for (kGuestModules then); empty in bundles from before this was noted.
  std::vector<std::string> wanted = {};

  json::object ToJson() const;
  static Result<KernelManifest> FromJson(const json::object& object);
  std::string Hash() const;
};

// Whether the bundle is here and whole.
bool HasKernel(const os::Paths& paths, const std::string& hash);

// The hash of the bundle of the installed guest program, made when there is none. The kernel is the
// one of the newest version that is here already with all kGuestModules: a new guest program is put
// to it without its package (vmlinux is then shared by a hard link). With `newest`, or when there
// is none, it is the one that apt offers.
//
// The bundle may be collected as garbage until a template refers to it, unless the caller holds the
// catalogue's lock. `say` gets what is being done, when it takes time.
Result<std::string> EnsureKernel(const os::Paths& paths, const Workspace& workspace,
                                 const std::string& guest_program, bool newest,
                                 const std::function<void(const std::string&)>& say);

}  // namespace wrenn::template_
