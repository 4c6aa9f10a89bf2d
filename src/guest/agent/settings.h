// Settings: what POST /init has told the agent.
#pragma once

#include <mutex>
#include <string>

#include "guest/process/environment.h"
#include "wire/agent_api.h"

namespace wrenn::guest {

// Thread-safe.
class Settings {
 public:
  explicit Settings(std::string token) : token_(std::move(token)) {}

  // Takes over what concerns the agent itself.
  void Apply(const wire::InitRequest& request);

  // Compares in constant time. Without a token anything is right.
  bool IsToken(std::string_view token);

  Environment environment();

  // The user of that name, or the default one for an empty name: the one that /init named, else
  // `user` if there is one, else root. Without root's rights only who we are: kPermissionDenied.
  Result<User> FindUser(std::string_view name);

  // An absolute path as this user means it: relative ones start at the default folder or the home.
  // kInvalidArgument for one with a NUL byte.
  Result<std::string> Resolve(std::string_view path, const User& user);

 private:
  std::mutex mutex_;
  std::string token_;
  Environment environment_;
  std::string default_user_;
  std::string default_workdir_;
};

}  // namespace wrenn::guest
