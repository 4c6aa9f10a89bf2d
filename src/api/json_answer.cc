#include "api/json_answer.h"

#include "base/encoding.h"

namespace wrenn::api {
namespace {

constexpr std::string_view kType = "application/json";
// Of a string's bytes; a multiple of 3, so that pieces in base64 have no padding between them.
constexpr size_t kPiece = 48 << 10;
constexpr size_t kFlushAt = 64 << 10;

}  // namespace

void JsonAnswer::BeginMember(std::string_view name) {
  if (text_ != "{" || body_) text_ += ",";
  text_ += json::serialize(json::string_view(name)) + ":";
}

Status JsonAnswer::Add(const json::object& members) {
  for (const auto& [name, value] : members) {
    BeginMember(name);
    text_ += json::serialize(value);
    RETURN_IF_ERROR(FlushIfLong());
  }
  return {};
}

Status JsonAnswer::AddText(std::string_view name, std::string_view text) {
  BeginMember(name);
  text_ += '"';
  for (; !text.empty(); text.remove_prefix(std::min(text.size(), kPiece))) {
    // What is escaped is one byte long, so a piece may end within a character.
    const std::string quoted = json::serialize(json::string_view(text.substr(0, kPiece)));
    text_.append(quoted, 1, quoted.size() - 2);
    RETURN_IF_ERROR(FlushIfLong());
  }
  text_ += '"';
  return {};
}

Status JsonAnswer::AddBase64(std::string_view name, std::string_view bytes) {
  BeginMember(name);
  text_ += '"';
  for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kPiece))) {
    text_ += Base64Encode(bytes.substr(0, kPiece));
    RETURN_IF_ERROR(FlushIfLong());
  }
  text_ += '"';
  return {};
}

Status JsonAnswer::FlushIfLong() { return text_.size() < kFlushAt ? Status() : Flush(); }

Status JsonAnswer::Flush() {
  if (!body_) {
    ASSIGN_OR_RETURN(body_, exchange_.StartBody(status_, kType));
  }
  RETURN_IF_ERROR(body_->Write(text_, exchange_.WriteDeadline()));
  text_.clear();
  return {};
}

Status JsonAnswer::Finish() {
  text_ += "}\n";
  if (!body_) return exchange_.Respond(status_, kType, text_);
  RETURN_IF_ERROR(Flush());
  return exchange_.FinishBody();
}

}  // namespace wrenn::api
