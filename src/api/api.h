// Api: the REST API /v1 as a handler of an HTTP server.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "api/auth.h"
#include "api/context.h"
#include "base/gate.h"

namespace wrenn::api {

// One request that was answered, for the log. No query and no header: they may hold secrets.
struct AccessEntry {
  std::string method;
  std::string path;
  std::string key_id;  // empty when nobody was recognised
  int status = 0;      // 101: a WebSocket, that has ended now
  std::chrono::microseconds took{0};
  std::string error;  // what went wrong, with what clients are not told; empty when nothing
};

class Api {
 public:
  struct Options {
    std::string version;
    std::function<void(const AccessEntry&)> on_access;  // called by many threads; may be empty
    os::Paths paths;                                    // the server's
  };

  // The three parts must outlive the object, and it the HTTP server that uses it.
  static Result<std::unique_ptr<Api>> Make(sandbox::Manager& manager,
                                           template_::Catalogue& catalogue, store::Store& store,
                                           Options options);

  // Answers one request; what wire::HttpServer calls.
  void Handle(wire::Exchange& exchange);

  // For the server that calls it: what is refused there has the shape of the API's errors.
  static wire::HttpServer::Options HttpOptions();

  // Answers new requests with 503, ends WebSockets, and waits for what is going on. False when
  // there is something left at the deadline.
  bool Drain(Deadline deadline);

 private:
  Api(Services services, Options options, UniqueFd stopping)
      : services_(std::move(services)),
        options_(std::move(options)),
        stopping_(std::move(stopping)),
        authenticator_(services_.store) {}

  // Finds the route, checks the key and runs the handler.
  Status Dispatch(Context& context, AccessEntry& entry);
  void AnswerError(Context& context, const Error& error);

  const Services services_;
  const Options options_;
  const UniqueFd stopping_;  // an eventfd
  Authenticator authenticator_;
  Gate gate_;
};

}  // namespace wrenn::api
