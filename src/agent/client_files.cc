// The client's transfers of files, over the bulk lane.
#include "agent/client.h"
#include "agent/protocol.h"
#include "base/encoding.h"

namespace wrenn::agent {
namespace {

std::string FilesTarget(const std::string& path) { return "/files?path=" + PercentEncode(path); }

bool IsSuccess(int status) { return status >= 200 && status <= 299; }

}  // namespace

Result<Download> Client::Read(const std::string& path, const std::string& range, const As& as,
                              Deadline deadline) {
  ASSIGN_OR_RETURN(Connection connection, TakeNew(Lane::kBulk, deadline));
  wire::RequestHead head = MakeHead(Method::kGet, FilesTarget(path), as);
  if (!range.empty()) head.fields.Add("Range", range);
  if (auto sent = connection.http->Send(std::move(head), {}, deadline); !sent) {
    return Fail(AsGuestFault(std::move(sent.error())));
  }
  const wire::ResponseHead& response = connection.http->response();
  if (!IsSuccess(response.status)) return Fail(ReadFailure(*connection.http, deadline));
  Download download;
  download.status = response.status;
  const wire::BodyLength length = connection.http->body().length();
  if (length.kind == wire::BodyLength::Kind::kFixed) download.length = length.bytes;
  download.http = std::move(connection.http);
  return download;
}

Result<Upload> Client::Write(const std::string& path, std::optional<uint64_t> length, const As& as,
                             Deadline deadline) {
  ASSIGN_OR_RETURN(Connection connection, TakeNew(Lane::kBulk, deadline));
  wire::RequestHead head = MakeHead(Method::kPost, FilesTarget(path), as);
  head.fields.Add("Content-Type", "application/octet-stream");
  ASSIGN_OR_RETURN(const wire::BodyWriter writer,
                   connection.http->StartRequest(std::move(head), length, deadline));
  return Upload(std::move(connection.http), writer);
}

Status Upload::Write(std::string_view data, Deadline deadline) {
  Status written = writer_.Write(data, deadline);
  if (written || written.error().code != Code::kUnavailable) return written;
  // The agent closes its side after an early answer: that says why.
  if (!http_->ReadHead(deadline) || IsSuccess(http_->response().status)) return written;
  return Fail(ReadFailure(*http_, deadline));
}

Status Upload::Finish(Deadline deadline) {
  Status finished = writer_.Finish(deadline);
  if (!finished && finished.error().code != Code::kUnavailable) return finished;
  if (auto head = http_->ReadHead(deadline); !head) {
    return finished ? Fail(AsGuestFault(std::move(head.error()))) : finished;
  }
  if (!IsSuccess(http_->response().status)) return Fail(ReadFailure(*http_, deadline));
  return finished;
}

}  // namespace wrenn::agent
