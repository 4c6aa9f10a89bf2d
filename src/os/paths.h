// Where wrenn keeps its files. The tree below the root:
//
//   wrenn.db                         records (SQLite)
//   api-key                          the key made at first start, mode 0600
//   server.log  server.pid           of a server in the background
//   kernels/<hash>/                  vmlinux, initramfs, manifest.json
//   images/<hash>/                   rootfs (immutable), manifest.json
//   sandboxes/<id>/                  disk-*, console.log, vmm.log
//   snapshots/<id>/                  manifest.json (last), state, memory.map, memory-*, disk-*
//   warm/<key>/                      the same, of templates' machines just booted: a cache
//   tmp/                             builds in progress, each with a lock file
//
// Below the runtime folder, all of mode 0700:
//
//   server.lock                      held by the server that uses it; names that server's root
//   sb/<id>/                         sockets
//   slots/wrenn-<number>             network namespaces of slots (mounts); slots/next: a number
#pragma once

#include <string>

#include "base/result.h"

namespace wrenn::os {

struct Paths {
  std::string root;     // /var/lib/wrenn, or $XDG_DATA_HOME/wrenn without root
  std::string runtime;  // /run/wrenn, or <root>/run without root or of a chosen root

  // From $WRENN_ROOT and $WRENN_RUNTIME where set, else by the rules above. A set root without a
  // set runtime puts it at <root>/run. Nothing else counts, so that every login finds the same
  // place (docs/adr/0007).
  static Result<Paths> FromEnvironment();

  std::string Database() const { return root + "/wrenn.db"; }
  std::string KeyFile() const { return root + "/api-key"; }
  std::string ServerLog() const { return root + "/server.log"; }
  std::string PidFile() const { return root + "/server.pid"; }
  std::string Kernels() const { return root + "/kernels"; }
  std::string Kernel(const std::string& hash) const { return Kernels() + "/" + hash; }
  std::string Images() const { return root + "/images"; }
  std::string Image(const std::string& hash) const { return Images() + "/" + hash; }
  std::string Sandboxes() const { return root + "/sandboxes"; }
  std::string Sandbox(const std::string& id) const { return Sandboxes() + "/" + id; }
  std::string Snapshots() const { return root + "/snapshots"; }
  std::string Snapshot(const std::string& id) const { return Snapshots() + "/" + id; }
  std::string Warm() const { return root + "/warm"; }
  std::string Temporary() const { return root + "/tmp"; }
  std::string RuntimeLock() const { return runtime + "/server.lock"; }
  std::string SandboxRuntime(const std::string& id) const { return runtime + "/sb/" + id; }

  // Makes the folders that must exist, mode 0700.
  Status Prepare() const;
};

}  // namespace wrenn::os
