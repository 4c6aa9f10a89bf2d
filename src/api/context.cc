#include "api/context.h"

#include <poll.h>

#include <cerrno>
#include <charconv>

#include "api/errors.h"
#include "sandbox/text.h"

namespace wrenn::api {
namespace {

// From the first byte of a JSON body to its last.
constexpr Deadline::Duration kBodyLimit{30'000};

constexpr size_t kMaxPath = 4096;  // PATH_MAX

}  // namespace

Status CheckGuestPath(std::string_view path) {
  if (path.find('\0') != std::string_view::npos) {
    return Fail(Code::kInvalidArgument, "the path holds a zero byte");
  }
  if (path.size() >= kMaxPath) {
    return Fail(Code::kInvalidArgument, "the path is longer than {} bytes", kMaxPath - 1);
  }
  return {};
}

Result<std::unique_ptr<sandbox::Lease>> Context::UseSandbox() {
  return services.manager.Use(tenant, sandbox_id());
}

Result<std::unique_ptr<sandbox::Lease>> Context::LookAtSandbox() {
  return services.manager.Look(tenant, sandbox_id());
}

Result<json::object> Context::ReadJson() {
  auto body = exchange.body().ReadAll(kMaxJsonBytes, Deadline::After(kBodyLimit));
  if (!body && body.error().code == Code::kOutOfRange) {
    return Fail(Code::kOutOfRange, "a JSON body may have at most {} bytes", kMaxJsonBytes);
  }
  if (!body) return Fail(std::move(body.error()));
  return ParseJsonObject(*body);
}

std::string Context::Param(std::string_view name) const {
  return exchange.request().Param(name).value_or(std::string());
}

Result<std::string> Context::RequiredParam(std::string_view name) const {
  std::string value = Param(name);
  if (value.empty())
    return Fail(Code::kInvalidArgument, "the query parameter {} is required", name);
  return value;
}

Result<bool> Context::BoolParam(std::string_view name) const {
  const std::string text = Param(name);
  if (text == "true") return true;
  if (text.empty() || text == "false") return false;
  return Fail(Code::kInvalidArgument, "{} must be true or false", name);
}

Result<int64_t> Context::IntParam(std::string_view name, int64_t fallback, int64_t low,
                                  int64_t high) const {
  const std::string text = Param(name);
  if (text.empty()) return fallback;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < low || number > high) {
    return Fail(Code::kInvalidArgument, "{} must be a whole number between {} and {}", name, low,
                high);
  }
  return number;
}

Status Context::RespondJson(int status, const json::value& value) {
  return exchange.Respond(status, "application/json", json::serialize(value) + "\n");
}

Status Context::RespondError(int status, std::string_view code, std::string_view message) {
  return exchange.Respond(status, "application/json",
                          FormatErrorBody(code, ForClient(message)) + "\n");
}

Status Context::RespondFileError(const Error& error) {
  if (error.code != Code::kResourceExhausted) return Fail(error);
  return RespondError(507, kDiskFull, error.message);
}

std::string Context::ForClient(std::string_view message) const {
  return sandbox::HidePaths(message, services.paths);
}

Error Context::FromGuest(Error error, const std::string& user) {
  switch (error.code) {
    case Code::kUnauthenticated:
      // The agent's word for an unknown user; the client's own key was good.
      if (!user.empty()) {
        return Error{Code::kInvalidArgument, fmt::format("no user '{}' in the sandbox", user), {}};
      }
      return Error{Code::kInternal, "the sandbox's agent refused the server", error.ToString()};
    case Code::kUnavailable: {
      const auto record = services.manager.GetAfterLoss(tenant, sandbox_id());
      if (!record) return record.error();
      if (record->state == store::SandboxState::kRunning) return error;
      return Error{
          Code::kAborted,
          fmt::format("sandbox '{}' is {}{}{}", record->id, store::StateName(record->state),
                      record->reason.empty() ? "" : ": ", record->reason),
          error.ToString()};
    }
    default:
      return error;
  }
}

Status Context::WaitForGuest(int guest_fd, Deadline deadline) {
  pollfd entries[2] = {{guest_fd, POLLIN, 0}, {exchange.client_fd(), POLLRDHUP, 0}};
  for (;;) {
    const int ready = ::poll(entries, 2, deadline.PollTimeout());
    if (ready < 0 && errno != EINTR) return Fail(ErrnoError("poll"));
    if (ready > 0 && entries[1].revents) return Fail(Code::kCanceled, "the client went away");
    if (ready > 0) return {};
    if (deadline.HasPassed()) return Fail(Code::kDeadlineExceeded, "the sandbox did not answer");
  }
}

}  // namespace wrenn::api
