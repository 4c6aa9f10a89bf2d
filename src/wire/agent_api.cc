#include "wire/agent_api.h"

#include <array>

#include "base/encoding.h"

namespace wrenn::wire {
namespace {

constexpr std::array<std::string_view, 4> kFileTypes = {"FILE_TYPE_UNSPECIFIED", "FILE_TYPE_FILE",
                                                        "FILE_TYPE_DIRECTORY", "FILE_TYPE_SYMLINK"};
constexpr std::array<std::string_view, 6> kEventTypes = {
    "EVENT_TYPE_UNSPECIFIED", "EVENT_TYPE_CREATE", "EVENT_TYPE_WRITE",
    "EVENT_TYPE_REMOVE",      "EVENT_TYPE_RENAME", "EVENT_TYPE_CHMOD"};

struct SignalRow {
  Signal signal;
  std::string_view name;
};
constexpr std::array<SignalRow, 7> kSignals = {{
    {Signal::kHup, "SIGNAL_SIGHUP"},
    {Signal::kInt, "SIGNAL_SIGINT"},
    {Signal::kQuit, "SIGNAL_SIGQUIT"},
    {Signal::kKill, "SIGNAL_SIGKILL"},
    {Signal::kUsr1, "SIGNAL_SIGUSR1"},
    {Signal::kUsr2, "SIGNAL_SIGUSR2"},
    {Signal::kTerm, "SIGNAL_SIGTERM"},
}};

constexpr uint32_t kMaxUint32 = UINT32_MAX;
constexpr int64_t kMaxTerminalSide = UINT16_MAX;

// JSON is UTF-8, and names of files are bytes: what is not UTF-8 becomes U+FFFD.
std::string AsUtf8(std::string_view bytes) {
  if (IsUtf8(bytes)) return std::string(bytes);
  std::string text;
  for (size_t i = 0; i < bytes.size();) {
    size_t length = 1;
    while (length <= 4 && !IsUtf8(bytes.substr(i, length))) ++length;
    if (length <= 4 && i + length <= bytes.size()) {
      text.append(bytes.substr(i, length));
      i += length;
    } else {
      text.append("\uFFFD");
      ++i;
    }
  }
  return text;
}

json::object ToJson(const std::map<std::string, std::string>& map) {
  json::object object;
  for (const auto& [key, value] : map) object[key] = value;
  return object;
}

json::array ToJson(const std::vector<std::string>& strings) {
  return json::array(strings.begin(), strings.end());
}

// proto3 JSON: an enum is its name or its number. An unknown one is the unspecified.
template <size_t N>
size_t EnumIndex(const json::value* value, const std::array<std::string_view, N>& names) {
  if (!value) return 0;
  if (const auto* text = value->if_string()) {
    for (size_t i = 0; i < N; ++i) {
      if (std::string_view(*text) == names[i]) return i;
    }
  } else if (const auto* number = value->if_int64(); number && *number >= 0) {
    if (static_cast<size_t>(*number) < N) return static_cast<size_t>(*number);
  }
  return 0;
}

ProcessConfig ReadProcessConfig(JsonReader& parent, std::string_view name) {
  ProcessConfig config;
  const json::object* object = parent.Object(name);
  if (!object) return config;
  JsonReader reader(*object, std::string(name));
  config.cmd = reader.String("cmd");
  config.args = reader.Strings("args");
  config.envs = reader.StringMap("envs");
  config.cwd = reader.OptionalString("cwd");
  if (auto read = reader.Finish(); !read) parent.SetError(std::move(read.error().message));
  return config;
}

std::optional<std::chrono::system_clock::time_point> ReadTime(JsonReader& reader,
                                                              std::string_view name) {
  const std::optional<std::string> text = reader.OptionalString(name);
  if (!text) return std::nullopt;
  auto time = ParseTime(*text);
  if (!time) {
    reader.SetError(fmt::format("{} must be an RFC 3339 time", name));
    return std::nullopt;
  }
  return *time;
}

std::string_view StreamName(ProcessOutput::Stream stream) {
  switch (stream) {
    case ProcessOutput::Stream::kStdout:
      return "stdout";
    case ProcessOutput::Stream::kStderr:
      return "stderr";
    case ProcessOutput::Stream::kPty:
      break;
  }
  return "pty";
}

ProcessOutput ReadOutput(JsonReader& reader) {
  for (const auto stream : {ProcessOutput::Stream::kStdout, ProcessOutput::Stream::kStderr,
                            ProcessOutput::Stream::kPty}) {
    const std::string_view name = StreamName(stream);
    if (reader.Has(name)) return ProcessOutput{stream, reader.Bytes(name)};
  }
  reader.SetError("data must hold stdout, stderr or pty");
  return {};
}

ProcessEnded ReadEnded(JsonReader& reader) {
  ProcessEnded ended;
  ended.exit_code = static_cast<int32_t>(reader.Int("exitCode", 0, INT32_MIN, INT32_MAX));
  ended.exited = reader.Bool("exited");
  ended.status = reader.String("status");
  ended.error = reader.String("error");
  return ended;
}

}  // namespace

json::object ToJson(const ProcessConfig& config) {
  json::object object;
  object["cmd"] = config.cmd;
  if (!config.args.empty()) object["args"] = ToJson(config.args);
  if (!config.envs.empty()) object["envs"] = ToJson(config.envs);
  if (config.cwd) object["cwd"] = *config.cwd;
  return object;
}

json::object ToJson(const StartRequest& request) {
  json::object object;
  object["process"] = ToJson(request.process);
  if (request.pty) object["pty"] = ToJson(*request.pty);
  if (request.tag) object["tag"] = *request.tag;
  object["stdin"] = request.stdin_open;
  return object;
}

json::object ToJson(const ProcessInfo& info) {
  json::object object;
  object["config"] = ToJson(info.config);
  object["pid"] = info.pid;
  if (info.tag) object["tag"] = *info.tag;
  return object;
}

json::object ToJson(const ProcessSelector& selector) {
  json::object object;
  if (const auto* pid = std::get_if<uint32_t>(&selector)) {
    object["pid"] = *pid;
  } else {
    object["tag"] = std::get<std::string>(selector);
  }
  return object;
}

json::object ToJson(const ProcessEvent& event) {
  json::object object;
  if (const auto* started = std::get_if<ProcessStarted>(&event)) {
    object["start"] = {{"pid", started->pid}};
  } else if (const auto* output = std::get_if<ProcessOutput>(&event)) {
    object["data"] = {{StreamName(output->stream), Base64Encode(output->data)}};
  } else if (const auto* ended = std::get_if<ProcessEnded>(&event)) {
    json::object end;
    end["exitCode"] = ended->exit_code;
    end["exited"] = ended->exited;
    end["status"] = ended->status;
    if (!ended->error.empty()) end["error"] = ended->error;
    object["end"] = std::move(end);
  } else {
    object["keepalive"] = json::object();
  }
  return object;
}

std::string FormatOutputEvent(const ProcessOutput& output) {
  constexpr std::string_view kHead = R"({"event":{"data":{")";
  constexpr std::string_view kTail = R"("}}})";
  const std::string_view name = StreamName(output.stream);
  std::string text;
  text.reserve(kHead.size() + name.size() + 3 + (output.data.size() + 2) / 3 * 4 + kTail.size());
  text.append(kHead).append(name).append("\":\"");
  text.append(Base64Encode(output.data)).append(kTail);
  return text;
}

json::object ToJson(const ProcessInput& input) {
  json::object object;
  object[input.pty ? "pty" : "stdin"] = Base64Encode(input.data);
  return object;
}

json::object ToJson(const PtySize& size) {
  json::object inner;
  inner["cols"] = size.cols;
  inner["rows"] = size.rows;
  json::object object;
  object["size"] = std::move(inner);
  return object;
}

json::object ToJson(const EntryInfo& entry) {
  json::object object;
  object["name"] = AsUtf8(entry.name);
  object["type"] = kFileTypes[static_cast<size_t>(entry.type)];
  object["path"] = AsUtf8(entry.path);
  object["size"] = std::to_string(entry.size);
  object["mode"] = entry.mode;
  object["permissions"] = entry.permissions;
  object["owner"] = AsUtf8(entry.owner);
  object["group"] = AsUtf8(entry.group);
  object["modifiedTime"] = FormatTime(entry.modified);
  if (entry.symlink_target) object["symlinkTarget"] = AsUtf8(*entry.symlink_target);
  return object;
}

json::object ToJson(const FileEvent& event) {
  json::object object;
  object["name"] = AsUtf8(event.name);
  object["type"] = kEventTypes[static_cast<size_t>(event.type)];
  if (event.entry) object["entry"] = ToJson(*event.entry);
  return object;
}

json::object ToJson(const GuestMetrics& metrics) {
  constexpr int64_t kMiB = 1 << 20;
  json::object object;
  object["ts"] = metrics.timestamp;
  object["cpu_count"] = metrics.cpu_count;
  object["cpu_used_pct"] = metrics.cpu_used_pct;
  object["mem_total"] = metrics.mem_total;
  object["mem_used"] = metrics.mem_used;
  object["mem_cache"] = metrics.mem_cache;
  object["mem_total_mib"] = metrics.mem_total / kMiB;
  object["mem_used_mib"] = metrics.mem_used / kMiB;
  object["disk_used"] = metrics.disk_used;
  object["disk_total"] = metrics.disk_total;
  return object;
}

json::object ToJson(const InitRequest& request) {
  json::object object;
  if (request.access_token) object["accessToken"] = *request.access_token;
  object["envVars"] = ToJson(request.env_vars);
  if (request.timestamp) object["timestamp"] = FormatTime(*request.timestamp);
  if (request.default_user) object["defaultUser"] = *request.default_user;
  if (request.default_workdir) object["defaultWorkdir"] = *request.default_workdir;
  if (request.sandbox_id) object["sandboxId"] = *request.sandbox_id;
  if (request.hostname) object["hostname"] = *request.hostname;
  if (request.machine_id) object["machineId"] = *request.machine_id;
  if (request.entropy) object["entropy"] = Base64Encode(*request.entropy);
  return object;
}

json::object ToJson(const InitReply& reply) {
  json::object object;
  object["protocol"] = reply.protocol;
  object["version"] = reply.version;
  object["features"] = ToJson(reply.features);
  return object;
}

Result<StartRequest> DecodeStartRequest(const json::object& object) {
  JsonReader reader(object);
  StartRequest request;
  request.process = ReadProcessConfig(reader, "process");
  if (request.process.cmd.empty()) reader.SetError("process.cmd is required");
  if (const json::object* pty = reader.Object("pty")) {
    ASSIGN_OR_RETURN(request.pty, DecodePtySize(*pty));
  }
  request.tag = reader.OptionalString("tag");
  request.stdin_open = reader.Bool("stdin", true);
  RETURN_IF_ERROR(reader.Finish());
  return request;
}

Result<ProcessInfo> DecodeProcessInfo(const json::object& object) {
  JsonReader reader(object);
  ProcessInfo info;
  info.config = ReadProcessConfig(reader, "config");
  info.pid = static_cast<uint32_t>(reader.Int("pid", 0, 0, kMaxUint32));
  info.tag = reader.OptionalString("tag");
  RETURN_IF_ERROR(reader.Finish());
  return info;
}

Result<ProcessSelector> DecodeProcessSelector(const json::object& object) {
  JsonReader reader(object);
  const auto pid = reader.OptionalInt("pid", 0, kMaxUint32);
  auto tag = reader.OptionalString("tag");
  RETURN_IF_ERROR(reader.Finish());
  if (pid) return ProcessSelector(static_cast<uint32_t>(*pid));
  if (tag) return ProcessSelector(std::move(*tag));
  return Fail(Code::kInvalidArgument, "process must be given by pid or tag");
}

Result<ProcessEvent> DecodeProcessEvent(const json::object& object) {
  JsonReader reader(object);
  ProcessEvent event = KeepAlive{};
  Status inner;
  if (const json::object* start = reader.Object("start")) {
    JsonReader fields(*start, "start");
    event = ProcessStarted{static_cast<uint32_t>(fields.Int("pid", 0, 0, kMaxUint32))};
    inner = fields.Finish();
  } else if (const json::object* data = reader.Object("data")) {
    JsonReader fields(*data, "data");
    event = ReadOutput(fields);
    inner = fields.Finish();
  } else if (const json::object* end = reader.Object("end")) {
    JsonReader fields(*end, "end");
    event = ReadEnded(fields);
    inner = fields.Finish();
  } else if (!reader.Object("keepalive")) {
    reader.SetError("an event must hold start, data, end or keepalive");
  }
  RETURN_IF_ERROR(reader.Finish());
  RETURN_IF_ERROR(std::move(inner));
  return event;
}

Result<ProcessInput> DecodeProcessInput(const json::object& object) {
  JsonReader reader(object);
  ProcessInput input;
  input.pty = reader.Has("pty");
  if (!input.pty && !reader.Has("stdin")) reader.SetError("input must hold stdin or pty");
  input.data = reader.Bytes(input.pty ? "pty" : "stdin");
  RETURN_IF_ERROR(reader.Finish());
  return input;
}

Result<PtySize> DecodePtySize(const json::object& object) {
  JsonReader outer(object);
  const json::object* inner = outer.Object("size");
  RETURN_IF_ERROR(outer.Finish());
  PtySize size;
  if (!inner) return size;
  JsonReader reader(*inner, "size");
  size.cols = static_cast<uint32_t>(reader.Int("cols", size.cols, 0, kMaxTerminalSide));
  size.rows = static_cast<uint32_t>(reader.Int("rows", size.rows, 0, kMaxTerminalSide));
  RETURN_IF_ERROR(reader.Finish());
  return size;
}

Result<EntryInfo> DecodeEntryInfo(const json::object& object) {
  JsonReader reader(object);
  EntryInfo entry;
  entry.name = reader.String("name");
  entry.type = static_cast<FileType>(EnumIndex(object.if_contains("type"), kFileTypes));
  entry.path = reader.String("path");
  entry.size = reader.Int("size", 0, 0, INT64_MAX);
  entry.mode = static_cast<uint32_t>(reader.Int("mode", 0, 0, kMaxUint32));
  entry.permissions = reader.String("permissions");
  entry.owner = reader.String("owner");
  entry.group = reader.String("group");
  if (const auto modified = ReadTime(reader, "modifiedTime")) entry.modified = *modified;
  entry.symlink_target = reader.OptionalString("symlinkTarget");
  RETURN_IF_ERROR(reader.Finish());
  return entry;
}

Result<FileEvent> DecodeFileEvent(const json::object& object) {
  JsonReader reader(object);
  FileEvent event;
  event.name = reader.String("name");
  event.type = static_cast<FileEventType>(EnumIndex(object.if_contains("type"), kEventTypes));
  if (const json::object* entry = reader.Object("entry")) {
    ASSIGN_OR_RETURN(event.entry, DecodeEntryInfo(*entry));
  }
  RETURN_IF_ERROR(reader.Finish());
  return event;
}

Result<GuestMetrics> DecodeGuestMetrics(const json::object& object) {
  JsonReader reader(object);
  const auto amount = [&](std::string_view name) { return reader.Int(name, 0, 0, INT64_MAX); };
  GuestMetrics metrics;
  metrics.timestamp = amount("ts");
  metrics.cpu_count = static_cast<uint32_t>(reader.Int("cpu_count", 0, 0, kMaxUint32));
  metrics.cpu_used_pct = reader.Double("cpu_used_pct");
  metrics.mem_total = amount("mem_total");
  metrics.mem_used = amount("mem_used");
  metrics.mem_cache = amount("mem_cache");
  metrics.disk_used = amount("disk_used");
  metrics.disk_total = amount("disk_total");
  RETURN_IF_ERROR(reader.Finish());
  return metrics;
}

Result<InitRequest> DecodeInitRequest(const json::object& object) {
  JsonReader reader(object);
  InitRequest request;
  request.access_token = reader.OptionalString("accessToken");
  request.env_vars = reader.StringMap("envVars");
  request.timestamp = ReadTime(reader, "timestamp");
  request.default_user = reader.OptionalString("defaultUser");
  request.default_workdir = reader.OptionalString("defaultWorkdir");
  request.sandbox_id = reader.OptionalString("sandboxId");
  request.hostname = reader.OptionalString("hostname");
  request.machine_id = reader.OptionalString("machineId");
  if (reader.Has("entropy")) request.entropy = reader.Bytes("entropy");
  RETURN_IF_ERROR(reader.Finish());
  return request;
}

Result<InitReply> DecodeInitReply(const json::object& object) {
  JsonReader reader(object);
  InitReply reply;
  reply.protocol = static_cast<int>(reader.Int("protocol", 0, 0, INT32_MAX));
  reply.version = reader.String("version");
  reply.features = reader.Strings("features");
  RETURN_IF_ERROR(reader.Finish());
  return reply;
}

std::string_view SignalName(Signal signal) {
  for (const SignalRow& row : kSignals) {
    if (row.signal == signal) return row.name;
  }
  return "SIGNAL_UNSPECIFIED";
}

Result<Signal> DecodeSignal(const json::value& value) {
  for (const SignalRow& row : kSignals) {
    if (const auto* text = value.if_string(); text && std::string_view(*text) == row.name) {
      return row.signal;
    }
    if (const auto* number = value.if_int64(); number && *number == static_cast<int>(row.signal)) {
      return row.signal;
    }
  }
  return Fail(Code::kInvalidArgument, "unknown signal {}", json::serialize(value));
}

}  // namespace wrenn::wire
