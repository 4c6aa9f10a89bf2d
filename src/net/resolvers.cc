#include "net/resolvers.h"

#include <sys/stat.h>

#include "base/io.h"

namespace wrenn::net {
namespace {

constexpr std::string_view kBlanks = " \t\r";

// Takes the first word off a line.
std::string_view Word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(kBlanks));
  line.remove_prefix(word.size());
  return word;
}

}  // namespace

std::vector<os::IpAddress> ParseResolvers(std::string_view text) {
  constexpr size_t kMost = 3;
  std::vector<os::IpAddress> servers;
  while (!text.empty() && servers.size() < kMost) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (Word(line) != "nameserver") continue;
    if (const auto address = os::IpAddress::Parse(std::string(Word(line)))) {
      servers.push_back(*address);
    }
  }
  if (servers.empty()) servers.push_back(os::IpAddress::V4(0x7f000001));
  return servers;
}

const std::vector<os::IpAddress>& Resolvers::Get() {
  struct stat info{};
  if (::stat(path_.c_str(), &info) < 0) return servers_;
  const Version now{info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_ino};
  if (now == version_) return servers_;
  constexpr size_t kLimit = 64 << 10;
  if (const auto text = ReadFile(path_, kLimit)) {
    servers_ = ParseResolvers(*text);
    version_ = now;
  }
  return servers_;
}

}  // namespace wrenn::net
