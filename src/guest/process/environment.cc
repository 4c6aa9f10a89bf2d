#include "guest/process/environment.h"

#include <cstdlib>

#include "guest/split.h"

namespace wrenn::guest {
namespace {

constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

}  // namespace

Environment MakeEnvironment(const User& user, bool terminal, const Environment& defaults,
                            const Environment& requested) {
  const char* path = std::getenv("PATH");
  Environment environment{{"PATH", path && *path ? path : kDefaultPath},
                          {"HOME", user.home},
                          {"USER", user.name},
                          {"LOGNAME", user.name},
                          // Nobody logs in, so no PAM reads /etc/default/locale.
                          {"LANG", "C.UTF-8"}};
  if (terminal) {
    environment["SHELL"] = user.shell;
    environment["TERM"] = "xterm-256color";
  }
  for (const auto& [name, value] : defaults) environment[name] = value;
  for (const auto& [name, value] : requested) environment[name] = value;
  return environment;
}

std::vector<std::string> FormatEnvironment(const Environment& environment) {
  std::vector<std::string> lines;
  for (const auto& [name, value] : environment) lines.push_back(name + "=" + value);
  return lines;
}

std::string ResolvePath(std::string_view path, const User& user, std::string_view base) {
  std::string full;
  if (path == "~" || path.starts_with("~/")) {
    full = user.home + std::string(path.substr(1));
  } else if (path.starts_with('/')) {
    full = path;
  } else {
    full = fmt::format("{}/{}", base.empty() ? std::string_view(user.home) : base, path);
  }
  std::vector<std::string_view> parts;
  for (const std::string_view part : Split(full, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (!parts.empty()) {
      parts.pop_back();
    }
  }
  std::string clean;
  for (const std::string_view part : parts) clean.append("/").append(part);
  return clean.empty() ? "/" : clean;
}

}  // namespace wrenn::guest
