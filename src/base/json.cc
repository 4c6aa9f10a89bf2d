#include "base/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/encoding.h"

namespace wrenn {
namespace {

constexpr size_t kMaxDepth = 32;

std::string SnakeCase(std::string_view name) {
  std::string snake;
  for (const char c : name) {
    if (c >= 'A' && c <= 'Z') {
      snake.push_back('_');
      snake.push_back(static_cast<char>(c - 'A' + 'a'));
    } else {
      snake.push_back(c);
    }
  }
  return snake;
}

// The integer that a JSON value stands for: a number without fraction, or a string of digits.
std::optional<int64_t> AsInteger(const json::value& value) {
  if (const auto* number = value.if_int64()) return *number;
  if (const auto* number = value.if_uint64()) {
    if (*number > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
    return static_cast<int64_t>(*number);
  }
  if (const auto* number = value.if_double()) {
    if (std::floor(*number) != *number || std::fabs(*number) > 9e15) return std::nullopt;
    return static_cast<int64_t>(*number);
  }
  if (const auto* text = value.if_string()) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
    if (error != std::errc() || end != text->data() + text->size()) return std::nullopt;
    return number;
  }
  return std::nullopt;
}

// Whether a JSON text may hold more values than are allowed. Each but the outermost is the first of
// its list or object, or comes behind a comma; an empty list or object counts twice. A short text
// cannot hold so many.
bool HasTooManyValues(std::string_view text) {
  if (text.size() / 2 < kMaxJsonValues) return false;
  size_t values = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      quoted = !quoted;
    } else if (quoted) {
      if (c == '\\') ++i;
    } else if (c == ',' || c == '[' || c == '{') {
      ++values;
    }
  }
  return values > kMaxJsonValues;
}

}  // namespace

Result<json::value> ParseJson(std::string_view text) {
  if (HasTooManyValues(text)) {
    return Fail(Code::kInvalidArgument, "invalid JSON: more than {} values", kMaxJsonValues);
  }
  json::parse_options options;
  options.max_depth = kMaxDepth;
  json::error_code error;
  json::value value = json::parse(text, error, {}, options);
  if (error) return Fail(Code::kInvalidArgument, "invalid JSON: {}", error.message());
  return value;
}

Result<json::object> ParseJsonObject(std::string_view text) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return json::object();
  ASSIGN_OR_RETURN(json::value value, ParseJson(text));
  if (!value.is_object()) return Fail(Code::kInvalidArgument, "invalid JSON: expected an object");
  return std::move(value.as_object());
}

JsonReader::JsonReader(const json::object& object, std::string where)
    : object_(object), where_(std::move(where)) {
  if (!where_.empty()) where_.push_back('.');
}

bool JsonReader::Has(std::string_view name) const {
  const auto* member = object_.if_contains(name);
  if (!member) member = object_.if_contains(SnakeCase(name));
  return member && !member->is_null();
}

const json::value* JsonReader::Find(std::string_view name) {
  asked_.emplace_back(name);
  const json::value* member = object_.if_contains(name);
  if (!member) {
    std::string snake = SnakeCase(name);
    member = object_.if_contains(snake);
    asked_.push_back(std::move(snake));
  }
  return member && !member->is_null() ? member : nullptr;
}

void JsonReader::SetError(std::string message) {
  if (error_.empty()) error_ = std::move(message);
}

void JsonReader::WrongType(std::string_view name, std::string_view expected) {
  SetError(fmt::format("{}{} must be {}", where_, name, expected));
}

std::optional<std::string> JsonReader::OptionalString(std::string_view name) {
  const json::value* member = Find(name);
  if (!member) return std::nullopt;
  if (!member->is_string()) {
    WrongType(name, "a string");
    return std::nullopt;
  }
  return std::string(member->get_string());
}

std::string JsonReader::String(std::string_view name, std::string_view fallback) {
  return OptionalString(name).value_or(std::string(fallback));
}

std::string JsonReader::RequiredString(std::string_view name) {
  std::string text = String(name);
  if (text.empty()) SetError(fmt::format("{}{} is required", where_, name));
  return text;
}

bool JsonReader::Bool(std::string_view name, bool fallback) {
  const json::value* member = Find(name);
  if (!member) return fallback;
  if (!member->is_bool()) {
    WrongType(name, "true or false");
    return fallback;
  }
  return member->get_bool();
}

std::optional<int64_t> JsonReader::OptionalInt(std::string_view name, int64_t low, int64_t high) {
  const json::value* member = Find(name);
  if (!member) return std::nullopt;
  const std::optional<int64_t> number = AsInteger(*member);
  if (!number) {
    WrongType(name, "a whole number");
    return std::nullopt;
  }
  if (member->is_string() && loose_.empty()) loose_ = where_ + std::string(name);
  if (*number < low || *number > high) {
    SetError(
        fmt::format("{}{} must be between {} and {}, not {}", where_, name, low, high, *number));
    return std::nullopt;
  }
  return number;
}

int64_t JsonReader::Int(std::string_view name, int64_t fallback, int64_t low, int64_t high) {
  return OptionalInt(name, low, high).value_or(fallback);
}

double JsonReader::Double(std::string_view name, double fallback) {
  const json::value* member = Find(name);
  if (!member) return fallback;
  // A text may hold a number that is too large: read, it is infinite, which JSON cannot say again.
  if (!member->is_number() || !std::isfinite(member->to_number<double>())) {
    WrongType(name, "a number");
    return fallback;
  }
  return member->to_number<double>();
}

std::string JsonReader::Bytes(std::string_view name) {
  const std::optional<std::string> text = OptionalString(name);
  if (!text) return {};
  auto bytes = Base64Decode(*text);
  if (!bytes) {
    WrongType(name, "base64");
    return {};
  }
  return std::move(*bytes);
}

std::vector<std::string> JsonReader::Strings(std::string_view name) {
  std::vector<std::string> strings;
  const json::array* array = Array(name);
  if (!array) return strings;
  for (const json::value& item : *array) {
    if (!item.is_string()) {
      WrongType(name, "a list of strings");
      return {};
    }
    strings.emplace_back(item.get_string());
  }
  return strings;
}

std::map<std::string, std::string> JsonReader::StringMap(std::string_view name) {
  std::map<std::string, std::string> map;
  const json::object* object = Object(name);
  if (!object) return map;
  for (const auto& [key, value] : *object) {
    if (!value.is_string()) {
      WrongType(name, "a map of strings");
      return {};
    }
    map.emplace(std::string(key), std::string(value.get_string()));
  }
  return map;
}

const json::object* JsonReader::Object(std::string_view name) {
  const json::value* member = Find(name);
  if (!member) return nullptr;
  if (!member->is_object()) {
    WrongType(name, "an object");
    return nullptr;
  }
  return &member->get_object();
}

const json::array* JsonReader::Array(std::string_view name) {
  const json::value* member = Find(name);
  if (!member) return nullptr;
  if (!member->is_array()) {
    WrongType(name, "a list");
    return nullptr;
  }
  return &member->get_array();
}

Status JsonReader::Finish() const {
  if (!error_.empty()) return Fail(Error{Code::kInvalidArgument, error_, {}});
  return {};
}

Status JsonReader::FinishStrict() const {
  RETURN_IF_ERROR(Finish());
  if (!loose_.empty()) return Fail(Code::kInvalidArgument, "{} must be a whole number", loose_);
  for (const auto& [key, value] : object_) {
    if (std::ranges::find(asked_, std::string_view(key.data(), key.size())) == asked_.end()) {
      return Fail(Code::kInvalidArgument, "unknown field '{}{}'", where_, std::string(key));
    }
  }
  return {};
}

}  // namespace wrenn
