// The header of the qcow2 image format, and the numbers that all of the format goes by.
//
// Only images as wrenn makes them: version 3, clusters of 64 KiB, a backing file, nothing optional.
// Source: https://www.qemu.org/docs/master/interop/qcow2.html
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "disk/layers.h"

namespace wrenn::disk {

inline constexpr uint64_t kCluster = 65536;              // bytes
inline constexpr uint64_t kTableEntries = kCluster / 8;  // of an L2 table, which is one cluster
inline constexpr uint64_t kTableReach = kTableEntries * kCluster;  // guest bytes of it: 512 MiB
inline constexpr uint64_t kMaxTables = kTableEntries;  // so that the L1 table is one cluster
inline constexpr uint64_t kMaxDiskBytes = kMaxTables * kTableReach;  // 4 TiB
inline constexpr uint64_t kSector = 512;

// `value` / `unit`, rounded up.
constexpr uint64_t DivideUp(uint64_t value, uint64_t unit) {
  return value / unit + (value % unit != 0 ? 1 : 0);
}
constexpr uint64_t RoundUpToSector(uint64_t bytes) { return DivideUp(bytes, kSector) * kSector; }

// Numbers in the format's byte order, which is big endian.
void AppendNumber(std::string& out, uint64_t value, int bytes);
// Those at `offset` of `bytes`, which must hold them.
uint64_t NumberAt(std::string_view bytes, size_t offset, int count);

struct Qcow2Header {
  uint64_t size_bytes = 0;  // to the guest: whole sectors, at most kMaxDiskBytes
  std::string backing;      // as QEMU reads it: absolute, or relative to the image's folder
  Format backing_format = Format::kRaw;
  uint64_t l1_table = 0;        // offset in the file; DivideUp(size_bytes, kTableReach) entries
  uint64_t refcount_table = 0;  // offset in the file; one cluster (written only)
};

// The bytes of a header. kInvalidArgument: a backing name of none or more than 1023 bytes, or with
// a NUL; kOutOfRange: more than kMaxDiskBytes.
Result<std::string> EncodeQcow2Header(const Qcow2Header& header);

// Reads a header, given the file's first cluster (or all of a shorter file). Every number in it may
// be a lie, and is checked as far as one cluster can tell. kDataLoss: no such header, or marked as
// dirty or damaged; kUnimplemented: a feature that wrenn does not use (another version or cluster
// size, encryption, compression, external data, extended L2 entries, internal snapshots, no backing
// file or one of another format).
Result<Qcow2Header> ParseQcow2Header(std::string_view cluster);

// The same from a file.
Result<Qcow2Header> ReadQcow2Header(int fd);

// kDataLoss unless the header names `below`, in the same folder, as what is below.
Status CheckBelow(const Qcow2Header& header, const Layer& below);

}  // namespace wrenn::disk
