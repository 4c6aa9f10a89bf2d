// wrenn doctor: what this machine can do for sandboxes, and how to get the better.
#include <algorithm>
#include <memory>

#include <CLI/App.hpp>

#include "cli/commands.h"
#include "cli/doctor/probes.h"
#include "cli/invocation.h"
#include "cli/local.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "server/config.h"

namespace wrenn::cli {
namespace {

Result<int> Doctor(bool as_json) {
  ASSIGN_OR_RETURN(const os::Paths paths, LocalPaths());
  std::vector<doctor::Check> checks;
  {
    ProgressLine line;
    if (line.on_terminal()) line.Show("probing this machine; a guest may be started");
    checks = doctor::ProbeEngine(paths);
    const bool guests_run = std::ranges::any_of(checks, [](const doctor::Check& check) {
      return check.capability == "kvm" && check.verdict == doctor::Verdict::kOk;
    });
    // A settings file that is wrong is for serve to refuse.
    const auto config = server::LoadConfig({});
    checks.push_back(doctor::ProbeFirecracker(
        config ? config->firecracker : server::ServerConfig().firecracker, guests_run));
    for (auto& found : {doctor::ProbeKernel(), doctor::ProbeNetwork(), doctor::ProbeNeighbours(),
                        doctor::ProbeHost(paths)}) {
      checks.insert(checks.end(), found.begin(), found.end());
    }
  }
  if (as_json) {
    PrintJson(doctor::ToJson(checks));
  } else {
    fmt::print("{}", doctor::FormatReport(checks));
    fmt::print("\n{}\n", doctor::CanRun(checks)
                             ? "Sandboxes can run here."
                             : "Sandboxes cannot run here: see what is missing.");
  }
  return doctor::CanRun(checks) ? kSuccess : kFailure;
}

}  // namespace

void AddDoctor(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("doctor", "Say what this machine can do, and what is missing");
  auto as_json = std::make_shared<bool>(false);
  command->add_flag("--json", *as_json, "As JSON");
  command->footer(
      "Every probe tries the real thing and removes it again: a guest, a TAP device, a firewall "
      "table.\n"
      "It needs no root; what it finds is what the user who runs it would get.\n\n"
      "Exit code: 0 when sandboxes can run, 1 when they cannot.");
  command->callback(
      [&invocation, as_json] { invocation.run = [as_json] { return Doctor(*as_json); }; });
}

}  // namespace wrenn::cli
