#include "os/mounts.h"

#include <sys/mount.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "base/io.h"

namespace wrenn::os {
namespace {

// Blanks and backslashes are written as \040 and the like.
std::string Unescape(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '7'; };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && digit(text[i + 1]) && digit(text[i + 2]) &&
        digit(text[i + 3])) {
      out +=
          static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + text[i + 3] - '0');
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// The fifth field of a line, where it is mounted; empty when there is none.
std::string MountPoint(std::string_view line) {
  constexpr int kBefore = 4;
  for (int field = 0; field < kBefore; ++field) {
    const size_t blank = line.find(' ');
    if (blank == std::string_view::npos) return {};
    line.remove_prefix(blank + 1);
  }
  return Unescape(line.substr(0, line.find(' ')));
}

}  // namespace

std::vector<std::string> MountsBelow(std::string_view mountinfo, const std::string& folder) {
  std::vector<std::string> points;
  while (!mountinfo.empty()) {
    const std::string_view line = mountinfo.substr(0, mountinfo.find('\n'));
    mountinfo.remove_prefix(std::min(line.size() + 1, mountinfo.size()));
    std::string point = MountPoint(line);
    if (point == folder || point.starts_with(folder + "/")) points.push_back(std::move(point));
  }
  return points;
}

Status UnmountBelow(const std::string& folder) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(folder.c_str(), nullptr),
                                                         &std::free);
  if (!real) {
    return errno == ENOENT ? Status() : Fail(ErrnoError("cannot look at '" + folder + "'"));
  }
  ASSIGN_OR_RETURN(const std::string mountinfo, ReadFile("/proc/self/mountinfo"));
  std::vector<std::string> points = MountsBelow(mountinfo, real.get());
  std::ranges::reverse(points);
  for (const std::string& point : points) {
    if (::umount2(point.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
    // EINVAL, ENOENT: it went with one that was mounted over it.
    if (errno != EINVAL && errno != ENOENT) {
      return Fail(ErrnoError("cannot unmount '" + point + "'"));
    }
  }
  return {};
}

}  // namespace wrenn::os
