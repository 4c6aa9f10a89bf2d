#include "sandbox/source.h"

#include <algorithm>

#include "disk/layers.h"
#include "os/digest.h"
#include "os/files.h"
#include "sandbox/warm_pool.h"

namespace wrenn::sandbox {
namespace {

// What a machine's fingerprint depends on.
vmm::MachineConfig Shape(int vcpus, int memory_mb, bool egress) {
  vmm::MachineConfig config;
  config.vcpus = vcpus;
  config.memory_mb = memory_mb;
  config.network = egress;
  config.memory = "/memory";
  config.disk = "/disk.qcow2";
  return config;
}

// All that makes one template's machine another than the next one's.
std::string WarmPlace(const Services& services, const store::SandboxRecord& record) {
  const std::string key =
      os::Sha256Hex(fmt::format("{} {} {} {} {} {} {}", record.image, record.kernel, record.vcpus,
                                record.memory_mb, record.disk_mb, record.egress, record.tenant));
  return services.config.paths.Warm() + "/" + key.substr(0, 32);
}

// A sandbox that starts from it has a disk of its kind: a block device, or none.
bool IsOfBackend(const snapshot::Manifest& manifest, const std::string& backend) {
  return disk::NeedsDevice(manifest.layers.front()) == (backend == "dm-snapshot");
}

Result<Source> OfTemplateSnapshot(const Services& services, const store::SandboxRecord& record,
                                  const template_::Resolved& from, bool cold) {
  const std::string place = services.config.paths.Snapshot(from.record.snapshot);
  const std::string origin = fmt::format("snapshot '{}'", from.record.name);
  ASSIGN_OR_RETURN(snapshot::Manifest manifest, snapshot::ReadManifest(place));
  if (!cold && manifest.vcpus == record.vcpus && manifest.memory_mb == record.memory_mb &&
      manifest.egress == record.egress && manifest.disk_mb == record.disk_mb) {
    return SourceOfSnapshot(services, place, origin, "snapshot");
  }
  Source source;
  source.boot = from;
  source.snapshot = place;
  source.manifest = std::move(manifest);
  source.cold = true;
  source.origin = cold ? "boot: without the memory of " + origin
                       : "boot: other processors, memory, disk or network than those of " + origin;
  return source;
}

// Whether a failed restore says that the snapshot is damaged, lacks a file or does not fit, and not
// that the host has too little of something just now. One that did not answer in time goes too: the
// next would wait as long for it, which a boot does not take.
bool IsAtFault(const Error& why) {
  return why.code == Code::kDataLoss || why.code == Code::kNotFound ||
         why.code == Code::kFailedPrecondition || why.code == Code::kDeadlineExceeded;
}

}  // namespace

Status CheckFits(const Services& services, const vmm::MachineConfig& shape,
                 const snapshot::Manifest& manifest) {
  Status fits = services.engine.CheckFingerprint(shape, manifest.fingerprint);
  if (fits || fits.error().code != Code::kFailedPrecondition) return fits;
  Error error = std::move(fits.error());
  error.message += "; what is on its disk can be booted without its memory: 'cold' (--cold)";
  return Fail(std::move(error));
}

Result<Source> SourceOfSnapshot(const Services& services, const std::string& place,
                                std::string origin, const char* kind) {
  Source source;
  ASSIGN_OR_RETURN(source.manifest, snapshot::ReadManifest(place));
  const snapshot::Manifest& made = *source.manifest;
  RETURN_IF_ERROR(CheckFits(services, Shape(made.vcpus, made.memory_mb, made.egress), made));
  source.snapshot = place;
  source.origin = std::move(origin);
  source.kind = kind;
  return source;
}

bool FallBack(Source& source, const Error& why) {
  if (source.ready) {
    source.ready.reset();
    return true;
  }
  if (!source.IsRestore() || source.warm.empty()) return false;
  if (IsAtFault(why)) {
    (void)snapshot::Remove(source.snapshot);
  } else {
    source.warm.clear();  // there is one
  }
  source.snapshot.clear();
  source.manifest.reset();
  source.origin = "boot: the template's warm machine did not come up";
  source.kind = "boot";
  return true;
}

Status FillFromSnapshot(const Services& services, const template_::Resolved& from,
                        CreateRequest& request) {
  if (from.record.snapshot.empty()) return {};
  ASSIGN_OR_RETURN(const snapshot::Manifest manifest,
                   snapshot::ReadManifest(services.config.paths.Snapshot(from.record.snapshot)));
  if (!request.disk_mb) request.disk_mb = manifest.disk_mb;
  auto network = NetworkOf(manifest.egress, manifest.network);
  if (!network) return Fail(Code::kDataLoss, "the snapshot's {}", network.error().message);
  // With another policy whether there is a network follows from that.
  if (request.network == Network()) request.has_network = manifest.egress;
  request.network = Merge(*network, request.network);
  return {};
}

Result<Source> SourceOf(const Services& services, const store::SandboxRecord& record,
                        const template_::Resolved& from, bool cold) {
  if (!services.engine.info().snapshots) {
    if (!from.record.snapshot.empty()) {
      return Fail(Code::kFailedPrecondition,
                  "template '{}' is a machine's snapshot, which {} cannot start yet: use one that "
                  "was built",
                  from.record.name, services.engine.info().name);
    }
    Source source;
    source.boot = from;
    return source;
  }
  if (!from.record.snapshot.empty()) {
    return OfTemplateSnapshot(services, record, from, cold);
  }
  if (cold) {
    Source source;
    source.boot = from;
    source.origin = "boot: asked for";
    return source;
  }
  const std::string place = WarmPlace(services, record);
  if (os::Exists(place)) {
    auto warm = SourceOfSnapshot(services, place, "template", "template");
    if (warm && IsOfBackend(*warm->manifest, record.disk_backend)) {
      warm->boot = from;
      warm->warm = place;
      return warm;
    }
    // A cache: what does not fit any more (QEMU has been updated, say) is made anew.
    (void)snapshot::Remove(place);
  }
  Source source;
  source.boot = from;
  source.warm = place;
  return source;
}

void PruneWarm(const Services& services) {
  const std::string folder = services.config.paths.Warm();
  const auto templates = services.store.ListAllTemplates();
  const auto names = os::ListDirectory(folder);
  if (!templates || !names) return;
  for (const std::string& name : *names) {
    if (snapshot::IsDraft(name)) continue;  // it is being made
    const auto manifest = snapshot::ReadManifest(folder + "/" + name);
    const auto made_of = [&](const store::TemplateRecord& record) {
      return record.image == manifest->image && record.kernel == manifest->kernel;
    };
    if (manifest && std::ranges::any_of(*templates, made_of)) continue;
    (void)snapshot::Remove(folder + "/" + name);
  }
}

}  // namespace wrenn::sandbox
