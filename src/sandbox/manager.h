// Manager: finds, makes and ends sandboxes; owns everything they use.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/client.h"
#include "base/result.h"
#include "disk/backend.h"
#include "os/paths.h"
#include "store/store.h"
#include "template/catalogue.h"
#include "vmm/machine.h"

namespace wrenn::sandbox {

// What one host gives to all its sandboxes together; 0: no limit.
struct Limits {
  int max_sandboxes = 0;
  int64_t max_memory_mb = 0;
  int max_vcpus = 0;
  int64_t max_disk_mb = 0;
  int max_parallel_starts = 0;
};

struct CreateRequest {
  std::string template_name = "minimal";
  std::optional<int> vcpus;
  std::optional<int> memory_mb;
  std::optional<int> disk_mb;
  int64_t timeout_sec = 300;  // idle seconds until it ends; 0: never
  bool egress = false;
  std::map<std::string, std::string> envs;
  std::map<std::string, std::string> metadata;
};

// A running sandbox in use: keeps it from being idle while held, and notes the activity.
class Lease {
 public:
  virtual ~Lease() = default;
  virtual agent::Client& agent() = 0;
  virtual const store::SandboxRecord& record() const = 0;
  // Notes activity now: for long streams.
  virtual void Touch() = 0;
  // Memory that the sandbox takes on the host, in bytes (PSS); 0 when unknown.
  virtual uint64_t HostMemoryBytes() const { return 0; }
};

// Thread-safe. Every change of a sandbox runs on that sandbox's own executor, one at a time, and is not
// bound to the caller: a caller that goes away leaves nothing half-built.
class Manager {
 public:
  virtual ~Manager() = default;

  // Brings records and what really runs together after a start: running machines are adopted, half-made
  // things removed, ended ones recorded with a reason, folders without a record deleted.
  virtual Status Recover() = 0;

  // Makes a sandbox and returns when its agent has answered. kNotFound: no such template;
  // kResourceExhausted: a limit of this host.
  virtual Result<store::SandboxRecord> Create(const std::string& tenant, CreateRequest request) = 0;
  virtual Result<store::SandboxRecord> Get(const std::string& tenant, const std::string& id) = 0;
  virtual Result<std::vector<store::SandboxRecord>> List(const std::string& tenant) = 0;

  // Ends it in order (the guest shuts down; killed after a while) and keeps its record and console.
  virtual Result<store::SandboxRecord> Stop(const std::string& tenant, const std::string& id,
                                            const std::string& reason) = 0;
  // Ends it at once and removes everything of it.
  virtual Status Destroy(const std::string& tenant, const std::string& id) = 0;

  // Resets the idle timer; with a timeout, changes it too.
  virtual Result<store::SandboxRecord> Ping(const std::string& tenant, const std::string& id,
                                            std::optional<int64_t> timeout_sec) = 0;

  // For use; kNotFound, or kAborted ("sandbox 'x' is stopped") when it does not run.
  virtual Result<std::unique_ptr<Lease>> Use(const std::string& tenant, const std::string& id) = 0;

  // What the guest wrote to its console, the last `limit` bytes.
  virtual Result<std::string> Console(const std::string& tenant, const std::string& id,
                                      size_t limit) = 0;
  virtual Result<std::vector<store::EventRecord>> Events(const std::string& tenant,
                                                         const std::string& id) = 0;

  struct Totals {
    int sandboxes = 0;
    int64_t memory_mb = 0;
    int vcpus = 0;
    int64_t disk_mb = 0;
  };
  virtual Totals totals() const = 0;
  virtual const vmm::EngineInfo& engine() const = 0;

  // Stops background work. Sandboxes go on running and are adopted by the next start, unless
  // `stop_sandboxes`: then all are stopped, in parallel.
  virtual void Shutdown(bool stop_sandboxes, Deadline deadline) = 0;
};

struct ManagerConfig {
  os::Paths paths;
  Limits limits;
  std::string disk_backend = "auto";
  std::chrono::milliseconds boot_limit{120'000};
};

// None of the references is owned; all must outlive the manager.
std::unique_ptr<Manager> MakeManager(ManagerConfig config, store::Store& store,
                                     template_::Catalogue& catalogue, vmm::Engine& engine);

}  // namespace wrenn::sandbox
