#include "wire/http_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <system_error>

#include "base/thread_cache.h"

namespace wrenn::wire {
namespace {

// What is read and thrown away of a request's body that its handler left: so much to keep the
// connection, and so much more for a client that reads no answer before it has sent everything.
constexpr size_t kDrainLimit = 256 << 10;
constexpr size_t kLingerLimit = 64 << 20;
constexpr Deadline::Duration kLingerTime{5'000};
constexpr std::string_view kOverloaded =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n"
    "Retry-After: 1\r\n\r\n";

// Reads and throws away until the body's end; false at the limit or when it breaks.
bool Discard(BodyReader& body, size_t limit, Deadline deadline) {
  char buffer[16 << 10];
  for (size_t total = 0; total < limit;) {
    const auto got = body.Read(buffer, deadline);
    if (!got) return false;
    if (*got == 0) return true;
    total += *got;
  }
  return false;
}

// Closing a socket that has unread bytes resets the connection, and the client might lose the
// answer: so this says that it is over, and lets the client finish (RFC 9112 section 9.6).
void Linger(ByteStream& stream) {
  ::shutdown(stream.fd(), SHUT_WR);
  BodyReader rest(stream, {BodyLength::Kind::kUntilClose, 0});
  Discard(rest, kLingerLimit, Deadline::After(kLingerTime));
}

// Makes the close of a TCP connection a reset.
void CloseAsBroken(ByteStream& stream) {
  const linger hard{1, 0};
  ::setsockopt(stream.fd(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

}  // namespace

bool Exchange::KeepsAlive() const {
  return !close_ && head_.minor_version == 1 && !head_.fields.HasToken("connection", "close");
}

bool Exchange::ClientGone() const {
  pollfd entry{stream_.fd(), POLLRDHUP, 0};
  return ::poll(&entry, 1, 0) > 0 && (entry.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

Status Exchange::SendHead(int status, Fields fields, std::string_view body) {
  status_ = status;
  answered_ = true;
  // A client that was not told to go on with its body may send it or not: nobody could tell its
  // bytes from another request.
  if (!body_.done() && body_.HasPrelude()) close_ = true;
  ResponseHead head;
  head.status = status;
  head.fields = std::move(fields);
  for (const auto& [name, value] : extra_.all()) head.fields.Add(name, value);
  if (!KeepsAlive()) head.fields.Set("Connection", "close");
  std::string text = FormatResponseHead(head);
  text.append(body);
  return stream_.Write(text, WriteDeadline());
}

Status Exchange::Respond(int status, std::string_view content_type, std::string_view body) {
  Fields fields;
  fields.Add("Content-Type", std::string(content_type));
  fields.Add("Content-Length", std::to_string(body.size()));
  return SendHead(status, std::move(fields), head_.method == "HEAD" ? std::string_view() : body);
}

Status Exchange::RespondEmpty(int status) {
  Fields fields;
  if (status != 204) fields.Add("Content-Length", "0");
  return SendHead(status, std::move(fields), {});
}

Result<BodyWriter*> Exchange::StartBody(int status, std::string_view content_type,
                                        std::optional<uint64_t> length) {
  Fields fields;
  fields.Add("Content-Type", std::string(content_type));
  const bool chunked = !length && head_.minor_version == 1;
  if (length) fields.Add("Content-Length", std::to_string(*length));
  if (chunked) fields.Add("Transfer-Encoding", "chunked");
  if (!length && !chunked) close_ = true;  // HTTP/1.0: the end of the connection ends the body
  unfinished_ = true;
  writer_ = head_.method == "HEAD" ? BodyWriter() : BodyWriter(stream_, chunked);
  RETURN_IF_ERROR(SendHead(status, std::move(fields), {}));
  return &writer_;
}

Status Exchange::FinishBody() {
  RETURN_IF_ERROR(writer_.Finish(WriteDeadline()));
  unfinished_ = false;
  return {};
}

HttpServer::HttpServer(Handler handler, Options options)
    : handler_(std::move(handler)), options_(options) {
  auto event = MakeEventFd();
  if (event) stop_event_ = std::move(*event);
}

void HttpServer::Listen(UniqueFd listener) {
  std::lock_guard lock(mutex_);
  const int fd = listener.get();
  listeners_.push_back(std::move(listener));
  acceptors_.emplace_back([this, fd] { AcceptLoop(fd); });
}

void HttpServer::AcceptLoop(int listener) {
  if (!stop_event_) return;  // nothing could end it
  pollfd entries[2] = {{listener, POLLIN, 0}, {stop_event_.get(), POLLIN, 0}};
  for (;;) {
    if (::poll(entries, 2, -1) < 0 && errno != EINTR) return;
    if (entries[1].revents) return;
    UniqueFd connection(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (connection) {
      const int on = 1;  // fails harmlessly on unix sockets
      ::setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      Serve(std::move(connection));
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
      // Most likely no descriptor is free. The connection stays in the backlog meanwhile.
      ::poll(&entries[1], 1, 50);
    }
  }
}

void HttpServer::Serve(UniqueFd connection) {
  Gate::Pass pass = gate_.Enter();
  if (!pass) return;
  std::unique_lock lock(mutex_);
  if (stopping_) return;
  if (connections_.size() >= options_.max_connections) {
    lock.unlock();
    return RefuseOverload(connection.get());
  }
  const auto entry = connections_.emplace(connections_.end(), std::move(connection));
  lock.unlock();
  try {
    ThreadCache::Get().Run([this, entry, held = std::make_shared<Gate::Pass>(std::move(pass))] {
      ServeConnection(*entry);
      Forget(entry);
      *held = Gate::Pass();
    });
  } catch (const std::system_error&) {  // no more threads
    RefuseOverload(entry->fd());
    Forget(entry);
  }
}

void HttpServer::RefuseOverload(int connection) {
  // What the client has sent already is read, or closing would reset the connection and it might
  // never see the answer. There is no time to wait for more here.
  char buffer[4096];
  for (int i = 0; i < 4 && ::recv(connection, buffer, sizeof buffer, MSG_DONTWAIT) > 0; ++i) {
  }
  [[maybe_unused]] const ssize_t sent =
      ::send(connection, kOverloaded.data(), kOverloaded.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  ::shutdown(connection, SHUT_WR);
}

void HttpServer::Forget(std::list<ByteStream>::iterator entry) {
  std::list<ByteStream> ended;
  std::lock_guard lock(mutex_);
  ended.splice(ended.end(), connections_, entry);
}

void HttpServer::ServeConnection(ByteStream& stream) {
  try {
    while (stream.WaitReadable(Deadline::After(options_.idle_limit))) {
      if (!ServeRequest(stream)) return;
    }
  } catch (...) {  // out of memory: this connection's end, not the program's
  }
}

Status HttpServer::Refuse(Exchange& exchange, int status, std::string_view why) const {
  exchange.CloseAfter();
  return exchange.Respond(
      status, options_.refusal_type,
      options_.refusal_body ? options_.refusal_body(status, why) : std::string(why) + "\n");
}

bool HttpServer::ServeRequest(ByteStream& stream) {
  const auto refuse = [&](int status, std::string_view why) {
    Exchange exchange(stream, RequestHead{"GET", "/", 1, {}}, BodyReader(), options_.write_limit);
    if (Refuse(exchange, status, why)) Linger(stream);
    return false;
  };
  auto text = stream.ReadThrough("\r\n\r\n", kMaxHeadBytes, Deadline::After(options_.head_limit));
  if (!text) {
    return text.error().code == Code::kOutOfRange ? refuse(431, "request head too large") : false;
  }
  if (text->empty()) return false;  // the client closed the connection
  std::string_view start = *text;
  while (start.starts_with("\r\n")) start.remove_prefix(2);  // RFC 9112 section 2.2
  if (start.empty()) return true;
  auto head = ParseRequestHead(start);
  if (!head) return refuse(400, head.error().message);
  auto length = RequestBodyLength(*head);
  if (!length) return refuse(400, length.error().message);

  BodyReader body(stream, *length);
  if (head->minor_version == 1 && head->fields.HasToken("expect", "100-continue")) {
    body.SetPrelude("HTTP/1.1 100 Continue\r\n\r\n");
  }
  Exchange exchange(stream, std::move(*head), std::move(body), options_.write_limit);
  try {
    handler_(exchange);
  } catch (...) {
    exchange.CloseAfter();
  }
  if (!exchange.answered()) {
    [[maybe_unused]] auto sent = Refuse(exchange, 500, "internal error");
  }
  if (exchange.upgraded_) return false;
  if (exchange.unfinished_) {
    // Where the end of the connection ends the body, a plain close would make it look whole.
    if (exchange.request().minor_version == 0) CloseAsBroken(stream);
    return false;
  }
  BodyReader& rest = exchange.body_;
  if (rest.done()) return exchange.KeepsAlive();
  if (rest.HasPrelude()) return false;  // the client holds the body back and need not send it now
  if (Discard(rest, kDrainLimit, Deadline::After(options_.head_limit))) {
    return exchange.KeepsAlive();
  }
  Linger(stream);
  return false;
}

bool HttpServer::Stop(Deadline deadline) {
  gate_.Close();
  SignalEventFd(stop_event_.get());
  for (std::thread& acceptor : acceptors_) acceptor.join();
  acceptors_.clear();
  listeners_.clear();
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    for (ByteStream& stream : connections_) stream.Shutdown();
  }
  return gate_.WaitEmpty(deadline);
}

}  // namespace wrenn::wire
