// Reading and writing JSON, for bytes that may be hostile.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json.hpp>

#include "base/result.h"

namespace wrenn {

namespace json = boost::json;

// The most values that a text may hold. Parsed, the least of them takes some ten times the bytes
// of its text.
inline constexpr size_t kMaxJsonValues = 1 << 20;

// Parses one JSON value, at most 32 levels deep, nothing behind it. kInvalidArgument otherwise;
// for one of too many values before any is allocated.
Result<json::value> ParseJson(std::string_view text);

// Parses a JSON object; an empty text counts as {} (a request without a body).
Result<json::object> ParseJsonObject(std::string_view text);

// Reads the members of an object by type. A missing or null member gives the default; one of a
// wrong type or out of range is remembered as the first error, which Finish() answers. So a decoder
// reads all members in a row and checks once. Names may be given in lowerCamelCase and are then
// also found in snake_case (proto3 JSON).
class JsonReader {
 public:
  // `object` must outlive the reader. `where` goes in front of member names in error messages.
  explicit JsonReader(const json::object& object, std::string where = {});

  bool Has(std::string_view name) const;
  std::string String(std::string_view name, std::string_view fallback = {});
  std::optional<std::string> OptionalString(std::string_view name);
  bool Bool(std::string_view name, bool fallback = false);
  // An integer within [low, high]; JSON strings of digits count too (proto3's int64).
  int64_t Int(std::string_view name, int64_t fallback, int64_t low, int64_t high);
  std::optional<int64_t> OptionalInt(std::string_view name, int64_t low, int64_t high);
  // A finite number.
  double Double(std::string_view name, double fallback = 0);
  // Base64 bytes.
  std::string Bytes(std::string_view name);
  std::vector<std::string> Strings(std::string_view name);
  std::map<std::string, std::string> StringMap(std::string_view name);
  // The member's object, or null when it is absent.
  const json::object* Object(std::string_view name);
  const json::array* Array(std::string_view name);

  // "template is required", when the member is absent or an empty string.
  std::string RequiredString(std::string_view name);

  // Remembers an error of the caller's own unless there is one already.
  void SetError(std::string message);

  // The first error as kInvalidArgument.
  Status Finish() const;
  // Also refuses members that nobody asked for ("unknown field 'x'") and integers given as strings.
  Status FinishStrict() const;

 private:
  const json::value* Find(std::string_view name);
  void WrongType(std::string_view name, std::string_view expected);

  const json::object& object_;
  std::string where_;
  std::string error_;
  std::string loose_;  // the first integer that was given as a string
  std::vector<std::string> asked_;
};

}  // namespace wrenn
