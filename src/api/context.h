// What a handler has in its hands: one request, who asks, and the parts that serve it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "sandbox/manager.h"
#include "store/store.h"
#include "template/catalogue.h"
#include "wire/http_server.h"

namespace wrenn::api {

// The parts below the API. All outlive it.
struct Services {
  sandbox::Manager& manager;
  template_::Catalogue& catalogue;
  store::Store& store;
  std::string version;
  os::Paths paths;    // of the server, that clients are not told of
  int stopping = -1;  // readable from the moment on that streams must end
};

class Context {
 public:
  // The longest JSON body that is read.
  static constexpr size_t kMaxJsonBytes = 1 << 20;
  // For one call to the guest that only waits for its answer.
  static constexpr Deadline::Duration kGuestLimit{60'000};

  Context(wire::Exchange& one, const Services& parts) : exchange(one), services(parts) {}

  wire::Exchange& exchange;
  const Services& services;
  std::string tenant;
  std::vector<std::string> params;  // the path's, decoded, in order

  // The sandbox that the path names.
  const std::string& sandbox_id() const { return params.at(0); }
  // It, in use; the errors of Manager::Use().
  Result<std::unique_ptr<sandbox::Lease>> UseSandbox();
  // The same for a request that only asks how it is: the errors of Manager::Look().
  Result<std::unique_ptr<sandbox::Lease>> LookAtSandbox();

  // The body as a JSON object; empty when there is none.
  Result<json::object> ReadJson();
  // A query parameter; kInvalidArgument when it is required and absent.
  Result<std::string> RequiredParam(std::string_view name) const;
  std::string Param(std::string_view name) const;
  // "true" or "false" from the query; without it, false.
  Result<bool> BoolParam(std::string_view name) const;
  // A whole number from the query within [low, high].
  Result<int64_t> IntParam(std::string_view name, int64_t fallback, int64_t low,
                           int64_t high) const;

  Status RespondJson(int status, const json::value& value);
  Status RespondError(int status, std::string_view code, std::string_view message);
  // The same for a file operation, where want of resources means the guest's disk: 507.
  Status RespondFileError(const Error& error);

  // A message as clients may read it.
  std::string ForClient(std::string_view message) const;

  // An error of the agent as the client shall see it. `user`: the user that the client asked for.
  // What went wrong between host and guest becomes 409 with the reason when the sandbox has ended.
  Error FromGuest(Error error, const std::string& user = {});

  // Waits until `guest_fd` is readable. kCanceled when the client goes away before,
  // kDeadlineExceeded at the deadline.
  Status WaitForGuest(int guest_fd, Deadline deadline);
};

// kInvalidArgument for a path that no guest can have.
Status CheckGuestPath(std::string_view path);

// Does the work of one route. An error is answered as its code demands, unless it answered already.
using Handler = Status (*)(Context&);

}  // namespace wrenn::api
