#include "wire/http.h"

#include <strings.h>

#include <algorithm>
#include <charconv>

#include "base/encoding.h"

namespace wrenn::wire {
namespace {

bool EqualNames(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

bool IsTokenChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, IsTokenChar);
}

bool IsFieldValue(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7F);
  });
}

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

tl::unexpected<Error> Malformed(std::string_view what) {
  return Fail(Code::kInvalidArgument, "malformed HTTP: {}", what);
}

// Takes the next line, without its CRLF, off `text`.
Result<std::string_view> TakeLine(std::string_view& text) {
  const size_t end = text.find("\r\n");
  if (end == std::string_view::npos) return Malformed("line without end");
  const std::string_view line = text.substr(0, end);
  if (line.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos) {
    return Malformed("control character in the head");
  }
  text.remove_prefix(end + 2);
  return line;
}

Result<Fields> ParseFields(std::string_view text) {
  Fields fields;
  for (;;) {
    ASSIGN_OR_RETURN(const std::string_view line, TakeLine(text));
    if (line.empty()) break;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) {
      return Malformed("bad field name");
    }
    const std::string_view value = Trim(line.substr(colon + 1));
    if (!IsFieldValue(value)) return Malformed("bad field value");
    if (fields.all().size() == kMaxFields) return Malformed("too many fields");
    fields.Add(std::string(line.substr(0, colon)), std::string(value));
  }
  if (!text.empty()) return Malformed("bytes behind the head");
  return fields;
}

// The digit behind "HTTP/1.".
Result<int> ParseVersion(std::string_view text) {
  if (text == "HTTP/1.1") return 1;
  if (text == "HTTP/1.0") return 0;
  return Malformed("unsupported version");
}

// What Content-Length and Transfer-Encoding say; nothing when neither is there.
Result<std::optional<BodyLength>> DeclaredLength(const Fields& fields) {
  const size_t lengths = fields.Count("content-length");
  if (fields.Find("transfer-encoding")) {
    if (lengths > 0) return Malformed("both Content-Length and Transfer-Encoding");
    if (fields.Count("transfer-encoding") > 1 ||
        !EqualNames(fields.Get("transfer-encoding"), "chunked")) {
      return Malformed("unsupported Transfer-Encoding");
    }
    return std::optional(BodyLength{BodyLength::Kind::kChunked, 0});
  }
  if (lengths == 0) return std::optional<BodyLength>();
  const std::string_view text = fields.Get("content-length");
  uint64_t bytes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
  if (lengths > 1 || text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return Malformed("bad Content-Length");
  }
  return std::optional(BodyLength{BodyLength::Kind::kFixed, bytes});
}

// Whatever a value holds (a file's name, say), it stays within its line.
void AppendValue(std::string& text, std::string_view value) {
  const size_t at = text.size();
  text.append(value);
  for (size_t i = at; i < text.size(); ++i) {
    if (!IsFieldValue(std::string_view(text).substr(i, 1))) text[i] = ' ';
  }
}

void AppendFields(std::string& text, const Fields& fields) {
  for (const auto& [name, value] : fields.all()) {
    text.append(name).append(": ");
    AppendValue(text, value);
    text.append("\r\n");
  }
  text.append("\r\n");
}

}  // namespace

void Fields::Add(std::string name, std::string value) {
  all_.emplace_back(std::move(name), std::move(value));
}

void Fields::Set(std::string_view name, std::string value) {
  std::erase_if(all_, [&](const auto& field) { return EqualNames(field.first, name); });
  all_.emplace_back(std::string(name), std::move(value));
}

const std::string* Fields::Find(std::string_view name) const {
  for (const auto& field : all_) {
    if (EqualNames(field.first, name)) return &field.second;
  }
  return nullptr;
}

std::string_view Fields::Get(std::string_view name) const {
  const std::string* value = Find(name);
  return value ? std::string_view(*value) : std::string_view();
}

size_t Fields::Count(std::string_view name) const {
  return static_cast<size_t>(std::ranges::count_if(
      all_, [&](const auto& field) { return EqualNames(field.first, name); }));
}

bool Fields::HasToken(std::string_view name, std::string_view token) const {
  for (const auto& field : all_) {
    if (!EqualNames(field.first, name)) continue;
    std::string_view rest = field.second;
    while (!rest.empty()) {
      const size_t comma = rest.find(',');
      if (EqualNames(Trim(rest.substr(0, comma)), token)) return true;
      rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    }
  }
  return false;
}

std::string_view RequestHead::path() const {
  return std::string_view(target).substr(0, target.find('?'));
}

std::string_view RequestHead::query() const {
  const size_t mark = target.find('?');
  return mark == std::string::npos ? std::string_view() : std::string_view(target).substr(mark + 1);
}

std::optional<std::string> RequestHead::Param(std::string_view name) const {
  std::string_view rest = query();
  while (!rest.empty()) {
    const size_t end = rest.find('&');
    const std::string_view pair = rest.substr(0, end);
    const size_t equals = pair.find('=');
    const auto key = PercentDecode(pair.substr(0, equals), true);
    if (key && *key == name) {
      if (equals == std::string_view::npos) return std::string();
      auto value = PercentDecode(pair.substr(equals + 1), true);
      if (value) return std::move(*value);
    }
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  }
  return std::nullopt;
}

Result<RequestHead> ParseRequestHead(std::string_view text) {
  ASSIGN_OR_RETURN(const std::string_view line, TakeLine(text));
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return Malformed("bad request line");
  RequestHead head;
  head.method = line.substr(0, first);
  head.target = line.substr(first + 1, last - first - 1);
  if (!IsToken(head.method)) return Malformed("bad method");
  if (head.target.empty() || head.target[0] != '/' || !IsFieldValue(head.target) ||
      head.target.find_first_of(" \t") != std::string::npos) {
    return Malformed("bad request target");
  }
  ASSIGN_OR_RETURN(head.minor_version, ParseVersion(line.substr(last + 1)));
  ASSIGN_OR_RETURN(head.fields, ParseFields(text));
  // RFC 9112 section 3.2: without a Host, or with two, nobody knows whom the request is for.
  const size_t hosts = head.fields.Count("host");
  if (hosts > 1 || (hosts == 0 && head.minor_version == 1)) return Malformed("not one Host field");
  return head;
}

Result<ResponseHead> ParseResponseHead(std::string_view text) {
  ASSIGN_OR_RETURN(const std::string_view line, TakeLine(text));
  ResponseHead head;
  const bool shaped = line.size() >= 12 && line[8] == ' ' && (line.size() == 12 || line[12] == ' ');
  if (!shaped) return Malformed("bad status line");
  ASSIGN_OR_RETURN(head.minor_version, ParseVersion(line.substr(0, 8)));
  const auto [end, error] = std::from_chars(line.data() + 9, line.data() + 12, head.status);
  if (error != std::errc() || end != line.data() + 12 || head.status < 100) {
    return Malformed("bad status");
  }
  ASSIGN_OR_RETURN(head.fields, ParseFields(text));
  return head;
}

std::string FormatRequestHead(const RequestHead& head) {
  std::string text = head.method + " ";
  for (const char c : head.target) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x20 && byte != 0x7F) {
      text.push_back(c);
    } else {
      text.append(fmt::format("%{:02X}", byte));
    }
  }
  text.append(" HTTP/1.1\r\n");
  if (!head.fields.Find("host")) text.append("Host: localhost\r\n");
  AppendFields(text, head.fields);
  return text;
}

std::string FormatResponseHead(const ResponseHead& head) {
  std::string text = fmt::format("HTTP/1.1 {} {}\r\n", head.status, ReasonPhrase(head.status));
  AppendFields(text, head.fields);
  return text;
}

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 416:
      return "Range Not Satisfiable";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 507:
      return "Insufficient Storage";
    default:
      return "Status";
  }
}

Result<BodyLength> RequestBodyLength(const RequestHead& head) {
  ASSIGN_OR_RETURN(const std::optional<BodyLength> declared, DeclaredLength(head.fields));
  return declared.value_or(BodyLength{BodyLength::Kind::kFixed, 0});
}

Result<BodyLength> ResponseBodyLength(const ResponseHead& head, std::string_view method) {
  if (method == "HEAD" || head.status / 100 == 1 || head.status == 204 || head.status == 304) {
    return BodyLength{BodyLength::Kind::kFixed, 0};
  }
  ASSIGN_OR_RETURN(const std::optional<BodyLength> declared, DeclaredLength(head.fields));
  return declared.value_or(BodyLength{BodyLength::Kind::kUntilClose, 0});
}

}  // namespace wrenn::wire
