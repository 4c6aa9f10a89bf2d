// LocalFile: a file on this machine that is written whole or not at all.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace wrenn::cli {

// Written beside its place under another name and renamed by Commit(); without that nothing is left
// and an old file stays. What is no regular file (a device, a pipe) is written in place; a symbolic
// link is followed.
class LocalFile {
 public:
  // `mode` is of a new file, before the umask; one that is replaced keeps its own.
  static Result<LocalFile> Create(const std::string& path, unsigned mode);
  // For a secret: of mode 0600, also where it takes the place of a file of another.
  static Result<LocalFile> CreatePrivate(const std::string& path);
  LocalFile(LocalFile&& other) noexcept;
  LocalFile& operator=(LocalFile&&) = delete;
  ~LocalFile();

  Status Write(std::string_view data);
  // Makes what was written durable. Harmless for what is no file.
  Status Sync();
  Status Commit();

 private:
  static Result<LocalFile> Make(const std::string& path, unsigned mode, bool keep_mode);
  LocalFile(UniqueFd fd, std::string path, std::string temporary)
      : fd_(std::move(fd)), path_(std::move(path)), temporary_(std::move(temporary)) {}

  UniqueFd fd_;
  std::string path_;
  std::string temporary_;  // empty: written in place, or committed
};

}  // namespace wrenn::cli
