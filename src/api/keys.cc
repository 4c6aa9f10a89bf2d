#include "api/keys.h"

#include <openssl/evp.h>

#include <algorithm>

#include "base/id.h"
#include "base/io.h"

namespace wrenn::api {
namespace {

constexpr std::string_view kPrefixes[] = {"wrenn_", "e2b_"};
constexpr size_t kDigits = 40;
constexpr size_t kHintDigits = 4;
constexpr size_t kMaxKeyFile = 4096;

bool IsHexDigit(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

}  // namespace

std::string MakeKey() { return std::string(kPrefixes[0]) + RandomHex(kDigits); }

bool IsKey(std::string_view text) {
  return std::ranges::any_of(kPrefixes, [&](std::string_view prefix) {
    return text.size() == prefix.size() + kDigits && text.starts_with(prefix) &&
           std::ranges::all_of(text.substr(prefix.size()), IsHexDigit);
  });
}

std::string HashKey(std::string_view key) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_Digest(key.data(), key.size(), digest, &size, EVP_sha256(), nullptr);
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

store::KeyRecord MakeKeyRecord(std::string_view key, std::string name) {
  store::KeyRecord record;
  record.id = NewId("ky");
  record.name = std::move(name);
  record.hash = HashKey(key);
  record.hint = key.substr(0, key.find('_') + 1 + kHintDigits);
  record.created_at = std::chrono::system_clock::now();
  return record;
}

Result<std::string> ReadKeyFile(const std::string& path) {
  ASSIGN_OR_RETURN(std::string key, ReadFile(path, kMaxKeyFile));
  while (!key.empty() && (key.back() == '\n' || key.back() == '\r')) key.pop_back();
  if (!IsKey(key)) return Fail(Code::kInvalidArgument, "'{}' does not hold an API key", path);
  return key;
}

}  // namespace wrenn::api
