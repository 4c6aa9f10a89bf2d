#include "disk/qcow2_reader.h"

#include <sys/stat.h>

#include <algorithm>

#include "disk/sparse_copy.h"

namespace wrenn::disk {
namespace {

// Much more than a full disk takes with its tables, and little enough for a bit per cluster.
constexpr uint64_t kMaxFileBytes = 2 * kMaxDiskBytes;

// Entries of L1 and L2 tables.
constexpr uint64_t kCopied = uint64_t{1} << 63;  // refcount 1; nothing that a reader needs
constexpr uint64_t kCompressed = uint64_t{1} << 62;
constexpr uint64_t kZeroFlag = 1;
constexpr uint64_t kOffset = 0x00ff'ffff'ffff'fe00;

tl::unexpected<Error> Damaged(std::string_view what) {
  return Fail(Code::kDataLoss, "the disk's layer is damaged: {}", what);
}

}  // namespace

Result<Qcow2Reader> Qcow2Reader::Open(const std::string& path) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenImage(path));
  return Open(std::move(fd));
}

Result<Qcow2Reader> Qcow2Reader::Open(UniqueFd fd) {
  Qcow2Reader reader(std::move(fd));
  struct stat info;
  if (::fstat(reader.fd(), &info) < 0) return Fail(ErrnoError("cannot read the disk"));
  reader.file_bytes_ = static_cast<uint64_t>(info.st_size);
  if (reader.file_bytes_ > kMaxFileBytes) return Damaged("its file is too large");
  ASSIGN_OR_RETURN(reader.header_, ReadQcow2Header(reader.fd()));

  const uint64_t entries = DivideUp(reader.header_.size_bytes, kTableReach);
  if (entries > 0 && !reader.IsInFile(reader.header_.l1_table)) {
    return Damaged("its L1 table is missing");
  }
  std::string bytes(entries * 8, '\0');  // a cluster at most, as the header has been checked
  RETURN_IF_ERROR(ReadAt(reader.fd(), bytes, reader.header_.l1_table));
  for (uint64_t i = 0; i < entries; ++i) {
    const uint64_t entry = NumberAt(bytes, i * 8, 8);
    const uint64_t offset = entry & kOffset;
    if ((entry & ~(kCopied | kOffset)) != 0 || (offset != 0 && !reader.IsInFile(offset))) {
      return Damaged("an entry of its L1 table is impossible");
    }
    reader.l1_.push_back(offset);
  }
  return reader;
}

bool Qcow2Reader::IsInFile(uint64_t offset) const {
  return offset != 0 && offset % kCluster == 0 && offset < file_bytes_;
}

Result<bool> Qcow2Reader::ReadTable(size_t index, std::span<Cluster, kTableEntries> out) const {
  if (l1_[index] == 0) return false;
  std::string bytes(kCluster, '\0');
  // What is behind the end of the file reads as zeros, as QEMU does it.
  RETURN_IF_ERROR(ReadAt(fd(), bytes, l1_[index]));
  const uint64_t end = DivideUp(header_.size_bytes - index * kTableReach, kCluster);
  bool any = false;
  for (size_t i = 0; i < kTableEntries; ++i) {
    const uint64_t entry = i < end ? NumberAt(bytes, i * 8, 8) : 0;
    if ((entry & kCompressed) != 0) {
      return Fail(Code::kUnimplemented,
                  "the disk's layer has what wrenn does not make: a compressed cluster");
    }
    const uint64_t offset = entry & kOffset;
    if ((entry & ~(kCopied | kOffset | kZeroFlag)) != 0 || (offset != 0 && !IsInFile(offset))) {
      return Damaged("an entry of an L2 table is impossible");
    }
    // A cluster of zeros may have room in the file, whose content does not count.
    out[i] = (entry & kZeroFlag) != 0 ? kZeros : offset;
    any = any || out[i] != kUnallocated;
  }
  return any;
}

Status Qcow2Reader::Check() const {
  std::vector<bool> used(DivideUp(file_bytes_, kCluster));
  const auto use = [&used](uint64_t offset) {
    const size_t cluster = offset / kCluster;
    if (cluster >= used.size() || used[cluster]) return false;
    used[cluster] = true;
    return true;
  };
  if (!use(0) || (!l1_.empty() && !use(header_.l1_table))) return Damaged("its tables overlap");
  std::vector<Cluster> table(kTableEntries);
  for (size_t i = 0; i < l1_.size(); ++i) {
    if (l1_[i] != 0 && !use(l1_[i])) return Damaged("its tables overlap");
    ASSIGN_OR_RETURN(const bool any, ReadTable(i, std::span<Cluster, kTableEntries>(table)));
    if (!any) continue;
    const bool good = std::ranges::all_of(table, [&](Cluster c) { return !IsData(c) || use(c); });
    if (!good) return Damaged("a cluster is used twice");
  }
  return {};
}

}  // namespace wrenn::disk
