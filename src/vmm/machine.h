// Engine and Machine: what runs a sandbox, whichever program does it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/channel.h"
#include "base/json.h"
#include "base/result.h"
#include "memory/process_memory.h"

namespace wrenn::vmm {

enum class DiskFormat { kRaw, kQcow2 };

// What a machine may read and write of its disk a second, together; 0: no limit.
struct DiskRate {
  int64_t bytes = 0;
  int64_t operations = 0;
  bool empty() const { return bytes == 0 && operations == 0; }
};

// Everything that a machine is made of: a value, so that command lines and requests are pure
// functions over it. Paths are absolute; `directory` is the machine's own and holds what the engine
// writes.
struct MachineConfig {
  std::string id;                 // the sandbox's
  std::string directory;          // console.log, vmm.log, machine.json
  std::string runtime_directory;  // sockets; mode 0700, short
  int vcpus = 1;
  int memory_mb = 512;
  // A file as large as RAM, whose content RAM begins with and which is never written: the machine
  // maps it privately. Sparse and empty for a boot. Without one there can be no snapshots.
  std::string memory;
  std::string kernel;  // uncompressed vmlinux; to boot only, as the next
  std::string initramfs;
  std::string disk;  // the file of its top layer, or a block device
  DiskFormat disk_format = DiskFormat::kQcow2;
  DiskRate disk_rate;
  std::string base_image;  // what the disk's lowest layer may be over
  // Whether it has a network: its slot's, else a user-mode network. The guest sees the same either
  // way. (Firecracker's machines always have one.)
  bool network = false;
  // Where its network slot is mounted (net::Slot::path()); empty: it has none.
  std::string net_namespace;
  // The cgroup that its VMM is started in; -1: the server's own.
  int cgroup_fd = -1;
  // The user and group that its VMM runs as, in a jail; 0: the server's own, in none.
  uint32_t user = 0;
  // Ends with the thread that started it, however that ends: nothing that a later server could
  // adopt.
  bool passing = false;
};

// How a machine ended.
struct MachineExit {
  std::string reason;  // for the user: "guest shut down", "VMM killed by signal 9", ...
  bool clean = false;  // the guest ended by its own orderly shutdown
};

// A running machine. It lives on when the object (or the whole server) goes away, so that a
// restarted server can adopt it; Kill() is what ends it.
class Machine {
 public:
  virtual ~Machine() = default;

  // What must be stored to adopt it later: {"engine","pid","start_time",...}. No paths.
  virtual json::object Record() const = 0;

  virtual std::shared_ptr<agent::Channel> channel() = 0;
  // Puts another channel in the place of the one so far, which has been closed: the guest finds
  // that its host has begun anew, as after a restore.
  virtual std::shared_ptr<agent::Channel> NewChannel() = 0;

  // Called once from a thread of the machine's when it has ended, whatever ended it; at once when
  // it has already. Replaces an earlier callback.
  virtual void OnExit(std::function<void(const MachineExit&)> callback) = 0;
  virtual std::optional<MachineExit> exit() const = 0;

  // Why the machine stands still though nobody froze it, for people; empty while it does not. It
  // goes on by itself when the reason has passed.
  virtual std::string Held() const = 0;
  // Called from a thread of the machine's with that reason when it begins, and with "" when the
  // machine goes on. Replaces an earlier callback.
  virtual void OnHold(std::function<void(const std::string& why)> callback) = 0;

  // Stops and continues all vCPUs.
  virtual Status Freeze(Deadline deadline) = 0;
  virtual Status Continue(Deadline deadline) = 0;

  // For snapshots. While the machine is frozen its memory, its state and its disk are of one
  // instant.
  //
  // Guest RAM, as long as the machine runs. kFailedPrecondition when it was started without
  // MachineConfig::memory, or by another build of the VMM than the engine's.
  virtual Result<memory::ProcessMemory> Memory() const = 0;
  // Writes the state of processors and devices, without RAM and disk, to a new file of mode 0600
  // (not synced). Frozen only.
  virtual Status SaveState(const std::string& path, Deadline deadline) = 0;
  // Makes ready to write to another layer: an empty qcow2 over the present one. Before freezing,
  // since it takes a moment.
  virtual Status PrepareDisk(const std::string& path, Deadline deadline) = 0;
  // The opposite of PrepareDisk(), when it will not be switched to.
  virtual Status DropDisk(const std::string& path, Deadline deadline) = 0;
  // From now on the machine writes there, and never again to the layer below. Frozen only.
  virtual Status SwitchDisk(const std::string& path, Deadline deadline) = 0;
  // Has the layer that it writes to lie over `merged`, a qcow2 layer that reads as all below it
  // did, and closes those of `replaced` (top first) that it stands for. While it runs. The layer's
  // header comes first: after a failure it says what is below, and the machine may still read what
  // was.
  virtual Status ReplaceBelow(const std::string& merged, const std::vector<std::string>& replaced,
                              Deadline deadline) = 0;
  // The layer that it writes to, as the VMM says; for a server that adopts it. All of a disk's
  // layers lie in one folder.
  virtual Result<std::string> Disk(Deadline deadline) = 0;

  // Ends the VMM (SIGKILL) and waits until the process is gone. Harmless when it has ended.
  virtual Status Kill(Deadline deadline) = 0;

  // Memory that the machine's processes hold on the host, in bytes (PSS); 0 when unknown.
  virtual uint64_t HostMemoryBytes() const = 0;
};

// What an engine can do here, found by probes.
struct EngineInfo {
  std::string name;                // "qemu"
  std::string version;             // "7.2.22"
  std::string acceleration;        // "kvm" or "tcg"
  std::string explanation;         // why this acceleration, for people
  bool security_boundary = false;  // false under emulation
  bool user_network = false;       // whether egress by user-mode network can be had
  std::string user_network_explanation;
  // Whether machines can be frozen, saved and restored; why not.
  bool snapshots = true;
  std::string snapshots_explanation;
  // Machines take nothing but raw disks, and a network slot whether they may use it or not.
  bool raw_disks = false;
  bool needs_slot = false;
  // Machines with a network take a network slot where there are any.
  bool takes_slot = false;
  // Whether its VMMs run in jails, each as a user of its own (MachineConfig::user); why not.
  bool jailed = false;
  std::string jail_explanation = {};
  // What a VMM takes of the host's memory beside its guest's, at most, as far as that is counted in
  // a cgroup; 0: its VMMs are no processes of their own.
  uint64_t vmm_memory_bytes = 0;
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual const EngineInfo& info() const = 0;

  // Settles what the engine can do here, if that is open and needs a guest: boots this kernel,
  // once. Boot() does so by itself; fingerprints are compared only after it. kUnavailable when
  // there is no answer, for a reason that may pass.
  virtual Status Settle(const std::string& kernel, const std::string& initramfs,
                        Deadline deadline) = 0;

  // Starts a machine. It returns when the VMM runs, not when the guest is ready: that is when its
  // channel's first Connect() succeeds. On failure nothing is left, and the error says why (the
  // VMM's own words in its detail).
  virtual Result<std::unique_ptr<Machine>> Boot(const MachineConfig& config, Deadline deadline) = 0;

  // Brings the RAM of a machine in the making to what it was: memory::Fill(), say.
  using FillMemory = std::function<Status(const memory::ProcessMemory&)>;

  // Starts a machine from a state that Machine::SaveState() wrote. `fill` is called when the VMM
  // runs and has loaded nothing yet, and makes of the content of config.memory what RAM was then;
  // config.disk must have the content of the disk. It answers when the state is loaded: the machine
  // is frozen then. Nothing checks that the configuration fits the state, but for the fingerprint.
  //
  // RAM cannot be filled later: the devices read it when they are loaded (the rings of virtio), and
  // a guest whose devices go by an older RAM hangs.
  //
  // kDataLoss for a state that the VMM refuses or a base that is missing or of another size; what
  // `fill` fails with. On failure nothing is left.
  virtual Result<std::unique_ptr<Machine>> Restore(const MachineConfig& config,
                                                   const std::string& state, const FillMemory& fill,
                                                   Deadline deadline) = 0;
  // What must be the same for a state to be restored: kept with it.
  virtual json::object Fingerprint(const MachineConfig& config) = 0;
  // kFailedPrecondition, saying what differs, when a state with this fingerprint cannot be restored
  // here with this configuration.
  virtual Status CheckFingerprint(const MachineConfig& config, const json::object& kept) = 0;

  // Takes over a machine that an earlier server started. kNotFound when it does not run any more
  // (its pid is gone or another process has it); then nothing of it is left running.
  virtual Result<std::unique_ptr<Machine>> Adopt(const MachineConfig& config,
                                                 const json::object& record) = 0;

  // Ends what a record describes if it still runs, without adopting it. Harmless otherwise. An
  // empty record stands for a machine that may have been started without being recorded: it is
  // found by id.
  virtual Status Reap(const MachineConfig& config, const json::object& record) = 0;
};

// kFailedPrecondition, with the remedy, when a machine's record is of another engine than this.
Status CheckRecordEngine(const json::object& record, std::string_view engine);

}  // namespace wrenn::vmm
