// A snapshot's folder: built beside its place, then there as a whole.
//
//   snapshots/<id>/   manifest.json (last), state, memory.map, memory-*, disk-*
//
// Files that snapshots and sandboxes have in common are hard links; none is ever written again
// (docs/adr/0006-snapshots.md).
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "snapshot/manifest.h"

namespace wrenn::snapshot {

// Names in the folder.
inline constexpr const char* kManifestFile = "/manifest.json";
inline constexpr const char* kStateFile = "/state";

// Whether a snapshot must outlive the host's crash, or only this server and its machines.
enum class Durability { kDurable, kPassing };

// A snapshot in the making, removed again at the end of its life unless committed.
class Draft {
 public:
  // `place` is where it shall be: <root>/snapshots/<id>.
  static Result<Draft> Make(const std::string& place);
  Draft(Draft&& other) noexcept : place_(std::move(other.place_)), path_(other.Release()) {}
  Draft& operator=(Draft&&) = delete;
  ~Draft();

  // The folder as long as it is a draft.
  const std::string& path() const { return path_; }

  // Fills in the manifest's sizes, lengths of layers and digests of state and memory map, writes
  // it, moves the folder to its place. kDurable: all is on the disk when this returns, manifest
  // last. kAlreadyExists when there is a snapshot.
  Status Commit(Manifest& manifest, Durability durability);

 private:
  Draft(std::string place, std::string path) : place_(std::move(place)), path_(std::move(path)) {}
  std::string Release() { return std::exchange(path_, {}); }

  std::string place_;
  std::string path_;
};

// Reads a snapshot's manifest. kNotFound when there is none, kDataLoss when it is damaged,
// kUnimplemented for a newer format.
Result<Manifest> ReadManifest(const std::string& place);
// Compares the digests of state and memory map and the lengths of layers with the manifest's:
// before a machine is made of them. kDataLoss when one is missing or another.
Status CheckFiles(const std::string& place, const Manifest& manifest);
// Both.
Result<Manifest> Open(const std::string& place);

// Puts another manifest in the place of a snapshot's, durably: one that says more of the same
// files.
Status ReplaceManifest(const std::string& place, const Manifest& manifest);

// After a change of its files: fills in the manifest as Draft::Commit() does and replaces it,
// durably with all files. Only of a snapshot that nothing else uses or names yet.
Status Seal(const std::string& place, Manifest& manifest);

// Removes one, the manifest first, so that it is whole or none. Harmless when absent.
Status Remove(const std::string& place);

// Whether this is the name of a draft's folder.
bool IsDraft(std::string_view name);
// Removes what drafts left in a folder of snapshots whose server was killed.
void RemoveDrafts(const std::string& parent);

}  // namespace wrenn::snapshot
