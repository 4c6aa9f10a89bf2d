// HttpServer: a thread per connection, blocking handlers with deadlines.
//
// Why threads: a handler here mostly waits on one guest and copies bytes; written straight down it
// has no lifetime or cancellation puzzles, and a waiting thread costs some 20 KB (docs/adr/0003).
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

#include "base/gate.h"
#include "wire/http_body.h"

namespace wrenn::wire {

// One request and its answer, in the handler's hands. Not thread-safe.
class Exchange {
 public:
  Exchange(ByteStream& stream, RequestHead head, BodyReader body, Deadline::Duration write_limit)
      : stream_(stream),
        head_(std::move(head)),
        body_(std::move(body)),
        write_limit_(write_limit) {}

  const RequestHead& request() const { return head_; }
  BodyReader& body() { return body_; }

  // Adds a field to the answer that is sent later.
  void AddField(std::string name, std::string value) {
    extra_.Add(std::move(name), std::move(value));
  }

  // Sends a whole answer.
  Status Respond(int status, std::string_view content_type, std::string_view body);
  Status RespondEmpty(int status);

  // Sends a head whose body follows by the writer: of `length` bytes when known, else chunked. The
  // writer lives as long as the exchange; without Finish() the connection is closed as broken.
  Result<BodyWriter*> StartBody(int status, std::string_view content_type,
                                std::optional<uint64_t> length = std::nullopt);
  Status FinishBody();

  // The deadline for one write of the answer: a client that takes nothing for so long is gone.
  Deadline WriteDeadline() const { return Deadline::After(write_limit_); }

  // The raw stream, for an upgrade to another protocol. The connection ends with the handler.
  ByteStream& Upgrade() {
    close_ = true;
    answered_ = true;
    upgraded_ = true;
    status_ = 101;
    return stream_;
  }

  bool answered() const { return answered_; }
  int status() const { return status_; }  // what was answered, 0 before
  // Closes the connection after this exchange.
  void CloseAfter() { close_ = true; }

  // The client's socket: becomes readable or hangs up when a client that waits goes away.
  int client_fd() const { return stream_.fd(); }
  // Whether the client has closed the connection.
  bool ClientGone() const;

 private:
  friend class HttpServer;
  Status SendHead(int status, Fields fields, std::string_view body);
  bool KeepsAlive() const;

  ByteStream& stream_;
  RequestHead head_;
  BodyReader body_;
  Fields extra_;
  BodyWriter writer_;
  Deadline::Duration write_limit_;
  int status_ = 0;
  bool answered_ = false;
  bool unfinished_ = false;
  bool close_ = false;
  bool upgraded_ = false;
};

class HttpServer {
 public:
  // Answers one request. What it throws is answered with 500 if nothing was sent.
  using Handler = std::function<void(Exchange&)>;

  struct Options {
    size_t max_connections = 4096;           // one more is answered 503 and closed
    Deadline::Duration idle_limit{300'000};  // between requests
    Deadline::Duration head_limit{30'000};   // from a head's first byte to its last
    Deadline::Duration write_limit{60'000};  // one write of an answer
    // The body of an answer that no handler gives (400, 431, 500), and its type. Null: the reason.
    std::string (*refusal_body)(int status, std::string_view why) = nullptr;
    std::string_view refusal_type = "text/plain";
  };

  HttpServer(Handler handler, Options options);
  explicit HttpServer(Handler handler) : HttpServer(std::move(handler), Options()) {}
  ~HttpServer() { Stop(); }

  // Accepts connections on a listening, non-blocking socket until Stop().
  void Listen(UniqueFd listener);

  // Serves one connected, non-blocking socket on a thread of its own.
  void Serve(UniqueFd connection);

  // Ends everything: no new connections, open ones are shut down, handlers waited for. False when
  // the deadline passed first; then some may still run.
  bool Stop(Deadline deadline = Deadline::Never());

 private:
  void AcceptLoop(int listener);
  void RefuseOverload(int connection);
  void Forget(std::list<ByteStream>::iterator entry);
  void ServeConnection(ByteStream& stream);
  Status Refuse(Exchange& exchange, int status, std::string_view why) const;
  // Serves one request; whether the connection can take another.
  bool ServeRequest(ByteStream& stream);

  const Handler handler_;
  const Options options_;
  UniqueFd stop_event_;
  Gate gate_;
  std::mutex mutex_;
  bool stopping_ = false;
  std::list<ByteStream> connections_;
  std::list<UniqueFd> listeners_;
  std::list<std::thread> acceptors_;
};

}  // namespace wrenn::wire
