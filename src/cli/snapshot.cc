// wrenn snapshot: templates that are sandboxes as they were.
#include <chrono>
#include <memory>

#include <CLI/App.hpp>

#include "base/encoding.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/invocation.h"
#include "cli/output.h"
#include "cli/sandbox_view.h"
#include "cli/snapshot_transfer.h"
#include "cli/spinner.h"
#include "cli/table.h"
#include "cli/template_list.h"
#include "cli/terminal.h"

namespace wrenn::cli {
namespace {

// Memory has to reach a disk.
constexpr std::chrono::milliseconds kCreateLimit{600'000};
// All of it is read.
constexpr std::chrono::milliseconds kVerifyLimit{4 * 3600'000};

struct Options {
  std::string id;
  std::string name;
  std::vector<std::string> names;
  bool overwrite = false;
  bool json = false;
};

std::string SnapshotTarget(const std::string& name, std::string_view rest = {}) {
  return fmt::format("/v1/snapshots/{}{}", PercentEncode(name), rest);
}

// A call that a terminal shows while it takes long.
Result<json::object> CallSlowly(const std::string& doing, std::string_view method,
                                const std::string& target, const json::object* body,
                                std::chrono::milliseconds limit) {
  ASSIGN_OR_RETURN(const Api api, Api::FromEnvironment());
  Spinner spinner(doing);
  auto answer = api.Call(method, target, body, limit);
  spinner.Stop();
  if (!answer) return Fail(std::move(answer.error()));
  if (!answer->is_object()) return Fail(Code::kInternal, "the server's answer is no object");
  return std::move(answer->get_object());
}

Result<int> Create(const Options& options) {
  ASSIGN_OR_RETURN(const Api api, Api::FromEnvironment());
  ASSIGN_OR_RETURN(const std::string id, ResolveId(api, options.id));
  json::object request = {{"sandbox_id", id}};
  if (!options.name.empty()) request["name"] = options.name;
  ASSIGN_OR_RETURN(const json::object made,
                   CallSlowly("taking a snapshot of " + id, "POST",
                              options.overwrite ? "/v1/snapshots?overwrite=true" : "/v1/snapshots",
                              &request, kCreateLimit));
  if (options.json) {
    PrintJson(made);
  } else {
    fmt::print("{}\n", JsonReader(made).String("name"));
  }
  return kSuccess;
}

Result<int> List(const Options& options) {
  ASSIGN_OR_RETURN(const json::array snapshots, ListTemplates("snapshot"));
  PrintTemplates(snapshots, options.json,
                 "there is none yet: 'wrenn snapshot create ID' makes one of a sandbox");
  return kSuccess;
}

std::string Bytes(JsonReader& reader, std::string_view name) {
  return FormatBytes(static_cast<uint64_t>(reader.Int(name, 0, 0, INT64_MAX)));
}

// What people want to know; the rest is in the JSON.
std::string Describe(const json::object& object) {
  JsonReader reader(object);
  Table table({"NAME", reader.String("name")});
  table.Add({"TYPE", reader.String("type")});
  table.Add({"DESCRIPTION", reader.String("description")});
  table.Add({"VCPUS", std::to_string(reader.Int("vcpus", 0, 0, INT64_MAX))});
  table.Add({"MEMORY", fmt::format("{} MiB", reader.Int("memory_mb", 0, 0, INT64_MAX))});
  table.Add({"CREATED", reader.String("created_at")});
  const json::object* snapshot = reader.Object("snapshot");
  if (!snapshot) {
    table.Add({"SIZE", Bytes(reader, "size_bytes")});
    return table.Format();
  }
  JsonReader inner(*snapshot);
  table.Add({"SANDBOX", inner.String("sandbox")});
  table.Add({"PARENT", inner.String("parent")});
  table.Add({"BEGAN AS", inner.String("template")});
  table.Add({"ENGINE", inner.String("engine")});
  table.Add({"EGRESS", inner.Bool("egress") ? "yes" : "no"});
  table.Add({"MEMORY DATA", fmt::format("{} in {} files", Bytes(inner, "memory_bytes"),
                                        inner.Int("memory_files", 0, 0, INT64_MAX))});
  table.Add({"DISK DATA", fmt::format("{} in {} layers", Bytes(inner, "disk_bytes"),
                                      inner.Int("layers", 0, 0, INT64_MAX))});
  if (const json::object* sizes = inner.Object("sizes")) {
    JsonReader made(*sizes);
    table.Add(
        {"WHEN MADE", fmt::format("{} of memory, {} of disk, {} of state", Bytes(made, "memory"),
                                  Bytes(made, "disk"), Bytes(made, "state"))});
  }
  table.Add({"ITS OWN", Bytes(inner, "own_bytes") + " (what removing it gives back)"});
  return table.Format();
}

Result<int> Inspect(const Options& options) {
  ASSIGN_OR_RETURN(const json::object found,
                   CallSlowly("looking at '" + options.name + "'", "GET",
                              SnapshotTarget(options.name), nullptr, Api::kDefaultLimit));
  if (options.json) {
    PrintJson(found);
  } else {
    fmt::print("{}", Describe(found));
  }
  return kSuccess;
}

Result<int> Verify(const Options& options) {
  const json::object nothing;
  ASSIGN_OR_RETURN(const json::object verdict,
                   CallSlowly("checking '" + options.name + "'", "POST",
                              SnapshotTarget(options.name, "/verify"), &nothing, kVerifyLimit));
  JsonReader reader(verdict);
  const bool good = reader.Bool("ok");
  const std::vector<std::string> problems = reader.Strings("problems");
  const int64_t files = reader.Int("files", 0, 0, INT64_MAX);
  const std::string bytes = Bytes(reader, "bytes");
  const int64_t unchecked = reader.Int("unchecked", 0, 0, INT64_MAX);
  RETURN_IF_ERROR(reader.Finish());
  if (options.json) {
    PrintJson(verdict);
    return good ? kSuccess : kFailure;
  }
  for (const std::string& problem : problems) PrintNote(problem);
  if (!good) return Fail(Code::kDataLoss, "'{}' is damaged", options.name);
  fmt::print("'{}' is whole ({} files, {} compared)\n", options.name, files, bytes);
  if (unchecked > 0) {
    PrintNote(fmt::format(
        "{} of its disk's layers have no checksum, only their structure was checked", unchecked));
  }
  return kSuccess;
}

}  // namespace

void AddSnapshot(CLI::App& app, Invocation& invocation) {
  auto* group = app.add_subcommand("snapshot", "Make templates of sandboxes with their memory");
  group->require_subcommand(1);
  group->footer(
      "Examples:\n"
      "  wrenn snapshot create sb-4k2 --name warm\n"
      "  wrenn create --template warm\n"
      "  wrenn snapshot inspect warm");
  auto options = std::make_shared<Options>();
  const auto runs = [&invocation, options](Result<int> (*act)(const Options&)) {
    return
        [&invocation, options, act] { invocation.run = [options, act] { return act(*options); }; };
  };

  auto* create = group->add_subcommand("create", "Make a snapshot of a sandbox; print its name");
  create->add_option("SANDBOX", options->id, "The sandbox, running or paused")->required();
  create->add_option("--name", options->name, "Its name; else a new one")->type_name("NAME");
  create->add_flag("--overwrite", options->overwrite, "Take the place of one of that name");
  create->add_flag("--json", options->json, "Print the template as JSON");
  create->footer(
      "The sandbox goes on. Those that are made of the snapshot go on from where it was: with its\n"
      "files, its memory and its programs.\n\n"
      "Examples:\n"
      "  wrenn snapshot create sb-4k2 --name warm\n"
      "  wrenn create --template warm");
  create->callback(runs(Create));

  auto* list = group->add_subcommand("ls", "List snapshots");
  list->add_flag("--json", options->json, "As JSON");
  list->footer("Examples:\n  wrenn snapshot ls");
  list->callback(runs(List));

  auto* inspect = group->add_subcommand("inspect", "What is in one, and what it takes");
  inspect->add_option("NAME", options->name, "The snapshot")->required();
  inspect->add_flag("--json", options->json, "All that is known, as JSON");
  inspect->footer("Examples:\n  wrenn snapshot inspect warm --json");
  inspect->callback(runs(Inspect));

  auto* verify = group->add_subcommand("verify", "Check all files of one");
  verify->add_option("NAME", options->name, "The snapshot")->required();
  verify->add_flag("--json", options->json, "Print what was found as JSON");
  verify->footer(
      "Memory, machine state, image and the disk's layers are compared with their checksums, and\n"
      "the layers' structure is checked. Snapshots of an older wrenn may have layers without a\n"
      "checksum: that is said. Exit code: 1 when something is damaged.\n\n"
      "Examples:\n"
      "  wrenn snapshot verify warm");
  verify->callback(runs(Verify));

  auto* remove = group->add_subcommand("rm", "Remove snapshots");
  remove->add_option("NAME", options->names, "The snapshots")->required();
  remove->add_flag("--json", options->json, "Print those that are gone as JSON");
  remove->footer(
      "Sandboxes that were made of one keep what they need of it.\n\n"
      "Examples:\n"
      "  wrenn snapshot rm warm");
  remove->callback([&invocation, options] {
    invocation.run = [options] { return RemoveTemplates(options->names, options->json); };
  });

  AddSnapshotTransfer(*group, invocation);
}

}  // namespace wrenn::cli
