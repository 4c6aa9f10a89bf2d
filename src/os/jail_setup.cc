#include "os/jail_setup.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>

#include "os/seccomp_filter.h"

namespace wrenn::os {
namespace {

// More than any jail has paths, so that its folders cannot be filled with empty files for ever.
constexpr const char* kInodes = "4096";

Error MountError(const char* what) {
  const int error = errno;
  if (error == EPERM) {
    return Error{Code::kPermissionDenied, "a jail needs root: start wrenn as root", what};
  }
  if (error == ENOSYS) {
    return Error{Code::kUnimplemented, "a jail needs Linux 5.12 or later", what};
  }
  Error failure = ErrnoError("cannot make a jail", error);
  failure.detail = what;
  return failure;
}

// "/a/b" as "a/b", when it is a path as jail.h wants it.
Result<std::string> Relative(const std::string& path) {
  bool good = path.size() > 1 && path.front() == '/' && path.back() != '/' &&
              path.find('\0') == std::string::npos;
  for (size_t begin = 1; good && begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    good = !name.empty() && name != "." && name != "..";
    begin = end + 1;
  }
  if (good) return path.substr(1);
  return Fail(Error{Code::kInvalidArgument, "a path of the jail is not absolute and plain", path});
}

class RootMaker {
 public:
  RootMaker(const Jail& jail, int root) : jail_(jail), root_(root) {}

  // Links are the last, when all folders are there: here, a path through one would lead out of the
  // jail.
  Status MakeAll(const std::vector<JailSetup::Mount>& mounts) {
    for (const JailSetup::Mount& mount : mounts) RETURN_IF_ERROR(MakeMountPoint(mount));
    for (const Jail::Device& device : jail_.devices) RETURN_IF_ERROR(MakeDevice(device));
    for (const std::string& folder : jail_.folders) {
      ASSIGN_OR_RETURN(const std::string path, MakeParents(folder));
      if (::mkdirat(root_, path.c_str(), 0700) < 0) return Fail(Problem(folder));
      RETURN_IF_ERROR(Give(path, 0700));
    }
    for (const Jail::Link& link : jail_.links) RETURN_IF_ERROR(MakeParents(link.path));
    for (const Jail::Link& link : jail_.links) {
      ASSIGN_OR_RETURN(const std::string path, Relative(link.path));
      if (::symlinkat(link.target.c_str(), root_, path.c_str()) < 0) {
        return Fail(Problem(link.path));
      }
    }
    return {};
  }

 private:
  static Error Problem(const std::string& path) {
    Error error = ErrnoError("cannot make a path of the jail");
    error.detail = path;
    return error;
  }

  // Makes the folders above a path, which it answers relative to the root.
  Result<std::string> MakeParents(const std::string& full) {
    ASSIGN_OR_RETURN(std::string path, Relative(full));
    for (size_t end = path.find('/'); end != std::string::npos; end = path.find('/', end + 1)) {
      const std::string folder = path.substr(0, end);
      if (::mkdirat(root_, folder.c_str(), 0755) == 0) {
        // mkdirat(2) heeds this process's umask.
        if (::fchmodat(root_, folder.c_str(), 0755, 0) < 0) return Fail(Problem(full));
      } else if (errno != EEXIST) {
        return Fail(Problem(full));
      }
    }
    return path;
  }

  // One that is there already is fine: the mount goes over it, or into what is mounted above it.
  Status MakeMountPoint(const JailSetup::Mount& mount) {
    ASSIGN_OR_RETURN(const std::string path, MakeParents(mount.target));
    struct stat info;
    if (::fstat(mount.tree.get(), &info) < 0) return Fail(Problem(mount.target));
    if (S_ISDIR(info.st_mode)) {
      if (::mkdirat(root_, path.c_str(), 0755) < 0 && errno != EEXIST) {
        return Fail(Problem(mount.target));
      }
    } else if (::mknodat(root_, path.c_str(), S_IFREG | 0644, 0) < 0 && errno != EEXIST) {
      return Fail(Problem(mount.target));
    }
    return {};
  }

  Status MakeDevice(const Jail::Device& device) {
    ASSIGN_OR_RETURN(const std::string path, MakeParents(device.path));
    const mode_t mode = (device.block ? S_IFBLK : S_IFCHR) | 0600;
    if (::mknodat(root_, path.c_str(), mode, device.device) < 0) return Fail(Problem(device.path));
    return Give(path, 0600);
  }

  Status Give(const std::string& path, mode_t mode) {
    if (::fchownat(root_, path.c_str(), jail_.uid, jail_.gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        ::fchmodat(root_, path.c_str(), mode, 0) < 0) {
      return Fail(Problem(path));
    }
    return {};
  }

  const Jail& jail_;
  int root_;
};

// A tmpfs that is mounted nowhere yet. It holds device nodes, so it is not MOUNT_ATTR_NODEV.
Result<UniqueFd> MakeRoot(uint64_t bytes) {
  const UniqueFd context(::fsopen("tmpfs", FSOPEN_CLOEXEC));
  if (!context) return Fail(MountError("fsopen"));
  const std::string size = std::to_string(bytes);
  if (::fsconfig(context.get(), FSCONFIG_SET_STRING, "size", size.c_str(), 0) < 0 ||
      ::fsconfig(context.get(), FSCONFIG_SET_STRING, "nr_inodes", kInodes, 0) < 0 ||
      ::fsconfig(context.get(), FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
      ::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0) {
    return Fail(MountError("fsconfig"));
  }
  UniqueFd root(::fsmount(context.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
  if (!root) return Fail(MountError("fsmount"));
  return root;
}

// A copy of the mounts at and below a path, mounted nowhere yet.
Result<UniqueFd> CopyTree(const Jail::Bind& bind) {
  UniqueFd tree(
      ::open_tree(AT_FDCWD, bind.from.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  if (!tree) {
    if (errno == EPERM || errno == ENOSYS) return Fail(MountError("open_tree"));
    Error error = ErrnoError("cannot give the jail what it needs of the host");
    error.detail = bind.from;
    return Fail(std::move(error));
  }
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  if (!bind.writable) attributes.attr_set |= MOUNT_ATTR_RDONLY;
  if (!bind.executable) attributes.attr_set |= MOUNT_ATTR_NOEXEC;
  // What the host mounts below it from now on stays out.
  attributes.propagation = MS_PRIVATE;
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                      sizeof attributes) < 0) {
    return Fail(MountError("mount_setattr"));
  }
  return tree;
}

}  // namespace

Result<JailSetup> SetUpJail(const Jail& jail) {
  if (jail.uid == 0 || jail.gid == 0) {
    return Fail(Code::kInvalidArgument, "a jail needs a uid and a gid other than 0");
  }
  JailSetup setup;
  setup.uid = jail.uid;
  setup.gid = jail.gid;
  setup.net_namespace = jail.net_namespace;
  setup.filter = JailFilter();
  ASSIGN_OR_RETURN(setup.root, MakeRoot(jail.root_bytes));
  for (const Jail::Bind& bind : jail.binds) {
    ASSIGN_OR_RETURN(UniqueFd tree, CopyTree(bind));
    setup.mounts.push_back({std::move(tree), bind.to});
  }
  RETURN_IF_ERROR(RootMaker(jail, setup.root.get()).MakeAll(setup.mounts));
  return setup;
}

}  // namespace wrenn::os
