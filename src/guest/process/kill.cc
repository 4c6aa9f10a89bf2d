#include "guest/process/kill.h"

#include <dirent.h>
#include <signal.h>

#include <charconv>
#include <map>
#include <set>

#include "guest/split.h"

namespace wrenn::guest {
namespace {

// Another round finds what was forked while the last one ran; a fork bomb is stopped by cgroups
// only.
constexpr int kRounds = 5;

struct Relation {
  pid_t parent = 0;
  pid_t session = 0;
};

pid_t ParsePid(std::string_view text) {
  pid_t pid = 0;
  std::from_chars(text.data(), text.data() + text.size(), pid);
  return pid;
}

// proc_pid_stat(5): "pid (comm) state ppid pgrp session ..."; comm may hold anything, ')' too.
std::map<pid_t, Relation> ReadRelations() {
  std::map<pid_t, Relation> relations;
  DIR* proc = ::opendir("/proc");
  if (!proc) return relations;
  while (const dirent* entry = ::readdir(proc)) {
    const pid_t pid = ParsePid(entry->d_name);
    if (pid <= 0) continue;
    auto stat = ReadFile(fmt::format("/proc/{}/stat", pid), 4096);
    if (!stat) continue;
    const size_t end = stat->rfind(')');
    if (end == std::string::npos) continue;
    const auto fields = Words(std::string_view(*stat).substr(end + 1));
    if (fields.size() > 3 && fields[0] != "Z") {
      relations[pid] = {ParsePid(fields[1]), ParsePid(fields[3])};
    }
  }
  ::closedir(proc);
  return relations;
}

bool BelongsTo(pid_t root, pid_t pid, const std::map<pid_t, Relation>& relations) {
  std::set<pid_t> seen;
  while (pid > 1 && seen.insert(pid).second) {
    const auto relation = relations.find(pid);
    if (relation == relations.end()) return false;
    if (pid == root || relation->second.session == root) return true;
    pid = relation->second.parent;
  }
  return false;
}

}  // namespace

void KillTree(const Child& child, const ProcessCgroup* cgroup) {
  Reaper& reaper = Reaper::Get();
  // A program of root may have left its cgroup, so this alone does not say that all are gone.
  if (cgroup) cgroup->Kill();
  // While the leader has not been reaped no other process can have its pid, nor its session's id.
  if (!reaper.Signal(child, SIGSTOP, false)) return;
  for (int round = 0; round < kRounds; ++round) {
    bool found = false;
    const auto relations = ReadRelations();
    for (const auto& [pid, relation] : relations) {
      if (pid != child.pid() && BelongsTo(child.pid(), pid, relations)) {
        found = ::kill(pid, SIGKILL) == 0 || found;
      }
    }
    if (!found) break;
  }
  [[maybe_unused]] auto killed = reaper.Signal(child, SIGKILL, true);
}

}  // namespace wrenn::guest
