#include "disk/qcow2_writer.h"

#include <unistd.h>

#include <algorithm>

#include "disk/sparse_copy.h"

namespace wrenn::disk {
namespace {

constexpr uint64_t kL1Table = kCluster;                // behind the header
constexpr uint64_t kRefcountsPerBlock = kCluster / 2;  // of 16 bits
constexpr uint64_t kCopied = uint64_t{1} << 63;        // refcount 1: may be written in place
constexpr uint64_t kZeroFlag = 1;

}  // namespace

Qcow2Writer::Qcow2Writer(int fd, uint64_t size_bytes)
    : fd_(fd),
      size_bytes_(size_bytes),
      clusters_(kL1Table / kCluster + 1),
      l1_(DivideUp(size_bytes, kTableReach)) {}

Cluster Qcow2Writer::Allocate(uint64_t clusters) {
  const Cluster offset = clusters_ * kCluster;
  clusters_ += clusters;
  return offset;
}

Status Qcow2Writer::WriteTable(size_t index, std::span<const Cluster, kTableEntries> clusters) {
  if (std::ranges::all_of(clusters, [](Cluster c) { return c == kUnallocated; })) return {};
  std::string bytes;
  bytes.reserve(kCluster);
  for (const Cluster cluster : clusters) {
    const uint64_t entry = cluster == kZeros ? kZeroFlag : IsData(cluster) ? cluster | kCopied : 0;
    AppendNumber(bytes, entry, 8);
  }
  l1_[index] = Allocate(1);
  return WriteAt(fd_, bytes, l1_[index]);
}

Status Qcow2Writer::Finish(const std::string& backing, Format backing_format) {
  // The refcounts count their own clusters too: one table (of 8192 blocks, for 16 TiB) and as many
  // blocks as it then takes.
  Qcow2Header header{size_bytes_, backing, backing_format, kL1Table, Allocate(1)};
  uint64_t blocks = 0;
  while (blocks * kRefcountsPerBlock < clusters_ + blocks) ++blocks;
  const uint64_t first = Allocate(blocks);

  ASSIGN_OR_RETURN(const std::string bytes, EncodeQcow2Header(header));
  RETURN_IF_ERROR(WriteAt(fd_, bytes, 0));
  RETURN_IF_ERROR(WriteL1Table());
  std::string table;
  for (uint64_t i = 0; i < blocks; ++i) {
    AppendNumber(table, first + i * kCluster, 8);
    std::string ones;
    const uint64_t counted = std::min(clusters_ - i * kRefcountsPerBlock, kRefcountsPerBlock);
    for (uint64_t j = 0; j < counted; ++j) AppendNumber(ones, 1, 2);
    RETURN_IF_ERROR(WriteAt(fd_, ones, first + i * kCluster));
  }
  RETURN_IF_ERROR(WriteAt(fd_, table, header.refcount_table));
  if (::ftruncate(fd_, static_cast<off_t>(clusters_ * kCluster)) < 0) {
    return Fail(ErrnoError("cannot size the disk"));
  }
  return {};
}

Status Qcow2Writer::WriteL1Table() {
  if (std::ranges::all_of(l1_, [](uint64_t table) { return table == 0; })) return {};
  std::string bytes;
  for (const uint64_t table : l1_) AppendNumber(bytes, table == 0 ? 0 : table | kCopied, 8);
  return WriteAt(fd_, bytes, kL1Table);
}

Status WriteEmptyQcow2(int fd, const std::string& backing, Format backing_format,
                       uint64_t size_bytes) {
  // Refused before it is the length of a table.
  if (size_bytes > kMaxDiskBytes) {
    return Fail(Code::kOutOfRange, "a disk can have at most {} bytes", kMaxDiskBytes);
  }
  return Qcow2Writer(fd, size_bytes).Finish(backing, backing_format);
}

}  // namespace wrenn::disk
