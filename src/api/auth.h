// Authenticator: whose request it is, by its API key.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>

#include "store/store.h"
#include "wire/http.h"

namespace wrenn::api {

// Thread-safe. Keys are looked up by their hash, so no secret is ever compared piece by piece, and
// what a lookup's time tells is about a hash that an attacker cannot steer.
class Authenticator {
 public:
  // A good key is believed for so long without asking the store: the time within which a revoked
  // one stops working.
  static constexpr std::chrono::seconds kCacheTime{2};

  explicit Authenticator(store::Store& store) : store_(store) {}

  // The key's record. kUnauthenticated without a key or with one that is not known.
  Result<store::KeyRecord> Check(const wire::RequestHead& request);

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    store::KeyRecord record;
    Clock::time_point expires;
  };

  Result<store::KeyRecord> LookUp(const std::string& hash);

  store::Store& store_;
  std::mutex mutex_;
  std::map<std::string, Entry> cache_;  // by hash; good keys alone
};

}  // namespace wrenn::api
