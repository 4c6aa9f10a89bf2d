#include "disk/probe.h"

#include <algorithm>

#include "disk/dm_snapshot.h"
#include "disk/sparse_copy.h"
#include "os/files.h"

namespace wrenn::disk {
namespace {

Status TryReflink(const std::string& folder) {
  ASSIGN_OR_RETURN(const auto place, os::TemporaryDirectory::Make(folder, "probe"));
  ASSIGN_OR_RETURN(const NewFile from, NewFile::Make(place.path() + "/from"));
  ASSIGN_OR_RETURN(const NewFile to, NewFile::Make(place.path() + "/to"));
  RETURN_IF_ERROR(WriteAt(from.fd(), std::string(1 << 16, 'x'), 0));
  return ShareBlocks(from.fd(), to.fd());
}

BackendProbe Verdict(std::string name, const Status& tried, std::string_view gives,
                     std::string_view remedy) {
  if (tried) return {std::move(name), true, std::string(gives)};
  return {std::move(name), false, fmt::format("{}{}", tried.error().message, remedy)};
}

}  // namespace

std::vector<BackendProbe> ProbeBackends(const std::string& folder) {
  const auto opened = DmSnapshots::Open(folder);
  const Status dm = opened ? Status() : Fail(opened.error());
  return {
      Verdict("dm-snapshot", dm, "the kernel keeps each sandbox's changes apart from the image",
              ""),
      Verdict("reflink", TryReflink(folder), "sandboxes share the image's blocks",
              ": keep the data on xfs or btrfs"),
      {"qcow2", true, "QEMU keeps each sandbox's changes apart from the image"},
      {"copy", true, "each sandbox has a whole copy of the image"},
  };
}

Result<std::string> ChooseBackend(std::span<const BackendProbe> probes,
                                  std::span<const std::string_view> wanted) {
  std::string reasons;
  for (const std::string_view name : wanted) {
    const auto probe = std::ranges::find(probes, name, &BackendProbe::name);
    if (probe == probes.end()) return Fail(Code::kInvalidArgument, "no disk backend '{}'", name);
    if (probe->available) return probe->name;
    reasons += fmt::format("{}'{}': {}", reasons.empty() ? "" : "; ", name, probe->explanation);
  }
  return Fail(Code::kFailedPrecondition, "no disk backend can be used here: {}", reasons);
}

}  // namespace wrenn::disk
