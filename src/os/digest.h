// SHA-256 of bytes and files, by OpenSSL.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct evp_md_ctx_st;

namespace wrenn::os {

using Sha256Digest = std::array<uint8_t, 32>;

// A digest in progress.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();

  void Update(std::string_view bytes);
  // The digest of all bytes so far, as bytes or as 64 hex digits. The object is spent then.
  Sha256Digest Finish();
  std::string FinishHex();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

// The digest of bytes, as bytes or as 64 hex digits.
Sha256Digest Sha256Bytes(std::string_view bytes);
std::string Sha256Hex(std::string_view bytes);

// The digest of a file's content as 64 hex digits, read in pieces. Holes cost their reading only.
Result<std::string> Sha256File(const std::string& path);

}  // namespace wrenn::os
