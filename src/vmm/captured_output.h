// CapturedOutput: what a VMM or its guest writes to a pipe or socket, kept in a bounded log.
#pragma once

#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "vmm/bounded_log.h"

namespace wrenn::vmm {

class CapturedOutput {
 public:
  // `source` is non-blocking.
  CapturedOutput(UniqueFd source, BoundedLog log)
      : source_(std::move(source)), log_(std::move(log)) {}

  // To wait for; -1 at its end.
  int fd() const { return source_.get(); }
  // Takes what there is now, a buffer's worth at most, and answers it; good until the next call.
  std::string_view Read();
  // What was written last is still on its way when the writer has ended: bounded, since that may be
  // a lot.
  void ReadRest();

  // Adds a line of ours to the log.
  void Note(std::string_view line);
  // What was written last, some 16 KiB of it.
  const std::string& tail() const { return tail_; }

 private:
  UniqueFd source_;
  BoundedLog log_;
  std::string tail_;
};

}  // namespace wrenn::vmm
