#include "cli/complete.h"

#include <algorithm>
#include <cstdlib>

#include <CLI/App.hpp>

#include "cli/app.h"
#include "cli/copy_path.h"
#include "cli/local.h"
#include "cli/sandbox_view.h"
#include "cli/template_list.h"

namespace wrenn::cli {
namespace {

bool TakesValue(const CLI::Option* option) {
  return option && option->get_items_expected_max() > 0;
}

// What the words before the cursor say about the place where it is.
struct Place {
  CLI::App* command;                      // the innermost subcommand
  const CLI::Option* value_of = nullptr;  // the option whose value is awaited
  size_t positionals = 0;                 // words of the command that are no options
  bool in_program = false;                // behind "--", or in the program that exec and run take
};

std::string Path(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent && parent->get_parent() ? parent->get_name() + " " + command.get_name()
                                        : command.get_name();
}

CLI::App* FindSubcommand(CLI::App& command, const std::string& name) {
  const auto found = command.get_subcommands([&](CLI::App* sub) { return sub->check_name(name); });
  return found.empty() ? nullptr : found[0];
}

// bash takes ':' for a word of its own: "http", ":", "//x" are one word.
std::vector<std::string> JoinAtColons(const std::vector<std::string>& words) {
  std::vector<std::string> joined;
  bool glue = false;
  for (const std::string& word : words) {
    if ((glue || word == ":") && !joined.empty()) {
      joined.back() += word;
    } else {
      joined.push_back(word);
    }
    glue = word == ":";
  }
  return joined;
}

Place FindPlace(CLI::App& app, const std::vector<std::string>& words) {
  Place place{&app};
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (place.value_of) {
      // Whose sandboxes they are.
      if (place.value_of->check_lname("url")) ::setenv("WRENN_API_URL", word.c_str(), 1);
      place.value_of = nullptr;
    } else if (word == "--") {
      place.in_program = true;
      return place;
    } else if (word.starts_with("--url=")) {
      ::setenv("WRENN_API_URL", word.substr(word.find('=') + 1).c_str(), 1);
    } else if (word.size() > 1 && word[0] == '-') {
      const CLI::Option* option = place.command->get_option_no_throw(word);
      if (TakesValue(option)) place.value_of = option;
    } else if (CLI::App* sub = FindSubcommand(*place.command, word); sub && !place.positionals) {
      place.command = sub;
    } else {
      ++place.positionals;
    }
  }
  const std::string path = Path(*place.command);
  place.in_program = (path == "run" && place.positionals > 0) ||
                     ((path == "exec" || path == "shell") && place.positionals > 1);
  return place;
}

class Collector {
 public:
  // Of the word at the cursor `lead` stands and `prefix` is completed.
  Collector(std::string lead, std::string prefix)
      : lead_(std::move(lead)), prefix_(std::move(prefix)) {}

  void Add(const std::string& word, const std::string& description = {}) {
    if (word.starts_with(prefix_)) found_.words.push_back({lead_ + word, description});
  }
  void AddAll(const std::vector<std::string>& words, std::string_view suffix = {}) {
    for (const std::string& word : words) Add(word + std::string(suffix));
  }
  void AddFiles() { found_.files = true; }

  void AddOptions(CLI::App& command) {
    for (const CLI::Option* option : command.get_options()) {
      for (const std::string& name : option->get_lnames()) {
        Add("--" + name, option->get_description());
      }
    }
  }
  void AddSubcommands(CLI::App& command) {
    for (const CLI::App* sub : command.get_subcommands({})) {
      Add(sub->get_name(), sub->get_description());
    }
  }

  Candidates Take() { return std::move(found_); }

 private:
  std::string lead_;
  std::string prefix_;
  Candidates found_;
};

void AddValues(const Place& place, const CompletionSources& sources, Collector& out) {
  const std::vector<std::string>& names = place.value_of->get_lnames();
  const std::string name = names.empty() ? std::string() : names[0];
  if (name == "template") out.AddAll(sources.templates());
  const std::string path = Path(*place.command);
  if (name == "name" && (path == "snapshot create" || path == "snapshot import")) {
    out.AddAll(sources.snapshots());
  }
  if (name == "on-timeout") out.AddAll({"pause", "stop"});
  if (name == "upload" || name == "packages" || name == "config") out.AddFiles();
}

void AddPositionals(const Place& place, const CompletionSources& sources, Collector& out) {
  const std::string path = Path(*place.command);
  const bool first = place.positionals == 0;
  if ((path == "exec" || path == "shell" || path == "ps") && first) {
    out.AddAll(sources.sandboxes(Which::kRunning));
  } else if (path == "pause") {
    out.AddAll(sources.sandboxes(Which::kRunning));
  } else if (path == "resume") {
    out.AddAll(sources.sandboxes(Which::kPaused));
  } else if (path == "stop" ||
             ((path == "fork" || path == "network" || path == "snapshot create") && first)) {
    out.AddAll(sources.sandboxes(Which::kLive));
  } else if (path == "rm" || (path == "logs" && first)) {
    out.AddAll(sources.sandboxes(Which::kAll));
  } else if (path == "cp") {
    out.AddAll(sources.sandboxes(Which::kRunning), ":");
    out.AddFiles();
  } else if (path == "template build" && first) {
    out.AddAll({"minimal", "base"});
  } else if (path == "template rm" || (path == "template inspect" && first)) {
    out.AddAll(sources.templates());
  } else if (path == "snapshot rm" || ((path == "snapshot inspect" || path == "snapshot verify" ||
                                        path == "snapshot export") &&
                                       first)) {
    out.AddAll(sources.snapshots());
  } else if (path == "snapshot import" || path == "snapshot export") {
    out.AddFiles();
  } else if (path == "key revoke") {
    out.AddAll(sources.keys());
  } else if (path == "completion" && first) {
    out.AddAll({"bash", "zsh", "fish"});
  }
}

bool Fits(const SandboxView& sandbox, Which which) {
  switch (which) {
    case Which::kLive:
      return !sandbox.ended();
    case Which::kRunning:
      return sandbox.status == "running";
    case Which::kPaused:
      return sandbox.status == "paused";
    case Which::kAll:
      break;
  }
  return true;
}

std::vector<std::string> Names(const Result<json::array>& list) {
  std::vector<std::string> names;
  if (!list) return names;
  for (const json::value& item : *list) {
    if (item.is_object()) names.push_back(JsonReader(item.get_object()).String("name"));
  }
  return names;
}

CompletionSources RealSources() {
  CompletionSources sources;
  sources.sandboxes = [](Which which) {
    std::vector<std::string> ids;
    const auto api = Api::FromEnvironment();
    if (!api) return ids;
    const auto sandboxes = ListSandboxes(*api);
    if (!sandboxes) return ids;
    for (const SandboxView& one : *sandboxes) {
      if (Fits(one, which)) ids.push_back(one.id);
    }
    return ids;
  };
  sources.templates = [] { return Names(ListTemplates("")); };
  sources.snapshots = [] { return Names(ListTemplates("snapshot")); };
  sources.keys = [] {
    std::vector<std::string> names;
    const auto local = OpenExistingLocal();
    if (!local) return names;
    const auto records = local->store->ListKeys(store::kDefaultTenant);
    if (!records) return names;
    for (const auto& record : *records) names.push_back(record.id);
    return names;
  };
  return sources;
}

}  // namespace

Candidates Complete(CLI::App& app, std::vector<std::string> words,
                    const CompletionSources& sources) {
  if (words.empty()) words.emplace_back();
  // "--template=ba" is three words for bash, of which the last is replaced, and one for others.
  if (words.back() == "=") words.emplace_back();
  std::erase(words, "=");
  std::string lead;
  if (const size_t equals = words.back().find('=');
      words.back().starts_with("--") && equals != std::string::npos) {
    lead = words.back().substr(0, equals + 1);
    words.push_back(words.back().substr(equals + 1));
    words[words.size() - 2].resize(equals);
  }
  words = JoinAtColons(words);
  const Place place = FindPlace(app, words);
  if (!lead.empty() && !place.value_of) return {};
  const std::string& word = words.back();
  // What is in a sandbox nobody here knows.
  if (const auto path = ParseCopyPath(word);
      path && !path->is_local() && Path(*place.command) == "cp") {
    return {};
  }
  Collector out(std::move(lead), word);
  if (place.value_of) {
    AddValues(place, sources, out);
  } else if (place.in_program) {
    out.AddFiles();
  } else if (word.starts_with('-')) {
    out.AddOptions(*place.command);
  } else if (!place.command->get_subcommands({}).empty()) {
    out.AddSubcommands(*place.command);
  } else {
    AddPositionals(place, sources, out);
  }
  return out.Take();
}

std::string FormatCandidates(const Candidates& candidates) {
  std::string text;
  for (const Candidate& candidate : candidates.words) {
    text += candidate.word;
    if (!candidate.description.empty()) text += "\t" + candidate.description;
    text += "\n";
  }
  if (candidates.files) text += ":files\n";
  return text;
}

int MainComplete(std::vector<std::string> words) {
  if (!words.empty() && words[0] == "--") words.erase(words.begin());
  Invocation invocation;
  const auto app = BuildApp(invocation);
  fmt::print("{}", FormatCandidates(Complete(*app, std::move(words), RealSources())));
  return kSuccess;
}

}  // namespace wrenn::cli
