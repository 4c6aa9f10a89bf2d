// Where wrenn's own options end and the program to run in a sandbox begins.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace wrenn::cli {

struct SplitWords {
  std::vector<std::string> own;      // for wrenn: options and the first positional words
  std::vector<std::string> command;  // the program and its arguments, untouched
};

// Splits the words behind `wrenn run|exec|shell`: after `positionals` words that are no option, the
// next word begins the program, and so does whatever follows the first "--" before it. So
// `exec ID ls -l` and `exec ID -- ls -l` mean the same.
SplitWords SplitCommand(const CLI::App& subcommand, const std::vector<std::string>& words,
                        size_t positionals);

}  // namespace wrenn::cli
