// Qcow2Writer: makes a qcow2 image cluster by cluster.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "disk/qcow2.h"
#include "disk/qcow2_reader.h"

namespace wrenn::disk {

// Writes into an empty file, which it does not own. Until Finish() the file is no image.
class Qcow2Writer {
 public:
  // `size_bytes` is the disk's size to the guest, at most kMaxDiskBytes.
  Qcow2Writer(int fd, uint64_t size_bytes);

  // Room for so many clusters in a row, which the caller fills: its offset in the file. What is not
  // written reads as zeros.
  Cluster Allocate(uint64_t clusters);

  // Writes a table: what the clusters of kTableReach bytes are. Each table once.
  Status WriteTable(size_t index, std::span<const Cluster, kTableEntries> clusters);

  // Writes what else belongs to an image over `backing`.
  Status Finish(const std::string& backing, Format backing_format);

 private:
  Status WriteL1Table();

  const int fd_;
  const uint64_t size_bytes_;
  uint64_t clusters_;         // of the file so far
  std::vector<uint64_t> l1_;  // offsets of the tables, 0 for none
};

// Makes an image of the empty file `fd` in which nothing is allocated: four clusters long, of which
// three pages are written. kInvalidArgument and kOutOfRange as EncodeQcow2Header().
Status WriteEmptyQcow2(int fd, const std::string& backing, Format backing_format,
                       uint64_t size_bytes);

}  // namespace wrenn::disk
