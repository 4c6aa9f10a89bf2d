// Memory images: what the RAM of a frozen machine was, as a map over immutable files.
//
// The format on disk is in docs/snapshot-format.md.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "memory/range.h"

namespace wrenn::memory {

// Files are checked in pieces of this size.
inline constexpr uint64_t kChunkSize = 1 << 20;

// The SHA-256 of a chunk's bytes (the last chunk of a file may be shorter), or all zeros, which
// says that its bytes are all zeros.
using ChunkDigest = std::array<uint8_t, 32>;

// A file that an image reads from. It lies in the image's folder, perhaps as a hard link, and is
// never written again.
struct ImageFile {
  std::string name;                 // memory-<20 characters of [a-z0-9]>: unique for ever
  uint64_t size = 0;                // bytes, a multiple of kPageSize
  std::vector<ChunkDigest> chunks;  // size / kChunkSize, rounded up
  friend bool operator==(const ImageFile&, const ImageFile&) = default;
};

// Instead of a file's index: no file, all zeros.
inline constexpr uint32_t kZero = UINT32_MAX;

// Where a range's bytes are. All lengths and offsets are multiples of kPageSize.
struct Extent {
  uint64_t offset = 0;  // in guest RAM
  uint64_t length = 0;
  uint32_t file = kZero;     // index into Image::files, or kZero
  uint64_t file_offset = 0;  // 0 for kZero
  uint64_t end() const { return offset + length; }
  friend bool operator==(const Extent&, const Extent&) = default;
};

// All of a guest's RAM. Reading never walks a chain: one look into `extents` finds every byte.
struct Image {
  uint64_t size = 0;             // bytes of RAM, a multiple of kPageSize
  std::vector<ImageFile> files;  // each used by some extent, but for the base
  uint32_t base =
      kZero;  // the file that a VMM maps: as large as RAM, at the same offsets; or kZero
  std::vector<Extent> extents;  // sorted, gapless from 0 to `size`; neighbours are merged

  // RAM that is all zeros, without a file.
  static Image Zero(uint64_t size);

  // The same with `changes` (sorted, not overlapping, within RAM; their `file` is kZero or an index
  // into `files`) on top. Files that nothing refers to any more are dropped, but for the base.
  void Apply(const std::vector<Extent>& changes);

  // Whether the extent's bytes are what a VMM that maps the base sees there.
  bool IsInBase(const Extent& extent) const;

  // The extent that has the byte at `offset`, which must be within RAM: an index into `extents`.
  size_t IndexAt(uint64_t offset) const;

  // kInvalidArgument for what breaks a rule above, or is too large for the format.
  Status Check() const;

  friend bool operator==(const Image&, const Image&) = default;
};

// Adds an extent to a gapless list, to its last one where it continues that.
void Append(std::vector<Extent>& extents, const Extent& extent);

// The bytes of memory.map, and back. kInvalidArgument for what is no valid image: every offset,
// length and count in it is checked, nothing is allocated by a number that the bytes do not back.
// kUnimplemented for a newer version of the format.
std::string Encode(const Image& image);
Result<Image> Decode(std::string_view bytes);

// Reads and writes `directory`/memory.map (written in one step; not synced). Load: kNotFound when
// there is none, kDataLoss when it is damaged.
Result<Image> Load(const std::string& directory);
Status Save(const Image& image, const std::string& directory);

// A new name for a file of an image.
std::string NewFileName();

}  // namespace wrenn::memory
