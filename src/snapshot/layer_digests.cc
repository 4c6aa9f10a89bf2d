#include "snapshot/layer_digests.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <vector>

#include "disk/backend.h"
#include "disk/sparse_copy.h"
#include "memory/chunks.h"
#include "os/digest.h"

namespace wrenn::snapshot {
namespace {

// Where the next data is; `size` when nothing but a hole follows.
Result<uint64_t> NextData(int fd, uint64_t at, uint64_t size) {
  const off_t data = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
  if (data < 0 && errno != ENXIO) return Fail(ErrnoError("cannot find the disk's data"));
  return data < 0 ? size : std::min(static_cast<uint64_t>(data), size);
}

void AddNumber(os::Sha256& sha, uint64_t number) {
  std::string bytes;
  for (int shift = 0; shift < 64; shift += 8) bytes.push_back(static_cast<char>(number >> shift));
  sha.Update(bytes);
}

void AddChunk(os::Sha256& sha, const memory::ChunkDigest& chunk) {
  sha.Update({reinterpret_cast<const char*>(chunk.data()), chunk.size()});
}

}  // namespace

Result<std::string> DigestLayer(const std::string& path, const GoOn& go_on, uint64_t* read) {
  ASSIGN_OR_RETURN(const UniqueFd fd, disk::OpenImage(path));
  struct stat info;
  if (::fstat(fd.get(), &info) < 0) return Fail(ErrnoError("cannot read the disk"));
  const auto size = static_cast<uint64_t>(info.st_size);
  std::vector<char> buffer(memory::kChunkSize);
  os::Sha256 sha;
  AddNumber(sha, size);
  for (uint64_t at = 0; at < size;) {
    if (go_on && !go_on()) return Fail(Code::kCanceled, "it was broken off");
    ASSIGN_OR_RETURN(const uint64_t data, NextData(fd.get(), at, size));
    for (; at < size && (data == size || at + memory::kChunkSize <= data);
         at += memory::kChunkSize) {
      AddChunk(sha, memory::ChunkDigest{});
    }
    if (at >= size) break;
    const std::span<char> chunk(buffer.data(), std::min(memory::kChunkSize, size - at));
    ASSIGN_OR_RETURN(const size_t got, disk::ReadAt(fd.get(), chunk, at));
    if (got != chunk.size()) return Fail(Code::kDataLoss, "it became shorter");
    AddChunk(sha, memory::DigestOfChunk(chunk));
    at += got;
    if (read != nullptr) *read += got;
  }
  return sha.FinishHex();
}

Status AddLayerDigests(const std::string& folder, Manifest& manifest, const GoOn& go_on,
                       uint64_t most_bytes) {
  for (const std::string& layer : manifest.layers) {
    const std::string path = folder + "/" + layer;
    if (manifest.layer_digests.contains(layer) || disk::AllocatedBytes(path) > most_bytes) continue;
    ASSIGN_OR_RETURN(manifest.layer_digests[layer], DigestLayer(path, go_on));
  }
  return {};
}

bool HasAllDigests(const Manifest& manifest) {
  return std::ranges::all_of(manifest.layers, [&](const std::string& layer) {
    return manifest.layer_digests.contains(layer);
  });
}

}  // namespace wrenn::snapshot
