// wrenn pause, resume and fork: sandboxes frozen, brought back, and copied.
#include <map>
#include <memory>
#include <mutex>

#include <CLI/App.hpp>

#include "cli/commands.h"
#include "cli/for_each_sandbox.h"
#include "cli/invocation.h"
#include "cli/output.h"
#include "cli/sandbox_view.h"
#include "cli/spinner.h"

namespace wrenn::cli {
namespace {

// Memory has to reach a disk, or to come from there.
constexpr std::chrono::milliseconds kLimit{600'000};

struct Options {
  std::vector<std::string> ids;
  int count = 1;
  bool cold = false;
  bool json = false;
};

// Posts to the sub-resource `action` of every sandbox that is named.
Result<int> Post(const Options& options, const char* action, const char* doing) {
  ASSIGN_OR_RETURN(const Api api, Api::FromEnvironment());
  ASSIGN_OR_RETURN(const auto ids, ResolveIds(api, options.ids));
  std::mutex mutex;
  std::map<std::string, json::value> answers;
  json::object request;
  if (options.cold) request["cold"] = true;
  const auto post = [&](const std::string& id) -> Status {
    ASSIGN_OR_RETURN(json::value answer,
                     api.Call("POST", SandboxTarget(id, action), &request, kLimit));
    std::lock_guard lock(mutex);
    answers[id] = std::move(answer);
    return {};
  };
  const size_t failed = ForEachSandbox(ids, doing, post, options.json);
  if (options.json) {
    json::array list;
    for (const std::string& id : ids) {
      if (const auto answer = answers.find(id); answer != answers.end()) {
        list.push_back(answer->second);
      }
    }
    PrintJson(list);
  }
  return failed == 0 ? kSuccess : kFailure;
}

Result<int> Fork(const Options& options) {
  ASSIGN_OR_RETURN(const Api api, Api::FromEnvironment());
  ASSIGN_OR_RETURN(const std::string id, ResolveId(api, options.ids.at(0)));
  const json::object request = {{"count", options.count}};
  Spinner spinner("forking " + id);
  auto answer = api.Call("POST", SandboxTarget(id, "/fork"), &request, kLimit);
  spinner.Stop();
  if (!answer) return Fail(std::move(answer.error()));
  const json::object* object = answer->if_object();
  const json::value* list = object ? object->if_contains("sandboxes") : nullptr;
  if (!list || !list->is_array()) return Fail(Code::kInternal, "the server's answer is no list");
  if (options.json) {
    PrintJson(*list);
    return kSuccess;
  }
  for (const json::value& item : list->get_array()) {
    ASSIGN_OR_RETURN(const SandboxView child, DecodeSandbox(item));
    fmt::print("{}\n", child.id);
  }
  return kSuccess;
}

CLI::App* AddWithIds(CLI::App& app, const char* name, const char* what,
                     const std::shared_ptr<Options>& options) {
  auto* command = app.add_subcommand(name, what);
  command->add_option("ID", options->ids, "Sandboxes, or the beginnings of their ids")->required();
  command->add_flag("--json", options->json, "Print the sandboxes as JSON");
  return command;
}

}  // namespace

void AddPause(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<Options>();
  auto* command = AddWithIds(app, "pause", "Freeze sandboxes with their memory", options);
  command->footer(
      "A paused sandbox takes no processor of this machine, and no memory once it has stood by\n"
      "for a minute ('wrenn serve --standby'). Its programs go on at 'wrenn resume' as if nothing\n"
      "had been; its connections to elsewhere are lost.\n\n"
      "Examples:\n"
      "  wrenn pause sb-4k2\n"
      "  wrenn ls -q | xargs -r wrenn pause");
  command->callback([&invocation, options] {
    invocation.run = [options] { return Post(*options, "/pause", "pausing"); };
  });
}

void AddResume(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<Options>();
  auto* command = AddWithIds(app, "resume", "Let paused sandboxes go on", options);
  command->add_flag("--cold", options->cold, "Boot them from their disks; their memory is lost");
  command->footer(
      "With --cold a sandbox starts anew with the files that are on its disk, its programs are "
      "gone.\n"
      "It is for one whose memory does not fit the VMM of this host any more, after an update "
      "say.\n\n"
      "Examples:\n"
      "  wrenn resume sb-4k2");
  command->callback([&invocation, options] {
    invocation.run = [options] { return Post(*options, "/resume", "resuming"); };
  });
}

void AddFork(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<Options>();
  auto* command =
      app.add_subcommand("fork", "Make sandboxes that go on from where one is; print their ids");
  options->ids.resize(1);
  command->add_option("ID", options->ids[0], "The sandbox, running or paused")->required();
  command->add_option("-n,--count", options->count, "How many")
      ->check(CLI::Range(1, 100))
      ->type_name("N")
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print the new sandboxes as JSON");
  command->footer(
      "Each has the files, memory and running programs of the sandbox as they are now, and an id "
      "and\n"
      "host name of its own. All are made or none. The sandbox itself goes on, or stays paused.\n\n"
      "Examples:\n"
      "  wrenn fork sb-4k2\n"
      "  for id in $(wrenn fork sb-4k2 -n 3); do wrenn exec $id -- ./try; done");
  command->callback(
      [&invocation, options] { invocation.run = [options] { return Fork(*options); }; });
}

}  // namespace wrenn::cli
