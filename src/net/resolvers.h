// The host's name servers, from resolv.conf(5).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "os/ip_address.h"

namespace wrenn::net {

// The name servers in a file's text, in order: three at most, as the C library takes them, and
// 127.0.0.1 when there is none. Link-local ones, which need an interface, are left out.
std::vector<os::IpAddress> ParseResolvers(std::string_view text);

// Those of a file, which is read again when it has changed.
class Resolvers {
 public:
  explicit Resolvers(std::string path) : path_(std::move(path)) {}
  const std::vector<os::IpAddress>& Get();

 private:
  std::string path_;
  // When the file was written and which it is: enough to tell that it was replaced.
  struct Version {
    long seconds = -1;
    long nanoseconds = 0;
    unsigned long inode = 0;
    bool operator==(const Version&) const = default;
  };
  Version version_;
  std::vector<os::IpAddress> servers_ = ParseResolvers({});
};

}  // namespace wrenn::net
