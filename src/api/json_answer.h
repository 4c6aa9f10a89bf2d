// JsonAnswer: a JSON object as an answer, written member by member.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "wire/http_server.h"

namespace wrenn::api {

// For objects that hold long strings: escaped they may be six times as long, and this keeps no more
// than a piece of them. A short answer goes out whole, with its length. Not thread-safe.
class JsonAnswer {
 public:
  JsonAnswer(wire::Exchange& exchange, int status) : exchange_(exchange), status_(status) {}

  // All members of `members`.
  Status Add(const json::object& members);
  // UTF-8, as a string.
  Status AddText(std::string_view name, std::string_view text);
  // Any bytes, as a string in base64.
  Status AddBase64(std::string_view name, std::string_view bytes);
  Status Finish();

 private:
  void BeginMember(std::string_view name);
  Status FlushIfLong();
  Status Flush();

  wire::Exchange& exchange_;
  const int status_;
  std::string text_ = "{";  // not sent yet
  wire::BodyWriter* body_ = nullptr;
};

}  // namespace wrenn::api
