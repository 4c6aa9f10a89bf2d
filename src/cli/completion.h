// The completion scripts.
#pragma once

#include <string_view>

namespace wrenn::cli {

// The script for "bash", "zsh" or "fish"; empty for others.
std::string_view CompletionScript(std::string_view shell);

}  // namespace wrenn::cli
