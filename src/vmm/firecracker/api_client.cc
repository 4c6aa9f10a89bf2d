#include "vmm/firecracker/api_client.h"

#include "vmm/firecracker/api_answer.h"
#include "wire/http_client.h"
#include "wire/sockets.h"

namespace wrenn::vmm {
namespace {

Error TooLate(const ApiRequest& request) {
  return {Code::kDeadlineExceeded,
          fmt::format("Firecracker did not answer {} {} in time", request.method, request.path),
          {}};
}

// Where its socket is is for the log.
Error CannotConnect(const ApiRequest& request, const Error& error) {
  if (error.code == Code::kDeadlineExceeded) return TooLate(request);
  if (error.code == Code::kNotFound) {
    return {Code::kUnavailable,
            "Firecracker's API socket is not there: it has not come up, or its files were removed",
            error.ToString()};
  }
  if (error.code == Code::kUnavailable) {
    return {error.code, "nothing listens on Firecracker's API socket: it has ended",
            error.ToString()};
  }
  return {error.code, "cannot connect to Firecracker's API socket", error.ToString()};
}

Error Broken(const ApiRequest& request, const Error& error) {
  if (error.code == Code::kDeadlineExceeded) return TooLate(request);
  const std::string what = request.method + " " + request.path;
  if (error.code == Code::kUnavailable) {
    return {error.code,
            "Firecracker ended, or closed the connection, during " + what + ": its log may say why",
            error.ToString()};
  }
  return {Code::kInternal, "Firecracker's answer to " + what + " is malformed", error.ToString()};
}

}  // namespace

Result<std::string> ApiClient::Call(const ApiRequest& request, Deadline deadline) const {
  if (request.body.size() > kMaxApiBody) {
    return Fail(Code::kInvalidArgument, "{} {} is longer than the {} bytes that Firecracker takes",
                request.method, request.path, kMaxApiBody);
  }
  auto socket = wire::ConnectUnix(socket_path_, deadline);
  if (!socket) return Fail(CannotConnect(request, socket.error()));
  wire::HttpClient client(std::move(*socket));
  wire::RequestHead head{request.method, request.path, 1, {}};
  head.fields.Set("Accept", "application/json");
  if (!request.body.empty()) head.fields.Set("Content-Type", "application/json");
  if (auto sent = client.Send(std::move(head), request.body, deadline); !sent) {
    return Fail(Broken(request, sent.error()));
  }
  auto body = client.body().ReadAll(kMaxApiAnswer, deadline);
  if (!body) return Fail(Broken(request, body.error()));
  const int status = client.response().status;
  if (status != 200 && status != 204) return Fail(RefusalOf(request, status, *body));
  return std::move(*body);
}

Result<FirecrackerVersion> ApiClient::Version(Deadline deadline) const {
  ASSIGN_OR_RETURN(const std::string body, Call(GetVersion(), deadline));
  return ParseVersionAnswer(body);
}

}  // namespace wrenn::vmm
