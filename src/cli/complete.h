// What may stand at the cursor of a command line: the candidates of shell completion.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace wrenn::cli {

// Which sandboxes fit: those that have not ended, all of them, or those in one state.
enum class Which { kLive, kAll, kRunning, kPaused };

// Names that only the server or the records know. Each may be slow and may answer nothing.
struct CompletionSources {
  std::function<std::vector<std::string>(Which)> sandboxes;
  std::function<std::vector<std::string>()> templates;
  std::function<std::vector<std::string>()> snapshots;  // templates of that type
  std::function<std::vector<std::string>()> keys;
};

struct Candidate {
  std::string word;
  std::string description;
};

struct Candidates {
  std::vector<Candidate> words;  // that begin like the word at the cursor
  bool files = false;            // local file names fit, too
};

// `words` are those behind "wrenn" up to the cursor; the last is the one to complete, maybe empty.
Candidates Complete(CLI::App& app, std::vector<std::string> words,
                    const CompletionSources& sources);

// One candidate a line, a tab before its description; ":files" where file names fit.
std::string FormatCandidates(const Candidates& candidates);

// The program's answer to `wrenn __complete -- WORDS...`, which the shells' scripts ask.
int MainComplete(std::vector<std::string> words);

}  // namespace wrenn::cli
