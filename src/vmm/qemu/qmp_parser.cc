#include "vmm/qemu/qmp_parser.h"

namespace wrenn::vmm {
namespace {

constexpr int64_t kMaxId = int64_t{1} << 62;
constexpr int64_t kMaxVersion = 100000;

Result<QmpMessage> ParseGreeting(const json::object& message) {
  JsonReader reader(message);
  QmpGreeting greeting;
  const json::object* qmp = reader.Object("QMP");
  const json::object* version = qmp ? JsonReader(*qmp).Object("version") : nullptr;
  const json::object* numbers = version ? JsonReader(*version).Object("qemu") : nullptr;
  if (!numbers) return Fail(Code::kInvalidArgument, "QMP greeting without a version");
  JsonReader parts(*numbers);
  greeting.build =
      fmt::format("QEMU emulator version {}.{}.{}", parts.Int("major", 0, 0, kMaxVersion),
                  parts.Int("minor", 0, 0, kMaxVersion), parts.Int("micro", 0, 0, kMaxVersion));
  RETURN_IF_ERROR(parts.Finish());
  JsonReader whole(*version);
  if (const std::string package = whole.String("package"); !package.empty()) {
    greeting.build += fmt::format(" ({})", package);
  }
  RETURN_IF_ERROR(whole.Finish());
  return greeting;
}

std::optional<uint64_t> ReadId(JsonReader& reader) {
  const auto id = reader.OptionalInt("id", 0, kMaxId);
  return id ? std::optional(static_cast<uint64_t>(*id)) : std::nullopt;
}

}  // namespace

Result<QmpMessage> ParseQmpMessage(std::string_view line) {
  ASSIGN_OR_RETURN(json::value value, ParseJson(line));
  if (!value.is_object()) return Fail(Code::kInvalidArgument, "QMP message is not an object");
  json::object& message = value.get_object();
  if (message.contains("QMP")) return ParseGreeting(message);
  JsonReader reader(message);
  if (message.contains("event")) {
    QmpEvent event{reader.RequiredString("event"), {}};
    if (const json::object* data = reader.Object("data")) event.data = *data;
    RETURN_IF_ERROR(reader.Finish());
    return event;
  }
  if (message.contains("error")) {
    QmpError error{ReadId(reader), {}};
    if (const json::object* object = reader.Object("error")) {
      error.description = JsonReader(*object).String("desc");
    }
    RETURN_IF_ERROR(reader.Finish());
    return error;
  }
  if (json::value* returned = message.if_contains("return")) {
    QmpReply reply{ReadId(reader), {}};
    RETURN_IF_ERROR(reader.Finish());
    reply.value = std::move(*returned);
    return reply;
  }
  return Fail(Code::kInvalidArgument, "unknown kind of QMP message");
}

Status QmpLines::Add(std::string_view bytes) {
  buffer_.erase(0, begin_);
  searched_ -= begin_;
  begin_ = 0;
  if (buffer_.size() + bytes.size() > kMaxQmpMessage) {
    return Fail(Code::kOutOfRange, "QMP message of more than {} bytes", kMaxQmpMessage);
  }
  buffer_.append(bytes);
  return {};
}

std::optional<std::string> QmpLines::Next() {
  for (;;) {
    const size_t end = buffer_.find('\n', searched_);
    if (end == std::string::npos) {
      searched_ = buffer_.size();
      return std::nullopt;
    }
    std::string line = buffer_.substr(begin_, end - begin_);
    begin_ = searched_ = end + 1;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) return line;
  }
}

}  // namespace wrenn::vmm
