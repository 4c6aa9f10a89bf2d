// Manager: finds, makes and ends sandboxes; owns everything they use.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/client.h"
#include "base/result.h"
#include "disk/backend.h"
#include "os/paths.h"
#include "sandbox/limits.h"
#include "sandbox/network.h"
#include "sandbox/observer.h"
#include "snapshot/inspect.h"
#include "snapshot/packed.h"
#include "snapshot/verify.h"
#include "store/store.h"
#include "template/catalogue.h"
#include "vmm/machine.h"

namespace wrenn::sandbox {

struct CreateRequest {
  std::string template_name = "minimal";
  std::optional<int> vcpus;
  std::optional<int> memory_mb;
  std::optional<int> disk_mb;
  int64_t timeout_sec = 300;  // idle seconds until it is paused or ends; 0: never
  // "pause" or "stop"; by default "pause" where the engine can.
  std::optional<std::string> on_timeout;
  bool auto_resume = false;  // a Use() while it is paused lets it go on
  bool cold = false;         // boots, also where there is memory that it could go on with
  Network network;           // what is absent: as the template's snapshot, else as by default
  // Whether its machine has a network; by default when the policy lets it reach anything.
  std::optional<bool> has_network;
  std::map<std::string, std::string> envs;
  std::map<std::string, std::string> metadata;
};

// What a sandbox takes, or has taken so far, of its host. What is not counted there (there is no
// cgroup, or no network slot) is absent.
struct HostUse {
  uint64_t memory_bytes = 0;  // of its processes (PSS); 0 when unknown
  std::optional<uint64_t> memory_peak_bytes;
  std::optional<uint64_t> cpu_microseconds;
  std::optional<uint64_t> disk_read_bytes;
  std::optional<uint64_t> disk_written_bytes;
  std::optional<uint64_t> network_sent_bytes;  // by the sandbox
  std::optional<uint64_t> network_received_bytes;
};

// A running sandbox in use: as long as a lease is held the sandbox is not idle, however quiet it
// is; its idle time begins when the last lease goes. So a lease is held for as long as a client is
// attached (a request, a stream, a terminal, a proxied connection). Of the processes in the guest
// that nobody is attached to those count that were started as LeaveRunning() says. A lease does not
// keep the sandbox alive: when it ends, calls to its agent fail with kUnavailable.
class Lease {
 public:
  virtual ~Lease() = default;
  virtual agent::Client& agent() = 0;
  // As it was when the lease was taken.
  virtual const store::SandboxRecord& record() const = 0;
  // Notes activity now, so that long streams show in last_active_at.
  virtual void Touch() = 0;
  // Before the start of a command that is to go on with nobody attached: the sandbox is not idle
  // while it runs, nor for its timeout after that. The mark is in the command's environment, so
  // that it outlives the server, a pause and a fork.
  virtual void LeaveRunning(wire::StartRequest& command) = 0;
  virtual HostUse Use() const { return {}; }
};

// A template, and of one of type snapshot what is in its snapshot.
struct TemplateDetails {
  store::TemplateRecord record;
  std::optional<snapshot::Contents> snapshot;
};

// What becomes of running sandboxes when the server ends.
enum class AtShutdown { kKeep, kPause, kStop };

// Thread-safe. Every change of a sandbox runs on that sandbox's own executor, one at a time, and is
// not bound to the caller: a caller that goes away leaves nothing half-built.
// What of Isolation is in use.
struct Protections {
  bool jail = false;
  bool cgroups = false;
  bool slots = false;
};

class Manager {
 public:
  virtual ~Manager() = default;

  // Brings records and what really runs together after a start, before anything else is called:
  // running machines are adopted, half-made things removed, ended ones recorded with a reason,
  // folders without a record deleted. What goes wrong with one sandbox is recorded with it and does
  // not fail the call.
  virtual Status Recover() = 0;

  // Makes a sandbox and returns when its agent has answered and all was recorded. When it fails
  // nothing is left of it. kInvalidArgument: a value out of range; kNotFound: no such template;
  // kResourceExhausted: a limit of this host.
  virtual Result<store::SandboxRecord> Create(const std::string& tenant, CreateRequest request) = 0;
  virtual Result<store::SandboxRecord> Get(const std::string& tenant, const std::string& id) = 0;
  // The same when its agent could not be reached: waits a moment for its machine's end, since a
  // broken stream is often the first that is seen of that.
  virtual Result<store::SandboxRecord> GetAfterLoss(const std::string& tenant,
                                                    const std::string& id) {
    return Get(tenant, id);
  }
  virtual Result<std::vector<store::SandboxRecord>> List(const std::string& tenant) = 0;
  // Of a sandbox that Get() or List() has found: bytes of the host's disk that its removal gives
  // back; nothing when it has ended.
  virtual std::optional<uint64_t> DiskUsedBytes(const store::SandboxRecord&) const {
    return std::nullopt;
  }

  // Ends it in order (the guest shuts down; killed after a while) and keeps its record and console
  // for some time (ManagerConfig::ended_retention). Harmless when it has ended already.
  virtual Result<store::SandboxRecord> Stop(const std::string& tenant, const std::string& id,
                                            const std::string& reason) = 0;
  // Freezes it with its memory and gives back what it uses but disk space, its memory after a while
  // or when others want it (ManagerConfig::standby); brings it back. With `cold` it boots from its
  // disk and its memory is lost, which is the way for one whose memory does not fit this host's
  // engine any more (kFailedPrecondition). A failure leaves it as it was. kAborted when it does not
  // run, or is not paused; kResourceExhausted when there is no room for it now.
  virtual Result<store::SandboxRecord> Pause(const std::string& tenant, const std::string& id,
                                             const std::string& reason) = 0;
  virtual Result<store::SandboxRecord> Resume(const std::string& tenant, const std::string& id,
                                              bool cold = false) = 0;

  // Makes `count` sandboxes that go on from where this one is now, itself running on (or paused as
  // it is): all or none. The most at once: kMaxForks.
  static constexpr int kMaxForks = 100;
  virtual Result<std::vector<store::SandboxRecord>> Fork(const std::string& tenant,
                                                         const std::string& id, int count) = 0;

  // Makes a template of it as it is now, with its memory. An empty name: a new one is made up.
  // kAlreadyExists for a name that is taken, unless `overwrite`: then the template is replaced in
  // one step, for sandboxes made from then on.
  virtual Result<store::TemplateRecord> CreateSnapshot(const std::string& tenant,
                                                       const std::string& id, std::string name,
                                                       bool overwrite) = 0;

  // A template in full. kNotFound when there is none.
  virtual Result<TemplateDetails> InspectTemplate(const std::string& tenant,
                                                  const std::string& name) = 0;
  // Reads all files of a template's snapshot and its image, and says what is wrong with them; may
  // take seconds for each GiB. kNotFound as above; kAborted when it is removed or replaced
  // meanwhile.
  virtual Result<snapshot::Verdict> VerifyTemplate(const std::string& tenant,
                                                   const std::string& name) = 0;

  // Gives a snapshot with all that it stands on, its image and kernel, to `sink`, whose errors end
  // it; `go_on` is asked before that, while its files are checked. The stream holds the secret of
  // the frozen agent. kNotFound when there is none; kInvalidArgument for a template that was built;
  // kDataLoss when it is damaged; kCanceled when `go_on` says no.
  virtual Status ExportSnapshot(const std::string& tenant, const std::string& name,
                                const snapshot::GoOn& go_on, const snapshot::ByteSink& sink) = 0;
  // Makes a template of such a stream, from whomever it comes. An empty name: the one that is in
  // it. Until all of it has been checked nothing is to be seen of it, and on failure nothing is
  // left. Whether this host can run it is seen when a sandbox shall be made of it. kInvalidArgument
  // for a stream that is damaged; kUnimplemented for one of a newer wrenn; kResourceExhausted when
  // there is no room on the disk; kAlreadyExists as by CreateSnapshot().
  virtual Result<store::TemplateRecord> ImportSnapshot(const std::string& tenant,
                                                       const std::string& name, bool overwrite,
                                                       snapshot::ByteSource source) = 0;

  // Ends it at once, also in the middle of its start, and removes everything of it. An error means
  // that something is left; the call may be repeated.
  virtual Status Destroy(const std::string& tenant, const std::string& id) = 0;

  // Resets the idle timer; with a timeout, changes it too. kAborted when it does not run.
  virtual Result<store::SandboxRecord> Ping(const std::string& tenant, const std::string& id,
                                            std::optional<int64_t> timeout_sec) = 0;

  // Changes what it may reach, at once; what `change` leaves out stays. kInvalidArgument for lists
  // that are wrong, kFailedPrecondition when it has no network slot, kAborted when it does not run.
  // On failure all is as it was.
  virtual Result<store::SandboxRecord> SetNetwork(const std::string& tenant, const std::string& id,
                                                  const Network& change) = 0;

  // For use; lets a paused one with auto_resume go on first. kNotFound, or kAborted ("sandbox 'x'
  // is stopped") when it does not run.
  virtual Result<std::unique_ptr<Lease>> Use(const std::string& tenant, const std::string& id) = 0;
  // To look at it alone: no activity, and a paused one stays so.
  virtual Result<std::unique_ptr<Lease>> Look(const std::string& tenant, const std::string& id) = 0;

  // What the guest wrote to its console, the last `limit` bytes.
  virtual Result<std::string> Console(const std::string& tenant, const std::string& id,
                                      size_t limit) = 0;
  // The last lines of its journal, oldest first.
  virtual Result<std::vector<store::EventRecord>> Events(const std::string& tenant,
                                                         const std::string& id) = 0;

  // What is reserved now.
  struct Totals {
    int sandboxes = 0;
    int64_t memory_mb = 0;
    int vcpus = 0;
    int64_t disk_mb = 0;
  };
  virtual Totals totals() const = 0;
  virtual const vmm::EngineInfo& engine() const = 0;
  virtual Protections protections() const = 0;
  // Counters and histograms, in the text format of Prometheus.
  virtual std::string MetricsText() const = 0;

  // Ends the work: new calls fail with kUnavailable, starts in progress are undone. What runs goes
  // on and is adopted by the next start (kKeep), or is paused or stopped, all in parallel; what is
  // being stopped and has not ended at the deadline is killed. Answers how many machines still run.
  // Leases must be gone before the manager is destroyed.
  virtual int Shutdown(AtShutdown sandboxes, Deadline deadline) = 0;
};

// How many machines of a template are kept ready, restored and standing still.
struct WarmPoolConfig {
  int most = 8;                      // by demand; 0: none
  std::map<std::string, int> fixed;  // by a template's name, whatever the demand
};

// Whether something is used that needs rights or a part of the kernel: where it can be had (a log
// line says when it cannot), never, or always (without it nothing starts).
enum class Want { kAuto, kOff, kOn };

// What keeps VMMs from the host and from each other beyond what every VMM does by itself.
struct Isolation {
  Want jail = Want::kAuto;     // for who makes the engine: the manager asks that
  Want cgroups = Want::kAuto;  // limits of memory, processors and processes
  Want slots = Want::kAuto;    // a network namespace for each network
};

struct ManagerConfig {
  os::Paths paths;
  Limits limits = DefaultLimits();
  std::string disk_backend = "auto";
  vmm::DiskRate disk_rate;  // of each sandbox
  // From the VMM's start to the agent's answer.
  std::chrono::milliseconds boot_limit{120'000};
  // For the guest's own shutdown, before it is killed.
  std::chrono::milliseconds stop_limit{10'000};
  // For the agent of an adopted machine to answer.
  std::chrono::milliseconds adopt_limit{30'000};
  // How long records and consoles of ended sandboxes are kept.
  std::chrono::milliseconds ended_retention{std::chrono::hours(24)};
  // How long activity is kept in memory before it is stored.
  std::chrono::milliseconds activity_interval{5'000};
  WarmPoolConfig warm_pool;
  // How long a paused sandbox's machine stands in memory, so that it goes on at once; 0: not at
  // all.
  std::chrono::milliseconds standby{60'000};
  Isolation isolation;
  // Whether memory and disk of a snapshot are compared with their digests whenever a machine is
  // restored from it. Machine state and memory map always are.
  bool verify_at_load = false;
  // Told what happens; may be empty.
  Observer observer;
  // Called after each step of a transition ("pause.state"), on the sandbox's executor, and of
  // making a machine of the pool ("pool.state"), on the pool's thread: for tests that have
  // something fail right there; may be empty.
  std::function<void(const std::string& step, const store::SandboxRecord& record)> on_step;
};

// None of the references is owned; all must outlive the manager. kInvalidArgument for an unknown
// disk backend, kFailedPrecondition for what the engine or this host cannot do.
Result<std::unique_ptr<Manager>> MakeManager(ManagerConfig config, store::Store& store,
                                             template_::Catalogue& catalogue, vmm::Engine& engine);

}  // namespace wrenn::sandbox
