#include "guest/boot/command_line.h"

#include "base/io.h"
#include "guest/split.h"

namespace wrenn::guest {

Result<CommandLine> CommandLine::Read() {
  ASSIGN_OR_RETURN(std::string text, ReadFile("/proc/cmdline"));
  return CommandLine(std::move(text));
}

std::optional<std::string> CommandLine::Value(std::string_view name) const {
  std::optional<std::string> value;
  for (const std::string_view word : Words(text_)) {
    if (word.starts_with(name) && word.substr(name.size(), 1) == "=") {
      value = word.substr(name.size() + 1);
    }
  }
  return value;
}

std::string CommandLine::Value(std::string_view name, std::string_view fallback) const {
  return Value(name).value_or(std::string(fallback));
}

}  // namespace wrenn::guest
