#include "vmm/exit_text.h"

#include <signal.h>

#include "base/result.h"

namespace wrenn::vmm {

std::string Printable(std::string_view line) {
  std::string text;
  for (const char c : line) {
    if (static_cast<unsigned char>(c) >= ' ' && c != '\x7f') text.push_back(c);
  }
  return text.substr(0, 200);
}

std::string ConsoleLine(std::string_view console, std::string_view mark) {
  const size_t begin = console.rfind(mark);
  if (begin == std::string_view::npos) return {};
  const std::string_view rest = console.substr(begin);
  return Printable(rest.substr(0, rest.find_first_of("\r\n")));
}

std::string SignalReason(const os::ExitStatus& status, bool memory_exhausted,
                         std::string_view words) {
  const std::string reason = "VMM " + status.ToString();
  if (status.signal == SIGKILL && memory_exhausted) {
    return reason + ", probably by the kernel because the host ran out of memory";
  }
  const std::string last = LastLine(words);
  return last.empty() ? reason : reason + ": " + last;
}

std::string FailureReason(const os::ExitStatus& status, std::string_view words) {
  if (!status.known) return "VMM ended for an unknown reason";
  const std::string last = LastLine(words);
  return fmt::format("VMM failed: {}{}{}", status.ToString(), last.empty() ? "" : ": ", last);
}

}  // namespace wrenn::vmm
