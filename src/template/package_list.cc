#include "template/package_list.h"

#include <algorithm>
#include <set>

#include "base/encoding.h"
#include "template/apt.h"

namespace wrenn::template_ {
namespace {

// Takes the next word off the front of `text`; empty at its end.
std::string_view TakeWord(std::string_view& text) {
  constexpr std::string_view kBlank = " \t\r";
  text.remove_prefix(std::min(text.find_first_not_of(kBlank), text.size()));
  const std::string_view word = text.substr(0, text.find_first_of(kBlank));
  text.remove_prefix(word.size());
  return word;
}

tl::unexpected<Error> NotAPackage(int line, std::string_view word) {
  const std::string_view start = word.substr(0, 60);
  return Fail(Code::kInvalidArgument,
              "line {} of the package list has '{}', which is not a package's name: lower-case "
              "letters, digits, '+', '-' and '.'",
              line, IsUtf8(start) ? start : "(not text)");
}

}  // namespace

Result<std::vector<std::string>> ParsePackageList(std::string_view text) {
  std::set<std::string> names;
  for (int number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line = line.substr(0, line.find('#'));
    for (auto name = TakeWord(line); !name.empty(); name = TakeWord(line)) {
      if (!IsPackageName(name)) return NotAPackage(number, name);
      names.emplace(name);
    }
  }
  if (names.empty()) return Fail(Code::kInvalidArgument, "the package list names no package");
  return std::vector<std::string>(names.begin(), names.end());
}

}  // namespace wrenn::template_
