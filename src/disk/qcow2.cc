#include "disk/qcow2.h"

#include <string_view>

namespace wrenn::disk {
namespace {

constexpr uint32_t kClusterBits = 16;
constexpr uint64_t kCluster = uint64_t{1} << kClusterBits;
constexpr uint64_t kBytesPerL1Entry = kCluster * (kCluster / 8);  // one L2 table's reach: 512 MiB
constexpr uint64_t kMaxL1Entries = kCluster / 8;  // so that the table is one cluster
constexpr size_t kMaxBackingName = 1023;
constexpr uint32_t kHeaderLength = 104;
constexpr uint32_t kBackingFormatExtension = 0xE2792ACA;

// The image's four clusters.
constexpr uint64_t kRefcountTable = 1 * kCluster;
constexpr uint64_t kRefcountBlock = 2 * kCluster;
constexpr uint64_t kL1Table = 3 * kCluster;

// Appends numbers in the format's byte order, which is big endian.
class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}
  void U16(uint64_t value) { Number(value, 2); }
  void U32(uint64_t value) { Number(value, 4); }
  void U64(uint64_t value) { Number(value, 8); }

 private:
  void Number(uint64_t value, int bytes) {
    for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
      out_.push_back(static_cast<char>((value >> shift) & 0xff));
    }
  }
  std::string& out_;
};

}  // namespace

Result<std::string> MakeQcow2Header(const std::string& backing, uint64_t size_bytes) {
  if (backing.empty() || backing.size() > kMaxBackingName) {
    return Fail(Code::kInvalidArgument, "the base image's path must have 1 to {} bytes",
                kMaxBackingName);
  }
  const uint64_t l1_entries = (size_bytes + kBytesPerL1Entry - 1) / kBytesPerL1Entry;
  if (l1_entries > kMaxL1Entries) {
    return Fail(Code::kOutOfRange, "a disk can have at most {} bytes",
                kMaxL1Entries * kBytesPerL1Entry);
  }
  constexpr std::string_view kFormat("raw\0\0\0\0\0", 8);  // padded to a multiple of 8
  constexpr uint64_t kBackingOffset = kHeaderLength + 8 + kFormat.size() + 8;

  std::string image("QFI\xfb");
  Writer out(image);
  out.U32(3);  // version
  out.U64(kBackingOffset);
  out.U32(backing.size());
  out.U32(kClusterBits);
  out.U64(size_bytes);
  out.U32(0);  // not encrypted
  out.U32(l1_entries);
  out.U64(kL1Table);
  out.U64(kRefcountTable);
  out.U32(1);  // clusters of the refcount table
  out.U32(0);  // snapshots
  out.U64(0);
  out.U64(0);  // incompatible features
  out.U64(0);  // compatible features
  out.U64(0);  // autoclear features
  out.U32(4);  // refcounts of 2^4 bits
  out.U32(kHeaderLength);
  out.U32(kBackingFormatExtension);
  out.U32(3);  // the length of "raw"
  image += kFormat;
  out.U64(0);  // end of the extensions
  image += backing;

  image.resize(kRefcountTable);
  out.U64(kRefcountBlock);
  image.resize(kRefcountBlock);
  for (int cluster = 0; cluster < 4; ++cluster) out.U16(1);
  return image;
}

}  // namespace wrenn::disk
