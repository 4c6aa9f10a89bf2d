#include "guest/files/watcher.h"

#include <linux/magic.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/io.h"
#include "guest/files/entries.h"
#include "guest/files/upload.h"

namespace wrenn::guest {
namespace {

using Type = wire::FileEventType;

constexpr uint32_t kEvents = IN_CREATE | IN_MODIFY | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
                             IN_ATTRIB | IN_DELETE_SELF | IN_ONLYDIR;
// Renames of uploads of which only the first half has been seen.
constexpr size_t kMaxUploads = 64;
constexpr std::array<unsigned long, 8> kNetworkFileSystems = {
    NFS_SUPER_MAGIC, SMB_SUPER_MAGIC,  CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC,
    AFS_SUPER_MAGIC, CEPH_SUPER_MAGIC, V9FS_MAGIC,       FUSE_SUPER_MAGIC};

bool IsNetworkMount(const std::string& path) {
  struct statfs info;
  if (::statfs(path.c_str(), &info) < 0) return false;
  return std::ranges::count(kNetworkFileSystems, static_cast<unsigned long>(info.f_type)) > 0;
}

Type TypeOf(uint32_t mask) {
  if (mask & (IN_CREATE | IN_MOVED_TO)) return Type::kCreate;
  if (mask & IN_MODIFY) return Type::kWrite;
  if (mask & IN_DELETE) return Type::kRemove;
  if (mask & IN_MOVED_FROM) return Type::kRename;
  return mask & IN_ATTRIB ? Type::kChmod : Type::kUnspecified;
}

std::string Join(const std::string& folder, std::string_view name) {
  return folder.empty() ? std::string(name) : fmt::format("{}/{}", folder, name);
}

bool IsFolder(const std::string& path) {
  struct stat info;
  return ::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

}  // namespace

Result<std::unique_ptr<Watcher>> Watcher::Open(const std::string& path, const Options& options) {
  struct stat info;
  if (::stat(path.c_str(), &info) < 0) return PathError("watch", path, errno);
  if (!S_ISDIR(info.st_mode)) {
    return Fail(Code::kInvalidArgument, "path '{}' is not a directory", path);
  }
  if (!options.allow_network_mounts && IsNetworkMount(path)) {
    return Fail(Code::kInvalidArgument,
                "path '{}' is on a network mount, where changes may go unseen: allow it explicitly",
                path);
  }
  UniqueFd inotify(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify && errno == EMFILE) {
    return Fail(Code::kResourceExhausted,
                "too many watchers: remove some, or raise fs.inotify.max_user_instances");
  }
  if (!inotify) return Fail(ErrnoError("cannot watch files"));
  std::unique_ptr<Watcher> watcher(new Watcher(std::move(inotify), path, options));
  RETURN_IF_ERROR(watcher->Add("", nullptr));
  return watcher;
}

std::string Watcher::PathOf(const std::string& name) const {
  if (name.empty()) return root_;
  return (root_ == "/" ? "" : root_) + "/" + name;
}

Status Watcher::Add(const std::string& name, std::vector<wire::FileEvent>* events) {
  const int watch = ::inotify_add_watch(inotify_.get(), PathOf(name).c_str(),
                                        kEvents | (name.empty() ? 0u : IN_DONT_FOLLOW));
  if (watch < 0) {
    if (errno == ENOSPC) {
      return Fail(Code::kResourceExhausted,
                  "too many folders to watch: raise fs.inotify.max_user_watches");
    }
    // A folder may vanish between its event and our look at it.
    if (!name.empty() && (errno == ENOENT || errno == ENOTDIR || errno == EACCES)) return {};
    return PathError("watch", PathOf(name), errno);
  }
  folders_[watch] = {name, {}};
  return options_.recursive ? AddContent(watch, events) : Status();
}

Status Watcher::AddContent(int watch, std::vector<wire::FileEvent>* events) {
  const std::string folder = folders_[watch].name;
  for (const std::string& entry : NamesIn(PathOf(folder))) {
    if (entry.starts_with(Upload::kPrefix)) continue;
    const std::string name = Join(folder, entry);
    if (events) {
      folders_[watch].seen.insert(entry);
      RETURN_IF_ERROR(Report(name, Type::kCreate, *events));
    }
    if (IsFolder(PathOf(name))) RETURN_IF_ERROR(Add(name, events));
  }
  return {};
}

void Watcher::Forget(const std::string& name) {
  std::erase_if(folders_, [&](const auto& entry) {
    const std::string& folder = entry.second.name;
    if (folder != name && !folder.starts_with(name + "/")) return false;
    ::inotify_rm_watch(inotify_.get(), entry.first);
    return true;
  });
}

Result<std::vector<wire::FileEvent>> Watcher::Read() {
  owners_.reset();
  std::vector<wire::FileEvent> events;
  alignas(inotify_event) char buffer[16 << 10];
  const ssize_t got = ::read(inotify_.get(), buffer, sizeof buffer);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return events;
    return Fail(ErrnoError("cannot watch files"));
  }
  for (const char* at = buffer; at < buffer + got;) {
    const auto* event = reinterpret_cast<const inotify_event*>(at);
    RETURN_IF_ERROR(Handle(*event, events));
    at += sizeof(inotify_event) + event->len;
  }
  return events;
}

Status Watcher::Handle(const inotify_event& event, std::vector<wire::FileEvent>& events) {
  if (event.mask & IN_Q_OVERFLOW) {
    return Fail(Code::kResourceExhausted,
                "more happened than could be reported: list the folder and watch it anew");
  }
  if (event.mask & IN_IGNORED) {
    folders_.erase(event.wd);
    return {};
  }
  const auto found = folders_.find(event.wd);
  if (found == folders_.end()) return {};
  Folder& folder = found->second;
  if (event.len == 0) {
    // About a watched folder itself: those below the first are told of by the one above them.
    const bool gone = folder.name.empty() && (event.mask & IN_DELETE_SELF);
    return gone ? Report(".", Type::kRemove, events) : Status();
  }
  ASSIGN_OR_RETURN(const bool upload, HandleUpload(event, folder.name, events));
  if (upload) return {};

  const bool seen = folder.seen.erase(event.name) > 0;
  if (seen && (event.mask & IN_CREATE)) return {};
  const std::string name = Join(folder.name, event.name);
  RETURN_IF_ERROR(Report(name, TypeOf(event.mask), events));
  if (!options_.recursive || !(event.mask & IN_ISDIR)) return {};
  if (event.mask & IN_MOVED_FROM) Forget(name);
  if (event.mask & (IN_CREATE | IN_MOVED_TO)) return Add(name, &events);
  return {};
}

// An upload is written under another name and renamed. To a watcher it is what a plain write would
// have been.
Result<bool> Watcher::HandleUpload(const inotify_event& event, const std::string& folder,
                                   std::vector<wire::FileEvent>& events) {
  const std::string_view name = event.name;
  if (name.starts_with(Upload::kPrefix)) {
    if (event.mask & IN_MOVED_FROM) {
      // The other half of a rename comes next to its first, or never: what went out of the tree.
      if (uploads_.size() >= kMaxUploads) uploads_.clear();
      uploads_[event.cookie] = name.starts_with(Upload::kNewPrefix);
    }
    return true;
  }
  const auto upload = event.mask & IN_MOVED_TO ? uploads_.find(event.cookie) : uploads_.end();
  if (upload == uploads_.end()) return false;
  if (upload->second) RETURN_IF_ERROR(Report(Join(folder, name), Type::kCreate, events));
  RETURN_IF_ERROR(Report(Join(folder, name), Type::kWrite, events));
  uploads_.erase(upload);
  return true;
}

Status Watcher::Report(std::string name, Type type, std::vector<wire::FileEvent>& events) {
  if (events.size() >= kMaxEvents) {
    return Fail(Code::kResourceExhausted,
                "more happened than could be reported: list the folder and watch it anew");
  }
  wire::FileEvent event{std::move(name), type, std::nullopt};
  const bool present = type == Type::kCreate || type == Type::kWrite || type == Type::kChmod;
  if (options_.include_entry && present) {
    if (!owners_) owners_.emplace();
    auto entry = DescribeEntry(PathOf(event.name), *owners_);
    if (entry) event.entry = std::move(*entry);
  }
  events.push_back(std::move(event));
  return {};
}

}  // namespace wrenn::guest
