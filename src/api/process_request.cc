#include "api/process_request.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "base/id.h"

namespace wrenn::api {
namespace {

constexpr struct {
  std::string_view name;
  wire::Signal signal;
} kSignals[] = {
    {"HUP", wire::Signal::kHup},   {"INT", wire::Signal::kInt},   {"QUIT", wire::Signal::kQuit},
    {"KILL", wire::Signal::kKill}, {"USR1", wire::Signal::kUsr1}, {"USR2", wire::Signal::kUsr2},
    {"TERM", wire::Signal::kTerm},
};

bool HasNul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

// kInvalidArgument unless every name and value could be in an environment.
Status CheckEnvironment(const std::map<std::string, std::string>& envs) {
  for (const auto& [name, value] : envs) {
    if (name.empty() || HasNul(name) || HasNul(value) || name.find('=') != std::string::npos) {
      return Fail(Code::kInvalidArgument, "envs holds '{}', which cannot be in an environment",
                  name);
    }
  }
  return {};
}

}  // namespace

ProcessRequest ReadProcess(JsonReader& reader, int64_t default_timeout_sec,
                           std::string_view default_cmd) {
  ProcessRequest request;
  wire::ProcessConfig& process = request.start.process;
  process.cmd =
      default_cmd.empty() ? reader.RequiredString("cmd") : reader.String("cmd", default_cmd);
  process.args = reader.Strings("args");
  process.envs = reader.StringMap("envs");
  process.cwd = reader.OptionalString("cwd");
  request.as.user = reader.String("user");
  request.start.tag = reader.OptionalString("tag");
  request.timeout =
      std::chrono::seconds(reader.Int("timeout_sec", default_timeout_sec, 0, kMaxProcessSeconds));

  if (HasNul(process.cmd)) reader.SetError("cmd holds a zero byte");
  if (std::ranges::any_of(process.args, HasNul)) reader.SetError("args hold a zero byte");
  if (process.cwd && HasNul(*process.cwd)) reader.SetError("cwd holds a zero byte");
  if (request.start.tag && !IsName(*request.start.tag)) {
    reader.SetError("tag must be 1 to 63 characters of a-z, 0-9, '.', '_' and '-'");
  }
  if (auto envs = CheckEnvironment(process.envs); !envs) reader.SetError(envs.error().message);
  return request;
}

Result<wire::ProcessSelector> ParseSelector(const std::string& text) {
  uint32_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error == std::errc() && end == text.data() + text.size()) return wire::ProcessSelector(pid);
  if (IsName(text)) return wire::ProcessSelector(text);
  return Fail(Code::kNotFound, "no process '{}'", text);
}

Result<wire::ProcessSelector> ReadSelector(JsonReader& reader) {
  const auto pid = reader.OptionalInt("pid", 1, INT32_MAX);
  const auto tag = reader.OptionalString("tag");
  RETURN_IF_ERROR(reader.Finish());
  if (pid.has_value() == tag.has_value()) {
    return Fail(Code::kInvalidArgument, "either pid or tag is required");
  }
  if (pid) return wire::ProcessSelector(static_cast<uint32_t>(*pid));
  return wire::ProcessSelector(*tag);
}

wire::Signal ReadSignal(JsonReader& reader, std::string_view name) {
  std::string_view text;
  const std::string given = reader.String(name, "TERM");
  text = given;
  if (text.starts_with("SIG")) text.remove_prefix(3);
  for (const auto& known : kSignals) {
    if (known.name == text) return known.signal;
  }
  reader.SetError(
      fmt::format("{} must be one of SIGTERM, SIGKILL, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, "
                  "SIGUSR2, not '{}'",
                  name, given));
  return wire::Signal::kUnspecified;
}

Error ProcessError(Error error) {
  if (error.code == Code::kNotFound) error.code = Code::kInvalidArgument;
  return error;
}

}  // namespace wrenn::api
