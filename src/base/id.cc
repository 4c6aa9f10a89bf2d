#include "base/id.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace wrenn {
namespace {

constexpr std::string_view kIdAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789";
constexpr size_t kIdLength = 20;

bool IsLowerAlnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

}  // namespace

std::string RandomBytes(size_t count) {
  std::string bytes(count, '\0');
  size_t done = 0;
  while (done < count) {
    const ssize_t got = ::getrandom(bytes.data() + done, count - done, 0);
    if (got > 0) {
      done += static_cast<size_t>(got);
    } else if (errno != EINTR) {
      std::abort();  // a Linux without getrandom(2); nothing safe can be made of it
    }
  }
  return bytes;
}

std::string RandomHex(size_t count) {
  std::string hex;
  hex.reserve(count);
  for (const char c : RandomBytes(count)) {
    hex.push_back("0123456789abcdef"[static_cast<unsigned char>(c) & 15]);
  }
  return hex;
}

std::string NewId(std::string_view prefix) {
  std::string id(prefix);
  id.push_back('-');
  while (id.size() < prefix.size() + 1 + kIdLength) {
    for (const char c : RandomBytes(kIdLength)) {
      // 252 is the largest multiple of 36 in a byte: beyond it the alphabet's start would be
      // likelier.
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 252 && id.size() < prefix.size() + 1 + kIdLength) {
        id.push_back(kIdAlphabet[byte % kIdAlphabet.size()]);
      }
    }
  }
  return id;
}

bool IsId(std::string_view prefix, std::string_view text) {
  if (text.size() != prefix.size() + 1 + kIdLength) return false;
  if (!text.starts_with(prefix) || text[prefix.size()] != '-') return false;
  return std::ranges::all_of(text.substr(prefix.size() + 1), IsLowerAlnum);
}

bool IsName(std::string_view text) {
  if (text.empty() || text.size() > 63) return false;
  if (!IsLowerAlnum(text.front()) || !IsLowerAlnum(text.back())) return false;
  return std::ranges::all_of(
      text, [](char c) { return IsLowerAlnum(c) || c == '.' || c == '_' || c == '-'; });
}

bool EqualSecrets(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference = static_cast<unsigned char>(difference | (a[i] ^ b[i]));
  }
  return difference == 0;
}

}  // namespace wrenn
