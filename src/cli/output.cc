#include "cli/output.h"

#include <cstdio>

namespace wrenn::cli {
namespace {

void Append(std::string& text, const json::value& value, size_t indent);

// The members of a list or object, one a line, between its brackets.
template <typename Container, typename AppendOne>
void AppendLines(std::string& text, const Container& items, size_t indent, const char* brackets,
                 AppendOne append_one) {
  if (items.empty()) {
    text.append(brackets, 2);
    return;
  }
  text.push_back(brackets[0]);
  bool first = true;
  for (const auto& item : items) {
    text.append(first ? "\n" : ",\n").append(indent + 2, ' ');
    append_one(item);
    first = false;
  }
  text.append("\n").append(indent, ' ').push_back(brackets[1]);
}

void Append(std::string& text, const json::value& value, size_t indent) {
  if (const auto* object = value.if_object()) {
    AppendLines(text, *object, indent, "{}", [&](const json::key_value_pair& member) {
      text.append(json::serialize(json::value(member.key()))).append(": ");
      Append(text, member.value(), indent + 2);
    });
  } else if (const auto* array = value.if_array()) {
    AppendLines(text, *array, indent, "[]",
                [&](const json::value& item) { Append(text, item, indent + 2); });
  } else {
    text.append(json::serialize(value));
  }
}

}  // namespace

std::string FormatJson(const json::value& value) {
  std::string text;
  Append(text, value, 0);
  text.push_back('\n');
  return text;
}

void PrintJson(const json::value& value) { fmt::print("{}", FormatJson(value)); }

}  // namespace wrenn::cli
