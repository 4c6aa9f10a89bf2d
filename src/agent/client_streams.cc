// The client's streams: processes and watches.
#include "agent/client.h"
#include "agent/protocol.h"

namespace wrenn::agent {
namespace {

// How often the agent says that a silent stream is alive, so that a dead one is noticed.
constexpr std::string_view kKeepAliveSeconds = "50";

}  // namespace

Result<std::unique_ptr<wire::HttpClient>> Client::OpenStream(std::string_view method,
                                                             const json::object& request,
                                                             const As& as,
                                                             std::chrono::milliseconds timeout,
                                                             Deadline deadline) {
  // A new connection each time: a kept one that turned out dead would leave it open whether the
  // process was started.
  ASSIGN_OR_RETURN(Connection connection, TakeNew(Lane::kInteractive, deadline));
  wire::RequestHead head = MakeHead(Method::kPost, "/" + std::string(method), as);
  head.fields.Add("Content-Type", std::string(wire::kConnectStreamType));
  head.fields.Add("Connect-Protocol-Version", "1");
  head.fields.Add("Keepalive-Ping-Interval", std::string(kKeepAliveSeconds));
  if (timeout.count() > 0) {
    head.fields.Add("Connect-Timeout-Ms", std::to_string(timeout.count()));
  }
  const std::string body = wire::FormatEnvelope(0, json::serialize(request));
  if (auto sent = connection.http->Send(std::move(head), body, deadline); !sent) {
    return Fail(AsGuestFault(std::move(sent.error())));
  }
  if (connection.http->response().status != 200) {
    return Fail(ReadFailure(*connection.http, deadline));
  }
  return std::move(connection.http);
}

Result<std::optional<wire::ProcessEvent>> ProcessStream::Next(Deadline deadline) {
  ASSIGN_OR_RETURN(const auto message, NextMessage(*http_, deadline));
  if (!message) return std::optional<wire::ProcessEvent>();
  JsonReader reader(*message);
  const json::object* object = reader.Object("event");
  if (!object)
    return std::optional<wire::ProcessEvent>(wire::KeepAlive{});  // of a kind unknown to us
  auto event = wire::DecodeProcessEvent(*object);
  if (!event) return Fail(AsGuestFault(std::move(event.error())));
  return std::optional<wire::ProcessEvent>(std::move(*event));
}

Result<Client::Started> Client::AwaitStarted(std::unique_ptr<wire::HttpClient> http,
                                             Deadline deadline) {
  ProcessStream stream(std::move(http));
  for (;;) {
    ASSIGN_OR_RETURN(const auto event, stream.Next(deadline));
    if (!event) return Fail(Code::kInternal, "the guest's agent ended a stream before its start");
    if (std::holds_alternative<wire::KeepAlive>(*event)) continue;
    const auto* started = std::get_if<wire::ProcessStarted>(&*event);
    if (!started)
      return Fail(Code::kInternal, "the guest's agent began a stream without its start");
    return Started{started->pid, std::move(stream)};
  }
}

Result<Client::Started> Client::Start(const wire::StartRequest& request, const As& as,
                                      std::chrono::milliseconds timeout, Deadline deadline) {
  ASSIGN_OR_RETURN(
      auto http, OpenStream("process.Process/Start", wire::ToJson(request), as, timeout, deadline));
  return AwaitStarted(std::move(http), deadline);
}

Result<Client::Started> Client::Attach(const wire::ProcessSelector& process, Deadline deadline) {
  json::object request;
  request["process"] = wire::ToJson(process);
  ASSIGN_OR_RETURN(auto http, OpenStream("process.Process/Connect", request, {},
                                         std::chrono::milliseconds(0), deadline));
  return AwaitStarted(std::move(http), deadline);
}

Result<WatchStream> Client::Watch(const std::string& path, bool recursive, const As& as,
                                  Deadline deadline) {
  const json::object request = {{"path", path}, {"recursive", recursive}};
  ASSIGN_OR_RETURN(auto http, OpenStream("filesystem.Filesystem/WatchDir", request, as,
                                         std::chrono::milliseconds(0), deadline));
  // The first message says that the watch is in place.
  ASSIGN_OR_RETURN(const auto start, NextMessage(*http, deadline));
  if (!start || !start->contains("start")) {
    return Fail(Code::kInternal, "the guest's agent began a stream without its start");
  }
  return WatchStream(std::move(http));
}

Result<std::optional<wire::FileEvent>> WatchStream::Next(Deadline deadline) {
  for (;;) {
    ASSIGN_OR_RETURN(const auto message, NextMessage(*http_, deadline));
    if (!message) return std::optional<wire::FileEvent>();
    JsonReader reader(*message);
    const json::object* object = reader.Object("filesystem");
    if (!object) continue;  // a keep-alive
    auto event = wire::DecodeFileEvent(*object);
    if (!event) return Fail(AsGuestFault(std::move(event.error())));
    return std::optional<wire::FileEvent>(std::move(*event));
  }
}

}  // namespace wrenn::agent
