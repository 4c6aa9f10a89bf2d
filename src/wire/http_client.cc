#include "wire/http_client.h"

namespace wrenn::wire {
namespace {
constexpr int kMaxInterim = 16;  // "100 Continue" and its like before the answer
}

void HttpClient::Begin(std::string method) {
  method_ = std::move(method);
  response_ = ResponseHead{0, 1, {}};
  body_ = BodyReader();
}

Status HttpClient::Send(RequestHead request, std::string_view body, Deadline deadline) {
  Begin(request.method);
  if (!body.empty() || request.method == "POST" || request.method == "PUT") {
    request.fields.Set("Content-Length", std::to_string(body.size()));
  }
  std::string text = FormatRequestHead(request);
  // One system call for head and small body: one packet, one wake-up at the other end.
  const bool small = body.size() <= (64 << 10);
  if (small) text.append(body);
  Status sent = stream_.Write(text, deadline);
  if (sent && !small) sent = stream_.Write(body, deadline);
  if (sent) return ReadHead(deadline);
  // A server that refuses a body may answer and close before it has read all of it.
  if (sent.error().code != Code::kUnavailable || !ReadHead(deadline)) return sent;
  broken_ = true;
  return {};
}

Result<BodyWriter> HttpClient::StartRequest(RequestHead request, std::optional<uint64_t> length,
                                            Deadline deadline) {
  Begin(request.method);
  if (length) {
    request.fields.Set("Content-Length", std::to_string(*length));
  } else {
    request.fields.Set("Transfer-Encoding", "chunked");
  }
  RETURN_IF_ERROR(stream_.Write(FormatRequestHead(request), deadline));
  return BodyWriter(stream_, !length);
}

Status HttpClient::ReadHead(Deadline deadline) {
  for (int interim = 0;; ++interim) {
    if (interim > kMaxInterim) {
      return Fail(Code::kInvalidArgument, "malformed HTTP: too many interim answers");
    }
    ASSIGN_OR_RETURN(const std::string text,
                     stream_.ReadThrough("\r\n\r\n", kMaxHeadBytes, deadline));
    if (text.empty()) return Fail(Code::kUnavailable, "the connection was closed before an answer");
    ASSIGN_OR_RETURN(response_, ParseResponseHead(text));
    if (response_.status >= 200 || response_.status == 101) break;  // others are interim
  }
  ASSIGN_OR_RETURN(const BodyLength length, ResponseBodyLength(response_, method_));
  body_ = BodyReader(stream_, length);
  return {};
}

bool HttpClient::Reusable() const {
  return !broken_ && body_.done() && response_.status >= 200 && response_.minor_version == 1 &&
         !response_.fields.HasToken("connection", "close") &&
         body_.length().kind != BodyLength::Kind::kUntilClose && !stream_.HasBuffered();
}

}  // namespace wrenn::wire
