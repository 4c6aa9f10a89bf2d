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

std::string ParentOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

Status SyncFile(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd || ::fsync(fd.get()) < 0) return Fail(ErrnoError("cannot sync '" + path + "'"));
  return {};
}

Status CheckDigest(const std::string& path, const std::string& wanted, const char* what) {
  ASSIGN_OR_RETURN(const std::string found, os::Sha256File(path));
  if (found == wanted) return {};
  return Fail(Error{Code::kDataLoss, fmt::format("the snapshot's {} is damaged", what), path});
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
  ASSIGN_OR_RETURN(manifest.state_digest, os::Sha256File(path_ + kStateFile));
  ASSIGN_OR_RETURN(manifest.memory_digest, os::Sha256File(path_ + kMemoryMap));
  const std::string text = json::serialize(manifest.ToJson()) + "\n";
  RETURN_IF_ERROR(WriteFileAtomically(path_ + kManifestFile, text, 0600));
  if (durability == Durability::kDurable) {
    RETURN_IF_ERROR(SyncFile(path_ + kStateFile));
    RETURN_IF_ERROR(SyncDirectory(path_));
  }
  if (::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, place_.c_str(), RENAME_NOREPLACE) < 0) {
    return Fail(ErrnoError("cannot put snapshot '" + manifest.id + "' in its place"));
  }
  path_.clear();
  if (durability == Durability::kDurable) RETURN_IF_ERROR(SyncDirectory(ParentOf(place_)));
  return {};
}

Result<Manifest> Open(const std::string& place) {
  auto text = ReadFile(place + kManifestFile, 1 << 20);
  if (!text && text.error().code == Code::kNotFound) {
    return Fail(Error{Code::kNotFound, "the snapshot is not there", place});
  }
  if (!text) return Fail(std::move(text.error()));
  ASSIGN_OR_RETURN(Manifest manifest, ParseManifest(*text));
  RETURN_IF_ERROR(CheckDigest(place + kStateFile, manifest.state_digest, "machine state"));
  RETURN_IF_ERROR(CheckDigest(place + kMemoryMap, manifest.memory_digest, "memory map"));
  return manifest;
}

Status Remove(const std::string& place) {
  const std::string manifest = place + kManifestFile;
  if (::unlink(manifest.c_str()) < 0 && errno != ENOENT && errno != ENOTDIR) {
    return Fail(ErrnoError("cannot remove '" + manifest + "'"));
  }
  return os::RemoveTree(place);
}

void RemoveDrafts(const std::string& parent) {
  const auto names = os::ListDirectory(parent);
  if (!names) return;
  for (const std::string& name : *names) {
    if (std::string_view(name).ends_with(kDraftSuffix)) (void)os::RemoveTree(parent + "/" + name);
  }
}

}  // namespace wrenn::snapshot
