// A snapshot from another host, which may mean harm.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <set>
#include <utility>

#include "base/id.h"
#include "base/revert.h"
#include "disk/layers.h"
#include "memory/image.h"
#include "os/files.h"
#include "sandbox/snapshot_transfer.h"
#include "sandbox/template_snapshot.h"
#include "snapshot/folder.h"
#include "snapshot/unpack.h"
#include "snapshot/verify.h"
#include "template/foreign.h"
#include "template/garbage.h"
#include "template/workspace.h"

namespace wrenn::sandbox {
namespace {

// What a template may say; whether this host can run it is seen when it shall.
constexpr int kMaxVcpus = 64;
constexpr int kMaxMemoryMb = 1 << 20;

template <typename... Args>
tl::unexpected<Error> Damaged(fmt::format_string<Args...> format, Args&&... args) {
  return Fail(Code::kInvalidArgument, "the packed snapshot is damaged: {}",
              fmt::format(format, std::forward<Args>(args)...));
}

// What our own readers call it when a file of ours is not what it should be is here the fault of
// whoever sent it.
Error BlameFile(Error error) {
  switch (error.code) {
    case Code::kDataLoss:
    case Code::kNotFound:
    case Code::kInvalidArgument:
    case Code::kOutOfRange:
      return Damaged("{}", error.message).value();
    default:
      return error;
  }
}

bool IsSha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Status MoveFile(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) < 0) return Fail(ErrnoError("cannot move '" + from + "'"));
  return {};
}

// One import. Until the last step all of it is in a workspace, in a tree like that below the root:
// so the disk's layers find their image, and what a killed import leaves is removed with the
// workspace.
class Import {
 public:
  Import(Services& services, const template_::Workspace& workspace)
      : services_(services), paths_(services.config.paths), workspace_(workspace) {
    here_.root = workspace.path();
  }

  Status Unpack(snapshot::Unpacker& unpacker) {
    for (const std::string& folder : {Incoming(""), Incoming("kernel"), Incoming("image")}) {
      RETURN_IF_ERROR(os::MakeDirectories(folder));
    }
    RETURN_IF_ERROR(unpacker.Unpack([this](const std::string& name) { return Incoming(name); }));
    for (const auto& file : unpacker.index().files) names_.insert(file.name);
    return {};
  }

  // Everything that can be checked.
  Status Check() {
    auto manifest = ReadManifest();
    if (!manifest) return Fail(BlameFile(std::move(manifest.error())));
    manifest_ = std::move(*manifest);
    RETURN_IF_ERROR(CheckManifest());
    RETURN_IF_ERROR(Arrange());
    if (Status memory = CheckMemory(); !memory) return Fail(BlameFile(memory.error()));
    RETURN_IF_ERROR(CheckNames());
    const auto verdict = snapshot::Verify(Place(), {ImageFile(), manifest_.image},
                                          [this] { return !services_.closing; });
    if (!verdict && verdict.error().code == Code::kCanceled) {
      return Fail(Code::kUnavailable, "the server is shutting down");
    }
    if (!verdict) return Fail(verdict.error());
    if (!verdict->ok()) return Damaged("{}", verdict->problems.front());
    if (Status size = CheckDiskSize(); !size) return Fail(BlameFile(size.error()));
    return CheckKernel();
  }

  // Under the catalogue's lock: puts all in its place, the record last.
  Result<store::TemplateRecord> Publish(const std::string& tenant, const std::string& name,
                                        bool overwrite, const snapshot::PackedIndex& index) {
    ASSIGN_OR_RETURN(const auto lock,
                     template_::LockCatalogue(paths_, Deadline::After(template_::kCatalogueLimit)));
    ASSIGN_OR_RETURN(const auto before, CheckSnapshotName(services_, tenant, name, overwrite));
    Revert revert;
    revert.Add([&] { (void)template_::CollectGarbage(paths_, services_.store, lock); });
    RETURN_IF_ERROR(template_::PublishImage(paths_, workspace_, "images/" + manifest_.image,
                                            manifest_.image, lock));
    store::TemplateRecord record;
    ASSIGN_OR_RETURN(record.kernel, template_::PublishKernel(paths_, workspace_, "incoming/kernel",
                                                             kernel_, lock));
    record.snapshot = NewId("sn");
    RETURN_IF_ERROR(Commit(record.snapshot));
    revert.Add([place = paths_.Snapshot(record.snapshot)] { (void)snapshot::Remove(place); });
    record.id = NewId("tp");
    record.tenant = tenant;
    record.name = name;
    record.type = "snapshot";
    record.image = manifest_.image;
    record.description = index.description;
    record.vcpus = manifest_.vcpus;
    record.memory_mb = manifest_.memory_mb;
    record.size_bytes = os::AllocatedBytes(paths_.Snapshot(record.snapshot));
    record.created_at = std::chrono::system_clock::now();
    RETURN_IF_ERROR(RecordSnapshot(services_, record, before, lock));
    revert.Disarm();
    return record;
  }

 private:
  std::string Incoming(const std::string& name) const { return here_.root + "/incoming/" + name; }
  // Where it lies in the workspace once it is arranged.
  std::string Place() const { return here_.Snapshot(manifest_.id); }
  std::string ImageFile() const { return here_.Image(manifest_.image) + "/rootfs"; }

  Result<snapshot::Manifest> ReadManifest() const {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(Incoming(snapshot::kPackedManifest)));
    return snapshot::ParseManifest(text);
  }

  Status CheckManifest() const {
    if (!IsSha256(manifest_.image)) return Damaged("its image's hash is none");
    if (manifest_.vcpus > kMaxVcpus || manifest_.memory_mb > kMaxMemoryMb) {
      return Damaged("no machine has {} CPUs and {} MiB of memory", manifest_.vcpus,
                     manifest_.memory_mb);
    }
    const auto network = NetworkOf(manifest_.egress, manifest_.network);
    if (!network) return Damaged("its {}", network.error().message);
    return {};
  }

  // Moves what has come to where it would lie below a root.
  Status Arrange() const {
    RETURN_IF_ERROR(os::MakeDirectories(Place()));
    RETURN_IF_ERROR(os::MakeDirectories(here_.Images()));
    for (const std::string& name : names_) {
      if (name.find('/') != std::string::npos) continue;
      RETURN_IF_ERROR(MoveFile(Incoming(name), Place() + "/" + name));
    }
    return MoveFile(Incoming("image"), here_.Image(manifest_.image));
  }

  Status CheckMemory() {
    ASSIGN_OR_RETURN(const memory::Image image, memory::Load(Place()));
    if (image.size != static_cast<uint64_t>(manifest_.memory_mb) << 20) {
      return Damaged("its memory is not as large as the machine's");
    }
    for (const memory::ImageFile& file : image.files) memory_.insert(file.name);
    return {};
  }

  // Neither more nor fewer files than are of use.
  Status CheckNames() const {
    const std::set<std::string> layers(manifest_.layers.begin(), manifest_.layers.end());
    for (const auto& [wanted, kind] : {std::pair(&layers, &snapshot::IsLayerName),
                                       std::pair(&memory_, &snapshot::IsMemoryName)}) {
      for (const std::string& name : *wanted) {
        if (!names_.contains(name)) return Damaged("'{}' is missing", name);
      }
      for (const std::string& name : names_) {
        if (kind(name) && !wanted->contains(name)) return Damaged("nothing names '{}'", name);
      }
    }
    return {};
  }

  // A sandbox gets a disk as large as the top layer; what is promised to it is what the manifest
  // says.
  Status CheckDiskSize() const {
    ASSIGN_OR_RETURN(const uint64_t size,
                     disk::VirtualSize(Place() + "/" + manifest_.layers.front()));
    if (size > static_cast<uint64_t>(manifest_.disk_mb) << 20) {
      return Damaged("its disk is larger than it says");
    }
    return {};
  }

  Status CheckKernel() {
    auto kernel = template_::IdentifyKernel(Incoming("kernel"));
    if (!kernel) return Fail(BlameFile(std::move(kernel.error())));
    if (manifest_.kernel != kernel->own && manifest_.kernel != kernel->hash) {
      return Damaged("its kernel is another than the machine had");
    }
    kernel_ = std::move(*kernel);
    return {};
  }

  Status Commit(const std::string& id) {
    ASSIGN_OR_RETURN(snapshot::Draft draft, snapshot::Draft::Make(paths_.Snapshot(id)));
    for (const std::string& name : names_) {
      if (name.find('/') != std::string::npos || name == snapshot::kPackedManifest) continue;
      RETURN_IF_ERROR(MoveFile(Place() + "/" + name, draft.path() + "/" + name));
    }
    manifest_.parent = std::exchange(manifest_.id, id);
    // One from an earlier version has none; here it is known to be whole.
    RETURN_IF_ERROR(snapshot::AddLayerDigests(draft.path(), manifest_));
    return draft.Commit(manifest_, snapshot::Durability::kDurable);
  }

  Services& services_;
  const os::Paths& paths_;
  const template_::Workspace& workspace_;
  os::Paths here_;  // only its root is used
  std::set<std::string> names_;
  std::set<std::string> memory_;
  snapshot::Manifest manifest_;
  template_::ForeignKernel kernel_;
};

// Room on the disk for one import, as long as it lives.
class Room {
 public:
  static Result<Room> Reserve(Services& services, uint64_t bytes) {
    Room room(services, bytes);
    const uint64_t promised = services.promised_disk += bytes;
    ASSIGN_OR_RETURN(const uint64_t left, os::FreeDiskBytes(services.config.paths.root));
    const auto spare_mb =
        static_cast<uint64_t>(std::max<int64_t>(0, services.config.limits.min_free_disk_mb));
    const uint64_t left_mb = left >> 20;
    if (left_mb >= spare_mb && promised >> 20 < left_mb - spare_mb) return room;
    return Fail(Code::kResourceExhausted,
                "the snapshot takes {} MiB, and {} MiB of disk are free, of which {} must stay so: "
                "remove sandboxes or templates, or free space otherwise",
                (bytes >> 20) + 1, left_mb, spare_mb);
  }
  Room(Room&& other) noexcept
      : services_(other.services_), bytes_(std::exchange(other.bytes_, 0)) {}
  Room& operator=(Room&&) = delete;
  ~Room() { services_.promised_disk -= bytes_; }

 private:
  Room(Services& services, uint64_t bytes) : services_(services), bytes_(bytes) {}
  Services& services_;
  uint64_t bytes_;
};

}  // namespace

Result<store::TemplateRecord> ImportSnapshot(Services& services, const std::string& tenant,
                                             const std::string& name, bool overwrite,
                                             snapshot::ByteSource source) {
  const auto check_name = [&](const std::string& wanted) {
    const auto checked = CheckSnapshotName(services, tenant, wanted, overwrite);
    return checked ? Status() : Fail(checked.error());
  };
  // Before gigabytes have been sent.
  if (!name.empty()) RETURN_IF_ERROR(check_name(name));
  ASSIGN_OR_RETURN(snapshot::Unpacker unpacker, snapshot::Unpacker::Open(std::move(source)));
  const std::string& wanted = name.empty() ? unpacker.index().name : name;
  RETURN_IF_ERROR(check_name(wanted));
  ASSIGN_OR_RETURN(const Room room, Room::Reserve(services, unpacker.index().DataBytes()));

  ASSIGN_OR_RETURN(const auto workspace, template_::Workspace::Make(services.config.paths));
  Import import(services, workspace);
  RETURN_IF_ERROR(import.Unpack(unpacker));
  RETURN_IF_ERROR(import.Check());
  return import.Publish(tenant, wanted, overwrite, unpacker.index());
}

}  // namespace wrenn::sandbox
