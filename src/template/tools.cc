#include "template/tools.h"

#include <unistd.h>

#include <algorithm>

#include "os/command.h"
#include "os/files.h"

namespace wrenn::template_ {
namespace {

constexpr auto kTimeLimit = std::chrono::minutes(60);  // a whole distribution over a slow line
constexpr uint64_t kFullBelow = 1 << 20;

// The Debian package that has the program.
std::string_view PackageOf(std::string_view program) {
  constexpr std::pair<std::string_view, std::string_view> kPackages[] = {
      {"mke2fs", "e2fsprogs"},   {"debugfs", "e2fsprogs"}, {"dpkg-deb", "dpkg"},
      {"apt-get", "apt"},        {"apt-cache", "apt"},     {"apt-config", "apt"},
      {"unshare", "util-linux"}, {"newuidmap", "uidmap"},
  };
  for (const auto& [name, package] : kPackages) {
    if (name == program) return package;
  }
  return program;
}

std::vector<std::string> Environment(const std::vector<std::string>& further) {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable; ++variable) {
    const std::string_view text = *variable;
    if (text.starts_with("LC_") || text.starts_with("LANG") || text.starts_with("PATH=") ||
        text.starts_with("DEBIAN_FRONTEND=") || text.starts_with("TMPDIR=")) {
      continue;
    }
    variables.emplace_back(text);
  }
  variables.insert(variables.end(),
                   {"LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive",
                    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"});
  variables.insert(variables.end(), further.begin(), further.end());
  return variables;
}

// Cuts a stream into lines, also at carriage returns, which progress displays use.
class Lines {
 public:
  explicit Lines(const std::function<void(std::string_view)>& take) : take_(take) {}

  void Add(std::string_view bytes) {
    for (const char c : bytes) {
      if (c == '\n' || c == '\r') {
        if (!line_.empty()) take_(line_);
        line_.clear();
      } else if (line_.size() < 4096) {
        line_ += c;
      }
    }
  }

 private:
  const std::function<void(std::string_view)>& take_;
  std::string line_;
};

}  // namespace

bool HasProgram(const std::string& name) { return os::FindProgram(name).has_value(); }

Error ExplainFailure(const Workspace& workspace, Error error) {
  const auto free = os::FreeDiskBytes(workspace.path());
  if (free && *free < kFullBelow) {
    error.detail = error.ToString();
    error.code = Code::kResourceExhausted;
    error.message =
        "the disk that holds wrenn's data is full: free some space, or set $WRENN_ROOT to a folder "
        "on "
        "a larger disk";
  }
  return error;
}

Result<std::string> RunTool(const Workspace& workspace, const Tool& tool) {
  const std::string& program = tool.argv.front();
  if (!HasProgram(program)) {
    return Fail(Code::kFailedPrecondition,
                "the program '{}' is needed for this: install it with 'apt-get install {}'",
                program, PackageOf(program));
  }
  Lines out_lines(tool.on_line);
  Lines error_lines(tool.on_line);
  os::CommandOptions options;
  options.argv = tool.argv;
  options.directory = tool.directory.empty() ? workspace.path() : tool.directory;
  options.environment = Environment(tool.environment);
  options.pass_fds = {workspace.lock_fd()};
  if (tool.on_line) {
    options.on_stdout = [&](std::string_view bytes) { out_lines.Add(bytes); };
    options.on_stderr = [&](std::string_view bytes) { error_lines.Add(bytes); };
  }
  auto output = os::RunCommandOrFail(options, Deadline::After(kTimeLimit));
  if (!output) return Fail(ExplainFailure(workspace, std::move(output.error())));
  return output;
}

}  // namespace wrenn::template_
