// Store: the records. One interface for SQLite now and PostgreSQL later; one conformance test for
// both.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace wrenn::store {

// Kept to the microsecond.
using Time = std::chrono::system_clock::time_point;

inline constexpr const char* kDefaultTenant = "default";

enum class SandboxState {
  kStarting,
  kRunning,
  kPausing,
  kPaused,
  kResuming,
  kStopping,
  kStopped,
  kError
};
std::string_view StateName(SandboxState state);  // "starting", ...
Result<SandboxState> ParseState(std::string_view name);
// Whether nothing of it runs any more and nothing will: stopped or error.
bool IsEnded(SandboxState state);

struct SandboxRecord {
  std::string id;  // sb-...
  std::string tenant = kDefaultTenant;
  int64_t version = 0;  // for compare-and-swap; set by the store
  SandboxState state = SandboxState::kStarting;
  std::string reason;  // why it is stopped or in error
  std::string template_name;
  std::string template_id;
  std::string image;  // hashes of what it runs, so that images in use are known
  std::string kernel;
  std::string disk_backend;
  json::object disk;     // {"layers":[names of its disk's files, top first],"digests":{}}
  std::string snapshot;  // sn-...: what it comes back from; in `pausing` what it is frozen into
  std::string origin;    // how it began, for people: "boot", "template", "fork of sb-..."
  int vcpus = 1;
  int memory_mb = 512;
  int disk_mb = 0;
  int64_t timeout_sec = 300;         // 0: no limit
  std::string on_timeout = "pause";  // or "stop"
  bool auto_resume = false;          // a request for it while it is paused lets it go on
  bool egress = false;               // whether its machine has a network
  json::object network;              // what it may reach by that: sandbox::Network
  std::map<std::string, std::string> envs;
  std::map<std::string, std::string> metadata;
  std::string agent_token;
  std::string engine;    // "qemu/tcg"
  json::object machine;  // vmm::Machine::Record()
  Time created_at{};
  std::optional<Time> started_at;
  std::optional<Time> ended_at;
  std::optional<Time> last_active_at;
  Time updated_at{};  // set by the store
};

// One line of a sandbox's journal: an intent, its result, and what happened to it.
struct EventRecord {
  int64_t sequence = 0;  // set by the store; grows with time
  std::string sandbox_id;
  Time time{};
  std::string kind;   // "create", "start", "stop", "exit", "adopt", ...
  std::string phase;  // "intent", "done", "failed", "" for a plain event
  std::string message;
  json::object details;  // phases with milliseconds, and the like
};

struct TemplateRecord {
  std::string id;  // tp-...
  std::string tenant = kDefaultTenant;
  int64_t version = 0;
  std::string name;           // unique per tenant
  std::string type = "base";  // base | snapshot
  std::string image;          // images/<hash>
  std::string kernel;         // kernels/<hash>
  std::string recipe;         // hash of what it was built from
  std::string snapshot;  // sn-...: the frozen machine that sandboxes start from, of type snapshot
  std::string description;
  int vcpus = 1;  // defaults for sandboxes made of it
  int memory_mb = 512;
  uint64_t size_bytes = 0;  // real disk use
  Time created_at{};
  Time updated_at{};  // set by the store
};

struct KeyRecord {
  std::string id;  // ky-...
  std::string tenant = kDefaultTenant;
  int64_t version = 0;  // set by the store
  std::string name;
  std::string hash;  // SHA-256 of the key, hex
  std::string hint;  // the key's first characters, to recognise it
  Time created_at{};
  std::optional<Time> last_used_at;
};

// Activity of one sandbox, see TouchSandboxes().
struct Activity {
  std::string id;
  Time last_active{};
};

// When a change has to be on the disk. Either way it outlives this process.
enum class Durable {
  kNow,   // before the call returns
  kSoon,  // with the next change that is, or Sync(): the host's power may go before
};

// Thread-safe. Every call is one transaction, durable when it returns (fsync) unless it says other.
// kUnavailable when the database is locked for too long, kResourceExhausted when its disk is full,
// kDataLoss when it is damaged, kAborted when a version does not match, kNotFound, kAlreadyExists.
// A record that a call could not store is left as it was.
class Store {
 public:
  virtual ~Store() = default;

  // Adds the record and its first journal line in one transaction, durable soon: what the record
  // announces is lost with the host's power, too.
  virtual Status AddSandbox(SandboxRecord& record, const EventRecord& event) = 0;
  // Replaces it if its version is still `record.version`, adds the journal line (if any) in the
  // same transaction, and sets the new version in `record`. Id, tenant and created_at never change.
  virtual Status UpdateSandbox(SandboxRecord& record, const EventRecord* event,
                               Durable durable) = 0;
  Status UpdateSandbox(SandboxRecord& record, const EventRecord* event) {
    return UpdateSandbox(record, event, Durable::kNow);
  }
  // Makes all that has been changed so far durable. Other calls need not wait for it.
  virtual Status Sync() = 0;
  // Notes when sandboxes were last used, without a new version. Unknown ids are passed over.
  virtual Status TouchSandboxes(const std::vector<Activity>& activities) = 0;
  virtual Result<SandboxRecord> GetSandbox(const std::string& id) = 0;
  // Oldest first, like all lists.
  virtual Result<std::vector<SandboxRecord>> ListSandboxes(const std::string& tenant) = 0;
  virtual Result<std::vector<SandboxRecord>> ListAllSandboxes() = 0;
  // Of all tenants, those that ended before `time`, the longest ended first, at most `limit`.
  virtual Result<std::vector<SandboxRecord>> ListEndedSandboxes(Time time, int limit) = 0;
  // Removes the record and its journal.
  virtual Status RemoveSandbox(const std::string& id) = 0;

  // kNotFound when there is no such sandbox.
  virtual Status AddEvent(const EventRecord& event) = 0;
  // The last `limit` lines of a sandbox's journal; none for an unknown one.
  virtual Result<std::vector<EventRecord>> ListEvents(const std::string& sandbox_id, int limit) = 0;

  // Adds the template, or with `replace` takes the place of the one of that name in one step.
  // Without it kAlreadyExists for a name that is taken. Sets the version in `record`.
  virtual Status PutTemplate(TemplateRecord& record, bool replace) = 0;
  virtual Result<TemplateRecord> FindTemplate(const std::string& tenant,
                                              const std::string& name) = 0;
  virtual Result<std::vector<TemplateRecord>> ListTemplates(const std::string& tenant) = 0;
  virtual Result<std::vector<TemplateRecord>> ListAllTemplates() = 0;  // of all tenants
  virtual Status RemoveTemplate(const std::string& tenant, const std::string& name) = 0;

  virtual Status AddKey(const KeyRecord& record) = 0;
  virtual Result<KeyRecord> FindKey(const std::string& hash) = 0;
  virtual Status TouchKey(const std::string& id, Time last_used) = 0;
  virtual Result<std::vector<KeyRecord>> ListKeys(const std::string& tenant) = 0;
  virtual Status RemoveKey(const std::string& id) = 0;
};

// Opens (or makes, mode 0600) the SQLite database and brings its schema up to date. Several
// processes may have it open. A database of a newer wrenn is refused (kFailedPrecondition).
Result<std::unique_ptr<Store>> OpenSqlite(const std::string& path);

}  // namespace wrenn::store
