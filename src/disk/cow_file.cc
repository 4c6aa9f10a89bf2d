#include "disk/cow_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <span>

#include "disk/qcow2.h"
#include "disk/sparse_copy.h"

namespace wrenn::disk {
namespace {

// The kernel's header, in the first chunk. Numbers are little endian.
constexpr uint64_t kKernelMagic = 0x70416e53;  // "SnAp"
constexpr uint64_t kKernelVersion = 1;
constexpr size_t kKernelHeaderBytes = 16;
constexpr uint64_t kHeaderChunks = 1;

// wrenn's own, in the last chunk.
constexpr std::string_view kMagic = "wrenncow";
constexpr uint64_t kVersion = 1;
constexpr size_t kVersionAt = 8;
constexpr size_t kNameLengthAt = 12;
constexpr size_t kBaseBytesAt = 16;
constexpr size_t kDiskBytesAt = 24;
constexpr size_t kNameAt = 32;
constexpr size_t kMaxName = 1023;

tl::unexpected<Error> Damaged(std::string_view what) {
  return Fail(Code::kDataLoss, "the disk's file of changes is damaged: {}", what);
}

void Append(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
}

uint64_t Number(std::string_view bytes, size_t offset, int count) {
  uint64_t value = 0;
  for (int i = count; i-- > 0;) {
    value = value << 8 | static_cast<unsigned char>(bytes[offset + static_cast<size_t>(i)]);
  }
  return value;
}

// `size` bytes of a file; kDataLoss when they are not all there.
Result<std::string> ReadExactly(int fd, uint64_t offset, size_t size) {
  std::string bytes(size, '\0');
  ASSIGN_OR_RETURN(const size_t got, ReadAt(fd, std::span(bytes), offset));
  if (got != size) return Damaged("it is too short");
  return bytes;
}

Status CheckSizes(const CowHeader& header) {
  if (header.base_bytes % kSector != 0 || header.disk_bytes % kSector != 0 ||
      header.base_bytes == 0 || header.disk_bytes < header.base_bytes) {
    return Fail(
        Code::kFailedPrecondition,
        "a base image of {} bytes for a disk of {}: both must be whole sectors of 512 bytes",
        header.base_bytes, header.disk_bytes);
  }
  if (header.disk_bytes > kMaxDiskBytes) {
    return Fail(Code::kOutOfRange, "a disk can have at most {} bytes", kMaxDiskBytes);
  }
  return {};
}

// wrenn's own chunk, with the file's size by which it is found.
Status WriteNotes(int fd, const CowHeader& header) {
  std::string own(kMagic);
  Append(own, kVersion, 4);
  Append(own, header.base.size(), 4);
  Append(own, header.base_bytes, 8);
  Append(own, header.disk_bytes, 8);
  own += header.base;
  if (::ftruncate(fd, static_cast<off_t>(header.FileBytes())) < 0) {
    return Fail(ErrnoError("cannot size the disk"));
  }
  return WriteAt(fd, own, header.FileBytes() - kChunk);
}

Status CheckKernelHeader(std::string_view bytes) {
  if (Number(bytes, 0, 4) != kKernelMagic) return Damaged("the kernel would not know it");
  if (Number(bytes, 4, 4) != 1) {
    return Fail(Code::kDataLoss,
                "the kernel gave the disk up when its changes could not be written: the host's "
                "file system was full or failed");
  }
  if (Number(bytes, 8, 4) != kKernelVersion || Number(bytes, 12, 4) != kChunkSectors) {
    return Fail(Code::kUnimplemented, "the disk's file of changes is of another version");
  }
  return {};
}

// Whether a chunk of the store can be data.
bool IsDataChunk(uint64_t chunk, const CowHeader& header) {
  return chunk > kHeaderChunks && (chunk - kHeaderChunks) % kAreaChunks != 0 &&
         chunk < header.TailOffset() / kChunk;
}

bool HasTwice(std::vector<CowException>& exceptions, uint64_t CowException::* member) {
  std::ranges::sort(exceptions, {}, member);
  return std::ranges::adjacent_find(exceptions, {}, member) != exceptions.end();
}

}  // namespace

uint64_t CowStoreBytes(uint64_t base_bytes) {
  const uint64_t chunks = DivideUp(base_bytes, kChunk);
  return (kHeaderChunks + chunks + chunks / kExceptionsPerArea + 1) * kChunk;
}

uint64_t CowHeader::FileBytes() const {
  return DivideUp(TailOffset() + TailBytes(), kChunk) * kChunk + kChunk;
}

Status WriteEmptyCow(int fd, const CowHeader& header) {
  RETURN_IF_ERROR(CheckSizes(header));
  if (header.base.empty() || header.base.size() > kMaxName ||
      header.base.find('\0') != std::string::npos) {
    return Fail(Code::kInvalidArgument, "a base image's name must have 1 to {} bytes", kMaxName);
  }
  std::string kernel;
  for (const uint64_t value : {kKernelMagic, uint64_t{1}, kKernelVersion, kChunkSectors}) {
    Append(kernel, value, 4);
  }
  RETURN_IF_ERROR(WriteNotes(fd, header));
  return WriteAt(fd, kernel, 0);
}

Status GrowCow(int fd, uint64_t disk_bytes) {
  ASSIGN_OR_RETURN(CowHeader header, ReadCowHeader(fd));
  if (disk_bytes < header.disk_bytes) {
    return Fail(Code::kInvalidArgument,
                "a disk of {} bytes is smaller than what it continues, which has {}", disk_bytes,
                header.disk_bytes);
  }
  // What was noted there becomes a part of the disk.
  const uint64_t notes = header.FileBytes() - kChunk;
  header.disk_bytes = disk_bytes;
  RETURN_IF_ERROR(CheckSizes(header));
  RETURN_IF_ERROR(PunchHole(fd, notes, kChunk));
  return WriteNotes(fd, header);
}

Result<CowHeader> ReadCowHeader(int fd) {
  struct stat info;
  if (::fstat(fd, &info) < 0) return Fail(ErrnoError("cannot read the disk"));
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size < 2 * kChunk) return Damaged("it is too short");
  ASSIGN_OR_RETURN(const std::string own, ReadExactly(fd, size - kChunk, kChunk));
  if (!own.starts_with(kMagic)) return Damaged("it has no end");
  if (Number(own, kVersionAt, 4) != kVersion) {
    return Fail(Code::kUnimplemented, "the disk's file of changes is of another version");
  }
  CowHeader header;
  header.base_bytes = Number(own, kBaseBytesAt, 8);
  header.disk_bytes = Number(own, kDiskBytesAt, 8);
  const uint64_t length = Number(own, kNameLengthAt, 4);
  if (length == 0 || length > kMaxName) return Damaged("it names no base image");
  header.base = own.substr(kNameAt, length);
  if (header.base.find('\0') != std::string::npos) return Damaged("it names no base image");
  if (!CheckSizes(header) || header.FileBytes() != size) return Damaged("its size is wrong");
  ASSIGN_OR_RETURN(const std::string kernel, ReadExactly(fd, 0, kKernelHeaderBytes));
  RETURN_IF_ERROR(CheckKernelHeader(kernel));
  return header;
}

Result<std::vector<CowException>> ReadCowExceptions(int fd, const CowHeader& header) {
  std::vector<CowException> exceptions;
  const uint64_t base_chunks = DivideUp(header.base_bytes, kChunk);
  for (uint64_t area = 0;; ++area) {
    const uint64_t chunk = kHeaderChunks + area * kAreaChunks;
    // There is one more area than can be full.
    if (chunk >= header.TailOffset() / kChunk) return Damaged("it has too many chunks");
    ASSIGN_OR_RETURN(const std::string metadata, ReadExactly(fd, chunk * kChunk, kChunk));
    size_t count = 0;
    for (; count < kExceptionsPerArea; ++count) {
      const CowException found{Number(metadata, count * 16, 8),
                               Number(metadata, count * 16 + 8, 8)};
      if (found.file_chunk == 0) break;  // as the kernel knows the last one
      if (found.base_chunk >= base_chunks || !IsDataChunk(found.file_chunk, header)) {
        return Damaged("it has an impossible chunk");
      }
      exceptions.push_back(found);
    }
    if (count < kExceptionsPerArea) break;
  }
  if (HasTwice(exceptions, &CowException::file_chunk) ||
      HasTwice(exceptions, &CowException::base_chunk)) {
    return Damaged("it has a chunk twice");
  }
  return exceptions;
}

Status MergeCow(int fd, const CowHeader& header, int to) {
  ASSIGN_OR_RETURN(const std::vector<CowException> exceptions, ReadCowExceptions(fd, header));
  if (::ftruncate(to, static_cast<off_t>(header.disk_bytes)) < 0) {
    return Fail(ErrnoError("cannot size the disk"));
  }
  for (size_t i = 0; i < exceptions.size();) {
    const CowException first = exceptions[i];
    uint64_t count = 1;
    for (; i + count < exceptions.size(); ++count) {
      const CowException next{first.base_chunk + count, first.file_chunk + count};
      if (exceptions[i + count] != next) break;
    }
    i += count;
    // The base may end within its last chunk.
    const uint64_t begin = first.base_chunk * kChunk;
    const uint64_t bytes = std::min(count * kChunk, header.base_bytes - begin);
    RETURN_IF_ERROR(CopyRange(fd, first.file_chunk * kChunk, to, begin, bytes, Holes::kPunch));
  }
  return CopyRange(fd, header.TailOffset(), to, header.base_bytes, header.TailBytes(),
                   Holes::kLeave);
}

}  // namespace wrenn::disk
