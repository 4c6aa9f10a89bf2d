#include "server/first_key.h"

#include "api/keys.h"
#include "base/io.h"

namespace wrenn::server {
namespace {

constexpr const char* kName = "default";

}  // namespace

Result<bool> EnsureKey(const os::Paths& paths, store::Store& store) {
  const auto existing = api::ReadKeyFile(paths.KeyFile());
  if (!existing && existing.error().code != Code::kNotFound) return Fail(existing.error());
  if (existing) {
    ASSIGN_OR_RETURN(const auto keys, store.ListKeys(store::kDefaultTenant));
    // With other keys there, a file's key that is missing was revoked.
    if (keys.empty()) RETURN_IF_ERROR(store.AddKey(api::MakeKeyRecord(*existing, kName)));
    return false;
  }
  const std::string key = api::MakeKey();
  // Recorded first: a file with a key that nobody knows would look like a revoked one.
  RETURN_IF_ERROR(store.AddKey(api::MakeKeyRecord(key, kName)));
  RETURN_IF_ERROR(WriteFileAtomically(paths.KeyFile(), key + "\n", 0600));
  return true;
}

}  // namespace wrenn::server
