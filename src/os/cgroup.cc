#include "os/cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>

#include "base/io.h"
#include "os/cgroup_files.h"

namespace wrenn::os {
namespace {

constexpr unsigned kCpuPeriodMicroseconds = 100000;
constexpr unsigned kDefaultWeight = 100;

std::string OrMax(const std::optional<uint64_t>& value) {
  return value ? std::to_string(*value) : "max";
}

// A file that is not there belongs to a controller, or to a feature, that this kernel lacks.
Status WriteIfThere(int folder, const char* name, std::string_view text) {
  auto written = WriteCgroupFile(folder, name, text);
  if (!written && written.error().code == Code::kNotFound) return {};
  return written;
}

Result<std::string> ReadIfThere(int folder, const char* name) {
  auto text = ReadCgroupFile(folder, name);
  if (!text && text.error().code == Code::kNotFound) return std::string();
  return text;
}

std::string DeviceName(dev_t device) {
  return fmt::format("{}:{}", ::major(device), ::minor(device));
}

}  // namespace

Status Cgroup::SetLimits(const CgroupLimits& limits) const {
  // The whole cgroup ends when it needs more: a VMM without one of its threads is no machine.
  RETURN_IF_ERROR(WriteIfThere(fd(), "memory.oom.group", "1"));
  RETURN_IF_ERROR(WriteIfThere(fd(), "memory.swap.max", limits.memory_bytes ? "0" : "max"));
  RETURN_IF_ERROR(WriteIfThere(fd(), "memory.max", OrMax(limits.memory_bytes)));
  std::string quota = "max";
  if (limits.cpu_millis)
    quota = std::to_string(*limits.cpu_millis * (kCpuPeriodMicroseconds / 1000));
  RETURN_IF_ERROR(
      WriteIfThere(fd(), "cpu.max", fmt::format("{} {}", quota, kCpuPeriodMicroseconds)));
  RETURN_IF_ERROR(
      WriteIfThere(fd(), "cpu.weight", std::to_string(limits.cpu_weight.value_or(kDefaultWeight))));
  RETURN_IF_ERROR(WriteIfThere(fd(), "pids.max", OrMax(limits.processes)));
  return LimitIo(limits.io);
}

Status Cgroup::LimitIo(const std::vector<IoLimit>& limits) const {
  ASSIGN_OR_RETURN(const std::string now, ReadIfThere(fd(), "io.max"));
  // Those that have limits and are not named any more.
  for (const std::string_view line : SplitLines(now)) {
    const std::string device(line.substr(0, line.find(' ')));
    const bool named = std::ranges::any_of(
        limits, [&](const IoLimit& limit) { return DeviceName(limit.device) == device; });
    if (named) continue;
    RETURN_IF_ERROR(
        WriteIfThere(fd(), "io.max", device + " rbps=max wbps=max riops=max wiops=max"));
  }
  for (const IoLimit& limit : limits) {
    RETURN_IF_ERROR(
        WriteIfThere(fd(), "io.max",
                     fmt::format("{} rbps={} wbps={} riops={} wiops={}", DeviceName(limit.device),
                                 OrMax(limit.read_bytes), OrMax(limit.write_bytes),
                                 OrMax(limit.read_operations), OrMax(limit.write_operations))));
  }
  return {};
}

Result<CgroupUsage> Cgroup::Usage() const {
  ASSIGN_OR_RETURN(const std::string cpu, ReadCgroupFile(fd(), "cpu.stat"));
  ASSIGN_OR_RETURN(const std::string memory, ReadIfThere(fd(), "memory.current"));
  ASSIGN_OR_RETURN(const std::string peak, ReadIfThere(fd(), "memory.peak"));
  ASSIGN_OR_RETURN(const std::string io, ReadIfThere(fd(), "io.stat"));
  ASSIGN_OR_RETURN(const std::string processes, ReadIfThere(fd(), "pids.current"));
  CgroupUsage usage;
  usage.cpu_microseconds = FlatValue(cpu, "usage_usec");
  usage.memory_bytes = FlatValue("is " + memory, "is");
  usage.memory_peak_bytes = FlatValue("is " + peak, "is");
  usage.read_bytes = NestedSum(io, "rbytes");
  usage.write_bytes = NestedSum(io, "wbytes");
  usage.processes = FlatValue("is " + processes, "is");
  return usage;
}

Result<CgroupEvents> Cgroup::Events() const {
  ASSIGN_OR_RETURN(const std::string memory, ReadIfThere(fd(), "memory.events"));
  ASSIGN_OR_RETURN(const std::string processes, ReadIfThere(fd(), "pids.events"));
  CgroupEvents events;
  events.memory_limit = FlatValue(memory, "max");
  events.out_of_memory = FlatValue(memory, "oom");
  events.memory_kills = FlatValue(memory, "oom_kill");
  events.processes_refused = FlatValue(processes, "max");
  return events;
}

Status Cgroup::WaitEmpty(Deadline deadline) const {
  const UniqueFd events(::openat(fd(), "cgroup.events", O_RDONLY | O_CLOEXEC));
  if (!events) {
    if (errno == ENOENT || errno == ENODEV) return {};  // it is gone
    return Fail(ErrnoError("cannot look for processes of cgroup '" + id_ + "'"));
  }
  for (;;) {
    char text[256];
    const ssize_t length = ::pread(events.get(), text, sizeof text, 0);
    if (length < 0 && errno == ENODEV) return {};
    if (length < 0) return Fail(ErrnoError("cannot look for processes of cgroup '" + id_ + "'"));
    if (FlatValue({text, static_cast<size_t>(length)}, "populated") == 0) return {};
    // Wakes for each change since it was read.
    auto changed = WaitReady(events.get(), POLLPRI, deadline);
    if (changed) continue;
    if (changed.error().code != Code::kDeadlineExceeded) return Fail(std::move(changed.error()));
    return Fail(Code::kDeadlineExceeded, "cgroup '{}' still has processes", id_);
  }
}

Status Cgroup::Kill(Deadline deadline) const {
  auto killed = WriteCgroupFile(fd(), "cgroup.kill", "1");
  if (!killed && killed.error().code == Code::kNotFound) {
    // Gone with its last process, or a kernel without it: then that process is still there.
    if (::faccessat(fd(), "cgroup.events", F_OK, 0) < 0) return {};
    return Fail(Code::kUnimplemented, "to end all of a cgroup needs Linux 5.14 or later");
  }
  if (!killed) return killed;
  return WaitEmpty(deadline);
}

Status Cgroup::Remove(Deadline deadline) {
  RETURN_IF_ERROR(WaitEmpty(deadline));
  if (::rmdir(path_.c_str()) < 0 && errno != ENOENT) {
    return Fail(ErrnoError("cannot remove cgroup '" + id_ + "'"));
  }
  return {};
}

}  // namespace wrenn::os
