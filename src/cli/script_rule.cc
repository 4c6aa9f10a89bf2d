#include "cli/script_rule.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "cli/copy_path.h"

namespace wrenn::cli {

bool IsInterpreter(const std::string& program) {
  constexpr std::array<std::string_view, 19> kNames = {
      "sh",   "ash", "bash", "dash", "zsh", "ksh", "python", "pypy",    "node", "nodejs",
      "deno", "bun", "perl", "ruby", "php", "lua", "tclsh",  "Rscript", "guile"};
  std::string name = BaseName(program);
  name.erase(name.find_last_not_of("0123456789.") + 1);  // python3.11 is python
  return std::ranges::find(kNames, name) != kNames.end();
}

std::optional<Script> FindScript(const std::vector<std::string>& command,
                                 const std::function<bool(const std::string&)>& is_file) {
  if (command.empty()) return std::nullopt;
  const std::string& program = command[0];
  if (program.find('/') != std::string::npos && program.front() != '/' && is_file(program)) {
    return Script{program, BaseName(program), 0};
  }
  if (!IsInterpreter(program)) return std::nullopt;
  for (size_t i = 1; i < command.size(); ++i) {
    if (command[i].starts_with('-')) continue;
    if (!is_file(command[i])) return std::nullopt;
    return Script{command[i], BaseName(command[i]), i};
  }
  return std::nullopt;
}

}  // namespace wrenn::cli
