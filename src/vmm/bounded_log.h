// BoundedLog: a file that keeps the beginning and the end of what is written to it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace wrenn::vmm {

// Always a plain, readable file of at most kLimit bytes: what is left out in the middle is said
// there. For output that a guest controls.
class BoundedLog {
 public:
  static constexpr size_t kHead = 64 << 10;
  static constexpr size_t kTail = 64 << 10;
  static constexpr size_t kLimit = 256 << 10;

  // Goes on with the file when there is one. Mode 0600.
  static Result<BoundedLog> Open(const std::string& path);

  // Failures are ignored, the bytes are lost: a full disk must not end a machine for its console's
  // sake.
  void Append(std::string_view bytes);

 private:
  BoundedLog(std::string path, UniqueFd fd, size_t size)
      : path_(std::move(path)), fd_(std::move(fd)), size_(size) {}
  void Compact();

  std::string path_;
  UniqueFd fd_;
  size_t size_;
  bool compacted_ = false;  // by this object: then head and marker are as it wrote them
  size_t head_end_ = kHead;
  uint64_t left_out_ = 0;
};

}  // namespace wrenn::vmm
