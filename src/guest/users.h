// The guest's users and groups, read from /etc/passwd and /etc/group.
//
// getpwnam(3) would load NSS modules, which a static program cannot.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace wrenn::guest {

struct User {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
  std::string home = "/";
  std::string shell = "/bin/sh";
};

// passwd(5) and group(5); lines that are not understood are skipped.
std::vector<User> ParsePasswd(std::string_view text);
struct Group {
  std::string name;
  gid_t gid = 0;
  std::vector<std::string> members;
};
std::vector<Group> ParseGroups(std::string_view text);

// kUnauthenticated "invalid username: '...'" when there is none of that name: what envd answers.
Result<User> FindUser(std::string_view name);
// The user of that id; one that has no entry is named by its number.
User UserOf(uid_t uid);

// The groups that the user is a member of, its own included.
std::vector<gid_t> GroupsOf(const User& user);

// Names of many ids, each looked up once. For listings.
class OwnerNames {
 public:
  OwnerNames();
  const std::string& User(uid_t uid) { return Name(users_, uid); }
  const std::string& Group(gid_t gid) { return Name(groups_, gid); }

 private:
  using Names = std::map<unsigned, std::string>;
  static const std::string& Name(Names& names, unsigned id);
  Names users_;
  Names groups_;
};

}  // namespace wrenn::guest
