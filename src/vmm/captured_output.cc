#include "vmm/captured_output.h"

#include <unistd.h>

#include <cerrno>

namespace wrenn::vmm {
namespace {

constexpr size_t kBuffer = 16384;  // and what is kept of the tail
constexpr int kMostAtTheEnd = 64;  // buffers

}  // namespace

std::string_view CapturedOutput::Read() {
  char buffer[kBuffer];
  const ssize_t got = ::read(source_.get(), buffer, sizeof buffer);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {};
  if (got <= 0) {  // all writers are gone
    source_.Reset();
    return {};
  }
  const std::string_view bytes(buffer, static_cast<size_t>(got));
  log_.Append(bytes);
  tail_.append(bytes);
  if (tail_.size() > 2 * kBuffer) tail_.erase(0, tail_.size() - kBuffer);
  return std::string_view(tail_).substr(tail_.size() - bytes.size());
}

void CapturedOutput::ReadRest() {
  for (int i = 0; i < kMostAtTheEnd && source_; ++i) Read();
}

void CapturedOutput::Note(std::string_view line) {
  log_.Append("wrenn: ");
  log_.Append(line);
  log_.Append("\n");
}

}  // namespace wrenn::vmm
