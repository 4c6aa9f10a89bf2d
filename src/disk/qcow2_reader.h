// Qcow2Reader: where the clusters of a qcow2 image are.
//
// A guest that took over its VMM can have written anything into the file, so every number is
// checked before it is used, and Check() before any of it is copied. Reading needs no refcounts.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "disk/qcow2.h"

namespace wrenn::disk {

// What a guest cluster is: one of these, or else the offset of its data in the file.
using Cluster = uint64_t;
inline constexpr Cluster kUnallocated = 0;  // as in the layer below
inline constexpr Cluster kZeros = 1;
constexpr bool IsData(Cluster cluster) { return cluster > kZeros; }

class Qcow2Reader {
 public:
  // Reads the header and the L1 table. kDataLoss and kUnimplemented as ParseQcow2Header(), and for
  // a file that is too large or lacks its L1 table.
  static Result<Qcow2Reader> Open(const std::string& path);
  static Result<Qcow2Reader> Open(UniqueFd fd);

  const Qcow2Header& header() const { return header_; }
  int fd() const { return fd_.get(); }

  // How many tables there are, each for kTableReach bytes of the disk.
  size_t tables() const { return l1_.size(); }

  // Reads the clusters of one table (below tables()) into `out`; those behind the disk's end are
  // unallocated. False: none is allocated, `out` is as it was. kDataLoss for an impossible entry,
  // kUnimplemented for a compressed cluster.
  Result<bool> ReadTable(size_t index, std::span<Cluster, kTableEntries> out) const;

  // Reads all tables. kDataLoss also when a cluster of the file is used twice: without that a small
  // file could be a disk of terabytes of data.
  Status Check() const;

 private:
  explicit Qcow2Reader(UniqueFd fd) : fd_(std::move(fd)) {}

  // Whether a whole cluster that is in the file, at least in part, begins there.
  bool IsInFile(uint64_t offset) const;

  UniqueFd fd_;
  Qcow2Header header_;
  uint64_t file_bytes_ = 0;
  std::vector<uint64_t> l1_;  // offsets of the tables, 0 for none; checked
};

}  // namespace wrenn::disk
