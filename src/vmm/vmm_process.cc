#include "vmm/vmm_process.h"

#include <charconv>

#include "os/files.h"
#include "os/process_info.h"
#include "vmm/machine.h"

namespace wrenn::vmm {
namespace {

// kNotFound when it is not the one, kPermissionDenied when it is another user's.
Result<os::Process> OpenIfVmm(pid_t pid, const IsVmm& is_vmm,
                              const std::function<Result<bool>(pid_t)>& check) {
  ASSIGN_OR_RETURN(const os::ProcessStat stat, os::ReadProcessStat(pid));
  ASSIGN_OR_RETURN(const auto arguments, os::ReadCommandLine(pid));
  if (!is_vmm(arguments)) return Fail(Code::kNotFound, "process {} is another program", pid);
  ASSIGN_OR_RETURN(const bool ours, check(pid));
  if (!ours) return Fail(Code::kNotFound, "process {} is another server's VMM", pid);
  return os::Process::Open(pid, stat.start_time);
}

}  // namespace

Status CheckRecordEngine(const json::object& record, std::string_view engine) {
  const std::string made_by = JsonReader(record).String("engine");
  if (made_by == engine) return {};
  if (made_by.empty()) return Fail(Code::kInvalidArgument, "a machine's record without its engine");
  return Fail(Code::kFailedPrecondition,
              "its machine runs on the engine '{}': a server with --engine {} can adopt or end it",
              made_by, made_by);
}

json::object ProcessJson(const os::Process& process) {
  return {{"pid", process.pid()}, {"start_time", process.start_time()}};
}

RecordedProcess ReadProcess(const json::object& object, JsonReader& errors) {
  JsonReader reader(object);
  RecordedProcess process;
  process.pid = static_cast<pid_t>(reader.Int("pid", 0, 1, INT32_MAX));
  process.start_time = static_cast<uint64_t>(reader.Int("start_time", 0, 0, INT64_MAX));
  if (!reader.Finish() || process.pid == 0) errors.SetError("broken process in a machine's record");
  return process;
}

Result<os::Process> FindRecorded(const RecordedProcess& recorded, const std::string& boot_id,
                                 const IsVmm& is_vmm) {
  ASSIGN_OR_RETURN(const std::string now, os::BootId());
  if (now != boot_id) {
    return Fail(Code::kNotFound, "the host has been restarted since process {} was started",
                recorded.pid);
  }
  ASSIGN_OR_RETURN(os::Process process, os::Process::Open(recorded.pid, recorded.start_time));
  ASSIGN_OR_RETURN(const auto arguments, os::ReadCommandLine(recorded.pid));
  if (!is_vmm(arguments)) {
    return Fail(Code::kNotFound, "process {} is another program", recorded.pid);
  }
  return process;
}

Result<os::Process> FindUnrecorded(const IsVmm& is_vmm,
                                   const std::function<Result<bool>(pid_t)>& check) {
  ASSIGN_OR_RETURN(const auto names, os::ListDirectory("/proc"));
  for (const std::string& name : names) {
    pid_t pid = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (parsed.ec != std::errc() || parsed.ptr != name.data() + name.size()) continue;
    auto process = OpenIfVmm(pid, is_vmm, check);
    if (process) return process;
    const Code why = process.error().code;
    if (why != Code::kNotFound && why != Code::kPermissionDenied) return process;
  }
  return Fail(Code::kNotFound, "no such VMM runs");
}

}  // namespace wrenn::vmm
