// GET and POST /files: the content of files.
#pragma once

#include "guest/agent/settings.h"
#include "guest/files/byte_source.h"
#include "wire/http_server.h"

namespace wrenn::guest {

// Streams in constant memory. Like envd the agent reads and writes with its own rights, root's in a
// guest, and gives what it makes to the request's user: a user of a sandbox may become root anyway.
class ContentService {
 public:
  explicit ContentService(Settings& settings) : settings_(settings) {}

  void Get(wire::Exchange& exchange);
  void Post(wire::Exchange& exchange);

 private:
  Status Send(wire::Exchange& exchange);
  Result<json::array> Receive(wire::Exchange& exchange, ByteSource& body);
  Result<json::array> ReceiveParts(wire::Exchange& exchange, ByteSource& body,
                                   const std::string& boundary, const User& user);
  Result<User> RequestUser(const wire::Exchange& exchange);

  Settings& settings_;
};

}  // namespace wrenn::guest
