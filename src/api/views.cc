#include "api/views.h"

#include "base/encoding.h"

namespace wrenn::api {
namespace {

json::object MapView(const std::map<std::string, std::string>& map) {
  json::object object;
  for (const auto& [key, value] : map) object[key] = value;
  return object;
}

json::array StringsView(const std::vector<std::string>& strings) {
  return json::array(strings.begin(), strings.end());
}

void AddTime(json::object& object, std::string_view name, const std::optional<store::Time>& time) {
  if (time) object[name] = FormatTime(*time);
}

// With what is absent in a record or a manifest: sandbox::NetworkOf().
json::object NetworkView(bool egress, const json::object& network) {
  json::object view = network;
  view.emplace("allow_internet_access", egress && network.empty());
  for (const char* list : {"allow_out", "deny_out"}) view.emplace(list, json::array());
  return view;
}

std::string_view TypeName(wire::FileType type) {
  switch (type) {
    case wire::FileType::kFile:
      return "file";
    case wire::FileType::kDirectory:
      return "directory";
    case wire::FileType::kSymlink:
      return "symlink";
    case wire::FileType::kUnspecified:
      break;
  }
  return "other";
}

}  // namespace

json::object SandboxView(const store::SandboxRecord& record) {
  const json::object network = NetworkView(record.egress, record.network);
  json::object object{
      {"id", record.id},
      {"status", store::StateName(record.state)},
      {"template", record.template_name},
      {"vcpus", record.vcpus},
      {"memory_mb", record.memory_mb},
      {"disk_mb", record.disk_mb},
      {"timeout_sec", record.timeout_sec},
      {"on_timeout", record.on_timeout},
      {"auto_resume", record.auto_resume},
      {"egress", network.at("allow_internet_access")},
      {"network", network},
      {"engine", record.engine},
      {"metadata", MapView(record.metadata)},
      {"created_at", FormatTime(record.created_at)},
      {"last_updated", FormatTime(record.updated_at)},
  };
  if (!record.reason.empty()) object["reason"] = record.reason;
  if (!record.origin.empty()) object["origin"] = record.origin;
  AddTime(object, "started_at", record.started_at);
  AddTime(object, "ended_at", record.ended_at);
  AddTime(object, "last_active_at", record.last_active_at);
  if (record.state == store::SandboxState::kRunning && record.timeout_sec > 0) {
    const store::Time since = record.last_active_at.value_or(record.created_at);
    AddTime(object, "expires_at", since + std::chrono::seconds(record.timeout_sec));
  }
  return object;
}

json::object SandboxDetailsView(const store::SandboxRecord& record,
                                const std::optional<uint64_t>& disk_used) {
  json::object object = SandboxView(record);
  if (disk_used) object["disk_used_bytes"] = *disk_used;
  return object;
}

json::object EventView(const store::EventRecord& event) {
  // Errors in full and a machine's last words may hold paths of the host: they are in the log, and
  // the message says what a client may know.
  json::object details = event.details;
  for (const char* key : {"error", "first_error", "release_error", "undo_error", "console"}) {
    details.erase(key);
  }
  return {{"sequence", event.sequence}, {"time", FormatTime(event.time)},
          {"kind", event.kind},         {"phase", event.phase},
          {"message", event.message},   {"details", std::move(details)}};
}

json::object TemplateView(const store::TemplateRecord& record) {
  return {{"id", record.id},
          {"name", record.name},
          {"type", record.type},
          {"description", record.description},
          {"vcpus", record.vcpus},
          {"memory_mb", record.memory_mb},
          {"size_bytes", record.size_bytes},
          {"created_at", FormatTime(record.created_at)}};
}

json::object TemplateDetailsView(const sandbox::TemplateDetails& details) {
  json::object object = TemplateView(details.record);
  object["image"] = details.record.image;
  object["kernel"] = details.record.kernel;
  if (!details.snapshot) return object;
  const snapshot::Contents& contents = *details.snapshot;
  const snapshot::Manifest& manifest = contents.manifest;
  object["snapshot"] = {{"id", manifest.id},
                        {"sandbox", manifest.sandbox},
                        {"parent", manifest.parent},
                        {"template", manifest.template_name},
                        {"created_at", FormatTime(manifest.created_at)},
                        {"engine", manifest.engine},
                        {"fingerprint", manifest.fingerprint},
                        {"disk_mb", manifest.disk_mb},
                        {"egress", manifest.egress},
                        {"network", NetworkView(manifest.egress, manifest.network)},
                        {"image", manifest.image},
                        {"kernel", manifest.kernel},
                        {"state_sha256", manifest.state_digest},
                        {"memory_map_sha256", manifest.memory_digest},
                        {"layers", manifest.layers.size()},
                        {"memory_files", contents.memory_files},
                        {"memory_bytes", contents.memory_bytes},
                        {"disk_bytes", contents.disk_bytes},
                        {"state_bytes", contents.state_bytes},
                        {"own_bytes", contents.own_bytes},
                        {"sizes", manifest.sizes.ToJson()}};
  return object;
}

json::object VerdictView(const snapshot::Verdict& verdict) {
  return {{"ok", verdict.ok()},
          {"files", verdict.files},
          {"bytes", verdict.bytes},
          {"unchecked", verdict.unchecked},
          {"problems", StringsView(verdict.problems)}};
}

json::object ProcessView(const wire::ProcessInfo& info) {
  json::object object{
      {"pid", info.pid}, {"cmd", info.config.cmd}, {"args", StringsView(info.config.args)}};
  if (info.tag) object["tag"] = *info.tag;
  if (info.config.cwd) object["cwd"] = *info.config.cwd;
  return object;
}

json::object EntryView(const wire::EntryInfo& entry) {
  json::object object{{"name", entry.name},
                      {"type", TypeName(entry.type)},
                      {"path", entry.path},
                      {"size", entry.size},
                      {"mode", entry.mode},
                      {"permissions", entry.permissions},
                      {"owner", entry.owner},
                      {"group", entry.group},
                      {"modified_at", FormatTime(entry.modified)}};
  if (entry.symlink_target) object["symlink_target"] = *entry.symlink_target;
  return object;
}

json::object MetricsView(const wire::GuestMetrics& metrics, const sandbox::HostUse& host) {
  const std::chrono::system_clock::time_point when{std::chrono::seconds(metrics.timestamp)};
  json::object view{{"time", FormatTime(when)},
                    {"cpu_count", metrics.cpu_count},
                    {"cpu_used_pct", metrics.cpu_used_pct},
                    {"memory_total_bytes", metrics.mem_total},
                    {"memory_used_bytes", metrics.mem_used},
                    {"memory_cache_bytes", metrics.mem_cache},
                    {"disk_total_bytes", metrics.disk_total},
                    {"disk_used_bytes", metrics.disk_used},
                    {"host_memory_bytes", host.memory_bytes}};
  const auto add = [&view](const char* name, const std::optional<uint64_t>& value) {
    if (value) view[name] = *value;
  };
  add("host_memory_peak_bytes", host.memory_peak_bytes);
  add("host_cpu_microseconds", host.cpu_microseconds);
  add("host_disk_read_bytes", host.disk_read_bytes);
  add("host_disk_written_bytes", host.disk_written_bytes);
  add("network_sent_bytes", host.network_sent_bytes);
  add("network_received_bytes", host.network_received_bytes);
  return view;
}

}  // namespace wrenn::api
