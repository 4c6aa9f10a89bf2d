#include "memory/chunks.h"

#include <algorithm>
#include <cstring>

namespace wrenn::memory {
namespace {

std::string_view Text(std::span<const char> bytes) { return {bytes.data(), bytes.size()}; }

// A source of zeros.
constexpr size_t kZeros = 64 << 10;
const char* Zeros() {
  static const char zeros[kZeros] = {};
  return zeros;
}

void AddZerosTo(os::Sha256& digest, uint64_t count) {
  for (; count > 0; count -= std::min<uint64_t>(count, kZeros)) {
    digest.Update({Zeros(), std::min<uint64_t>(count, kZeros)});
  }
}

}  // namespace

bool IsZero(std::span<const char> bytes) {
  // Compared with itself, shifted by 8: the C library's memcmp is vectorised and ends early.
  constexpr size_t kShift = 8;
  for (size_t i = 0; i < std::min(bytes.size(), kShift); ++i) {
    if (bytes[i] != 0) return false;
  }
  return bytes.size() <= kShift ||
         std::memcmp(bytes.data(), bytes.data() + kShift, bytes.size() - kShift) == 0;
}

ChunkDigest DigestOfChunk(std::span<const char> bytes) {
  return IsZero(bytes) ? ChunkDigest{} : os::Sha256Bytes(Text(bytes));
}

bool SaysZero(const ChunkDigest& digest) { return digest == ChunkDigest{}; }

void ChunkDigester::AddData(std::span<const char> bytes) {
  while (!bytes.empty()) {
    const size_t step = std::min<uint64_t>(bytes.size(), LeftInChunk());
    if (!digest_) {
      digest_.emplace();
      AddZerosTo(*digest_, position_ % kChunkSize);
    }
    digest_->Update(Text(bytes.first(step)));
    Advance(step);
    bytes = bytes.subspan(step);
  }
}

void ChunkDigester::AddZeros(uint64_t count) {
  while (count > 0) {
    const uint64_t step = std::min(count, LeftInChunk());
    if (digest_) AddZerosTo(*digest_, step);
    Advance(step);
    count -= step;
  }
}

void ChunkDigester::Advance(uint64_t bytes) {
  position_ += bytes;
  if (position_ % kChunkSize == 0) EndChunk();
}

void ChunkDigester::EndChunk() {
  chunks_.push_back(digest_ ? digest_->Finish() : ChunkDigest{});
  digest_.reset();
}

std::vector<ChunkDigest> ChunkDigester::Finish() {
  if (position_ % kChunkSize != 0) EndChunk();
  return std::move(chunks_);
}

}  // namespace wrenn::memory
