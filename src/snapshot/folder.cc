#include "snapshot/folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/id.h"
#include "base/io.h"
#include "os/digest.h"
#include "os/files.h"

namespace wrenn::snapshot {
namespace {

constexpr const char* kMemoryMap = "/memory.map";
constexpr std::string_view kDraftSuffix = ".draft";
constexpr size_t kMaxManifest = 1 << 20;  // bytes

std::string ParentOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

// Whatever has been synced before costs next to nothing.
Status SyncFiles(const std::string& folder) {
  ASSIGN_OR_RETURN(const auto names, os::ListDirectory(folder));
  for (const std::string& name : names) RETURN_IF_ERROR(SyncFile(folder + "/" + name));
  return SyncDirectory(folder);
}

Result<Sizes> Measure(const std::string& folder) {
  ASSIGN_OR_RETURN(const auto names, os::ListDirectory(folder));
  Sizes sizes;
  for (const std::string& name : names) {
    const uint64_t bytes = os::AllocatedBytes(folder + "/" + name);
    if ("/" + name == kStateFile) sizes.state = bytes;
    if (name.starts_with("memory-")) sizes.memory += bytes;
    if (name.starts_with("disk-")) sizes.disk += bytes;
  }
  return sizes;
}

// Those of layers that are there.
std::map<std::string, uint64_t> LayerBytes(const std::string& folder,
                                           const std::vector<std::string>& layers) {
  std::map<std::string, uint64_t> bytes;
  for (const std::string& layer : layers) {
    struct stat stat{};
    if (::stat((folder + "/" + layer).c_str(), &stat) != 0) continue;
    bytes.emplace(layer, static_cast<uint64_t>(stat.st_size));
  }
  return bytes;
}

// What follows from the files.
Status FillIn(const std::string& folder, Manifest& manifest) {
  ASSIGN_OR_RETURN(manifest.state_digest, os::Sha256File(folder + kStateFile));
  ASSIGN_OR_RETURN(manifest.memory_digest, os::Sha256File(folder + kMemoryMap));
  manifest.layer_bytes = LayerBytes(folder, manifest.layers);
  ASSIGN_OR_RETURN(manifest.sizes, Measure(folder));
  return {};
}

// That a file is missing is damage too, not "no such snapshot".
Status CheckDigest(const std::string& path, const std::string& wanted, const char* what) {
  const auto found = os::Sha256File(path);
  if (found && *found == wanted) return {};
  if (!found && found.error().code != Code::kNotFound) return Fail(found.error());
  return Fail(Error{Code::kDataLoss,
                    fmt::format("the snapshot's {} is {}", what, found ? "damaged" : "missing"),
                    path});
}

// The file is ours: that it is not what it should be is no fault of who asked.
Error DamagedManifest(const Error& why, const std::string& place) {
  return {Code::kDataLoss, "the snapshot's manifest is damaged: " + why.message, place};
}

// Better none than one that cannot be opened again.
Result<std::string> TextOf(const Manifest& manifest) {
  std::string text = json::serialize(manifest.ToJson()) + "\n";
  if (auto readable = ParseManifest(text); !readable) {
    return Fail(Error{Code::kInternal, "the snapshot's manifest would be damaged",
                      readable.error().ToString()});
  }
  return text;
}

}  // namespace

Result<Draft> Draft::Make(const std::string& place) {
  // Two may be made for one place: the first that is committed has it.
  std::string path = fmt::format("{}.{}{}", place, RandomHex(8), kDraftSuffix);
  RETURN_IF_ERROR(os::MakeDirectory(path));
  return Draft(place, std::move(path));
}

Draft::~Draft() {
  // What cannot be removed now is for RemoveDrafts().
  if (!path_.empty()) (void)os::RemoveTree(path_);
}

Status Draft::Commit(Manifest& manifest, Durability durability) {
  RETURN_IF_ERROR(FillIn(path_, manifest));
  ASSIGN_OR_RETURN(const std::string text, TextOf(manifest));
  if (durability == Durability::kDurable) RETURN_IF_ERROR(SyncFiles(path_));
  RETURN_IF_ERROR(ReplaceFile(path_ + kManifestFile, text, 0600));
  if (durability == Durability::kDurable) RETURN_IF_ERROR(SyncFiles(path_));
  if (::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, place_.c_str(), RENAME_NOREPLACE) < 0) {
    return Fail(ErrnoError("cannot put snapshot '" + manifest.id + "' in its place"));
  }
  path_.clear();
  if (durability == Durability::kDurable) RETURN_IF_ERROR(SyncDirectory(ParentOf(place_)));
  return {};
}

Result<Manifest> ReadManifest(const std::string& place) {
  auto text = ReadFile(place + kManifestFile, kMaxManifest);
  if (!text && text.error().code == Code::kNotFound) {
    return Fail(Error{Code::kNotFound, "the snapshot is not there", place});
  }
  if (!text && text.error().code == Code::kOutOfRange) {
    return Fail(DamagedManifest({Code::kDataLoss, "it is too large", {}}, place));
  }
  if (!text) return Fail(std::move(text.error()));
  Result<Manifest> manifest = ParseManifest(*text);
  if (!manifest && manifest.error().code == Code::kInvalidArgument) {
    return Fail(DamagedManifest(manifest.error(), place));
  }
  return manifest;
}

Status CheckFiles(const std::string& place, const Manifest& manifest) {
  RETURN_IF_ERROR(CheckDigest(place + kStateFile, manifest.state_digest, "machine state"));
  RETURN_IF_ERROR(CheckDigest(place + kMemoryMap, manifest.memory_digest, "memory map"));
  if (manifest.layer_bytes.empty()) return {};  // of an older wrenn
  if (LayerBytes(place, manifest.layers) == manifest.layer_bytes) return {};
  return Fail(
      Error{Code::kDataLoss, "the snapshot's disk is damaged: a layer is not whole", place});
}

Result<Manifest> Open(const std::string& place) {
  ASSIGN_OR_RETURN(Manifest manifest, ReadManifest(place));
  RETURN_IF_ERROR(CheckFiles(place, manifest));
  return manifest;
}

Status ReplaceManifest(const std::string& place, const Manifest& manifest) {
  ASSIGN_OR_RETURN(const std::string text, TextOf(manifest));
  return WriteFileAtomically(place + kManifestFile, text, 0600);
}

Status Seal(const std::string& place, Manifest& manifest) {
  RETURN_IF_ERROR(FillIn(place, manifest));
  RETURN_IF_ERROR(SyncFiles(place));
  return ReplaceManifest(place, manifest);
}

Status Remove(const std::string& place) {
  const std::string manifest = place + kManifestFile;
  if (::unlink(manifest.c_str()) < 0 && errno != ENOENT && errno != ENOTDIR) {
    return Fail(ErrnoError("cannot remove '" + manifest + "'"));
  }
  return os::RemoveTree(place);
}

bool IsDraft(std::string_view name) { return name.ends_with(kDraftSuffix); }

void RemoveDrafts(const std::string& parent) {
  const auto names = os::ListDirectory(parent);
  if (!names) return;
  for (const std::string& name : *names) {
    if (IsDraft(name)) (void)os::RemoveTree(parent + "/" + name);
  }
}

}  // namespace wrenn::snapshot
