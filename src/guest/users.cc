#include "guest/users.h"

#include <algorithm>
#include <charconv>

#include "base/io.h"
#include "guest/split.h"

namespace wrenn::guest {
namespace {

bool ParseId(std::string_view text, unsigned& id) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::vector<User> ParsePasswd(std::string_view text) {
  std::vector<User> users;
  for (const std::string_view line : Split(text, '\n')) {
    const auto fields = Split(line, ':');
    User user;
    if (fields.size() != 7 || fields[0].empty() || !ParseId(fields[2], user.uid) ||
        !ParseId(fields[3], user.gid)) {
      continue;
    }
    user.name = fields[0];
    if (!fields[5].empty()) user.home = fields[5];
    if (!fields[6].empty()) user.shell = fields[6];
    users.push_back(std::move(user));
  }
  return users;
}

std::vector<Group> ParseGroups(std::string_view text) {
  std::vector<Group> groups;
  for (const std::string_view line : Split(text, '\n')) {
    const auto fields = Split(line, ':');
    Group group;
    if (fields.size() != 4 || fields[0].empty() || !ParseId(fields[2], group.gid)) continue;
    group.name = fields[0];
    for (const std::string_view member : Split(fields[3], ',')) {
      if (!member.empty()) group.members.emplace_back(member);
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

Result<User> FindUser(std::string_view name) {
  for (User& user : ParsePasswd(ReadFile("/etc/passwd").value_or(""))) {
    if (user.name == name) return std::move(user);
  }
  // An image without /etc/passwd still has its root.
  if (name == "root") return User{"root", 0, 0, "/root", "/bin/sh"};
  return Fail(Code::kUnauthenticated, "invalid username: '{}'", name);
}

User UserOf(uid_t uid) {
  for (User& user : ParsePasswd(ReadFile("/etc/passwd").value_or(""))) {
    if (user.uid == uid) return std::move(user);
  }
  User user;
  user.name = uid == 0 ? "root" : std::to_string(uid);
  user.uid = uid;
  user.gid = uid;
  return user;
}

std::vector<gid_t> GroupsOf(const User& user) {
  std::vector<gid_t> ids{user.gid};
  for (const Group& group : ParseGroups(ReadFile("/etc/group").value_or(""))) {
    if (group.gid != user.gid && std::ranges::count(group.members, user.name) > 0) {
      ids.push_back(group.gid);
    }
  }
  return ids;
}

OwnerNames::OwnerNames() {
  for (auto& user : ParsePasswd(ReadFile("/etc/passwd").value_or("")))
    users_.emplace(user.uid, user.name);
  for (auto& group : ParseGroups(ReadFile("/etc/group").value_or(""))) {
    groups_.emplace(group.gid, group.name);
  }
}

const std::string& OwnerNames::Name(Names& names, unsigned id) {
  const auto [entry, added] = names.try_emplace(id);
  if (added) entry->second = id == 0 ? "root" : std::to_string(id);
  return entry->second;
}

}  // namespace wrenn::guest
