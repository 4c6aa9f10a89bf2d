// Source: what a sandbox's machine starts from.
#pragma once

#include <optional>
#include <string>

#include "sandbox/services.h"
#include "snapshot/folder.h"

namespace wrenn::sandbox {

struct ReadyMachine;

struct Source {
  // One of the warm pool, made of `snapshot`; else null.
  std::shared_ptr<ReadyMachine> ready;

  // What is booted; of a restored machine only where its image is.
  template_::Resolved boot;

  // A snapshot's folder, with its manifest, to restore from. With `cold` only its disk is taken,
  // and the machine boots.
  std::string snapshot;
  std::optional<snapshot::Manifest> manifest;
  bool cold = false;

  // Where the warm machine of the template is, or is to be kept: a snapshot of a machine just
  // booted, before it has learnt anything of the sandbox that it is for. Empty: nowhere.
  std::string warm;

  bool IsRestore() const { return manifest && !cold; }

  // For the record: "boot", "template", "fork of sb-...".
  std::string origin = "boot";
  // The same in one word, for counting.
  const char* kind = "boot";
};

// What a request leaves open and the template's snapshot, if it has one, decides. Errors of Open().
Status FillFromSnapshot(const Services& services, const template_::Resolved& from,
                        CreateRequest& request);

// What a new sandbox of this template starts from: its snapshot where it has one that fits, else
// the warm machine of an earlier boot, else a boot; with `cold` a boot in any case.
// kFailedPrecondition when its snapshot cannot be restored on this host, kDataLoss when it is
// damaged.
Result<Source> SourceOf(const Services& services, const store::SandboxRecord& record,
                        const template_::Resolved& from, bool cold);

// kFailedPrecondition, with the remedy, when a machine of this shape cannot take up the snapshot.
Status CheckFits(const Services& services, const vmm::MachineConfig& shape,
                 const snapshot::Manifest& manifest);

// A snapshot by its folder. Errors as above.
Result<Source> SourceOfSnapshot(const Services& services, const std::string& place,
                                std::string origin, const char* kind);

// After a failure to start from it: makes it the next best, a restore instead of a machine of the
// pool, a boot instead of a template's warm machine (which is removed where that was at fault: it
// is only a cache). False when there is none.
bool FallBack(Source& source, const Error& why);

// Removes the warm machines of templates that are gone.
void PruneWarm(const Services& services);

}  // namespace wrenn::sandbox
