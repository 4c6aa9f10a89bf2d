#include "wire/mux_server_session.h"

#include <charconv>

namespace wrenn::wire {
namespace {

constexpr std::string_view kHost = "localhost:";
constexpr size_t kMaxField = 64;
constexpr size_t kMaxReason = 256;

// The error as a field's value: printable ASCII, not too long.
std::string ReasonOf(const Error& error) {
  std::string reason = error.message.substr(0, kMaxReason);
  for (char& c : reason) {
    if (c < 0x20 || c > 0x7E) c = '?';
  }
  while (reason.ends_with(' ')) reason.pop_back();
  return reason;
}

}  // namespace

Result<uint16_t> ParseMuxAuthority(std::string_view authority) {
  uint16_t port = 0;
  if (authority.starts_with(kHost)) {
    const std::string_view digits = authority.substr(kHost.size());
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error == std::errc() && end == digits.data() + digits.size() && port != 0) return port;
  }
  return Fail(Code::kInvalidArgument, "only localhost:PORT can be connected to");
}

size_t ServerSession::Admit(std::string_view bytes) {
  const size_t own = tracker_.Admit(bytes);
  superseded_ = own < bytes.size();
  // When nghttp2 ends the session by itself it does not say where: so all of this piece is kept to
  // be searched. Should it hold what looks like a hand-shake but is not, the host ignores the
  // answer.
  leftover_ = superseded_ ? bytes.substr(own) : bytes;
  return own;
}

void ServerSession::OnHeadBegin(int32_t) {
  method_.clear();
  authority_.clear();
}

bool ServerSession::OnHeadField(int32_t, std::string_view name, std::string_view value) {
  if (value.size() > kMaxField) return !name.starts_with(':');
  if (name == ":method") method_ = value;
  if (name == ":authority") authority_ = value;
  return true;
}

void ServerSession::OnHeadEnd(int32_t id) {
  if (HasStream(id) || method_.empty()) return;  // a trailer
  if (method_ != "CONNECT") {
    return Answer(id, Fail(Code::kUnimplemented, "only CONNECT is served"));
  }
  auto port = ParseMuxAuthority(authority_);
  if (!port) return Answer(id, Fail(std::move(port.error())));
  Answer(id, options_.accept(*port));
}

void ServerSession::Answer(int32_t id, Result<UniqueFd> local) {
  const std::string reason = local ? std::string() : ReasonOf(local.error());
  const nghttp2_nv head[] = {MuxField(":status", local ? "200" : "502"),
                             MuxField(kMuxReasonField, reason)};
  if (!local) {
    nghttp2_submit_response(session(), id, head, reason.empty() ? 1 : 2, nullptr);
    return;
  }
  Attach(id, std::move(*local));
  const nghttp2_data_provider provider = DataProvider();
  nghttp2_submit_response(session(), id, head, 1, &provider);
}

}  // namespace wrenn::wire
