#include "os/cgroup_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>

#include "base/io.h"
#include "os/cgroup_files.h"
#include "os/files.h"

namespace wrenn::os {
namespace {

// First those that processes in the cgroup above forbid. The others would be let through, and make
// that one a "threaded" one, which has no room for what else we want.
constexpr const char* kControllers[] = {"memory", "io", "cpu", "pids"};
constexpr const char* kHostGroup = "wrenn-host";
constexpr int kAttempts = 5;  // to move away processes that come meanwhile

bool IsName(const std::string& name) {
  constexpr size_t kLongest = 64;
  return !name.empty() && name.size() <= kLongest && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

// What systemd says of a cgroup whose inside is not its own business (systemd's CGROUP_DELEGATION).
bool IsDelegated(const std::string& path) {
  for (const char* name : {"trusted.delegate", "user.delegate"}) {
    char value = 0;
    if (::getxattr(path.c_str(), name, &value, 1) == 1 && value == '1') return true;
  }
  return false;
}

// The cgroup that the tree is to be in. Not this process's own, where its presence forbids
// controllers below (the rule of no internal processes), and which is gone, with all that is in it,
// when the service is stopped.
std::string ChooseParent(const CgroupPlace& place) {
  // What root starts in a session must not end with the session.
  if (place.own.starts_with("/user.slice/") && ::geteuid() == 0) return place.top;
  std::string path = place.own;
  for (size_t end = path.rfind('/'); end != 0 && end != std::string::npos; end = path.rfind('/')) {
    path.resize(end);
    if (IsDelegated(place.top + path)) return place.top + path;
  }
  return place.top;
}

Error NotUsable(int error) {
  Error failure = ErrnoError("cannot make cgroups", error);
  if (error == EROFS) {
    failure.code = Code::kUnimplemented;
    failure.message =
        "cgroups can only be read here: run the container with a writable /sys/fs/cgroup "
        "(privileged), or wrenn on the host";
  } else if (error == EACCES || error == EPERM) {
    failure.message = "cgroups need root: start wrenn as root";
  } else if (error == EBUSY || error == EOPNOTSUPP) {
    failure.code = Code::kUnimplemented;
    failure.message =
        "processes in the cgroup above keep its controllers: start wrenn in a service with "
        "Delegate=yes and DelegateSubgroup=server";
  }
  return failure;
}

// Moves what runs in a container's top cgroup into one below it. New processes may come meanwhile.
Status MoveProcesses(const std::string& from, int folder) {
  const std::string to = from + "/" + kHostGroup;
  if (::mkdir(to.c_str(), 0755) < 0 && errno != EEXIST) {
    return Fail(ErrnoError("cannot make a cgroup for the container's processes"));
  }
  ASSIGN_OR_RETURN(const std::string pids, ReadCgroupFile(folder, "cgroup.procs"));
  const UniqueFd target(::open(to.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (const std::string_view pid : SplitLines(pids)) {
    // It may have ended.
    (void)TryWriteCgroupFile(target.get(), "cgroup.procs", pid);
  }
  return {};
}

// Lets the cgroups below have what there is of the controllers. Answers those that there are not.
Result<std::vector<std::string>> Enable(const std::string& path, bool may_move) {
  const UniqueFd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return Fail(ErrnoError("cannot open the cgroup"));
  ASSIGN_OR_RETURN(std::string available, ReadCgroupFile(folder.get(), "cgroup.controllers"));
  std::ranges::replace(available, '\n', ' ');
  std::vector<std::string> missing;
  for (const char* controller : kControllers) {
    if ((" " + available).find(fmt::format(" {} ", controller)) == std::string::npos) {
      missing.emplace_back(controller);
      continue;
    }
    for (int attempt = 0;; ++attempt) {
      const std::string text = fmt::format("+{}", controller);
      const int error = TryWriteCgroupFile(folder.get(), "cgroup.subtree_control", text);
      if (error == 0) break;
      if (error != EBUSY || !may_move || attempt == kAttempts) return Fail(NotUsable(error));
      RETURN_IF_ERROR(MoveProcesses(path, folder.get()));
    }
  }
  return missing;
}

Error NoVersion2(const CgroupPlace& place) {
  if (place.version_1) {
    return Error{Code::kUnimplemented,
                 "the controllers belong to cgroup v1 here: boot the host with "
                 "'systemd.unified_cgroup_hierarchy=1' to have limits",
                 {}};
  }
  return Error{Code::kUnimplemented,
               "no cgroup v2 is mounted here: mount it with 'mount -t cgroup2 none /sys/fs/cgroup'",
               {}};
}

}  // namespace

Result<CgroupTree> CgroupTree::Open(const std::string& mark) {
  if (!IsName(mark)) return Fail(Code::kInvalidArgument, "'{}' is no mark of cgroups", mark);
  ASSIGN_OR_RETURN(const std::string mountinfo, ReadFile("/proc/self/mountinfo"));
  ASSIGN_OR_RETURN(const std::string own, ReadFile("/proc/self/cgroup"));
  const CgroupPlace place = FindCgroups(mountinfo, own);
  if (place.top.empty()) return Fail(NoVersion2(place));
  const std::string parent = ChooseParent(place);
  // The file is not there at the very top, where processes are in nobody's way.
  const bool container_top = parent == place.top && Exists(parent + "/cgroup.type");
  ASSIGN_OR_RETURN(std::vector<std::string> missing, Enable(parent, container_top));
  if (missing.size() == std::size(kControllers)) return Fail(NoVersion2(place));
  std::string path = fmt::format("{}/wrenn-{}", parent, mark);
  if (::mkdir(path.c_str(), 0755) < 0 && errno != EEXIST) {
    return Fail(NotUsable(errno));
  }
  ASSIGN_OR_RETURN(missing, Enable(path, false));
  return CgroupTree(std::move(path), std::move(missing));
}

Result<Cgroup> CgroupTree::Make(const std::string& id, const CgroupLimits& limits) const {
  if (!IsName(id)) return Fail(Code::kInvalidArgument, "'{}' is no id of a cgroup", id);
  const std::string path = path_ + "/" + id;
  if (::mkdir(path.c_str(), 0755) < 0) {
    return Fail(ErrnoError(fmt::format("cannot make cgroup '{}'", id)));
  }
  auto cgroup = Adopt(id);
  Status limited = cgroup ? cgroup->SetLimits(limits) : Fail(cgroup.error());
  if (limited) return cgroup;
  ::rmdir(path.c_str());
  return Fail(std::move(limited.error()));
}

Result<Cgroup> CgroupTree::Adopt(const std::string& id) const {
  if (!IsName(id)) return Fail(Code::kInvalidArgument, "'{}' is no id of a cgroup", id);
  std::string path = path_ + "/" + id;
  UniqueFd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return Fail(ErrnoError(fmt::format("cannot open cgroup '{}'", id)));
  return Cgroup(id, std::move(path), std::move(folder));
}

Result<std::vector<std::string>> CgroupTree::Ids() const {
  ASSIGN_OR_RETURN(std::vector<std::string> ids, ListDirectory(path_));
  // The kernel's own files all have a dot in their names.
  std::erase_if(ids, [](const std::string& name) { return !IsName(name); });
  return ids;
}

Status CgroupTree::RemoveStale(const std::vector<std::string>& keep, Deadline deadline) const {
  ASSIGN_OR_RETURN(const std::vector<std::string> ids, Ids());
  Status first;
  const auto each = [&](const auto& step) {
    for (const std::string& id : ids) {
      if (std::ranges::find(keep, id) != keep.end()) continue;
      auto cgroup = Adopt(id);
      Status done = cgroup ? step(*cgroup) : Fail(std::move(cgroup.error()));
      if (first && !done) first = std::move(done);
    }
  };
  // All are told to end before one is waited for.
  each([](Cgroup& cgroup) -> Status {
    auto killed = cgroup.Kill(Deadline::After(Deadline::Duration(0)));
    if (!killed && killed.error().code == Code::kDeadlineExceeded) return {};
    return killed;
  });
  each([&](Cgroup& cgroup) { return cgroup.Remove(deadline); });
  return first;
}

}  // namespace wrenn::os
