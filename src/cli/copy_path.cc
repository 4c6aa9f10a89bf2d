#include "cli/copy_path.h"

#include <algorithm>

namespace wrenn::cli {
namespace {

bool IsIdChar(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; }

}  // namespace

Result<CopyPath> ParseCopyPath(const std::string& text) {
  if (text.empty()) return Fail(Code::kInvalidArgument, "a path is empty");
  const size_t colon = text.find(':');
  if (colon == 0 || colon == std::string::npos ||
      !std::all_of(text.begin(), text.begin() + static_cast<long>(colon), IsIdChar)) {
    return CopyPath{"", text};
  }
  CopyPath parsed{text.substr(0, colon), text.substr(colon + 1)};
  if (parsed.path.empty()) parsed.path.push_back('.');
  return parsed;
}

std::string BaseName(std::string path) {
  path.erase(path.find_last_not_of('/') + 1);
  const size_t slash = path.rfind('/');
  std::string name(path, slash == std::string::npos ? 0 : slash + 1);
  return name == "." || name == ".." ? std::string() : name;
}

std::string JoinPath(const std::string& folder, const std::string& name) {
  return fmt::format("{}{}{}", folder, folder.ends_with('/') ? "" : "/", name);
}

}  // namespace wrenn::cli
