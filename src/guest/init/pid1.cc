#include "guest/init/pid1.h"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdlib>

#include "base/id.h"
#include "base/thread_cache.h"
#include "guest/agent/agent.h"
#include "guest/agent/serial_ports.h"
#include "guest/agent/vsock.h"
#include "guest/boot/command_line.h"
#include "guest/boot/initramfs.h"
#include "guest/boot/mounts.h"
#include "guest/boot/uevents.h"
#include "guest/boot/virtio.h"
#include "guest/init/cgroups.h"
#include "guest/init/console.h"
#include "guest/init/identity.h"
#include "guest/init/network.h"
#include "guest/init/shutdown.h"
#include "guest/split.h"

namespace wrenn::guest {
namespace {

constexpr rlim_t kDescriptors = 1 << 19;
constexpr int kPriority = -10;
// Threads that wait for the first requests of every sandbox that is restored from this guest.
constexpr int kThreads = 4;
// How long what the agent is still about may take once its connections are broken.
constexpr std::chrono::seconds kBreakLimit{2};
// The kernel's default of 128 is less than the watchers that a client may have.
constexpr const char* kInotifyInstances = "/proc/sys/fs/inotify/max_user_instances";

void Warn(const Status& status) {
  if (!status) WriteConsole(status.error().ToString());
}

void WriteNumber(const char* path, std::string_view number) {
  const UniqueFd file(::open(path, O_WRONLY | O_CLOEXEC));
  if (file) Warn(WriteAll(file.get(), number, Deadline::Never()));
}

// Keeps the agent alive and quick when the guest is out of memory or CPU. Where there are cgroups
// they do most of it; this holds without them too.
void ProtectAgent() {
  // (The kernel never kills PID 1 for want of memory: oom_unkillable_task() in mm/oom_kill.c.)
  ::setpriority(PRIO_PROCESS, 0, kPriority);
  // As they are touched: whole stacks of all threads would be much.
  ::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
  // What it has had once stays mapped: to get it again is slow in a guest that was just restored.
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_MMAP_THRESHOLD, 1 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 8 << 20);
  ::mallopt(M_TOP_PAD, 256 << 10);
  const rlimit descriptors{kDescriptors, kDescriptors};
  ::setrlimit(RLIMIT_NOFILE, &descriptors);
}

// Network trouble is told and survived: the agent's channel does not need it.
Status SetUpNetwork(const CommandLine& arguments, std::string& hostname) {
  RETURN_IF_ERROR(BringLoopbackUp());
  RETURN_IF_ERROR(SetResolvers(arguments.Value("wrenn.dns", "")));
  const auto text = arguments.Value("ip");
  if (!text || text->empty()) return {};
  ASSIGN_OR_RETURN(const IpArgument ip, ParseIpArgument(*text));
  if (!ip.hostname.empty()) hostname = ip.hostname;
  const auto text6 = arguments.Value("wrenn.ip6");
  if (!text6) return Configure(ip);
  ASSIGN_OR_RETURN(const Ip6Argument ip6, ParseIp6Argument(*text6));
  RETURN_IF_ERROR(PrepareIp6(ip.device));
  RETURN_IF_ERROR(Configure(ip));
  return ConfigureIp6(ip.device, ip6);
}

void SetUpMachine() {
  const std::string failures = MountRest();
  for (const std::string_view line : Split(failures, '\n')) {
    if (!line.empty()) WriteConsole(std::string(line));
  }
  ProtectAgent();
  auto read = CommandLine::Read();
  const CommandLine arguments = read ? *read : CommandLine("");
  std::string hostname = "sandbox";
  Warn(SetUpNetwork(arguments, hostname));
  Warn(SetHostname(arguments.Value("wrenn.hostname", hostname)));
  Warn(SetMachineId(RandomHex(32)));
  Warn(SetUpCgroups("/sys/fs/cgroup"));
  WriteNumber(kInotifyInstances, "1024");
}

// Blocks the signals that mean "shut down" for all threads to come, and answers where they are
// read.
UniqueFd TakeSignals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGPWR}) ::sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  return UniqueFd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
}

// Serves until somebody wants the machine to end; the agent, which serves on.
Result<Agent*> ServeAgent() {
  const UniqueFd signals = TakeSignals();
  ASSIGN_OR_RETURN(UniqueFd event, MakeEventFd());
  ASSIGN_OR_RETURN(Uevents uevents, Uevents::Open());
  // None is ever destroyed: the agent's threads run until the machine's last moment.
  const auto* const wanted = new UniqueFd(std::move(event));
  Agent::Options options;
  options.owns_machine = true;
  options.shut_down = [fd = wanted->get()] { SignalEventFd(fd); };
  ThreadCache::Get().Reserve(kThreads);
  auto* const agent = new Agent(std::move(options));
  const auto accept = [agent](uint16_t port) -> Result<UniqueFd> {
    if (port != wire::kAgentPort) return ConnectLocal(port);
    ASSIGN_OR_RETURN(auto pair, SocketPair());
    agent->Serve(std::move(pair.first));
    return std::move(pair.second);
  };
  auto* const ports = new SerialPorts(accept);
  ports->Scan();
  if (HasVirtioDevice(kVirtioVsock)) RETURN_IF_ERROR(ServeVsock(accept));
  for (;;) {
    pollfd entries[] = {
        {signals.get(), POLLIN, 0}, {wanted->get(), POLLIN, 0}, {uevents.fd(), POLLIN, 0}};
    ::poll(entries, 3, -1);
    if (entries[0].revents || entries[1].revents) return agent;
    uevents.Drain();
    ports->Scan();
  }
}

}  // namespace

void RunPid1() {
  ::clearenv();
  ::prctl(PR_SET_NAME, "wrenn-init");  // it was started as /init

  const Status ready = InInitramfs() ? SwitchToRoot() : MountEssentials();
  if (!ready) {
    Console("cannot boot: {}", ready.error().ToString());
    PowerOff();
  }
  OpenConsole();
  SetUpMachine();
  auto agent = ServeAgent();
  if (!agent) Console("cannot serve: {}", agent.error().ToString());
  if (agent) (*agent)->BeginEnd();
  ShutDownMachine([&] {
    if (agent) (*agent)->BreakConnections(Deadline::After(kBreakLimit));
  });
}

}  // namespace wrenn::guest
