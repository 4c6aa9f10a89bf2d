#include "os/cgroup_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include "base/unique_fd.h"

namespace wrenn::os {
namespace {

constexpr std::string_view kUsualTop = "/sys/fs/cgroup";

uint64_t Number(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// Takes the part before the next `separator` off the text.
std::string_view Take(std::string_view& text, char separator) {
  const std::string_view part = text.substr(0, text.find(separator));
  text.remove_prefix(std::min(part.size() + 1, text.size()));
  return part;
}

struct MountLine {
  std::string_view root;
  std::string_view point;
  std::string_view type;
};

MountLine ParseMount(std::string_view line) {
  MountLine mount;
  for (int field = 0; field < 3; ++field) Take(line, ' ');
  mount.root = Take(line, ' ');
  mount.point = Take(line, ' ');
  const size_t dash = line.find(" - ");
  if (dash != std::string_view::npos) {
    line.remove_prefix(dash + 3);
    mount.type = Take(line, ' ');
  }
  return mount;
}

}  // namespace

Result<std::string> ReadCgroupFile(int folder, const char* name) {
  const UniqueFd file(::openat(folder, name, O_RDONLY | O_CLOEXEC));
  if (!file) return Fail(ErrnoError(fmt::format("cannot open '{}' of a cgroup", name)));
  std::string text;
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0) return Fail(ErrnoError(fmt::format("cannot read '{}' of a cgroup", name)));
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<size_t>(got));
  }
}

int TryWriteCgroupFile(int folder, const char* name, std::string_view text) {
  const UniqueFd file(::openat(folder, name, O_WRONLY | O_CLOEXEC));
  return file && ::write(file.get(), text.data(), text.size()) >= 0 ? 0 : errno;
}

Status WriteCgroupFile(int folder, const char* name, std::string_view text) {
  const int error = TryWriteCgroupFile(folder, name, text);
  if (error == 0) return {};
  return Fail(ErrnoError(fmt::format("cannot set '{}' of a cgroup to '{}'", name, text), error));
}

std::vector<std::string_view> SplitLines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) lines.push_back(Take(text, '\n'));
  return lines;
}

uint64_t FlatValue(std::string_view text, std::string_view key) {
  for (std::string_view line : SplitLines(text)) {
    if (Take(line, ' ') == key) return Number(line);
  }
  return 0;
}

uint64_t NestedSum(std::string_view text, std::string_view key) {
  uint64_t sum = 0;
  for (std::string_view line : SplitLines(text)) {
    while (!line.empty()) {
      std::string_view word = Take(line, ' ');
      if (Take(word, '=') == key) sum += Number(word);
    }
  }
  return sum;
}

CgroupPlace FindCgroups(std::string_view mountinfo, std::string_view own_cgroups) {
  CgroupPlace place;
  std::string_view root;
  for (const std::string_view text : SplitLines(mountinfo)) {
    const MountLine mount = ParseMount(text);
    if (mount.type == "cgroup") place.version_1 = true;
    if (mount.type == "cgroup2" && (place.top.empty() || mount.point == kUsualTop)) {
      place.top = mount.point;
      root = mount.root;
    }
  }
  for (std::string_view line : SplitLines(own_cgroups)) {
    if (!line.starts_with("0::/")) continue;
    line.remove_prefix(3);
    // A container may have only its own part mounted, and see whole paths.
    if (root != "/" && line.starts_with(root)) line.remove_prefix(root.size());
    place.own = line == "/" ? "" : line;
  }
  return place;
}

}  // namespace wrenn::os
