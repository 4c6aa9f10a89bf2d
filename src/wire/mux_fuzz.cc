// Both ends of a mux fed by a hostile peer: whatever comes, the session ends, its streams' sockets
// are closed, and no more is held than the windows allow.
//
// The first byte chooses the end and how the rest is cut into pieces.
#include <sys/socket.h>

#include <cstdint>
#include <cstdlib>
#include <vector>

#include "wire/mux_client_session.h"
#include "wire/mux_server_session.h"

namespace wrenn::wire {
namespace {

// A transport whose peer has said `bytes` and then hung up. What is written to it is dropped.
Result<std::pair<UniqueFd, UniqueFd>> MakeTransport(std::string_view bytes) {
  ASSIGN_OR_RETURN(auto pair, SocketPair());
  RETURN_IF_ERROR(WriteAll(pair.second.get(), bytes, Deadline::After(std::chrono::seconds(1))));
  ::shutdown(pair.second.get(), SHUT_WR);
  return pair;
}

void RunServer(std::string_view first, std::string_view rest) {
  auto transport = MakeTransport(rest);
  if (!transport) return;
  std::vector<UniqueFd> ends;
  MuxServerOptions options;
  options.accept = [&](uint16_t port) -> Result<UniqueFd> {
    if (port % 2 == 1) return Fail(Code::kUnavailable, "port {} is refused\n", port);
    ASSIGN_OR_RETURN(auto pair, SocketPair());
    // A service that says something and reads nothing.
    RETURN_IF_ERROR(WriteAll(pair.second.get(), "banner", Deadline::Never()));
    if (port % 4 == 0) ::shutdown(pair.second.get(), SHUT_RDWR);
    ends.push_back(std::move(pair.second));
    if (ends.size() > kMuxMaxStreams) std::abort();
    return std::move(pair.first);
  };
  ServerSession session(transport->first.get(), std::string(kHelloReply), options);
  session.Run(first);
}

void RunClient(std::string_view first, std::string_view rest) {
  auto transport = MakeTransport(rest);
  auto wake = MakeEventFd();
  if (!transport || !wake) return;
  MuxRequests requests;
  std::vector<UniqueFd> users;
  std::vector<std::shared_ptr<MuxRequests::Request>> asked;
  for (uint16_t port = 1; port <= 3; ++port) {
    auto pair = SocketPair();
    if (!pair) return;
    if (port == 2) [[maybe_unused]]
      auto sent = WriteAll(pair->second.get(), "hi", Deadline::Never());
    asked.push_back(std::make_shared<MuxRequests::Request>());
    asked.back()->port = port;
    asked.back()->local = std::move(pair->first);
    if (port != 3) users.push_back(std::move(pair->second));
    if (!requests.Push(asked.back())) std::abort();
  }
  SignalEventFd(wake->get());
  ClientSession session(transport->first.get(), wake->get(), requests);
  session.Run(first);
  if (!requests.closed()) std::abort();
  for (const auto& request : asked) {
    if (!request->result) std::abort();  // somebody would wait for ever
  }
}

}  // namespace
}  // namespace wrenn::wire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1,
                               std::min<size_t>(size - 1, 65536));
  // Part comes at once, the rest off the transport: the client has opened its streams by then.
  const size_t cut = std::min<size_t>(data[0] >> 1, bytes.size());
  const bool server = data[0] & 1;
  const std::string_view first = bytes.substr(0, cut);
  const std::string_view rest = bytes.substr(cut);
  server ? wrenn::wire::RunServer(first, rest) : wrenn::wire::RunClient(first, rest);
  return 0;
}
