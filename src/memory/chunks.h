// Digests of a file's chunks (kChunkSize).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "memory/image.h"
#include "os/digest.h"

namespace wrenn::memory {

// Whether all bytes are 0; true for none.
bool IsZero(std::span<const char> bytes);

// The digest of one chunk's bytes: the special one where they are all zeros.
ChunkDigest DigestOfChunk(std::span<const char> bytes);

// Whether the digest is the one that says "all zeros".
bool SaysZero(const ChunkDigest& digest);

// Digests of a file that is given from its beginning to its end. Chunks without data cost nothing.
class ChunkDigester {
 public:
  uint64_t position() const { return position_; }
  // Bytes that are not all zeros.
  void AddData(std::span<const char> bytes);
  void AddZeros(uint64_t count);
  // The digests of all that was added. The object is spent then.
  std::vector<ChunkDigest> Finish();

 private:
  uint64_t LeftInChunk() const { return kChunkSize - position_ % kChunkSize; }
  void Advance(uint64_t bytes);
  void EndChunk();

  uint64_t position_ = 0;
  std::optional<os::Sha256> digest_;  // of the chunk at position_; none while it is all zeros
  std::vector<ChunkDigest> chunks_;
};

}  // namespace wrenn::memory
