// The file of a disk's own chunks, over a base image, as the kernel's dm-snapshot writes it.
//
//   0                 the kernel's persistent exception store (drivers/md/dm-snap-persistent.c): a
//                     header, then areas of one chunk of metadata and the 256 chunks it tells of.
//                     With room for every chunk of the base, so that it cannot overflow
//   TailOffset()      what the disk has behind the base's end
//   last chunk        what wrenn notes: the base and the sizes
//
// All chunks have 4 KiB. The file is sparse: what was never written takes no room. Only the kernel
// writes the store; a guest determines what is in the data chunks, and nothing else.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace wrenn::disk {

inline constexpr uint64_t kChunk = 4096;                         // bytes
inline constexpr uint64_t kChunkSectors = kChunk / 512;          // as the target's table says it
inline constexpr uint64_t kExceptionsPerArea = kChunk / 16;      // of 16 bytes each
inline constexpr uint64_t kAreaChunks = kExceptionsPerArea + 1;  // with the chunk of metadata

// The bytes that the kernel's store needs for all chunks of a base image: one for the header, one
// for each chunk, one of metadata for each 256 chunks, and one more, since the kernel clears the
// next area's metadata as soon as an area is full.
uint64_t CowStoreBytes(uint64_t base_bytes);

struct CowHeader {
  std::string base;         // absolute, or relative to the file's folder
  uint64_t base_bytes = 0;  // whole sectors of 512 bytes
  uint64_t disk_bytes = 0;  // to the guest: whole sectors, at least base_bytes

  uint64_t TailOffset() const { return CowStoreBytes(base_bytes); }
  uint64_t TailBytes() const { return disk_bytes - base_bytes; }
  uint64_t FileBytes() const;
};

// Makes the empty file `fd` a store that no chunk was written to. kInvalidArgument for a base's
// name of none or more than 1023 bytes or with a NUL; kFailedPrecondition: sizes that are not whole
// sectors; kOutOfRange: more than kMaxDiskBytes.
Status WriteEmptyCow(int fd, const CowHeader& header);

// Makes a disk larger, in a file that no device is made of: what is new reads as zeros. Errors as
// by ReadCowHeader() and WriteEmptyCow(); kInvalidArgument: it would be smaller.
Status GrowCow(int fd, uint64_t disk_bytes);

// Reads what wrenn has noted in a file, and whether the kernel would take its store. kDataLoss: it
// is no such file, was cut off, or has been given up by the kernel since a write to it failed;
// kUnimplemented: of another version or chunk size.
Result<CowHeader> ReadCowHeader(int fd);

// A chunk of the base that the disk has a copy of.
struct CowException {
  uint64_t base_chunk = 0;
  uint64_t file_chunk = 0;
  friend bool operator==(const CowException&, const CowException&) = default;
};

// All of them, by base_chunk; 16 bytes of memory for each. kDataLoss for an impossible one, or one
// that uses a chunk twice: without that a small file could be a disk of terabytes of data. `header`
// is what ReadCowHeader() answered.
Result<std::vector<CowException>> ReadCowExceptions(int fd, const CowHeader& header);

// Writes what a file has, over the base's content: into `to`, which is a copy of the base and gets
// the disk's size. Holes of the file become holes. Nobody may be writing to the file.
Status MergeCow(int fd, const CowHeader& header, int to);

}  // namespace wrenn::disk
