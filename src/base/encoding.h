// Text encodings: base64, percent, UTF-8, RFC 3339 times.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace wrenn {

// Standard base64 with padding (RFC 4648 section 4).
std::string Base64Encode(std::string_view bytes);
// Also takes unpadded and URL-safe text; kInvalidArgument for anything else.
Result<std::string> Base64Decode(std::string_view text);

// RFC 3986: everything but unreserved characters is escaped; '/' too unless kept.
std::string PercentEncode(std::string_view text, bool keep_slash = false);
// kInvalidArgument for a bad escape. '+' is a space when `plus_is_space` (form encoding).
Result<std::string> PercentDecode(std::string_view text, bool plus_is_space = false);

// Whether the bytes are well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates).
bool IsUtf8(std::string_view bytes);

// What the clock's 64 bits cannot hold, before 1678 and after 2262, becomes the nearest time that
// they can. `nanos` is within a second.
std::chrono::system_clock::time_point FromUnixTime(int64_t seconds, int64_t nanos);

// "2026-11-24T07:44:51.123Z", always UTC, milliseconds.
std::string FormatTime(std::chrono::system_clock::time_point time);
// Any RFC 3339 time; kInvalidArgument otherwise.
Result<std::chrono::system_clock::time_point> ParseTime(std::string_view text);

}  // namespace wrenn
