// wrenn create: makes a sandbox.
#include <memory>

#include <CLI/App.hpp>

#include "cli/commands.h"
#include "cli/invocation.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/sandbox_view.h"
#include "cli/spinner.h"
#include "cli/terminal.h"

namespace wrenn::cli {
namespace {

// A first boot on a busy host without hardware virtualisation takes its time.
constexpr std::chrono::milliseconds kCreateLimit{300'000};

struct Options {
  SandboxOptions sandbox;
  bool json = false;
  bool quiet = false;
};

Result<int> Create(const Options& options) {
  ASSIGN_OR_RETURN(const Api api, Api::FromEnvironment());
  ASSIGN_OR_RETURN(const json::object request, CreateRequest(options.sandbox));
  Spinner spinner("making a sandbox of '" + options.sandbox.template_name + "'");
  ASSIGN_OR_RETURN(const json::value answer,
                   api.Call("POST", "/v1/sandboxes", &request, kCreateLimit));
  spinner.Stop();
  if (options.json) {
    PrintJson(answer);
    return kSuccess;
  }
  ASSIGN_OR_RETURN(const SandboxView sandbox, DecodeSandbox(answer));
  fmt::print("{}\n", sandbox.id);
  return kSuccess;
}

}  // namespace

void AddCreate(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("create", "Make a sandbox and print its id");
  auto options = std::make_shared<Options>();
  AddSandboxOptions(*command, options->sandbox, "base", "pause");
  command->add_flag("-q,--quiet", options->quiet, "Print the id alone (so it does without)");
  command->add_flag("--json", options->json, "Print all of it as JSON");
  command->footer(
      "Examples:\n"
      "  id=$(wrenn create)\n"
      "  wrenn create --template minimal --memory 128 --timeout 0\n"
      "  wrenn create --egress --env TOKEN\n"
      "  wrenn create --allow-out 1.1.1.1,9.9.9.0/24 --upload-kbps 8000\n"
      "  wrenn create --template my-snapshot --timeout 600 --on-timeout stop");
  command->callback(
      [&invocation, options] { invocation.run = [options] { return Create(*options); }; });
}

}  // namespace wrenn::cli
