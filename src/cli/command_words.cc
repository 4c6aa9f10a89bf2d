#include "cli/command_words.h"

#include <CLI/App.hpp>

namespace wrenn::cli {
namespace {

bool TakesValue(const CLI::App& app, const std::string& name) {
  const CLI::Option* option = app.get_option_no_throw(name);
  return option && option->get_items_expected_max() > 0;
}

// Whether the value of this option is the next word.
bool ValueIsNextWord(const CLI::App& app, const std::string& word) {
  if (word.starts_with("--")) {
    return word.find('=') == std::string::npos && TakesValue(app, word);
  }
  // -it: flags in a row; the first that takes a value has it attached, or in the next word if last.
  for (size_t at = 1; at < word.size(); ++at) {
    if (TakesValue(app, std::string("-") + word[at])) return at + 1 == word.size();
  }
  return false;
}

}  // namespace

SplitWords SplitCommand(const CLI::App& subcommand, const std::vector<std::string>& words,
                        size_t positionals) {
  SplitWords split;
  auto word = words.begin();
  for (; word != words.end(); ++word) {
    if (*word == "--") {
      ++word;
      break;
    }
    const bool option = word->size() > 1 && word->front() == '-';
    if (!option && positionals-- == 0) break;
    split.own.push_back(*word);
    if (option && ValueIsNextWord(subcommand, *word) && word + 1 != words.end()) {
      split.own.push_back(*++word);
    }
  }
  split.command.assign(word, words.end());
  return split;
}

}  // namespace wrenn::cli
