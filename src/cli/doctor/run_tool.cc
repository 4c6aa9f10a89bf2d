#include "cli/doctor/run_tool.h"

#include "os/command.h"

namespace wrenn::cli::doctor {

Result<std::string> RunTool(std::vector<std::string> argv) {
  os::CommandOptions options;
  options.argv = std::move(argv);
  return os::RunCommandOrFail(options, Deadline::After(std::chrono::seconds(10)));
}

}  // namespace wrenn::cli::doctor
