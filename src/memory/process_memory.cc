#include "memory/process_memory.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/uio.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "base/unique_fd.h"
#include "memory/written_pages.h"
#include "os/process_info.h"

namespace wrenn::memory {
namespace {

tl::unexpected<Error> Ended() { return Fail(Code::kUnavailable, "the machine has ended"); }

// `file` of /proc/PID, which must be open to us.
Result<UniqueFd> OpenOfProcess(pid_t pid, const char* file, int flags) {
  UniqueFd fd(::open(fmt::format("/proc/{}/{}", pid, file).c_str(), flags | O_CLOEXEC));
  if (fd) return fd;
  const int error = errno;
  if (error == ENOENT || error == ESRCH) return Ended();
  // The files of a zombie belong to root.
  const auto stat = os::ReadProcessStat(pid);
  if (stat ? stat->state == 'Z' : stat.error().code == Code::kNotFound) return Ended();
  return Fail(ErrnoError(
      "cannot look into the machine's memory (run wrenn as the user who started it, or with "
      "CAP_SYS_PTRACE)",
      error));
}

// Appends where [offset, offset + length) of guest RAM is in the process.
Status Locate(const std::vector<Mapping>& mappings, uint64_t offset, uint64_t length,
              std::vector<iovec>& pieces) {
  const auto end_of = [](const Mapping& mapping) { return mapping.offset + mapping.length; };
  auto at = std::ranges::upper_bound(mappings, offset, {}, end_of);
  for (; length > 0; ++at) {
    if (at == mappings.end() || at->offset > offset) {
      return Fail(Code::kOutOfRange, "byte {} is not in the machine's memory", offset);
    }
    const uint64_t inside = offset - at->offset;
    const uint64_t take = std::min(length, at->length - inside);
    pieces.push_back({std::bit_cast<void*>(at->address + inside), take});
    offset += take;
    length -= take;
  }
  return {};
}

// One end of a transfer: bytes of ours from or to pieces of another process, in this order.
struct Transfer {
  pid_t pid;
  bool write;
  char* ours;
  std::vector<iovec> theirs;
  size_t next = 0;  // index of the first piece that is not done

  // Takes what is done off the front.
  void Advance(size_t bytes) {
    ours += bytes;
    for (; bytes > 0; ++next) {
      iovec& piece = theirs[next];
      const size_t step = std::min(bytes, piece.iov_len);
      piece.iov_base = static_cast<char*>(piece.iov_base) + step;
      piece.iov_len -= step;
      bytes -= step;
      if (piece.iov_len > 0) return;
    }
  }
  bool done() const { return next == theirs.size(); }
};

tl::unexpected<Error> CannotAccess(bool write) {
  return Fail(
      ErrnoError(write ? "cannot write the machine's memory" : "cannot read the machine's memory"));
}

// Through /proc/PID/mem: one call a piece, but allowed where a container's seccomp filter refuses
// process_vm_readv.
Status TransferByFile(Transfer& transfer) {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenOfProcess(transfer.pid, "mem", O_RDWR));
  while (!transfer.done()) {
    const iovec& piece = transfer.theirs[transfer.next];
    const auto place = static_cast<off_t>(reinterpret_cast<uintptr_t>(piece.iov_base));
    const ssize_t done = transfer.write ? ::pwrite(fd.get(), transfer.ours, piece.iov_len, place)
                                        : ::pread(fd.get(), transfer.ours, piece.iov_len, place);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return CannotAccess(transfer.write);
    if (done == 0) return Ended();  // its address space is gone
    transfer.Advance(static_cast<size_t>(done));
  }
  return {};
}

Status Run(Transfer transfer) {
  constexpr size_t kMaxBytes = size_t{1} << 30;  // a call moves less than 2 GiB
  while (!transfer.done()) {
    size_t count = 0;
    size_t bytes = 0;
    const size_t left = std::min<size_t>(transfer.theirs.size() - transfer.next, IOV_MAX);
    const iovec* pieces = transfer.theirs.data() + transfer.next;
    while (count < left && bytes < kMaxBytes) bytes += pieces[count++].iov_len;
    const iovec ours{transfer.ours, bytes};
    const ssize_t done = transfer.write
                             ? ::process_vm_writev(transfer.pid, &ours, 1, pieces, count, 0)
                             : ::process_vm_readv(transfer.pid, &ours, 1, pieces, count, 0);
    if (done < 0 && errno == ESRCH) return Ended();
    if (done < 0 && (errno == EPERM || errno == ENOSYS)) return TransferByFile(transfer);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return CannotAccess(transfer.write);
    transfer.Advance(static_cast<size_t>(done));
  }
  return {};
}

}  // namespace

uint64_t ProcessMemory::size() const {
  return mappings_.empty() ? 0 : mappings_.back().offset + mappings_.back().length;
}

Result<Ranges> ProcessMemory::Written() const {
  ASSIGN_OR_RETURN(const UniqueFd pagemap, OpenOfProcess(pid_, "pagemap", O_RDONLY));
  Ranges written;
  for (const Mapping& mapping : mappings_) {
    const uint64_t end = mapping.address + mapping.length;
    auto pages = ScanWrittenPages(pagemap.get(), mapping.address, end);
    if (!pages && pages.error().code == Code::kUnimplemented) {
      pages = ReadWrittenPages(pagemap.get(), mapping.address, end);
    }
    if (!pages) return Fail(std::move(pages.error()));
    for (const AddressRange& page : *pages) {
      Append(written, {page.begin - mapping.address + mapping.offset, page.end - page.begin});
    }
  }
  return written;
}

Status ProcessMemory::Read(uint64_t offset, std::span<char> out) const {
  Transfer transfer{.pid = pid_, .write = false, .ours = out.data(), .theirs = {}};
  RETURN_IF_ERROR(Locate(mappings_, offset, out.size(), transfer.theirs));
  return Run(std::move(transfer));
}

Status ProcessMemory::Write(uint64_t offset, std::span<const char> data) const {
  Transfer transfer{
      .pid = pid_, .write = true, .ours = const_cast<char*>(data.data()), .theirs = {}};
  RETURN_IF_ERROR(Locate(mappings_, offset, data.size(), transfer.theirs));
  return Run(std::move(transfer));
}

Status ProcessMemory::ReadRanges(const Ranges& ranges, std::span<char> out) const {
  if (TotalLength(ranges) != out.size()) {
    return Fail(Code::kInvalidArgument, "the ranges are not as long as the room for them");
  }
  Transfer transfer{.pid = pid_, .write = false, .ours = out.data(), .theirs = {}};
  for (const Range& range : ranges) {
    RETURN_IF_ERROR(Locate(mappings_, range.offset, range.length, transfer.theirs));
  }
  return Run(std::move(transfer));
}

Status ProcessMemory::WriteRanges(const Ranges& ranges, std::span<const char> data) const {
  if (TotalLength(ranges) != data.size()) {
    return Fail(Code::kInvalidArgument, "the ranges are not as long as their data");
  }
  Transfer transfer{
      .pid = pid_, .write = true, .ours = const_cast<char*>(data.data()), .theirs = {}};
  for (const Range& range : ranges) {
    RETURN_IF_ERROR(Locate(mappings_, range.offset, range.length, transfer.theirs));
  }
  return Run(std::move(transfer));
}

}  // namespace wrenn::memory
