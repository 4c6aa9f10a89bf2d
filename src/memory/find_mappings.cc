// FindMappings(): the lines of /proc/PID/maps.
#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/io.h"
#include "memory/process_memory.h"

namespace wrenn::memory {
namespace {

// A line of /proc/PID/maps (proc(5)): "begin-end perms offset device inode path".
struct MapLine {
  uint64_t begin = 0;
  uint64_t end = 0;
  bool is_private = false;
  uint64_t offset = 0;
  std::string_view file;  // "device inode"
};

std::optional<MapLine> ParseLine(std::string_view line) {
  MapLine parsed;
  const auto hex = [&](char behind, uint64_t& value) {
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value, 16);
    if (error != std::errc() || end == line.data() + line.size() || *end != behind) return false;
    line.remove_prefix(static_cast<size_t>(end - line.data()) + 1);
    return true;
  };
  if (!hex('-', parsed.begin) || !hex(' ', parsed.end) || line.size() < 5) return std::nullopt;
  parsed.is_private = line[3] == 'p';
  line.remove_prefix(5);
  if (!hex(' ', parsed.offset)) return std::nullopt;
  const size_t device = line.find(' ');
  if (device == std::string_view::npos) return std::nullopt;
  parsed.file = line.substr(0, line.find(' ', device + 1));
  return parsed;
}

Result<std::string> ReadMaps(std::string_view process) {
  auto text = ReadFile(fmt::format("/proc/{}/maps", process));
  if (!text && text.error().code == Code::kNotFound) {
    return Fail(Code::kUnavailable, "the machine has ended");
  }
  return text;
}

template <typename Function>
void ForEachLine(std::string_view text, const Function& function) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (const auto line = ParseLine(text.substr(0, end))) function(*line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// How /proc/PID/maps calls a file. Found by mapping it ourselves, since the device there is not the
// one of stat(2) on Btrfs and overlayfs.
Result<std::string> NameInMaps(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Fail(ErrnoError("cannot open '" + path + "'"));
  void* page = ::mmap(nullptr, kPageSize, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (page == MAP_FAILED) return Fail(ErrnoError("cannot map '" + path + "'"));
  auto text = ReadMaps("self");
  ::munmap(page, kPageSize);
  if (!text) return Fail(std::move(text.error()));
  std::string name;
  const auto address = reinterpret_cast<uint64_t>(page);
  ForEachLine(*text, [&](const MapLine& line) {
    // The kernel may have merged it with an earlier mapping of the file.
    if (line.begin <= address && address < line.end) name = line.file;
  });
  if (name.empty()) return Fail(Code::kInternal, "a new mapping is not in /proc/self/maps");
  return name;
}

}  // namespace

Result<std::vector<Mapping>> FindMappings(pid_t pid, const std::string& path) {
  ASSIGN_OR_RETURN(const std::string name, NameInMaps(path));
  ASSIGN_OR_RETURN(const std::string text, ReadMaps(std::to_string(pid)));
  if (text.empty()) return Fail(Code::kUnavailable, "the machine has ended");
  std::vector<Mapping> found;
  bool shared = false;
  ForEachLine(text, [&](const MapLine& line) {
    if (line.file != name) return;
    if (!line.is_private) shared = true;
    found.push_back(
        {.address = line.begin, .length = line.end - line.begin, .offset = line.offset});
  });
  if (found.empty()) {
    return Fail(Error{Code::kNotFound, "the machine does not map its memory's base file", path});
  }
  std::ranges::sort(found, {}, &Mapping::offset);
  for (size_t i = 1; i < found.size(); ++i) {
    if (found[i - 1].offset + found[i - 1].length > found[i].offset) shared = true;
  }
  if (shared) {
    return Fail(Error{Code::kFailedPrecondition,
                      "the machine maps its memory's base file shared or more than once", path});
  }
  return found;
}

}  // namespace wrenn::memory
