// Upload: a file that comes into being whole or not at all.
#pragma once

#include <string>

#include "base/unique_fd.h"
#include "guest/users.h"

namespace wrenn::guest {

// Written beside its target, and renamed onto it at the end. Dropped before, it leaves nothing.
class Upload {
 public:
  // The names of unfinished uploads begin so; the second tells that there was no such file before.
  static constexpr std::string_view kPrefix = ".wrenn-upload-";
  static constexpr std::string_view kNewPrefix = ".wrenn-upload-new-";

  // Makes missing folders above. An existing file keeps its mode and, if it is a link, stays one.
  // The owner is `user`. kInvalidArgument when something other than a regular file is there.
  static Result<Upload> Begin(const std::string& path, const User& user);

  Upload(Upload&& other) noexcept
      : fd_(std::move(other.fd_)),
        temporary_(std::exchange(other.temporary_, {})),
        target_(std::move(other.target_)),
        mode_(other.mode_) {}
  Upload& operator=(Upload&&) = delete;
  ~Upload();

  // kResourceExhausted when the disk is full.
  Status Write(std::string_view data);
  // The file is there under its name.
  Status Commit(const User& user);

 private:
  Upload() = default;

  UniqueFd fd_;
  std::string temporary_;
  std::string target_;
  unsigned mode_ = 0644;
};

}  // namespace wrenn::guest
