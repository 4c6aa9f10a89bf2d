// What host and agent say to each other: the envd wire (Connect protocol with JSON), as values.
//
// Source: the E2B envd API, process.Process and filesystem.Filesystem (docs/agent-protocol.md).
// Field names in JSON are proto3's lowerCamelCase; int64 are strings, bytes are base64.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/json.h"

namespace wrenn::wire {

// The agent's port; the other ports of a channel are relayed to localhost in the guest.
inline constexpr uint16_t kAgentPort = 49983;

// Raised when host and guest must know of a change; neighbouring versions work together.
inline constexpr int kAgentProtocol = 1;

struct PtySize {
  uint32_t cols = 80;
  uint32_t rows = 24;
  friend bool operator==(const PtySize&, const PtySize&) = default;
};

struct ProcessConfig {
  std::string cmd;
  std::vector<std::string> args;
  std::map<std::string, std::string> envs;
  std::optional<std::string> cwd;
};

struct StartRequest {
  ProcessConfig process;
  std::optional<PtySize> pty;
  std::optional<std::string> tag;
  bool stdin_open = true;  // false: /dev/null
};

struct ProcessInfo {
  ProcessConfig config;
  uint32_t pid = 0;
  std::optional<std::string> tag;
};

// A process by pid or by tag.
using ProcessSelector = std::variant<uint32_t, std::string>;

struct ProcessStarted {
  uint32_t pid = 0;
};
struct ProcessOutput {
  enum class Stream { kStdout, kStderr, kPty };
  Stream stream = Stream::kStdout;
  std::string data;
};
struct ProcessEnded {
  int32_t exit_code = 0;  // -1 when a signal ended it
  bool exited = true;
  std::string status;  // "exit status 3", "signal: killed"
  std::string error;   // repeats the status on failure
};
struct KeepAlive {};
using ProcessEvent = std::variant<ProcessStarted, ProcessOutput, ProcessEnded, KeepAlive>;

// What goes to a process: to its stdin, or keys to its terminal.
struct ProcessInput {
  bool pty = false;
  std::string data;
};

// The values are Linux's signal numbers. envd knows SIGNAL_SIGTERM and SIGNAL_SIGKILL; the others
// are ours, so that Ctrl-C on a client reaches the program as what it is.
enum class Signal {
  kUnspecified = 0,
  kHup = 1,
  kInt = 2,
  kQuit = 3,
  kKill = 9,
  kUsr1 = 10,
  kUsr2 = 12,
  kTerm = 15
};

enum class FileType { kUnspecified, kFile, kDirectory, kSymlink };

struct EntryInfo {
  std::string name;
  FileType type = FileType::kUnspecified;  // of a link: its target's
  std::string path;
  int64_t size = 0;
  uint32_t mode = 0;        // permission bits
  std::string permissions;  // "-rw-r--r--", "drwxr-xr-x", "Lrwxrwxrwx"
  std::string owner;
  std::string group;
  std::chrono::system_clock::time_point modified;
  std::optional<std::string> symlink_target;
};

enum class FileEventType { kUnspecified, kCreate, kWrite, kRemove, kRename, kChmod };

struct FileEvent {
  std::string name;  // relative to the watched folder
  FileEventType type = FileEventType::kUnspecified;
  std::optional<EntryInfo> entry;
};

// GET /metrics.
struct GuestMetrics {
  int64_t timestamp = 0;  // unix seconds
  uint32_t cpu_count = 0;
  double cpu_used_pct = 0;
  int64_t mem_total = 0;  // bytes, as all below
  int64_t mem_used = 0;
  int64_t mem_cache = 0;
  int64_t disk_used = 0;
  int64_t disk_total = 0;
};

// POST /init: the step after a boot or restore, before user code is reachable. What is absent
// stays.
struct InitRequest {
  std::optional<std::string> access_token;
  std::map<std::string, std::string> env_vars;  // replaces the whole default environment
  std::optional<std::chrono::system_clock::time_point> timestamp;  // sets the wall clock
  std::optional<std::string> default_user;
  std::optional<std::string> default_workdir;
  std::optional<std::string> sandbox_id;
  std::optional<std::string> hostname;
  std::optional<std::string> machine_id;  // 32 hex digits
  std::optional<std::string> entropy;     // bytes, mixed into the kernel's pool and credited
};

// POST /sync (feature "sync") writes the root file system's dirty pages to the disk and is answered
// 204 when they are there.

// The answer to POST /init (envd's is empty; ours says who answers).
struct InitReply {
  int protocol = 0;
  std::string version;
  std::vector<std::string> features;
};

// JSON of each message, and back. Decoders bound nothing but types: bodies are bounded by readers.
json::object ToJson(const ProcessConfig& config);
json::object ToJson(const StartRequest& request);
json::object ToJson(const ProcessInfo& info);
json::object ToJson(const ProcessSelector& selector);
json::object ToJson(const ProcessEvent& event);  // the inner event: {"start":{"pid":1}}
// The text of {"event":{"data":{...}}}, written without a JSON tree: it is most of what streams
// carry.
std::string FormatOutputEvent(const ProcessOutput& output);
json::object ToJson(const ProcessInput& input);
json::object ToJson(const PtySize& size);  // {"size":{"cols":80,"rows":24}}
json::object ToJson(const EntryInfo& entry);
json::object ToJson(const FileEvent& event);
json::object ToJson(const GuestMetrics& metrics);
json::object ToJson(const InitRequest& request);
json::object ToJson(const InitReply& reply);

Result<StartRequest> DecodeStartRequest(const json::object& object);
Result<ProcessInfo> DecodeProcessInfo(const json::object& object);
Result<ProcessSelector> DecodeProcessSelector(const json::object& object);
Result<ProcessEvent> DecodeProcessEvent(const json::object& object);
Result<ProcessInput> DecodeProcessInput(const json::object& object);
Result<PtySize> DecodePtySize(const json::object& object);
Result<EntryInfo> DecodeEntryInfo(const json::object& object);
Result<FileEvent> DecodeFileEvent(const json::object& object);
Result<GuestMetrics> DecodeGuestMetrics(const json::object& object);
Result<InitRequest> DecodeInitRequest(const json::object& object);
Result<InitReply> DecodeInitReply(const json::object& object);

std::string_view SignalName(Signal signal);  // "SIGNAL_SIGKILL"
Result<Signal> DecodeSignal(const json::value& value);

}  // namespace wrenn::wire
