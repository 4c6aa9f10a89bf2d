// Workspace: the folder of one build in progress, below <root>/tmp.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "base/deadline.h"
#include "base/result.h"
#include "os/file_lock.h"
#include "os/paths.h"

namespace wrenn::template_ {

// <root>/tmp/build-<random>/, removed with its content at the end of its life, and beside it
// build-<random>.lock, held as long as this build lives. Programs that the build starts inherit the
// lock (CommandOptions::pass_fds), so that what they do is not taken for leftovers after the build
// was killed and they were not.
class Workspace {
 public:
  static Result<Workspace> Make(const os::Paths& paths);

  Workspace(Workspace&& other) noexcept
      : path_(std::exchange(other.path_, {})), lock_(std::move(other.lock_)) {}
  Workspace& operator=(Workspace&&) = delete;
  ~Workspace();

  const std::string& path() const { return path_; }
  int lock_fd() const { return lock_.fd(); }

  // Makes a file of this workspace durable and read-only.
  Status Seal(const std::string& file) const;

  // Moves a finished folder of this workspace to its final place: its files are sealed first. A
  // place that is taken stays as it is, since content-addressed folders of one name are equal; only
  // one that lacks files is replaced.
  Status Publish(const std::string& folder, const std::string& place) const;

 private:
  Workspace(std::string path, os::FileLock lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  os::FileLock lock_;
};

// The lock under which records and the files they name change together: publishing, replacing,
// removing, collecting garbage. Held for moments, but for a build whose kernel bundle was removed
// meanwhile. kUnavailable when somebody holds it beyond the deadline.
Result<os::FileLock> LockCatalogue(const os::Paths& paths, Deadline deadline);
// For a deadline where somebody waits for the answer to a request.
inline constexpr std::chrono::seconds kCatalogueLimit{20};

// The right to build a template of one name, held for a whole build. The name must be valid.
class Turn {
 public:
  // Nothing when another build has it.
  static Result<std::optional<Turn>> Try(const os::Paths& paths, const std::string& name);
  // Waits for it.
  static Result<Turn> Wait(const os::Paths& paths, const std::string& name);

  Turn(Turn&& other) noexcept
      : file_(std::exchange(other.file_, {})), lock_(std::move(other.lock_)) {}
  Turn& operator=(Turn&&) = delete;
  ~Turn();

 private:
  Turn(std::string file, os::FileLock lock) : file_(std::move(file)), lock_(std::move(lock)) {}
  std::string file_;
  os::FileLock lock_;
};

}  // namespace wrenn::template_
