// Catalogue: templates by name, and the immutable files they stand for.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "os/paths.h"
#include "store/store.h"

// "template" is a keyword, hence the underscore.
namespace wrenn::template_ {

// A template with its files, ready to be started.
struct Resolved {
  store::TemplateRecord record;
  std::string image;         // path of the raw ext4 root file system
  uint64_t image_bytes = 0;  // its length
  std::string vmlinux;
  std::string initramfs;
};

class Catalogue {
 public:
  virtual ~Catalogue() = default;
  // kNotFound with the remedy ("no template 'x': see 'wrenn template ls', or build it with ..."),
  // also when its files have vanished.
  virtual Result<Resolved> Find(const std::string& tenant, const std::string& name) = 0;
  virtual Result<std::vector<store::TemplateRecord>> List(const std::string& tenant) = 0;
  // kAborted when a sandbox still uses its image, naming the sandboxes; kUnavailable when a build
  // keeps the catalogue for long. Removes files that no
  // template and no sandbox refers to any more.
  virtual Status Remove(const std::string& tenant, const std::string& name) = 0;
};

std::unique_ptr<Catalogue> MakeCatalogue(os::Paths paths, store::Store& store);

// What a build accepts, in its units.
inline constexpr int kMaxDiskMb = 1 << 20;
inline constexpr int kMaxVcpus = 64;
inline constexpr int kMinMemoryMb = 64;
inline constexpr int kMaxMemoryMb = 1 << 20;

struct BuildRequest {
  std::string name;             // of the template
  std::string kind = "debian";  // "minimal" (busybox) or "debian"
  std::string package_file;     // for debian: a list of packages; empty: the built-in base list
  int disk_mb = 0;              // size of the file system; 0: what it needs and room to work
  int vcpus = 1;
  int memory_mb = 0;   // of sandboxes; 0: 128 for minimal, 512 for debian
  bool force = false;  // build although an equal one exists
};

// What a build says while it goes on; `step` of `steps` began, or has news when it comes again.
using Progress = std::function<void(int step, int steps, const std::string& what)>;

struct BuildResult {
  store::TemplateRecord record;
  bool reused = false;  // an equal one existed, nothing was built
};

// Builds a template in this process: kernel bundle, image, record. Atomic: until the end nothing is
// visible, and what a killed build leaves is removed by the next. Two builds of one name come one
// after the other. Where an equal one exists only its record is brought up to date: a
// `guest_program` (wrenn-init) that is newer than the kernel bundle's gets a bundle of its own, the
// image stays.
Result<BuildResult> Build(const os::Paths& paths, store::Store& store, const BuildRequest& request,
                          const std::string& guest_program, const Progress& progress);

// Removes what killed builds left, also what they had mounted. Called by builds and at the server's
// start. Answers why some of it is still there; the next call tries again.
std::vector<Error> CleanTemporary(const os::Paths& paths);

}  // namespace wrenn::template_
