// QMP messages from a VMM that may have been taken over by its guest.
//
// Source: https://www.qemu.org/docs/master/interop/qmp-spec.html
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/json.h"

namespace wrenn::vmm {

// The longest message that is taken. What we ask for is answered in far less.
inline constexpr size_t kMaxQmpMessage = 256 << 10;

struct QmpGreeting {
  std::string build;  // as the first line of --version says it
};
struct QmpReply {
  std::optional<uint64_t> id;
  json::value value;
};
struct QmpError {
  std::optional<uint64_t> id;
  std::string description;
};
struct QmpEvent {
  std::string name;
  json::object data;
};
using QmpMessage = std::variant<QmpGreeting, QmpReply, QmpError, QmpEvent>;

// One line without its end. kInvalidArgument for what is no QMP message.
Result<QmpMessage> ParseQmpMessage(std::string_view line);

// Cuts a byte stream into messages.
class QmpLines {
 public:
  // Call Next() until it gives nothing in between. kOutOfRange when what is left with these bytes
  // would be more than kMaxQmpMessage; the stream is useless then.
  Status Add(std::string_view bytes);
  // The next line that is not blank, without its end.
  std::optional<std::string> Next();

 private:
  std::string buffer_;
  size_t begin_ = 0;     // of what Next() has not given yet
  size_t searched_ = 0;  // no line end before this
};

}  // namespace wrenn::vmm
