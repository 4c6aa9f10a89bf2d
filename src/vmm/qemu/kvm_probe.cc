#include "vmm/qemu/kvm_probe.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>

#include "base/io.h"
#include "base/json.h"
#include "os/files.h"
#include "os/process_info.h"
#include "vmm/qemu/engine.h"
#include "vmm/qemu/launch.h"

namespace wrenn::vmm {
namespace {

using std::chrono::seconds;

constexpr size_t kPage = 4096;
constexpr uint16_t kProbePort = 0x10;
constexpr const char* kProbePrefix = "kvm";  // of its folders, "kvm.XXXXXX"

KvmVerdict No(const std::string& why) { return {false, why}; }
KvmVerdict NoErrno(const char* what) { return No(ErrnoError(what).message); }

// A mapping for the life of the object.
class Mapping {
 public:
  Mapping(size_t size, int flags, int fd)
      : size_(size), address_(::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd, 0)) {}
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (*this) ::munmap(address_, size_);
  }
  explicit operator bool() const { return address_ != MAP_FAILED; }
  void* get() const { return address_; }

 private:
  size_t size_;
  void* address_;
};

// Runs "add al, bl; out 0x10, al; hlt" in real mode and looks at what comes out.
KvmVerdict RunInstructions(int kvm, int vm) {
  constexpr unsigned char kProgram[] = {0x00, 0xd8, 0xe6, kProbePort, 0xf4};
  const Mapping memory(kPage, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  if (!memory) return NoErrno("no memory for a probe");
  std::memcpy(memory.get(), kProgram, sizeof kProgram);
  kvm_userspace_memory_region region{};
  region.guest_phys_addr = kPage;
  region.memory_size = kPage;
  region.userspace_addr = reinterpret_cast<uint64_t>(memory.get());
  if (::ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) return NoErrno("KVM refuses memory");
  const UniqueFd vcpu(::ioctl(vm, KVM_CREATE_VCPU, 0));
  if (!vcpu) return NoErrno("KVM makes no virtual processor");
  const int size = ::ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, nullptr);
  if (size < static_cast<int>(sizeof(kvm_run))) return NoErrno("KVM tells no run area");
  const Mapping area(static_cast<size_t>(size), MAP_SHARED, vcpu.get());
  if (!area) return NoErrno("KVM gives no run area");
  kvm_sregs segments{};
  if (::ioctl(vcpu.get(), KVM_GET_SREGS, &segments) < 0) return NoErrno("KVM tells no registers");
  segments.cs.base = 0;
  segments.cs.selector = 0;
  kvm_regs registers{};
  registers.rip = kPage;
  registers.rax = 2;
  registers.rbx = 3;
  registers.rflags = 2;
  if (::ioctl(vcpu.get(), KVM_SET_SREGS, &segments) < 0 ||
      ::ioctl(vcpu.get(), KVM_SET_REGS, &registers) < 0) {
    return NoErrno("KVM takes no registers");
  }
  if (::ioctl(vcpu.get(), KVM_RUN, 0) < 0) return NoErrno("KVM runs no instructions");
  const auto* run = static_cast<const kvm_run*>(area.get());
  const auto* data = static_cast<const unsigned char*>(area.get());
  if (run->exit_reason != KVM_EXIT_IO || run->io.port != kProbePort ||
      data[run->io.data_offset] != 5) {
    return No(
        fmt::format("KVM does not run instructions rightly (exit reason {})", run->exit_reason));
  }
  return {true, "KVM runs instructions"};
}

std::string ProcessorModel() {
  const std::string text = ReadFile("/proc/cpuinfo").value_or("");
  const size_t begin = text.find("model name");
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find('\n', begin) - begin);
}

// Reads a probe guest's console until its first process runs.
class ProbeWatcher {
 public:
  ProbeWatcher(QemuParts& parts, Deadline deadline) : parts_(parts), deadline_(deadline) {}

  Result<KvmVerdict> Run() {
    // A guest that says nothing for so long hangs.
    constexpr seconds kSilence(15);
    while (!HasRun()) {
      if (deadline_.HasPassed()) {
        return Fail(Code::kDeadlineExceeded, "the probe guest was not up in time: {}", LastWords());
      }
      pollfd entries[] = {{parts_.vmm.console.get(), POLLIN, 0},
                          {parts_.process.pidfd(), POLLIN, 0}};
      const Deadline silence = Deadline::After(kSilence);
      const int ready = ::poll(entries, 2, Deadline::Earlier(deadline_, silence).PollTimeout());
      if (ready < 0 && errno != EINTR) return Fail(ErrnoError("poll"));
      if (ready == 0 && silence.HasPassed()) {
        return No("KVM is there but a guest hangs: " + LastWords());
      }
      if (ready <= 0) continue;
      const size_t before = text_.size();
      if (entries[0].revents != 0) Read();
      if (entries[1].revents != 0 && text_.size() == before) return Ended();
    }
    return KvmVerdict{true, "KVM ran a guest"};
  }

 private:
  // The kernel has come up and its first process has started; what it then says or does is its own.
  bool HasRun() const {
    const size_t init = text_.find("as init process");
    return init != std::string::npos && text_.find('\n', init) != std::string::npos;
  }

  void Read() {
    char buffer[16384];
    const ssize_t got = ::recv(parts_.vmm.console.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (got > 0) {
      text_.append(buffer, static_cast<size_t>(got));
      constexpr size_t kKept = 256 << 10;
      if (text_.size() > kKept) text_.erase(0, text_.size() - kKept / 2);
    } else if (got == 0) {
      parts_.vmm.console.Reset();
    }
  }

  Result<KvmVerdict> Ended() {
    ASSIGN_OR_RETURN(const os::ExitStatus status, parts_.process.Wait(deadline_));
    if (status.signal == SIGKILL) {  // by somebody, e.g. the kernel for want of memory
      return Fail(Code::kUnavailable, "the probe guest was {}", status.ToString());
    }
    const std::string words = LastLine(ReadAvailable(parts_.vmm.stderr_pipe.get(), 16384));
    return No(fmt::format("KVM is there but a guest ends ({}): {}", status.ToString(),
                          words.empty() ? LastWords() : words));
  }

  std::string LastWords() const {
    const std::string line = LastLine(text_);
    return line.empty() ? "it said nothing" : "its last words were \"" + line + "\"";
  }

  QemuParts& parts_;
  const Deadline deadline_;
  std::string text_;
};

// Whether a VMM that did not start did not for KVM's sake: then it names it, and no want of memory.
bool RefusesKvm(const Error& error) {
  const auto says = [&error](std::string_view word) {
    return std::ranges::search(error.detail, word, [](char a, char b) {
             return std::tolower(static_cast<unsigned char>(a)) == b;
           }).begin() != error.detail.end();
  };
  return error.code == Code::kInternal && says("kvm") && !says("cannot allocate memory") &&
         !says("too many open files");
}

}  // namespace

KvmVerdict ProbeKvmDevice() {
  const UniqueFd kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm && errno == ENOENT) {
    return No(
        "there is no /dev/kvm: enable virtualisation in the firmware (or nested virtualisation in "
        "the "
        "cloud) and load the kernel module kvm_intel or kvm_amd");
  }
  if (!kvm && errno == EACCES) {
    return No("/dev/kvm may not be opened: add this user to the group 'kvm'");
  }
  if (!kvm) return NoErrno("/dev/kvm cannot be opened");
  if (::ioctl(kvm.get(), KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
    return No("/dev/kvm is not KVM as we know it");
  }
  const UniqueFd vm(::ioctl(kvm.get(), KVM_CREATE_VM, 0));
  if (!vm) return NoErrno("KVM makes no machine");
  return RunInstructions(kvm.get(), vm.get());
}

Result<KvmVerdict> ProbeKvmGuest(const HostFacts& facts, const std::string& kernel,
                                 const std::string& initramfs, const std::string& directory,
                                 Deadline deadline) {
  ASSIGN_OR_RETURN(const auto folder, os::TemporaryDirectory::Make(directory, kProbePrefix));
  MachineConfig config;
  config.id = "kvm-probe";
  config.directory = folder.path();
  config.runtime_directory = folder.path();
  config.memory_mb = 256;
  config.kernel = kernel;
  config.initramfs = initramfs;
  config.passing = true;
  HostFacts with_kvm = facts;
  with_kvm.kvm = true;
  with_kvm.kernel_log = true;
  auto parts = LaunchQemu(config, with_kvm, deadline);
  if (!parts) {
    if (RefusesKvm(parts.error())) {
      return No("KVM is there but runs no guest: " + parts.error().message);
    }
    return Fail(std::move(parts.error()));
  }
  auto verdict = ProbeWatcher(*parts, deadline).Run();
  (void)parts->process.Kill(Deadline::After(seconds(10)));
  return verdict;
}

void RemoveOldProbes(const std::string& directory) {
  const auto names = os::ListDirectory(directory);
  if (!names) return;
  for (const std::string& name : *names) {
    if (name.starts_with(std::string(kProbePrefix) + ".")) {
      (void)os::RemoveTree(directory + "/" + name);  // the next start tries again
    }
  }
}

std::string KvmProbeKey(const std::string& qemu_version) {
  utsname system{};
  ::uname(&system);
  return fmt::format("{} | qemu {} | {} | {}", system.release, qemu_version, ProcessorModel(),
                     os::BootId().value_or("unknown boot"));
}

Result<KvmVerdict> LoadKvmVerdict(const std::string& path, const std::string& key) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(text));
  JsonReader reader(object);
  KvmVerdict verdict{reader.Bool("usable"), reader.String("explanation")};
  if (reader.String("key") != key || !reader.Finish()) {
    return Fail(Code::kNotFound, "KVM was probed under other circumstances");
  }
  return verdict;
}

Status SaveKvmVerdict(const std::string& path, const std::string& key, const KvmVerdict& verdict) {
  const json::object object{
      {"key", key}, {"usable", verdict.usable}, {"explanation", verdict.explanation}};
  return WriteFileAtomically(path, json::serialize(object) + "\n", 0600);
}

}  // namespace wrenn::vmm
