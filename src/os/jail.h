// What a jailed program sees of the host: Process::Spawn() starts one with SpawnOptions::jail.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace wrenn::os {

// A program in a jail has mount, pid, ipc, uts, cgroup and network namespaces of its own, and a
// root folder that holds what is named here and nothing else, so no /proc either. It runs as `uid`
// and `gid`, without other groups, without any capability or a way to one (no_new_privs, locked
// securebits, an empty bounding set), without core dumps, and under JailFilter(). It is PID 1 of
// its namespace: whatever it starts ends with it, and of the signals from outside that it has no
// handler for only SIGKILL and SIGSTOP reach it. Needs root and Linux 5.12.
//
// Paths in the jail are absolute, without "." and "..", and each is given once; the folders above
// them are made, of root's and mode 0755. The names and contents of what is bound are the host's;
// whether `uid` may read and write them is decided by their owners and modes, as ever.
struct Jail {
  // A file or a folder of the host, with all that is mounted below it. Nothing in it is a device or
  // sets an id when executed. They are mounted in this order, so that one can be within another.
  struct Bind {
    std::string from;  // symbolic links are followed
    std::string to;
    bool writable = false;
    bool executable = false;  // programs and the libraries that they load
  };
  // A device node of mode 0600 that belongs to `uid`.
  struct Device {
    std::string path;
    dev_t device = 0;
    bool block = false;
  };
  struct Link {
    std::string path;
    std::string target;  // resolved in the jail
  };

  uid_t uid =
      0;  // a user and a group that nobody else has: those of equal uid can signal and trace
  gid_t gid = 0;  // each other. Neither may be 0
  std::vector<Bind> binds;
  std::vector<Device> devices;
  std::vector<std::string> folders;  // empty, writable, of mode 0700, of `uid`
  std::vector<Link> links;           // none of them lies above another path of these lists
  // A network namespace to join; -1: a new one, where even the loopback interface is down.
  int net_namespace = -1;
  uint64_t root_bytes = 1 << 20;  // memory that the files in `folders` may take, all together
};

// Whether this process can jail programs, found out by doing it. The error says what is missing.
Status CheckJail();

}  // namespace wrenn::os
