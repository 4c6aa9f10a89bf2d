// HttpClient: one HTTP/1.1 connection from the asking side, kept alive between requests.
#pragma once

#include <functional>
#include <optional>

#include "wire/http_body.h"

namespace wrenn::wire {

// Asks one request at a time over one connection. Not thread-safe.
class HttpClient {
 public:
  explicit HttpClient(UniqueFd connection) : stream_(std::move(connection)) {}

  // Sends a request with a whole body and reads the answer's head; also one that came before the
  // whole body was sent.
  Status Send(RequestHead request, std::string_view body, Deadline deadline);

  // Sends the head; the caller then writes the body with the writer (and Finish()es it), then calls
  // ReadHead(). The body is chunked unless its length is given.
  Result<BodyWriter> StartRequest(RequestHead request, std::optional<uint64_t> length,
                                  Deadline deadline);
  Status ReadHead(Deadline deadline);

  // The answer to the last request.
  const ResponseHead& response() const { return response_; }
  BodyReader& body() { return body_; }

  // Whether the connection can take another request: the answer was read whole and kept open.
  bool Reusable() const;

  ByteStream& stream() { return stream_; }

 private:
  void Begin(std::string method);

  ByteStream stream_;
  bool broken_ = false;  // the last request was not sent whole
  std::string method_;
  ResponseHead response_{0, 1, {}};  // status 0: none yet
  BodyReader body_;
};

}  // namespace wrenn::wire
