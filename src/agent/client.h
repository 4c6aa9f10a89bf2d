// Client: the agent's services as calls.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/channel.h"
#include "wire/agent_api.h"
#include "wire/connect.h"
#include "wire/http_client.h"

namespace wrenn::agent {

// The events of one running process, as they come. Destroying it leaves the process running.
class ProcessStream {
 public:
  explicit ProcessStream(std::unique_ptr<wire::HttpClient> http) : http_(std::move(http)) {}

  // The next event; nothing at the stream's proper end. A broken stream (the sandbox ended) is
  // kUnavailable. The deadline is for this wait alone: after kDeadlineExceeded one can wait again.
  Result<std::optional<wire::ProcessEvent>> Next(Deadline deadline);

  // Readable when Next() would not wait, to poll beside other descriptors. Check HasBuffered()
  // first.
  int fd() const { return http_->stream().fd(); }
  bool HasBuffered() const { return http_->stream().HasBuffered(); }

 private:
  std::unique_ptr<wire::HttpClient> http_;
};

// A download in progress.
struct Download {
  std::unique_ptr<wire::HttpClient> http;  // body() gives the bytes
  int status = 200;                        // 206 for a range
  std::optional<uint64_t> length;          // of the body, when known
};

// An upload in progress: Write() the bytes, then Finish(). Dropped before its last byte, the guest
// keeps the old file or none.
class Upload {
 public:
  Upload(std::unique_ptr<wire::HttpClient> http, wire::BodyWriter writer)
      : http_(std::move(http)), writer_(writer) {}
  // Fails with the agent's own error when it has refused the rest (no space left, say).
  Status Write(std::string_view data, Deadline deadline);
  // Returns when the file is in its place.
  Status Finish(Deadline deadline);

 private:
  std::unique_ptr<wire::HttpClient> http_;
  wire::BodyWriter writer_;
};

// The changes below a watched folder, as they come.
class WatchStream {
 public:
  explicit WatchStream(std::unique_ptr<wire::HttpClient> http) : http_(std::move(http)) {}

  // As ProcessStream::Next().
  Result<std::optional<wire::FileEvent>> Next(Deadline deadline);

 private:
  std::unique_ptr<wire::HttpClient> http_;
};

// Who a request runs as in the guest; empty for the agent's default user.
struct As {
  std::string user;
};

// Speaks to one agent. Thread-safe: each call takes a connection of its own, kept and used again.
// Errors of the agent come back with its code and message; a guest that cannot be reached is
// kUnavailable, an answer that makes no sense kInternal.
class Client {
 public:
  Client(std::shared_ptr<Channel> channel, std::string token);

  // Waits until the agent takes connections; the first call uses the one that is made here.
  Status Connect(Deadline deadline);
  // Closes the connections that are kept, so that the agent need not do so after the guest has been
  // restored from a snapshot of now. Later calls make new ones.
  void CloseIdle();
  // The step after boot or restore. Also changes the token that later calls use.
  Result<wire::InitReply> Init(const wire::InitRequest& request, Deadline deadline);
  // Makes the guest shut down in order. Returns when it has begun.
  Status Shutdown(Deadline deadline);
  // Writes what the guest has in memory of its root file system to the disk. Returns when it is
  // there: then the disk is complete by itself, up to what is written meanwhile.
  Status Sync(Deadline deadline);
  Status Health(Deadline deadline);
  Result<wire::GuestMetrics> Metrics(Deadline deadline);

  // Starts a process. The first event (started, with its pid) has been read when this returns.
  // `timeout` zero: no limit; else the agent kills the whole process group when it has passed.
  struct Started {
    uint32_t pid = 0;
    ProcessStream stream;
  };
  Result<Started> Start(const wire::StartRequest& request, const As& as,
                        std::chrono::milliseconds timeout, Deadline deadline);
  // Attaches to the output of a running process from now on.
  Result<Started> Attach(const wire::ProcessSelector& process, Deadline deadline);
  Result<std::vector<wire::ProcessInfo>> List(Deadline deadline);
  Status SendInput(const wire::ProcessSelector& process, const wire::ProcessInput& input,
                   Deadline deadline);
  Status CloseStdin(const wire::ProcessSelector& process, Deadline deadline);
  Status SendSignal(const wire::ProcessSelector& process, wire::Signal signal, Deadline deadline);
  Status Resize(const wire::ProcessSelector& process, wire::PtySize size, Deadline deadline);

  Result<wire::EntryInfo> Stat(const std::string& path, const As& as, Deadline deadline);
  Result<std::vector<wire::EntryInfo>> ListDir(const std::string& path, uint32_t depth,
                                               const As& as, Deadline deadline);
  Result<wire::EntryInfo> MakeDir(const std::string& path, const As& as, Deadline deadline);
  Result<wire::EntryInfo> Move(const std::string& from, const std::string& to, const As& as,
                               Deadline deadline);
  Status Remove(const std::string& path, const As& as, Deadline deadline);
  Result<WatchStream> Watch(const std::string& path, bool recursive, const As& as,
                            Deadline deadline);

  // Files over the bulk lane. `range` is an HTTP Range header value or empty.
  Result<Download> Read(const std::string& path, const std::string& range, const As& as,
                        Deadline deadline);
  Result<Upload> Write(const std::string& path, std::optional<uint64_t> length, const As& as,
                       Deadline deadline);

  Channel& channel() { return *channel_; }

 private:
  // Whether a call may be made twice, when the first one broke with nobody knowing how far it came.
  enum class Repeat { kNever, kHarmless };
  enum class Method { kGet, kPost };

  struct Connection {
    std::unique_ptr<wire::HttpClient> http;
    bool kept = false;  // was used before
  };
  Result<Connection> Take(Lane lane, Deadline deadline);
  Result<Connection> TakeNew(Lane lane, Deadline deadline);
  void Return(Lane lane, std::unique_ptr<wire::HttpClient> http);

  wire::RequestHead MakeHead(Method method, std::string target, const As& as);
  // The head of one unary Connect call.
  wire::RequestHead CallHead(std::string_view method, const As& as, Deadline deadline);
  // One request with a small body, and the answer; nothing when that is longer than `limit` bytes.
  // An answer that says failure is the error.
  Result<std::optional<std::string>> ExchangeUpTo(size_t limit, const wire::RequestHead& head,
                                                  std::string_view body, Repeat repeat,
                                                  Deadline deadline);
  // One with a small answer.
  Result<std::string> Exchange(const wire::RequestHead& head, std::string_view body, Repeat repeat,
                               Deadline deadline);
  // One unary Connect call; the reply's JSON object.
  Result<json::object> Call(std::string_view method, const json::object& request, const As& as,
                            Repeat repeat, Deadline deadline);
  // One whose reply is a list, given to `take` element by element; what it does not understand is
  // kInvalidArgument. kResourceExhausted with `too_many` as the message for a list too long.
  using TakeElement = std::function<Status(const json::object& element)>;
  Status CallForList(std::string_view method, const json::object& request, const As& as,
                     std::string_view name, std::string_view too_many, const TakeElement& take,
                     Deadline deadline);
  Result<wire::EntryInfo> CallForEntry(std::string_view method, const json::object& request,
                                       const As& as, Repeat repeat, Deadline deadline);
  // Opens a server stream of the Connect protocol; its messages follow.
  Result<std::unique_ptr<wire::HttpClient>> OpenStream(std::string_view method,
                                                       const json::object& request, const As& as,
                                                       std::chrono::milliseconds timeout,
                                                       Deadline deadline);
  Result<Started> AwaitStarted(std::unique_ptr<wire::HttpClient> http, Deadline deadline);

  std::shared_ptr<Channel> channel_;
  std::mutex mutex_;
  std::string token_;
  std::vector<std::unique_ptr<wire::HttpClient>> idle_[2];  // by lane, the last used at the back
};

}  // namespace wrenn::agent
