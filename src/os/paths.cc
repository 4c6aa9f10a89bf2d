#include "os/paths.h"

#include <unistd.h>

#include <cstdlib>

#include "os/files.h"

namespace wrenn::os {
namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// An absolute path from a variable, or empty. Relative ones would mean another place for the server
// than for the commands that look for it.
Result<std::string> AbsoluteVariable(const char* name) {
  std::string value = Variable(name);
  while (value.size() > 1 && value.back() == '/') value.pop_back();
  if (!value.empty() && value.front() != '/') {
    return Fail(Code::kInvalidArgument, "${} must be an absolute path, not '{}'", name, value);
  }
  return value;
}

// The XDG specification wants relative values to be ignored.
std::string XdgVariable(const char* name) {
  std::string value = Variable(name);
  return value.starts_with('/') ? value : "";
}

Result<std::string> DefaultRoot() {
  if (::geteuid() == 0) return std::string("/var/lib/wrenn");
  if (const std::string data = XdgVariable("XDG_DATA_HOME"); !data.empty()) return data + "/wrenn";
  const std::string home = XdgVariable("HOME");
  if (home.empty()) {
    return Fail(Code::kFailedPrecondition,
                "neither $HOME nor $XDG_DATA_HOME is set: set $WRENN_ROOT to a folder of yours");
  }
  return home + "/.local/share/wrenn";
}

// Not below $XDG_RUNTIME_DIR: whether that is set depends on how one has logged in, and a server
// that looks elsewhere for its sandboxes' sockets takes them for dead (docs/adr/0007).
std::string DefaultRuntime(const std::string& root) {
  return ::geteuid() == 0 ? "/run/wrenn" : root + "/run";
}

}  // namespace

Result<Paths> Paths::FromEnvironment() {
  Paths paths;
  ASSIGN_OR_RETURN(paths.root, AbsoluteVariable("WRENN_ROOT"));
  ASSIGN_OR_RETURN(paths.runtime, AbsoluteVariable("WRENN_RUNTIME"));
  const bool chosen = !paths.root.empty();
  if (!chosen) {
    ASSIGN_OR_RETURN(paths.root, DefaultRoot());
  }
  if (paths.runtime.empty()) {
    paths.runtime = chosen ? paths.root + "/run" : DefaultRuntime(paths.root);
  }
  return paths;
}

Status Paths::Prepare() const {
  const auto make = [](const std::string& path, std::string_view remedy) -> Status {
    auto made = MakeDirectories(path);
    if (!made) made.error().message.append(": ").append(remedy);
    return made;
  };
  for (const std::string& path :
       {root, Kernels(), Images(), Sandboxes(), Snapshots(), Warm(), Temporary()}) {
    RETURN_IF_ERROR(make(path, "set WRENN_ROOT, or --root of 'wrenn serve', to a folder of yours"));
  }
  for (const std::string& path : {runtime, runtime + "/sb"}) {
    RETURN_IF_ERROR(
        make(path, "set WRENN_RUNTIME, or --runtime of 'wrenn serve', to a folder of yours"));
  }
  return {};
}

}  // namespace wrenn::os
