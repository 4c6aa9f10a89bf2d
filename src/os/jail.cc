#include "os/jail.h"

#include "os/process.h"
#include "os/spawn_child.h"

namespace wrenn::os {

Status CheckJail() {
  constexpr uid_t kNobody = 65534;
  SpawnOptions options;
  options.argv = {"/nothing"};
  options.jail.emplace();
  options.jail->uid = kNobody;
  options.jail->gid = kNobody;
  const auto process = Process::Spawn(options);
  // There is no program in it, so it is all right when only the last step fails.
  if (process || process.error().detail == fmt::format("could not {}", kExecuteStep)) return {};
  return Fail(process.error().WithContext("programs cannot be jailed here"));
}

}  // namespace wrenn::os
