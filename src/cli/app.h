// The command line of `wrenn` as a whole.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/invocation.h"

namespace CLI {
class App;
}

namespace wrenn::cli {

// The tree of subcommands. `invocation` must outlive it; parsing fills it in.
std::unique_ptr<CLI::App> BuildApp(Invocation& invocation);

// Parses the words behind the program's name. On success the invocation is ready to run. Otherwise
// (help, or a wrong command line) what there is to say was printed and the exit code is the answer.
std::optional<int> Parse(CLI::App& app, Invocation& invocation, std::vector<std::string> words);

// The program: parses `argv`, runs, prints errors, answers the exit code.
int Main(const std::vector<std::string>& argv);

}  // namespace wrenn::cli
