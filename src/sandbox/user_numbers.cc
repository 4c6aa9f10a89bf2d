#include "sandbox/user_numbers.h"

#include <charconv>

#include "os/digest.h"

namespace wrenn::sandbox {
namespace {

// The last number that is a user's is below 2^31: some programs take them as signed.
constexpr uint32_t kPlaces = (0x7fff0000 - kFirstUser) / kUsersPerServer;

uint32_t PlaceOf(const std::string& root) {
  const std::string digest = os::Sha256Hex(root).substr(0, 8);
  uint32_t number = 0;
  std::from_chars(digest.data(), digest.data() + digest.size(), number, 16);
  return kFirstUser + number % kPlaces * kUsersPerServer;
}

}  // namespace

UserNumbers::UserNumbers(const std::string& root) : first_(PlaceOf(root)) {}

Result<uint32_t> UserNumbers::Take() {
  std::lock_guard lock(mutex_);
  for (uint32_t i = 0; i < kUsersPerServer; ++i) {
    const uint32_t user = first_ + next_;
    next_ = (next_ + 1) % kUsersPerServer;
    if (used_.insert(user).second) return user;
  }
  return Fail(Code::kResourceExhausted, "all {} users for VMMs are in use", kUsersPerServer);
}

void UserNumbers::Keep(uint32_t user) {
  std::lock_guard lock(mutex_);
  used_.insert(user);
}

void UserNumbers::GiveBack(uint32_t user) {
  std::lock_guard lock(mutex_);
  used_.erase(user);
}

}  // namespace wrenn::sandbox
