#include "api/auth.h"

#include <strings.h>

#include "api/keys.h"
#include "base/id.h"

namespace wrenn::api {
namespace {

constexpr std::string_view kBearer = "bearer ";
// How often it is noted that a key is in use.
constexpr std::chrono::minutes kTouchEvery{1};

// The key that a request brings; empty without one.
std::string_view PresentedKey(const wire::Fields& fields) {
  if (const std::string* key = fields.Find("x-api-key")) return *key;
  const std::string_view value = fields.Get("authorization");
  if (value.size() < kBearer.size() ||
      ::strncasecmp(value.data(), kBearer.data(), kBearer.size()) != 0) {
    return {};
  }
  return value.substr(kBearer.size());
}

}  // namespace

Result<store::KeyRecord> Authenticator::Check(const wire::RequestHead& request) {
  const std::string_view key = PresentedKey(request.fields);
  if (key.empty()) {
    return Fail(Code::kUnauthenticated,
                "an API key is required: send it as 'X-API-Key' or 'Authorization: Bearer'");
  }
  if (!IsKey(key)) return Fail(Code::kUnauthenticated, "this is not an API key");
  return LookUp(HashKey(key));
}

Result<store::KeyRecord> Authenticator::LookUp(const std::string& hash) {
  const Clock::time_point now = Clock::now();
  {
    std::lock_guard lock(mutex_);
    std::erase_if(cache_, [&](const auto& entry) { return entry.second.expires <= now; });
    if (const auto found = cache_.find(hash); found != cache_.end()) return found->second.record;
  }
  auto record = store_.FindKey(hash);
  if (!record && record.error().code != Code::kNotFound) return Fail(std::move(record.error()));
  if (!record || !EqualSecrets(record->hash, hash)) {
    return Fail(Code::kUnauthenticated, "the API key is not known, or was revoked");
  }
  const auto today = std::chrono::system_clock::now();
  if (!record->last_used_at || today - *record->last_used_at >= kTouchEvery) {
    // Knowing when a key was used is a help, no condition for using it.
    [[maybe_unused]] auto noted = store_.TouchKey(record->id, today);
  }
  std::lock_guard lock(mutex_);
  cache_[hash] = Entry{*record, now + kCacheTime};
  return record;
}

}  // namespace wrenn::api
