// The kernel's command line.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace wrenn::guest {

class CommandLine {
 public:
  explicit CommandLine(std::string text) : text_(std::move(text)) {}
  // Of the running kernel; /proc must be mounted.
  static Result<CommandLine> Read();

  // The value of the last "name=value".
  std::optional<std::string> Value(std::string_view name) const;
  std::string Value(std::string_view name, std::string_view fallback) const;

 private:
  std::string text_;
};

}  // namespace wrenn::guest
