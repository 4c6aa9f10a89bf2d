#include "api/multipart.h"

#include <strings.h>

#include <algorithm>
#include <cstring>

namespace wrenn::api {
namespace {

constexpr size_t kReadSize = 64 << 10;
constexpr size_t kMaxLine = 4096;
constexpr int kMaxHeaders = 16;
constexpr size_t kMaxBoundary = 70;

tl::unexpected<Error> Malformed(std::string_view what) {
  return Fail(Code::kInvalidArgument, "malformed multipart body: {}", what);
}

bool EqualNoCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

void SkipSpaces(std::string_view& text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
}

// Takes a parameter's value, quoted or a plain token, off `text`.
std::optional<std::string> TakeValue(std::string_view& text) {
  std::string value;
  if (!text.starts_with('"')) {
    value = text.substr(0, text.find_first_of("; \t"));
    text.remove_prefix(value.size());
    return value;
  }
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') {
      text.remove_prefix(i + 1);
      return value;
    }
    if (text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == '"' || text[i + 1] == '\\')) ++i;
    value.push_back(text[i]);
  }
  return std::nullopt;
}

// The parameters behind a header's first word: ; name=value ...; nothing when malformed.
using Params = std::vector<std::pair<std::string, std::string>>;
std::optional<Params> ParseParams(std::string_view text) {
  Params params;
  for (SkipSpaces(text); !text.empty(); SkipSpaces(text)) {
    if (!text.starts_with(';')) return std::nullopt;
    text.remove_prefix(1);
    SkipSpaces(text);
    if (text.empty()) break;
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    std::string name(text.substr(0, equals));
    text.remove_prefix(equals + 1);
    auto value = TakeValue(text);
    if (!value) return std::nullopt;
    params.emplace_back(std::move(name), std::move(*value));
  }
  return params;
}

std::optional<std::string> FindParam(const Params& params, std::string_view name) {
  for (const auto& [key, value] : params) {
    if (EqualNoCase(key, name)) return value;
  }
  return std::nullopt;
}

}  // namespace

Result<std::string> MultipartReader::Boundary(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find_first_of("; \t"));
  if (!EqualNoCase(type, "multipart/form-data")) {
    return Fail(Code::kInvalidArgument, "the body must be multipart/form-data");
  }
  const auto params = ParseParams(content_type.substr(type.size()));
  const auto boundary = params ? FindParam(*params, "boundary") : std::nullopt;
  if (!boundary || boundary->empty() || boundary->size() > kMaxBoundary) {
    return Fail(Code::kInvalidArgument, "Content-Type must have a boundary of 1 to {} characters",
                kMaxBoundary);
  }
  return *boundary;
}

// The body is read as if a line had ended before it, so that the first delimiter looks like the
// others.
MultipartReader::MultipartReader(Source source, std::string_view boundary)
    : source_(std::move(source)), delimiter_("\r\n--" + std::string(boundary)), buffer_("\r\n") {}

Result<bool> MultipartReader::Fill() {
  buffer_.erase(0, begin_);
  begin_ = 0;
  const size_t old = buffer_.size();
  buffer_.resize(old + kReadSize);
  auto got = source_(std::span(buffer_).subspan(old));
  buffer_.resize(old + (got ? *got : 0));
  if (!got) return Fail(std::move(got.error()));
  return *got > 0;
}

Result<std::string> MultipartReader::TakeLine() {
  for (;;) {
    const std::string_view unread = std::string_view(buffer_).substr(begin_);
    const size_t end = unread.find("\r\n");
    if (end <= kMaxLine) {  // not npos, which is the largest number
      begin_ += end + 2;
      return std::string(unread.substr(0, end));
    }
    if (unread.size() > kMaxLine) return Malformed("a line is too long");
    ASSIGN_OR_RETURN(const bool more, Fill());
    if (!more) return Malformed("it ends within a line");
  }
}

Result<MultipartReader::Part> MultipartReader::ReadPartHead() {
  Part part;
  bool named = false;
  for (int count = 0;; ++count) {
    ASSIGN_OR_RETURN(const std::string line, TakeLine());
    if (line.empty()) break;
    if (count == kMaxHeaders) return Malformed("a part has too many headers");
    const size_t colon = line.find(':');
    if (colon == std::string::npos) return Malformed("a header without a colon");
    if (!EqualNoCase(line.substr(0, colon), "content-disposition")) continue;
    std::string_view value = std::string_view(line).substr(colon + 1);
    SkipSpaces(value);
    const std::string_view kind = value.substr(0, value.find_first_of("; \t"));
    const auto params = ParseParams(value.substr(kind.size()));
    if (!EqualNoCase(kind, "form-data") || !params || named) {
      return Malformed("bad Content-Disposition");
    }
    part.filename = FindParam(*params, "filename");
    const auto name = FindParam(*params, "name");
    named = name.has_value();
    part.name = name.value_or(std::string());
  }
  if (!named) return Malformed("a part without a name");
  return part;
}

Result<std::optional<MultipartReader::Part>> MultipartReader::NextPart() {
  if (done_) return std::optional<Part>();
  char skipped[4096];
  while (!at_end_of_part_) {
    ASSIGN_OR_RETURN([[maybe_unused]] const size_t got, Read(skipped));
  }
  while (buffer_.size() - begin_ < delimiter_.size()) {
    ASSIGN_OR_RETURN(const bool more, Fill());
    if (!more) return Malformed("it ends without a boundary");
  }
  if (buffer_.compare(begin_, delimiter_.size(), delimiter_) != 0) {
    return Malformed("it does not begin with its boundary");
  }
  begin_ += delimiter_.size();
  while (buffer_.size() - begin_ < 2) {
    ASSIGN_OR_RETURN(const bool more, Fill());
    if (!more) return Malformed("it ends within a boundary");
  }
  const std::string_view mark = std::string_view(buffer_).substr(begin_, 2);
  begin_ += 2;
  if (mark == "--") {
    done_ = true;
    return std::optional<Part>();
  }
  if (mark != "\r\n") return Malformed("text behind a boundary");
  ASSIGN_OR_RETURN(Part part, ReadPartHead());
  at_end_of_part_ = false;
  return std::optional(std::move(part));
}

Result<size_t> MultipartReader::Available() {
  for (;;) {
    const std::string_view unread = std::string_view(buffer_).substr(begin_);
    const size_t found = unread.find(delimiter_);
    if (found != std::string_view::npos) {
      at_end_of_part_ = found == 0;
      return found;
    }
    // What could be the delimiter's beginning is kept back.
    if (unread.size() >= delimiter_.size()) return unread.size() - delimiter_.size() + 1;
    ASSIGN_OR_RETURN(const bool more, Fill());
    if (!more) return Malformed("it ends within a part");
  }
}

Result<size_t> MultipartReader::Read(std::span<char> out) {
  if (at_end_of_part_ || out.empty()) return size_t{0};
  ASSIGN_OR_RETURN(const size_t available, Available());
  const size_t count = std::min(out.size(), available);
  std::memcpy(out.data(), buffer_.data() + begin_, count);
  begin_ += count;
  return count;
}

Result<std::string> MultipartReader::ReadAll(size_t limit) {
  std::string text;
  char piece[4096];
  for (;;) {
    ASSIGN_OR_RETURN(const size_t got, Read(piece));
    if (got == 0) return text;
    if (text.size() + got > limit) {
      return Fail(Code::kOutOfRange, "a part is longer than {} bytes", limit);
    }
    text.append(piece, got);
  }
}

}  // namespace wrenn::api
