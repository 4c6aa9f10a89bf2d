#include "guest/init/cgroups.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <mutex>
#include <optional>
#include <vector>

#include "guest/split.h"

namespace wrenn::guest {
namespace {

constexpr uint64_t kMiB = 1 << 20;

std::mutex g_mutex;
std::string g_user_class;  // empty: no cgroups; never changed once it is set
struct Group {
  std::string path;
  UniqueFd folder;
};
std::optional<Group> g_spare;        // that nobody has used
std::vector<std::string> g_waiting;  // to be removed when they are empty

Status WriteTo(const std::string& path, std::string_view text) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return Fail(ErrnoError("cannot open '" + path + "'"));
  return WriteAll(fd.get(), text, Deadline::Never());
}

// For knobs of controllers that this kernel may lack.
void TryWrite(const std::string& path, std::string_view text) {
  [[maybe_unused]] auto written = WriteTo(path, text);
}

// The number that follows `key` in a file of "key: number unit" lines, or that is all of the file.
uint64_t NumberIn(const char* path, std::string_view key) {
  auto text = ReadFile(path);
  if (!text) return 0;
  const size_t at = text->find(key);
  if (at == std::string::npos) return 0;
  const auto words = Words(std::string_view(*text).substr(at + key.size()));
  uint64_t number = 0;
  if (!words.empty()) {
    std::from_chars(words[0].data(), words[0].data() + words[0].size(), number);
  }
  return number;
}

// The groups within a group.
std::vector<std::string> GroupsIn(const std::string& path) {
  std::vector<std::string> groups;
  DIR* folder = ::opendir(path.c_str());
  if (!folder) return groups;
  while (const dirent* entry = ::readdir(folder)) {
    const std::string_view name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..") {
      groups.push_back(fmt::format("{}/{}", path, name));
    }
  }
  ::closedir(folder);
  return groups;
}

// Removes a group and those in it, if no process is in any of them. False when it must be tried
// again. Recursion is bounded by PATH_MAX.
bool RemoveGroup(const std::string& path) {
  if (::rmdir(path.c_str()) == 0 || (errno != EBUSY && errno != ENOTEMPTY)) return true;
  auto events = ReadFile(path + "/cgroup.events", 4096);
  if (events && events->find("populated 1") != std::string::npos) return false;
  for (const std::string& group : GroupsIn(path)) RemoveGroup(group);
  return ::rmdir(path.c_str()) == 0;
}

// A new group for one process. Without one it would be in the agent's class, protected from
// everything.
Result<Group> MakeGroup() {
  static std::atomic<uint64_t> next = 0;
  Group group{g_user_class + "/" + std::to_string(++next), {}};
  if (::mkdir(group.path.c_str(), 0755) < 0) return Fail(ErrnoError("cannot make a cgroup"));
  group.folder = UniqueFd(::open(group.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!group.folder) return Fail(ErrnoError("cannot open a cgroup"));
  return group;
}

}  // namespace

CgroupLimits LimitsFor(uint64_t memory_bytes, uint64_t max_threads) {
  CgroupLimits limits;
  limits.agent_memory_min = 32 * kMiB;
  const uint64_t reserve = std::clamp(memory_bytes / 16, 24 * kMiB, 128 * kMiB);
  limits.user_memory_max = memory_bytes > 2 * reserve ? memory_bytes - reserve : memory_bytes / 2;
  limits.user_pids_max = std::max<uint64_t>(max_threads / 10 * 9, 64);
  return limits;
}

Status SetUpCgroups(const std::string& root) {
  const std::string agent = root + "/agent";
  const std::string user = root + "/user";
  for (const std::string_view controller : {"+cpu", "+memory", "+pids", "+io"}) {
    TryWrite(root + "/cgroup.subtree_control", controller);
  }
  for (const std::string& path : {agent, user}) {
    if (::mkdir(path.c_str(), 0755) < 0 && errno != EEXIST) {
      return Fail(ErrnoError("cannot make the cgroup '" + path + "'"));
    }
  }
  const CgroupLimits limits = LimitsFor(NumberIn("/proc/meminfo", "MemTotal:") * 1024,
                                        std::min(NumberIn("/proc/sys/kernel/threads-max", ""),
                                                 NumberIn("/proc/sys/kernel/pid_max", "")));
  TryWrite(agent + "/cpu.weight", "10000");
  TryWrite(agent + "/memory.min", std::to_string(limits.agent_memory_min));
  TryWrite(user + "/memory.max", std::to_string(limits.user_memory_max));
  TryWrite(user + "/pids.max", std::to_string(limits.user_pids_max));
  RETURN_IF_ERROR(WriteTo(agent + "/cgroup.procs", "0"));
  std::lock_guard lock(g_mutex);
  g_user_class = user;
  return {};
}

Result<std::shared_ptr<ProcessCgroup>> ProcessCgroup::Create() {
  std::optional<Group> group;
  {
    std::lock_guard lock(g_mutex);
    if (g_user_class.empty()) return std::shared_ptr<ProcessCgroup>();
    group = std::exchange(g_spare, std::nullopt);
  }
  // (A user who is root may have removed the spare one.)
  if (!group || ::access(group->path.c_str(), F_OK) != 0) {
    ASSIGN_OR_RETURN(group, MakeGroup());
  }
  return std::make_shared<ProcessCgroup>(std::move(group->path), std::move(group->folder));
}

ProcessCgroup::~ProcessCgroup() {
  if (RemoveGroup(path_)) return;
  std::lock_guard lock(g_mutex);
  g_waiting.push_back(path_);
}

void ProcessCgroup::Kill() const { TryWrite(path_ + "/cgroup.kill", "1"); }

void TidyCgroups() {
  std::lock_guard lock(g_mutex);
  std::erase_if(g_waiting, RemoveGroup);
  if (g_user_class.empty() || g_spare) return;
  if (auto made = MakeGroup()) g_spare = std::move(*made);
}

}  // namespace wrenn::guest
