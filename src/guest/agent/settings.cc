#include "guest/agent/settings.h"

#include <unistd.h>

#include "base/id.h"

namespace wrenn::guest {

void Settings::Apply(const wire::InitRequest& request) {
  std::lock_guard lock(mutex_);
  environment_ = request.env_vars;
  if (request.access_token) token_ = *request.access_token;
  if (request.default_user) default_user_ = *request.default_user;
  if (request.default_workdir) default_workdir_ = *request.default_workdir;
}

bool Settings::IsToken(std::string_view token) {
  std::lock_guard lock(mutex_);
  return token_.empty() || EqualSecrets(token_, token);
}

Environment Settings::environment() {
  std::lock_guard lock(mutex_);
  return environment_;
}

Result<User> Settings::FindUser(std::string_view name) {
  std::string wanted(name);
  if (wanted.empty()) {
    std::lock_guard lock(mutex_);
    wanted = default_user_;
  }
  const uid_t self = ::geteuid();
  if (wanted.empty()) {
    if (self != 0) return UserOf(self);
    auto user = guest::FindUser("user");
    return user ? std::move(user) : guest::FindUser("root");
  }
  if (self != 0) {
    User user = UserOf(self);
    if (user.name == wanted) return user;
    return Fail(Code::kPermissionDenied, "the agent runs as '{}' and cannot act as '{}'", user.name,
                wanted);
  }
  return guest::FindUser(wanted);
}

Result<std::string> Settings::Resolve(std::string_view path, const User& user) {
  if (path.find('\0') != std::string_view::npos) {
    return Fail(Code::kInvalidArgument, "a path cannot hold a NUL byte");
  }
  std::string workdir;
  {
    std::lock_guard lock(mutex_);
    workdir = default_workdir_;
  }
  return ResolvePath(path, user, workdir.empty() ? std::string() : ResolvePath(workdir, user));
}

}  // namespace wrenn::guest
