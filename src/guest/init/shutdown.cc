#include "guest/init/shutdown.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/io.h"
#include "guest/boot/command_line.h"
#include "guest/init/console.h"
#include "guest/init/reaper.h"
#include "guest/split.h"

namespace wrenn::guest {
namespace {

constexpr std::chrono::seconds kTermLimit{3};
constexpr std::chrono::seconds kKillLimit{2};

void EndAllProcesses() {
  Reaper& reaper = Reaper::Get();
  // -1 is everybody but us. Interactive shells ignore SIGTERM and mind SIGHUP; who is stopped must
  // go on to hear of it.
  for (const int signal : {SIGTERM, SIGHUP, SIGCONT}) ::kill(-1, signal);
  if (reaper.WaitForNoChildren(Deadline::After(kTermLimit))) return;
  ::kill(-1, SIGKILL);
  reaper.WaitForNoChildren(Deadline::After(kKillLimit));
}

void UnmountAll() {
  auto mounts = ReadFile("/proc/self/mounts");
  if (!mounts) return;
  std::vector<std::string> targets;
  for (const std::string_view line : Split(*mounts, '\n')) {
    const auto words = Words(line);
    if (words.size() > 1 && words[1] != "/" && words[1] != "/proc") targets.emplace_back(words[1]);
  }
  // The last mounted first.
  for (auto target = targets.rbegin(); target != targets.rend(); ++target) {
    ::umount2(target->c_str(), MNT_DETACH);
  }
  ::mount(nullptr, "/", nullptr, MS_REMOUNT | MS_RDONLY, nullptr);
}

}  // namespace

void ShutDownMachine(const std::function<void()>& before_sync) {
  EndAllProcesses();
  before_sync();
  ::sync();
  UnmountAll();
  PowerOff();
}

void PowerOff() {
  ::sync();
  // A machine without a power switch the kernel would halt for ever. Firecracker's, which is known
  // by its way to reboot, ends at that.
  const auto arguments = CommandLine::Read();
  if (!arguments || arguments->Value("reboot", "") != "k") ::reboot(RB_POWER_OFF);
  // Which says nothing of the kind: the host reads it here (vmm/firecracker/exit_reason.cc).
  WriteConsole("the machine ends");
  ::reboot(RB_AUTOBOOT);
  for (;;) ::pause();
}

}  // namespace wrenn::guest
