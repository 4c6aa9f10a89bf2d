#include "vmm/qemu/kvm_probe.h"

#include <poll.h>
#include <signal.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cctype>
#include <cerrno>

#include "base/io.h"
#include "base/json.h"
#include "os/files.h"
#include "os/process_info.h"
#include "vmm/exit_text.h"
#include "vmm/qemu/engine.h"
#include "vmm/qemu/launch.h"

namespace wrenn::vmm {
namespace {

using std::chrono::seconds;

constexpr const char* kProbePrefix = "kvm";  // of its folders, "kvm.XXXXXX"

KvmVerdict No(const std::string& why) { return {false, why}; }

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
      pollfd entries[] = {{parts_.vmm.console.fd(), POLLIN, 0},
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
    text_ += parts_.vmm.console.Read();
    constexpr size_t kKept = 256 << 10;
    if (text_.size() > kKept) text_.erase(0, text_.size() - kKept / 2);
  }

  Result<KvmVerdict> Ended() {
    ASSIGN_OR_RETURN(const os::ExitStatus status, parts_.process.Wait(deadline_));
    if (status.signal == SIGKILL) {  // by somebody, e.g. the kernel for want of memory
      return Fail(Code::kUnavailable, "the probe guest was {}", status.ToString());
    }
    parts_.vmm.messages.ReadRest();
    const std::string words = LastLine(parts_.vmm.messages.tail());
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
    if (name.starts_with(std::string(kProbePrefix) + ".") || name.starts_with("jail.")) {
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
