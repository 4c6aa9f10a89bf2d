#include "vmm/firecracker/vsock_channel.h"

#include "agent/mux_channel.h"
#include "wire/agent_api.h"
#include "wire/sockets.h"

namespace wrenn::vmm {
namespace {

// Long enough for a busy host, short enough that a connection which hangs costs little.
constexpr std::chrono::milliseconds kFirstTry{500};
constexpr size_t kMaxAnswer = 32;

tl::unexpected<Error> NotVsock() {
  return Fail(Code::kInternal, "what answers as Firecracker's vsock is something else");
}

// Reads up to the line's end and no further: what follows is the guest's.
Result<std::string> ReadLine(int socket, Deadline deadline) {
  std::string line;
  for (char byte = 0; line.size() < kMaxAnswer; line.push_back(byte)) {
    ASSIGN_OR_RETURN(const size_t got, ReadSome(socket, {&byte, 1}, deadline));
    if (got == 0) return Fail(Code::kAborted, "the guest does not listen yet");
    if (byte == '\n') return line;
  }
  return NotVsock();
}

// The connection ended instead of answering.
Error NotListening(Error error) {
  if (error.code == Code::kUnavailable) error.code = Code::kAborted;
  return error;
}

}  // namespace

Result<UniqueFd> ConnectVsock(const std::string& socket_path, uint32_t port, Deadline deadline) {
  ASSIGN_OR_RETURN(UniqueFd socket, wire::ConnectUnix(socket_path, deadline));
  const Status asked = WriteAll(socket.get(), fmt::format("CONNECT {}\n", port), deadline);
  if (!asked) return Fail(NotListening(asked.error()));
  const auto answer = ReadLine(socket.get(), deadline);
  if (!answer) return Fail(NotListening(answer.error()));
  if (!answer->starts_with("OK ")) return NotVsock();
  return socket;
}

std::unique_ptr<agent::Channel> MakeVsockChannel(std::string socket_path) {
  agent::Transport transport;
  transport.connect = [path = std::move(socket_path)](Deadline deadline) {
    return ConnectVsock(path, wire::kAgentPort, deadline);
  };
  transport.first_try = kFirstTry;
  return agent::MakeMuxChannel(transport);
}

}  // namespace wrenn::vmm
