// The opening handshake (RFC 6455 section 4), both ends.
#include <openssl/evp.h>

#include "api/errors.h"
#include "api/websocket_end.h"
#include "base/encoding.h"
#include "base/id.h"
#include "wire/http_body.h"

namespace wrenn::api {
namespace {

constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
constexpr size_t kMaxErrorBody = 64 << 10;

// The answer that proves that the other end understood the key.
std::string AcceptKey(std::string_view key) {
  const std::string text = std::string(key).append(kGuid);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha1(), nullptr);
  return Base64Encode({reinterpret_cast<const char*>(digest), size});
}

// "http://host:port" → "host:port"; empty for "null" and the like.
std::string_view AuthorityOf(std::string_view origin) {
  const size_t scheme = origin.find("://");
  return scheme == std::string_view::npos ? std::string_view() : origin.substr(scheme + 3);
}

}  // namespace

Status WebSocket::CheckUpgrade(const wire::RequestHead& request) {
  const wire::Fields& fields = request.fields;
  if (request.method != "GET" || request.minor_version != 1 ||
      !fields.HasToken("connection", "upgrade") || !fields.HasToken("upgrade", "websocket")) {
    return Fail(Code::kInvalidArgument, "this route needs a WebSocket client");
  }
  if (fields.Get("sec-websocket-version") != "13") {
    return Fail(Code::kInvalidArgument, "only WebSocket version 13 is spoken here");
  }
  const std::string_view key = fields.Get("sec-websocket-key");
  const auto bytes = Base64Decode(key);
  if (key.size() != 24 || fields.Count("sec-websocket-key") != 1 || !bytes || bytes->size() != 16) {
    return Fail(Code::kInvalidArgument, "Sec-WebSocket-Key must be 16 bytes in base64");
  }
  const std::string* origin = fields.Find("origin");
  if (origin && AuthorityOf(*origin) != fields.Get("host")) {
    return Fail(Code::kPermissionDenied, "pages of '{}' may not open a WebSocket here", *origin);
  }
  return {};
}

Result<std::unique_ptr<WebSocket>> WebSocket::Accept(wire::ByteStream& stream,
                                                     const wire::RequestHead& request,
                                                     Deadline deadline) {
  RETURN_IF_ERROR(CheckUpgrade(request));
  wire::ResponseHead head;
  head.status = 101;
  head.fields.Add("Upgrade", "websocket");
  head.fields.Add("Connection", "Upgrade");
  head.fields.Add("Sec-WebSocket-Accept", AcceptKey(request.fields.Get("sec-websocket-key")));
  RETURN_IF_ERROR(stream.Write(wire::FormatResponseHead(head), deadline));
  return WebSocketEnd::Make(stream, WebSocketEnd::Role::kServer);
}

Result<std::unique_ptr<WebSocket>> WebSocket::Connect(wire::ByteStream& stream,
                                                      wire::RequestHead request,
                                                      Deadline deadline) {
  const std::string key = Base64Encode(RandomBytes(16));
  request.method = "GET";
  if (!request.fields.Find("host")) request.fields.Add("Host", "localhost");
  request.fields.Set("Upgrade", "websocket");
  request.fields.Set("Connection", "Upgrade");
  request.fields.Set("Sec-WebSocket-Version", "13");
  request.fields.Set("Sec-WebSocket-Key", key);
  RETURN_IF_ERROR(stream.Write(wire::FormatRequestHead(request), deadline));

  ASSIGN_OR_RETURN(const std::string text,
                   stream.ReadThrough("\r\n\r\n", wire::kMaxHeadBytes, deadline));
  if (text.empty()) return Fail(Code::kUnavailable, "the connection was closed before an answer");
  ASSIGN_OR_RETURN(const wire::ResponseHead head, wire::ParseResponseHead(text));
  if (head.status != 101) {
    ASSIGN_OR_RETURN(const wire::BodyLength length, wire::ResponseBodyLength(head, "GET"));
    const auto body = wire::BodyReader(stream, length).ReadAll(kMaxErrorBody, deadline);
    Error error = ParseErrorBody(head.status, body ? *body : std::string());
    if (error.message.empty()) {
      error.message = fmt::format("the server answered with HTTP status {}", head.status);
    }
    return Fail(std::move(error));
  }
  if (!head.fields.HasToken("upgrade", "websocket") ||
      !head.fields.HasToken("connection", "upgrade") ||
      head.fields.Get("sec-websocket-accept") != AcceptKey(key)) {
    return Fail(Code::kUnavailable, "the server's WebSocket handshake is not one");
  }
  return WebSocketEnd::Make(stream, WebSocketEnd::Role::kClient);
}

}  // namespace wrenn::api
