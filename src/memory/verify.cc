#include "memory/verify.h"

#include <algorithm>
#include <vector>

#include "memory/image_files.h"

namespace wrenn::memory {
namespace {

uint64_t ChunkLength(const ImageFile& file, uint64_t chunk) {
  return std::min(kChunkSize, file.size - chunk * kChunkSize);
}

Status Damaged(const ImageFile& file, uint64_t chunk) {
  return Fail(Code::kDataLoss, "chunk {} of the snapshot's file '{}' is damaged", chunk, file.name);
}

Status VerifyChunk(const ImageFile& file, int fd, uint64_t chunk, std::span<char> buffer) {
  if (SaysZero(file.chunks[chunk])) {
    // A hole need not be read.
    ASSIGN_OR_RETURN(const Ranges data, DataIn(fd, {chunk * kChunkSize, ChunkLength(file, chunk)}));
    if (data.empty()) return {};
  }
  ASSIGN_OR_RETURN([[maybe_unused]] auto bytes, ReadChunk(file, fd, chunk, buffer));
  return {};
}

}  // namespace

Result<std::span<char>> ReadChunk(const ImageFile& file, int fd, uint64_t chunk,
                                  std::span<char> buffer) {
  const std::span<char> bytes = buffer.first(ChunkLength(file, chunk));
  RETURN_IF_ERROR(ReadAt(fd, chunk * kChunkSize, bytes));
  const ChunkDigest& wanted = file.chunks[chunk];
  // Not by DigestOfChunk: a chunk of zeros may have either digest.
  const bool right =
      SaysZero(wanted) ? IsZero(bytes) : os::Sha256Bytes({bytes.data(), bytes.size()}) == wanted;
  if (!right) RETURN_IF_ERROR(Damaged(file, chunk));
  return bytes;
}

Status Verify(const Image& image, const std::string& directory,
              const std::function<void(uint64_t, uint64_t)>& progress) {
  RETURN_IF_ERROR(image.Check());
  uint64_t total = 0;
  for (const ImageFile& file : image.files) total += file.size;
  uint64_t done = 0;
  std::vector<char> buffer(kChunkSize);
  for (const ImageFile& file : image.files) {
    ASSIGN_OR_RETURN(const UniqueFd fd, OpenImageFile(file, directory));
    for (uint64_t chunk = 0; chunk < file.chunks.size(); ++chunk) {
      RETURN_IF_ERROR(VerifyChunk(file, fd.get(), chunk, buffer));
      done += ChunkLength(file, chunk);
      if (progress) progress(done, total);
    }
  }
  return {};
}

}  // namespace wrenn::memory
