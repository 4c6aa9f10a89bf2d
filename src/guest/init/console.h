// The console: the one place where a guest without an agent yet can say something.
#pragma once

#include <string>

#include "base/result.h"

namespace wrenn::guest {

// Makes /dev/console descriptors 0 to 2; they stay as they are where there is none.
void OpenConsole();

// Writes one line, with our name in front.
void WriteConsole(const std::string& line);

template <typename... Args>
void Console(fmt::format_string<Args...> format, Args&&... args) {
  WriteConsole(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace wrenn::guest
