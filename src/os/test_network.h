// For tests: a host of their own. Devices, rules, routes, /proc/sys/net and mounts are then those
// of new namespaces, and this machine's are not touched.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "os/command.h"
#include "os/links.h"
#include "os/net_namespace.h"

namespace wrenn::os {

// While it lives, the thread that has entered them is in them, with the threads that it makes. To
// be the first member of a fixture, so that nothing of the test outlasts it.
class OwnNetwork {
 public:
  OwnNetwork() = default;
  OwnNetwork(const OwnNetwork&) = delete;
  OwnNetwork& operator=(const OwnNetwork&) = delete;
  // Back to where the thread was: other tests in this program may want the machine's network.
  ~OwnNetwork() {
    if (!folder_) return;
    // Threads that wait for their next task (base/thread_cache.h) stay behind; a thread that shares
    // its folder with others cannot leave.
    if (::unshare(CLONE_FS) < 0 || ::setns(network_.get(), CLONE_NEWNET) < 0 ||
        ::setns(mounts_.get(), CLONE_NEWNS) < 0 || ::fchdir(folder_.get()) < 0) {
      std::perror("cannot leave a test's namespaces");
      std::abort();
    }
  }

  // Answers why it cannot be, or nothing.
  std::string Enter() {
    if (::geteuid() != 0) return "needs root for network namespaces";
    const auto open = [](const char* path) { return UniqueFd(::open(path, O_RDONLY | O_CLOEXEC)); };
    network_ = open("/proc/thread-self/ns/net");
    mounts_ = open("/proc/thread-self/ns/mnt");
    UniqueFd folder = open(".");
    if (::unshare(CLONE_NEWNET | CLONE_NEWNS) < 0) {
      return std::string("needs new namespaces: ") + std::strerror(errno);
    }
    folder_ = std::move(folder);
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) {
      return "cannot unshare mounts";
    }
    // So that it shows this network's devices.
    if (::mount("sysfs", "/sys", "sysfs", 0, nullptr) < 0) return "cannot mount /sys";
    return "";
  }

 private:
  UniqueFd network_, mounts_, folder_;
};

// What a program says; its failure is the test's.
inline std::string Output(std::vector<std::string> argv) {
  CommandOptions options;
  options.argv = std::move(argv);
  auto output = RunCommandOrFail(options, Deadline::After(std::chrono::seconds(30)));
  return output ? *output : "failed: " + output.error().ToString();
}

}  // namespace wrenn::os
