#include "guest/files/multipart.h"

#include <algorithm>
#include <cstring>

namespace wrenn::guest {
namespace {

constexpr size_t kReadSize = 64 << 10;
constexpr size_t kMaxLine = 8 << 10;
constexpr int kMaxLines = 32;
constexpr size_t kMaxBoundary = 70;  // RFC 2046 section 5.1.1

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool EqualNoCase(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return Lower(x) == Lower(y); });
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Takes a parameter's value off the front: a token or a quoted string. Within quotes a backslash
// escapes a quote and itself; browsers send other backslashes as they are.
std::string TakeValue(std::string_view& text) {
  std::string value;
  if (text.empty() || text.front() != '"') {
    const size_t end = std::min(text.find(';'), text.size());
    value = Trim(text.substr(0, end));
    text.remove_prefix(end);
    return value;
  }
  size_t at = 1;
  for (; at < text.size() && text[at] != '"'; ++at) {
    const bool escape =
        text[at] == '\\' && at + 1 < text.size() && (text[at + 1] == '"' || text[at + 1] == '\\');
    if (escape) ++at;
    value.push_back(text[at]);
  }
  text.remove_prefix(std::min(at + 1, text.size()));
  return value;
}

// The parameter of that name in "value; name=value; name="value"".
std::optional<std::string> Parameter(std::string_view field, std::string_view wanted) {
  size_t next = field.find(';');
  while (next != std::string_view::npos) {
    field.remove_prefix(next + 1);
    const size_t equals = field.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const std::string_view name = Trim(field.substr(0, equals));
    field = Trim(field.substr(equals + 1));
    std::string value = TakeValue(field);
    if (EqualNoCase(name, wanted)) return value;
    next = field.find(';');
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> MultipartBoundary(std::string_view content_type) {
  const std::string_view type = Trim(content_type.substr(0, content_type.find(';')));
  if (!EqualNoCase(type, "multipart/form-data")) return std::nullopt;
  auto boundary = Parameter(content_type, "boundary");
  if (!boundary || boundary->empty() || boundary->size() > kMaxBoundary) return std::nullopt;
  return boundary;
}

Status MultipartReader::Fill() {
  if (begin_ > 0) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
  const size_t old = buffer_.size();
  buffer_.resize(old + kReadSize);
  auto got = source_.Read(std::span(buffer_).subspan(old));
  buffer_.resize(old + (got ? *got : 0));
  if (!got) return Fail(std::move(got.error()));
  if (*got == 0) return Fail(Code::kUnavailable, "the multipart body is cut short");
  return {};
}

Result<size_t> MultipartReader::Read(std::span<char> out) {
  if (ended_) return size_t{0};
  for (;;) {
    const std::string_view data = unread();
    const size_t at = data.find(delimiter_);
    // Without a delimiter in sight all but what may be its begin belongs to the part.
    const size_t ready = at != std::string_view::npos       ? at
                         : data.size() >= delimiter_.size() ? data.size() - delimiter_.size() + 1
                                                            : 0;
    if (ready > 0 || at == 0) {
      const size_t count = std::min(ready, out.size());
      std::memcpy(out.data(), data.data(), count);
      begin_ += count;
      return count;
    }
    RETURN_IF_ERROR(Fill());
  }
}

Result<std::string> MultipartReader::ReadLine() {
  for (;;) {
    const std::string_view data = unread();
    const size_t end = data.find("\r\n");
    if (end <= kMaxLine) {  // not npos, which is the largest number
      std::string line(data.substr(0, end));
      begin_ += end + 2;
      return line;
    }
    if (data.size() > kMaxLine) return Fail(Code::kInvalidArgument, "malformed multipart body");
    RETURN_IF_ERROR(Fill());
  }
}

Result<std::optional<Part>> MultipartReader::NextPart() {
  if (ended_) return std::optional<Part>();
  RETURN_IF_ERROR(Drain(*this));  // to the delimiter
  begin_ += delimiter_.size();
  // "--" here is the end; nothing need follow it, not even the line's end.
  while (unread().size() < 2) RETURN_IF_ERROR(Fill());
  if (unread().starts_with("--")) {
    ended_ = true;
    RETURN_IF_ERROR(Drain(source_));  // the epilogue
    return std::optional<Part>();
  }
  ASSIGN_OR_RETURN(const std::string padding, ReadLine());
  if (!Trim(padding).empty()) return Fail(Code::kInvalidArgument, "malformed multipart body");
  Part part;
  for (int lines = 0; lines < kMaxLines; ++lines) {
    ASSIGN_OR_RETURN(const std::string line, ReadLine());
    if (line.empty()) {
      return std::optional<Part>(std::move(part));
    }
    const size_t colon = line.find(':');
    if (colon == std::string::npos) return Fail(Code::kInvalidArgument, "malformed multipart body");
    if (!EqualNoCase(std::string_view(line).substr(0, colon), "content-disposition")) continue;
    const std::string_view field = std::string_view(line).substr(colon + 1);
    part.name = Parameter(field, "name").value_or("");
    part.filename = Parameter(field, "filename").value_or("");
  }
  return Fail(Code::kInvalidArgument, "malformed multipart body: too many fields");
}

}  // namespace wrenn::guest
