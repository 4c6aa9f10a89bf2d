// The processes of VMMs: as they stand in records, and found again by a later server.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "os/process.h"

namespace wrenn::vmm {

struct RecordedProcess {
  pid_t pid = 0;
  uint64_t start_time = 0;
};

// {"pid","start_time"}
json::object ProcessJson(const os::Process& process);
// An error goes to `errors`.
RecordedProcess ReadProcess(const json::object& object, JsonReader& errors);

// Whether a process that was started with these arguments is the one meant.
using IsVmm = std::function<bool(const std::vector<std::string>& arguments)>;

// The recorded process, if it still is that: the same pid, begun at the same time in the same boot
// of the host, and what it should be. Else kNotFound.
Result<os::Process> FindRecorded(const RecordedProcess& recorded, const std::string& boot_id,
                                 const IsVmm& is_vmm);

// A process that no record knows of, because its server was killed between starting it and writing
// that down. `check` is asked about one that its arguments tell: false when it is another server's.
// Only what has ended, is another's or is another program is passed over: who cannot look must not
// say that there is none (kNotFound).
Result<os::Process> FindUnrecorded(const IsVmm& is_vmm,
                                   const std::function<Result<bool>(pid_t)>& check);

}  // namespace wrenn::vmm
