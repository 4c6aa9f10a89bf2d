#include "cli/sandbox_view.h"

#include <algorithm>

#include "base/id.h"

namespace wrenn::cli {
namespace {

constexpr std::string_view kPrefix = "sb-";
constexpr int64_t kAny = INT64_MAX;

// The ids of live or of ended sandboxes that begin like this.
std::vector<std::string> Matches(const std::vector<SandboxView>& sandboxes, std::string_view start,
                                 bool ended) {
  std::vector<std::string> ids;
  for (const SandboxView& sandbox : sandboxes) {
    if (sandbox.ended() == ended && sandbox.id.starts_with(start)) ids.push_back(sandbox.id);
  }
  return ids;
}

}  // namespace

Result<SandboxView> DecodeSandbox(const json::value& value) {
  if (!value.is_object()) return Fail(Code::kInternal, "the server's answer is no sandbox");
  SandboxView view;
  view.raw = value.get_object();
  JsonReader reader(view.raw);
  view.id = reader.RequiredString("id");
  view.status = reader.String("status");
  view.reason = reader.String("reason");
  view.template_name = reader.String("template");
  view.engine = reader.String("engine");
  view.vcpus = reader.Int("vcpus", 0, 0, kAny);
  view.memory_mb = reader.Int("memory_mb", 0, 0, kAny);
  view.disk_mb = reader.Int("disk_mb", 0, 0, kAny);
  view.disk_used_bytes = reader.OptionalInt("disk_used_bytes", 0, kAny);
  view.timeout_sec = reader.Int("timeout_sec", 0, 0, kAny);
  view.created_at = reader.String("created_at");
  view.last_active_at = reader.String("last_active_at");
  RETURN_IF_ERROR(reader.Finish());
  return view;
}

Result<std::vector<SandboxView>> ListSandboxes(const Api& api) {
  ASSIGN_OR_RETURN(const json::value answer, api.Call("GET", "/v1/sandboxes"));
  if (!answer.is_array()) return Fail(Code::kInternal, "the server's answer is no list");
  std::vector<SandboxView> sandboxes;
  for (const json::value& item : answer.get_array()) {
    ASSIGN_OR_RETURN(SandboxView view, DecodeSandbox(item));
    sandboxes.push_back(std::move(view));
  }
  return sandboxes;
}

Result<std::string> MatchId(const std::vector<SandboxView>& sandboxes, const std::string& text) {
  if (text.empty() || text == kPrefix) {
    return Fail(Code::kInvalidArgument, "'{}' names no sandbox: see 'wrenn ls'", text);
  }
  const std::string start = text.starts_with(kPrefix) ? text : std::string(kPrefix) + text;
  for (const bool ended : {false, true}) {
    const std::vector<std::string> ids = Matches(sandboxes, start, ended);
    if (ids.size() == 1) return ids[0];
    if (ids.size() > 1) {
      const size_t shown = std::min<size_t>(ids.size(), 4);
      return Fail(Code::kInvalidArgument,
                  "'{}' begins the ids of {} sandboxes ({}{}): give more characters", text,
                  ids.size(), fmt::join(ids.begin(), ids.begin() + static_cast<long>(shown), ", "),
                  shown < ids.size() ? ", ..." : "");
    }
  }
  return Fail(Code::kNotFound, "no sandbox '{}': see 'wrenn ls --all'", text);
}

Result<std::vector<std::string>> ResolveIds(const Api& api, const std::vector<std::string>& texts) {
  ASSIGN_OR_RETURN(const auto sandboxes, ListSandboxes(api));
  std::vector<std::string> ids;
  for (const std::string& text : texts) {
    ASSIGN_OR_RETURN(std::string id, MatchId(sandboxes, text));
    if (std::ranges::count(ids, id) == 0) ids.push_back(std::move(id));
  }
  return ids;
}

Result<std::string> ResolveId(const Api& api, const std::string& text) {
  if (IsId("sb", text)) return text;
  ASSIGN_OR_RETURN(const auto sandboxes, ListSandboxes(api));
  return MatchId(sandboxes, text);
}

}  // namespace wrenn::cli
