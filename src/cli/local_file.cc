#include "cli/local_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>

#include "base/io.h"

namespace wrenn::cli {
namespace {

// The file that a path stands for when it is a symbolic link; the path itself when there is
// nothing.
std::string FollowLinks(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr),
                                                         &std::free);
  return real ? std::string(real.get()) : path;
}

mode_t Umask() {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return mask;
}

}  // namespace

Result<LocalFile> LocalFile::Create(const std::string& path, unsigned mode) {
  return Make(path, mode, /*keep_mode=*/true);
}

Result<LocalFile> LocalFile::CreatePrivate(const std::string& path) {
  return Make(path, 0600, /*keep_mode=*/false);
}

Result<LocalFile> LocalFile::Make(const std::string& path, unsigned mode, bool keep_mode) {
  std::string target = FollowLinks(path);
  mode_t wanted = mode & ~Umask();
  struct stat info{};
  if (::stat(target.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) return Fail(Code::kInvalidArgument, "'{}' is a folder", path);
    if (!S_ISREG(info.st_mode)) {
      UniqueFd fd(::open(target.c_str(), O_WRONLY | O_CLOEXEC));
      if (!fd) return Fail(ErrnoError("cannot write '" + path + "'"));
      return LocalFile(std::move(fd), std::move(target), {});
    }
    if (keep_mode) wanted = info.st_mode & 07777;
  }
  const size_t name = target.rfind('/') + 1;  // 0 without a slash
  std::string temporary =
      fmt::format("{}.{}.wrenn-XXXXXX", target.substr(0, name), target.substr(name));
  UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) return Fail(ErrnoError("cannot write '" + path + "'"));
  LocalFile file(std::move(fd), std::move(target), std::move(temporary));
  if (::fchmod(file.fd_.get(), wanted) < 0) {
    return Fail(ErrnoError("cannot set the mode of '" + path + "'"));
  }
  return file;
}

LocalFile::LocalFile(LocalFile&& other) noexcept
    : fd_(std::move(other.fd_)),
      path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})) {}

LocalFile::~LocalFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Status LocalFile::Write(std::string_view data) {
  if (auto written = WriteAll(fd_.get(), data, Deadline::Never()); !written) {
    return Fail(written.error().WithContext("cannot write '" + path_ + "'"));
  }
  return {};
}

Status LocalFile::Sync() {
  if (temporary_.empty() || ::fsync(fd_.get()) == 0) return {};
  return Fail(ErrnoError("cannot write '" + path_ + "'"));
}

Status LocalFile::Commit() {
  if (temporary_.empty()) return {};
  if (::rename(temporary_.c_str(), path_.c_str()) < 0) {
    return Fail(ErrnoError("cannot write '" + path_ + "'"));
  }
  temporary_.clear();
  return {};
}

}  // namespace wrenn::cli
