#include "template/package_list.h"

#include <algorithm>
#include <set>

#include "base/encoding.h"
#include "template/apt.h"

namespace wrenn::template_ {
namespace {

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

}  // namespace

Result<std::vector<std::string>> ParsePackageList(std::string_view text) {
  std::set<std::string> names;
  for (int number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::string_view name = Trim(line.substr(0, line.find('#')));
    if (name.empty()) continue;
    if (!IsPackageName(name)) {
      const std::string_view start = name.substr(0, 60);
      return Fail(Code::kInvalidArgument,
                  "line {} of the package list is not a package name: '{}' (one name a line, of "
                  "lower-case letters, digits, '+', '-' and '.')",
                  number, IsUtf8(start) ? start : "(not text)");
    }
    names.emplace(name);
  }
  if (names.empty()) return Fail(Code::kInvalidArgument, "the package list names no package");
  return std::vector<std::string>(names.begin(), names.end());
}

}  // namespace wrenn::template_
