// Which local file `wrenn run` takes along: the script of the command.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace wrenn::cli {

struct Script {
  std::string local;  // path on this machine
  std::string name;   // what it is called in the sandbox's working folder
  size_t word = 0;    // where it stands in the command
};

// The rule, which --help tells:
// - a program that is written as a local path with a slash ("./tool", "bin/tool") and is a file;
// - else, behind an interpreter (sh, bash, python3, node, perl, ruby, ...), the first word that is
// no
//   option, if it is a local file.
// Nothing else is taken along without being named by --upload.
std::optional<Script> FindScript(const std::vector<std::string>& command,
                                 const std::function<bool(const std::string&)>& is_file);

// Whether a program's name is that of an interpreter whose first argument is a script.
bool IsInterpreter(const std::string& program);

}  // namespace wrenn::cli
