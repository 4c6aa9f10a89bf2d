// wrenn ls: the sandboxes.
#include <memory>

#include <CLI/App.hpp>

#include "base/encoding.h"
#include "cli/commands.h"
#include "cli/invocation.h"
#include "cli/output.h"
#include "cli/sandbox_view.h"
#include "cli/table.h"
#include "cli/terminal.h"

namespace wrenn::cli {
namespace {

struct Options {
  bool all = false;
  bool quiet = false;
  bool json = false;
};

// "12s/5m": how long it has been idle, and how long it may be.
std::string IdleCell(const SandboxView& sandbox, std::chrono::system_clock::time_point now) {
  if (sandbox.ended() || sandbox.status == "paused") return "-";
  const std::string limit =
      sandbox.timeout_sec == 0 ? "never" : FormatSpan(std::chrono::seconds(sandbox.timeout_sec));
  return FormatAge(sandbox.last_active_at, now) + "/" + limit;
}

// "12.0 MiB/1.0 GiB": what its disk takes, and how large it is.
std::string DiskCell(const SandboxView& sandbox) {
  const auto used = sandbox.disk_used_bytes;
  return (used ? FormatBytes(static_cast<uint64_t>(*used)) : "-") + "/" +
         FormatBytes(static_cast<uint64_t>(sandbox.disk_mb) << 20);
}

std::string FormatSandboxes(const std::vector<SandboxView>& sandboxes) {
  const auto now = std::chrono::system_clock::now();
  Table table({"ID", "STATE", "TEMPLATE", "ENGINE", "VCPUS", "MEMORY", "USED/DISK", "AGE",
               "IDLE/TIMEOUT", "REASON"});
  for (const SandboxView& sandbox : sandboxes) {
    table.Add({sandbox.id, sandbox.status, sandbox.template_name, sandbox.engine,
               std::to_string(sandbox.vcpus),
               FormatBytes(static_cast<uint64_t>(sandbox.memory_mb) << 20), DiskCell(sandbox),
               FormatAge(sandbox.created_at, now), IdleCell(sandbox, now), sandbox.reason});
  }
  return table.Format();
}

Result<int> List(const Options& options) {
  ASSIGN_OR_RETURN(const Api api, Api::FromEnvironment());
  ASSIGN_OR_RETURN(std::vector<SandboxView> sandboxes, ListSandboxes(api));
  if (!options.all) std::erase_if(sandboxes, [](const SandboxView& one) { return one.ended(); });
  if (options.json) {
    json::array list;
    for (const SandboxView& sandbox : sandboxes) list.push_back(sandbox.raw);
    PrintJson(list);
  } else if (options.quiet) {
    for (const SandboxView& sandbox : sandboxes) fmt::print("{}\n", sandbox.id);
  } else {
    fmt::print("{}", FormatSandboxes(sandboxes));
  }
  return kSuccess;
}

}  // namespace

void AddLs(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("ls", "List sandboxes");
  auto options = std::make_shared<Options>();
  command->add_flag("-a,--all", options->all, "Also those that have ended");
  command->add_flag("-q,--quiet", options->quiet, "Ids alone, one a line");
  command->add_flag("--json", options->json, "Print all that is known as JSON");
  command->footer(
      "MEMORY and DISK are what a sandbox may take, USED what of the host's disk its removal gives "
      "back.\n\n"
      "Examples:\n"
      "  wrenn ls --all\n"
      "  wrenn ls -q | xargs -r wrenn stop");
  command->callback(
      [&invocation, options] { invocation.run = [options] { return List(*options); }; });
}

}  // namespace wrenn::cli
