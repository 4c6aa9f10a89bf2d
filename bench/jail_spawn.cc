// What a jail costs: spawn until execve has succeeded, and until the program has ended, of a static
// program, ordinary and jailed in turns. Needs root.
//
// Usage: jail_spawn [ROUNDS [PROGRAM]]     (PROGRAM: a static one; default: /bin/busybox, as
// "true")
#include <fcntl.h>
#include <sched.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "os/process.h"

namespace {

namespace os = wrenn::os;
using Clock = std::chrono::steady_clock;

double Milliseconds(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

struct Times {
  const char* name;
  os::SpawnOptions options;
  std::vector<double> started = {};
  std::vector<double> ended = {};

  void Run() {
    const auto begin = Clock::now();
    auto process = os::Process::Spawn(options);
    if (!process) {
      std::fprintf(stderr, "jail_spawn: %s\n", process.error().ToString().c_str());
      std::exit(1);
    }
    started.push_back(Milliseconds(Clock::now() - begin));
    (void)process->Wait(wrenn::Deadline::Never());
    ended.push_back(Milliseconds(Clock::now() - begin));
  }
};

double Quantile(std::vector<double>& times, double quantile) {
  std::ranges::sort(times);
  return times[static_cast<size_t>(quantile * static_cast<double>(times.size() - 1))];
}

// One that is ready, as a sandbox's slot is.
int MakeNetNamespace() {
  int fd = -1;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) == 0) {
      fd = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    }
  }).join();
  return fd;
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 200;
  const std::string program = argc > 2 ? argv[2] : "/bin/busybox";
  os::SpawnOptions plain;
  plain.argv = {program, "true"};
  plain.environment.emplace();
  os::SpawnOptions jailed = plain;
  jailed.argv.front() = "/program";
  jailed.jail.emplace();
  jailed.jail->uid = jailed.jail->gid = 712345;
  jailed.jail->binds = {{.from = program, .to = "/program", .executable = true}};
  jailed.jail->devices = {{"/dev/null", makedev(1, 3)}, {"/dev/urandom", makedev(1, 9)}};
  jailed.jail->folders = {"/run"};
  os::SpawnOptions joined = jailed;
  joined.jail->net_namespace = MakeNetNamespace();
  Times all[] = {{"ordinary", plain},
                 {"jailed, in a network namespace that is ready", joined},
                 {"jailed, in a new network namespace", jailed}};
  for (int i = 0; i < rounds; ++i) {
    for (Times& times : all) times.Run();
  }
  std::printf("%d rounds, ms: started p50 / p99, ended p50 / p99\n", rounds);
  for (Times& times : all) {
    std::printf("%-48s %6.2f / %6.2f   %6.2f / %6.2f\n", times.name, Quantile(times.started, 0.5),
                Quantile(times.started, 0.99), Quantile(times.ended, 0.5),
                Quantile(times.ended, 0.99));
  }
}
