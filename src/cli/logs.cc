// wrenn logs: what a guest wrote to its console, and what happened to its sandbox.
#include <algorithm>
#include <memory>

#include <CLI/App.hpp>

#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/invocation.h"
#include "cli/output.h"
#include "cli/sandbox_view.h"
#include "cli/table.h"
#include "cli/terminal.h"

namespace wrenn::cli {
namespace {

constexpr size_t kMaxConsole = 16 << 20;
constexpr std::string_view kLogs = "/logs?limit=16777216";

struct Options {
  std::string id;
  bool events = false;
  bool json = false;
  int64_t lines = 0;  // 0: all
};

// The last `count` lines of a text.
std::string_view LastLines(std::string_view text, int64_t count) {
  size_t at = text.size();
  if (at > 0 && text[at - 1] == '\n') --at;
  for (; at > 0; --at) {
    if (text[at - 1] == '\n' && --count == 0) break;
  }
  return text.substr(at);
}

Result<int> PrintConsole(const Api& api, const std::string& id, const Options& options) {
  const Deadline deadline = Deadline::After(Api::kDefaultLimit);
  ASSIGN_OR_RETURN(const auto http, api.Connect());
  RETURN_IF_ERROR(http->Send(api.MakeHead("GET", SandboxTarget(id, kLogs)), {}, deadline));
  if (auto error = api.ErrorOf(*http, deadline)) return Fail(std::move(*error));
  ASSIGN_OR_RETURN(const std::string console, http->body().ReadAll(kMaxConsole, deadline));
  std::string_view text = console;
  if (options.lines > 0) text = LastLines(text, options.lines);
  // The guest's bytes as they are, but not to a terminal.
  fmt::print("{}", IsTerminal(STDOUT_FILENO) ? WithoutControls(text) : std::string(text));
  return kSuccess;
}

// "disk_ms=0.7 agent_version=0.1.0"
std::string FormatDetails(const json::object* details) {
  std::string text;
  if (!details) return text;
  for (const auto& [key, value] : *details) {
    if (!text.empty()) text += " ";
    text += std::string(key) + "=";
    if (const double* number = value.if_double()) {
      text += fmt::format("{:.1f}", *number);
    } else if (const json::string* word = value.if_string()) {
      text += std::string(*word);
    } else {
      text += json::serialize(value);
    }
  }
  return text;
}

Result<int> PrintEvents(const Api& api, const std::string& id, const Options& options) {
  ASSIGN_OR_RETURN(json::value answer, api.Call("GET", SandboxTarget(id, "/events")));
  if (!answer.is_array()) return Fail(Code::kInternal, "the server's answer is no list");
  json::array& events = answer.get_array();
  if (options.lines > 0 && events.size() > static_cast<size_t>(options.lines)) {
    events.erase(events.begin(), events.end() - options.lines);
  }
  if (options.json) {
    PrintJson(answer);
    return kSuccess;
  }
  Table table({"TIME", "EVENT", "PHASE", "MESSAGE", "DETAILS"});
  for (const json::value& event : events) {
    if (!event.is_object()) continue;
    JsonReader reader(event.get_object());
    table.Add({reader.String("time"), reader.String("kind"), reader.String("phase"),
               reader.String("message"), FormatDetails(reader.Object("details"))});
  }
  fmt::print("{}", table.Format());
  return kSuccess;
}

Result<int> Logs(const Options& options) {
  ASSIGN_OR_RETURN(const Api api, Api::FromEnvironment());
  ASSIGN_OR_RETURN(const std::string id, ResolveId(api, options.id));
  return options.events ? PrintEvents(api, id, options) : PrintConsole(api, id, options);
}

}  // namespace

void AddLogs(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("logs", "Show a sandbox's console, or its journal");
  auto options = std::make_shared<Options>();
  command->add_option("ID", options->id, "The sandbox, or the beginning of its id")->required();
  auto* events =
      command->add_flag("--events", options->events, "What happened to it, instead of its console");
  command->add_option("-n,--lines", options->lines, "The last N lines alone")
      ->check(Unnamed(CLI::PositiveNumber))
      ->type_name("N");
  // A console is bytes and has no other form.
  command->add_flag("--json", options->json, "Events as JSON; needs --events")->needs(events);
  command->footer(
      "The console is kept when a sandbox ends, until 'wrenn rm'.\n\n"
      "Examples:\n"
      "  wrenn logs -n 20 sb-4k2\n"
      "  wrenn logs --events sb-4k2");
  command->callback(
      [&invocation, options] { invocation.run = [options] { return Logs(*options); }; });
}

}  // namespace wrenn::cli
