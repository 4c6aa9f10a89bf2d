// API keys: how they are made and recognised. A key is a secret; only its hash is stored.
#pragma once

#include <string>
#include <string_view>

#include "store/store.h"

namespace wrenn::api {

// A new key: "wrenn_" and 40 random hex digits.
std::string MakeKey();

// Whether a text has the shape of a key: as MakeKey() makes them, or "e2b_" and 40 hex digits,
// which is what E2B's clients insist on.
bool IsKey(std::string_view text);

// SHA-256 in lower-case hex, as stored. A key has 160 random bits, so neither salt nor stretching
// would add anything.
std::string HashKey(std::string_view key);

// The record that stands for `key`, which must be one.
store::KeyRecord MakeKeyRecord(std::string_view key, std::string name);

// A file that holds one key, such as the one made at first start; kInvalidArgument when it does
// not.
Result<std::string> ReadKeyFile(const std::string& path);

}  // namespace wrenn::api
