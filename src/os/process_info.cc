#include "os/process_info.h"

#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/io.h"

namespace wrenn::os {
namespace {

std::string ProcPath(pid_t pid, std::string_view file) {
  return fmt::format("/proc/{}/{}", pid, file);
}

// A process that has ended is kNotFound (ENOENT, or ESRCH when it ends between open and read); that
// it could not be looked at, for want of descriptors or memory, does not mean that it has.
Result<std::string> ReadOfProcess(pid_t pid, std::string_view file) {
  auto text = ReadFile(ProcPath(pid, file));
  if (text || text.error().code != Code::kNotFound) return text;
  return Fail(Code::kNotFound, "no process {}", pid);
}

// The number that follows `label` and blanks at the beginning of a line; 0 when there is none.
uint64_t NumberAfter(std::string_view text, std::string_view label) {
  for (size_t line = 0; line < text.size();) {
    size_t end = text.find('\n', line);
    if (end == std::string_view::npos) end = text.size();
    std::string_view rest = text.substr(line, end - line);
    if (rest.starts_with(label)) {
      rest.remove_prefix(label.size());
      rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
      uint64_t number = 0;
      std::from_chars(rest.data(), rest.data() + rest.size(), number);
      return number;
    }
    line = end + 1;
  }
  return 0;
}

}  // namespace

Result<ProcessStat> ParseProcessStat(std::string_view text) {
  // The program's name, in parentheses, may itself contain anything: look from the end.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos) {
    return Fail(Code::kInvalidArgument, "not a process status");
  }
  std::string_view rest = text.substr(name_end + 1);
  ProcessStat stat;
  constexpr int kState = 3, kParent = 4, kStartTime = 22;  // fields are counted from 1
  for (int field = kState; field <= kStartTime; ++field) {
    const size_t begin = rest.find_first_not_of(' ');
    if (begin == std::string_view::npos)
      return Fail(Code::kInvalidArgument, "short process status");
    rest.remove_prefix(begin);
    const std::string_view word = rest.substr(0, rest.find(' '));
    const char* const end = word.data() + word.size();
    if (field == kState) stat.state = word.front();
    if (field == kParent) std::from_chars(word.data(), end, stat.parent);
    if (field == kStartTime) std::from_chars(word.data(), end, stat.start_time);
    rest.remove_prefix(word.size());
  }
  return stat;
}

Result<ProcessStat> ReadProcessStat(pid_t pid) {
  ASSIGN_OR_RETURN(const std::string text, ReadOfProcess(pid, "stat"));
  return ParseProcessStat(text);
}

Result<std::vector<std::string>> ReadCommandLine(pid_t pid) {
  ASSIGN_OR_RETURN(const std::string text, ReadOfProcess(pid, "cmdline"));
  std::vector<std::string> arguments;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\0', begin), text.size());
    arguments.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return arguments;
}

Result<uint64_t> ProportionalMemoryBytes(pid_t pid) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(ProcPath(pid, "smaps_rollup")));
  return NumberAfter(text, "Pss:") * 1024;
}

Result<std::string> ExecutablePath() {
  char path[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  if (length < 0) return Fail(ErrnoError("cannot tell the running program's path"));
  return std::string(path, static_cast<size_t>(length));
}

Result<std::string> BootId() {
  ASSIGN_OR_RETURN(std::string text, ReadFile("/proc/sys/kernel/random/boot_id"));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

uint64_t OutOfMemoryKills() {
  const auto text = ReadFile("/proc/vmstat");
  return text ? NumberAfter(*text, "oom_kill ") : 0;
}

}  // namespace wrenn::os
