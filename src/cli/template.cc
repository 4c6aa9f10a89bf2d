// wrenn template: what sandboxes start from.
#include <chrono>
#include <memory>

#include <CLI/App.hpp>

#include "api/views.h"
#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/invocation.h"
#include "cli/output.h"
#include "cli/table.h"
#include "cli/template_build.h"
#include "cli/template_list.h"

namespace wrenn::cli {
namespace {

struct Options {
  std::string name;
  std::vector<std::string> names;
  std::string packages;
  int disk_mb = 0;
  int vcpus = 0;
  int memory_mb = 0;
  bool force = false;
  bool json = false;
};

Result<int> Build(const Options& options) {
  template_::BuildRequest request = BuiltInRequest(options.name);
  if (options.packages.empty() && !IsBuiltIn(options.name)) {
    return Fail(
        Code::kInvalidArgument,
        "'{}' is not built in (minimal and base are): give its packages with --packages FILE",
        options.name);
  }
  if (options.name == "minimal" && !options.packages.empty()) {
    return Fail(Code::kInvalidArgument, "'minimal' has no packages: take another name");
  }
  request.package_file = options.packages;
  request.force = options.force;
  if (options.disk_mb) request.disk_mb = options.disk_mb;
  if (options.vcpus) request.vcpus = options.vcpus;
  if (options.memory_mb) request.memory_mb = options.memory_mb;
  const auto begin = std::chrono::steady_clock::now();
  ASSIGN_OR_RETURN(const auto result, BuildTemplate(request));
  if (options.json) {
    json::object answer = api::TemplateView(result.record);
    answer["reused"] = result.reused;
    PrintJson(answer);
    return kSuccess;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  fmt::print("template '{}' {} ({}, {:.1f} s)\n", result.record.name,
             result.reused ? "is up to date" : "built", FormatBytes(result.record.size_bytes),
             took.count());
  return kSuccess;
}

Result<int> List(const Options& options) {
  ASSIGN_OR_RETURN(const json::array templates, ListTemplates(""));
  PrintTemplates(templates, options.json,
                 "there is none yet: 'wrenn template build base' makes one");
  return kSuccess;
}

Result<int> Inspect(const Options& options) {
  ASSIGN_OR_RETURN(const json::object found, FindTemplate(options.name));
  PrintJson(found);
  return kSuccess;
}

void AddBuild(CLI::App& parent, const std::shared_ptr<Options>& options, Invocation& invocation) {
  auto* build = parent.add_subcommand("build", "Make a template on this machine");
  build->add_option("NAME", options->name, "minimal, base, or a name of yours")->required();
  build->add_option("--packages", options->packages, "A file with names of Debian packages")
      ->check(Unnamed(CLI::ExistingFile))
      ->type_name("FILE");
  build->add_option("--disk", options->disk_mb, "Size of its file system in MiB")
      ->check(CLI::Range(1, template_::kMaxDiskMb))
      ->type_name("MIB");
  build->add_option("--vcpus", options->vcpus, "Virtual CPUs of its sandboxes")
      ->check(CLI::Range(1, template_::kMaxVcpus))
      ->type_name("N");
  build->add_option("--memory", options->memory_mb, "Memory of its sandboxes in MiB")
      ->check(CLI::Range(template_::kMinMemoryMb, template_::kMaxMemoryMb))
      ->type_name("MIB");
  build->add_flag("--force", options->force, "Build anew although an equal one exists");
  build->add_flag("--json", options->json, "Print the result as JSON");
  build->footer(
      "minimal is busybox, a few MB, made in seconds. base is Debian with Python, git and curl.\n"
      "A list of packages has names separated by space or newline; '#' begins a comment.\n\n"
      "Examples:\n"
      "  wrenn template build base\n"
      "  wrenn template build science --packages science.txt --memory 1024");
  build->callback(
      [&invocation, options] { invocation.run = [options] { return Build(*options); }; });
}

}  // namespace

void AddTemplate(CLI::App& app, Invocation& invocation) {
  auto* group = app.add_subcommand("template", "Make, list and remove what sandboxes start from");
  group->require_subcommand(1);
  auto options = std::make_shared<Options>();
  group->footer(
      "Examples:\n"
      "  wrenn template build base\n"
      "  wrenn template ls\n"
      "  wrenn template rm science");
  AddBuild(*group, options, invocation);

  auto* list = group->add_subcommand("ls", "List templates");
  list->add_flag("--json", options->json, "As JSON");
  list->callback([&invocation, options] { invocation.run = [options] { return List(*options); }; });

  auto* inspect = group->add_subcommand("inspect", "All that is known of one, as JSON");
  inspect->add_option("NAME", options->name, "The template")->required();
  inspect->add_flag("--json", options->json, "It is JSON without this, too");
  inspect->footer("Examples:\n  wrenn template inspect base");
  inspect->callback(
      [&invocation, options] { invocation.run = [options] { return Inspect(*options); }; });

  auto* remove = group->add_subcommand("rm", "Remove templates that no sandbox uses");
  remove->add_option("NAME", options->names, "The templates")->required();
  remove->add_flag("--json", options->json, "Print those that are gone as JSON");
  remove->callback([&invocation, options] {
    invocation.run = [options] { return RemoveTemplates(options->names, options->json); };
  });
}

}  // namespace wrenn::cli
