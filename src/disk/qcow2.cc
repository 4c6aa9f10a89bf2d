#include "disk/qcow2.h"

#include <optional>

#include "disk/sparse_copy.h"

namespace wrenn::disk {
namespace {

constexpr std::string_view kMagic = "QFI\xfb";
constexpr uint32_t kVersion = 3;
constexpr uint32_t kClusterBits = 16;
static_assert(uint64_t{1} << kClusterBits == kCluster);
constexpr size_t kMaxBackingName = 1023;
constexpr size_t kHeaderLength = 104;  // the least of version 3; more may follow
constexpr uint32_t kBackingFormatExtension = 0xE2792ACA;

// Incompatible features.
constexpr uint64_t kDirty = 1 << 0;
constexpr uint64_t kCorrupt = 1 << 1;
constexpr uint64_t kExternalData = 1 << 2;
constexpr uint64_t kCompressionType = 1 << 3;
constexpr uint64_t kExtendedL2 = 1 << 4;

std::string_view FormatName(Format format) { return format == Format::kRaw ? "raw" : "qcow2"; }

bool IsBackingName(std::string_view name) {
  // QEMU takes it for a C string.
  return !name.empty() && name.size() <= kMaxBackingName && name.find('\0') == name.npos;
}

Error Damaged(std::string_view what) {
  return Error{Code::kDataLoss, fmt::format("the disk's layer is damaged: {}", what), {}};
}

Error Unsupported(std::string_view what) {
  return Error{Code::kUnimplemented,
               fmt::format("the disk's layer has what wrenn does not make: {}", what),
               {}};
}

Status CheckFeatures(std::string_view header) {
  const uint64_t features = NumberAt(header, 72, 8);
  if ((features & kCorrupt) != 0) return Fail(Damaged("it is marked as corrupt"));
  if ((features & kDirty) != 0) return Fail(Damaged("it was not closed in order"));
  if ((features & kExternalData) != 0) return Fail(Unsupported("an external data file"));
  if ((features & kCompressionType) != 0) return Fail(Unsupported("a type of compression"));
  if ((features & kExtendedL2) != 0) return Fail(Unsupported("extended L2 entries"));
  if (features != 0) return Fail(Unsupported("unknown features"));
  if (NumberAt(header, 32, 4) != 0) return Fail(Unsupported("encryption"));
  if (NumberAt(header, 60, 4) != 0) return Fail(Unsupported("internal snapshots"));
  return {};
}

// The backing format among the extensions in [begin, end) of the cluster, which QEMU reads in the
// same way: the last one counts.
Result<Format> FindBackingFormat(std::string_view cluster, size_t begin, size_t end) {
  std::optional<std::string_view> name;
  while (begin < end) {
    if (end - begin < 8) return Fail(Damaged("its header extensions are cut off"));
    const uint64_t type = NumberAt(cluster, begin, 4);
    const uint64_t length = NumberAt(cluster, begin + 4, 4);
    begin += 8;
    if (type == 0) break;
    if (length > end - begin) return Fail(Damaged("a header extension is too long"));
    if (type == kBackingFormatExtension) name = cluster.substr(begin, length);
    begin += DivideUp(length, 8) * 8;
  }
  // Without a format QEMU would guess it from content that the guest may have written.
  if (!name) return Fail(Unsupported("a layer below without a format"));
  for (const Format format : {Format::kRaw, Format::kQcow2}) {
    if (*name == FormatName(format)) return format;
  }
  return Fail(Unsupported("a layer below of another format"));
}

}  // namespace

void AppendNumber(std::string& out, uint64_t value, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>((value >> shift) & 0xff));
  }
}

uint64_t NumberAt(std::string_view bytes, size_t offset, int count) {
  uint64_t value = 0;
  for (const char c : bytes.substr(offset, static_cast<size_t>(count))) {
    value = value << 8 | static_cast<unsigned char>(c);
  }
  return value;
}

Result<std::string> EncodeQcow2Header(const Qcow2Header& header) {
  if (!IsBackingName(header.backing)) {
    return Fail(Code::kInvalidArgument, "the name of what is below a disk must have 1 to {} bytes",
                kMaxBackingName);
  }
  if (header.size_bytes > kMaxDiskBytes) {
    return Fail(Code::kOutOfRange, "a disk can have at most {} bytes", kMaxDiskBytes);
  }
  const std::string_view format = FormatName(header.backing_format);
  constexpr size_t kFormatRoom = 8;  // lengths are rounded up to a multiple of 8

  std::string out(kMagic);
  AppendNumber(out, kVersion, 4);
  AppendNumber(out, kHeaderLength + 8 + kFormatRoom + 8, 8);  // where the backing name is
  AppendNumber(out, header.backing.size(), 4);
  AppendNumber(out, kClusterBits, 4);
  AppendNumber(out, header.size_bytes, 8);
  AppendNumber(out, 0, 4);  // not encrypted
  AppendNumber(out, DivideUp(header.size_bytes, kTableReach), 4);
  AppendNumber(out, header.l1_table, 8);
  AppendNumber(out, header.refcount_table, 8);
  AppendNumber(out, 1, 4);  // clusters of the refcount table
  AppendNumber(out, 0, 4);  // snapshots
  AppendNumber(out, 0, 8);
  AppendNumber(out, 0, 8);  // incompatible features
  AppendNumber(out, 0, 8);  // compatible features
  AppendNumber(out, 0, 8);  // autoclear features
  AppendNumber(out, 4, 4);  // refcounts of 2^4 bits
  AppendNumber(out, kHeaderLength, 4);
  AppendNumber(out, kBackingFormatExtension, 4);
  AppendNumber(out, format.size(), 4);
  out += format;
  out.append(kFormatRoom - format.size(), '\0');
  AppendNumber(out, 0, 8);  // end of the extensions
  out += header.backing;
  return out;
}

Result<Qcow2Header> ParseQcow2Header(std::string_view cluster) {
  cluster = cluster.substr(0, kCluster);
  if (cluster.size() < kHeaderLength || !cluster.starts_with(kMagic)) {
    return Fail(Damaged("it has no qcow2 header"));
  }
  if (NumberAt(cluster, 4, 4) != kVersion) return Fail(Unsupported("another version of qcow2"));
  if (NumberAt(cluster, 20, 4) != kClusterBits) return Fail(Unsupported("another cluster size"));
  RETURN_IF_ERROR(CheckFeatures(cluster));

  Qcow2Header header;
  header.size_bytes = NumberAt(cluster, 24, 8);
  if (header.size_bytes > kMaxDiskBytes || header.size_bytes % kSector != 0) {
    return Fail(Damaged("its size is impossible"));
  }
  header.l1_table = NumberAt(cluster, 40, 8);
  header.refcount_table = NumberAt(cluster, 48, 8);
  if (header.l1_table % kCluster != 0 || header.l1_table == 0 ||
      NumberAt(cluster, 36, 4) < DivideUp(header.size_bytes, kTableReach)) {
    return Fail(Damaged("its L1 table is impossible"));
  }

  const uint64_t name = NumberAt(cluster, 8, 8);
  const uint64_t name_length = NumberAt(cluster, 16, 4);
  const uint64_t extensions = NumberAt(cluster, 100, 4);
  if (name == 0) return Fail(Unsupported("no layer below it"));
  if (extensions < kHeaderLength || extensions % 8 != 0 || name < extensions ||
      name > cluster.size() || name_length > cluster.size() - name) {
    return Fail(Damaged("its header is impossible"));
  }
  header.backing = cluster.substr(name, name_length);
  if (!IsBackingName(header.backing)) return Fail(Damaged("what is below it has no proper name"));
  ASSIGN_OR_RETURN(header.backing_format, FindBackingFormat(cluster, extensions, name));
  return header;
}

Result<Qcow2Header> ReadQcow2Header(int fd) {
  std::string cluster(kCluster, '\0');
  ASSIGN_OR_RETURN(const size_t got, ReadAt(fd, cluster, 0));
  return ParseQcow2Header(std::string_view(cluster).substr(0, got));
}

Status CheckBelow(const Qcow2Header& header, const Layer& below) {
  if (header.backing == "./" + below.name && header.backing_format == below.format) return {};
  return Fail(Error{Code::kDataLoss, "the disk's layers do not belong together",
                    fmt::format("'{}' instead of '{}'", header.backing, below.name)});
}

}  // namespace wrenn::disk
