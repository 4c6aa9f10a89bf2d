// Files out of a sandbox. The bytes go from the guest's socket to the client's, whatever their
// number.
#include <memory>

#include "api/errors.h"
#include "api/handlers.h"

namespace wrenn::api {
namespace {

// What the route without "stream" gives.
constexpr uint64_t kSmallFile = 32 << 20;
constexpr size_t kBufferSize = 128 << 10;
// A guest that gives nothing of a file for so long has something that never gives anything.
constexpr Deadline::Duration kGuestIdle{300'000};
constexpr const char* kType = "application/octet-stream";

struct Source {
  std::string path;
  agent::As as;
};

Result<Source> SourceFromBody(Context& context) {
  ASSIGN_OR_RETURN(const json::object body, context.ReadJson());
  JsonReader reader(body);
  Source source{reader.RequiredString("path"), {reader.String("user")}};
  RETURN_IF_ERROR(reader.FinishStrict());
  RETURN_IF_ERROR(CheckGuestPath(source.path));
  return source;
}

Status RespondTooLarge(Context& context) {
  return context.RespondError(
      413, kTooLarge,
      fmt::format("the file is larger than {} MiB: use /v1/sandboxes/{}/files/stream/read",
                  kSmallFile >> 20, context.sandbox_id()));
}

// At least one byte of the download; 0 at its end.
Result<size_t> ReadGuest(Context& context, agent::Download& download, std::span<char> out) {
  if (!download.http->body().done() && !download.http->stream().HasBuffered()) {
    RETURN_IF_ERROR(
        context.WaitForGuest(download.http->stream().fd(), Deadline::After(kGuestIdle)));
  }
  auto got = download.http->body().Read(out, Deadline::After(kGuestIdle));
  if (!got) return Fail(context.FromGuest(got.error()));
  return got;
}

Status RespondReadError(Context& context, const Source& source, const Error& error) {
  if (error.code == Code::kOutOfRange) {
    return context.RespondError(416, kRangeNotSatisfiable, error.message);
  }
  return Fail(context.FromGuest(error, source.as.user));
}

// The answer, its body copied. An error in the middle breaks the connection: no status can tell it.
Status CopyToClient(Context& context, sandbox::Lease& lease, agent::Download& download) {
  for (const char* name : {"Content-Range", "Accept-Ranges"}) {
    const std::string_view value = download.http->response().fields.Get(name);
    if (!value.empty()) context.exchange.AddField(name, std::string(value));
  }
  ASSIGN_OR_RETURN(wire::BodyWriter* const writer,
                   context.exchange.StartBody(download.status, kType, download.length));
  if (context.exchange.request().method == "HEAD") return context.exchange.FinishBody();
  const std::unique_ptr<char[]> buffer(new char[kBufferSize]);
  for (;;) {
    ASSIGN_OR_RETURN(const size_t got,
                     ReadGuest(context, download, std::span(buffer.get(), kBufferSize)));
    if (got == 0) return context.exchange.FinishBody();
    RETURN_IF_ERROR(writer->Write({buffer.get(), got}, context.exchange.WriteDeadline()));
    lease.Touch();
  }
}

Status ReadAnySize(Context& context, const Source& source) {
  ASSIGN_OR_RETURN(const auto lease, context.UseSandbox());
  const std::string range(context.exchange.request().fields.Get("range"));
  auto download =
      lease->agent().Read(source.path, range, source.as, Deadline::After(Context::kGuestLimit));
  if (!download) return RespondReadError(context, source, download.error());
  return CopyToClient(context, *lease, *download);
}

// For what does not tell its length before: it must be known whole to be refused or given.
Status ReadUnknownLength(Context& context, agent::Download& download) {
  std::string content;
  const std::unique_ptr<char[]> buffer(new char[kBufferSize]);
  for (;;) {
    ASSIGN_OR_RETURN(const size_t got,
                     ReadGuest(context, download, std::span(buffer.get(), kBufferSize)));
    if (got == 0) return context.exchange.Respond(200, kType, content);
    if (content.size() + got > kSmallFile) return RespondTooLarge(context);
    content.append(buffer.get(), got);
  }
}

}  // namespace

Status ReadFile(Context& context) {
  ASSIGN_OR_RETURN(const Source source, SourceFromBody(context));
  ASSIGN_OR_RETURN(const auto lease, context.UseSandbox());
  auto download =
      lease->agent().Read(source.path, {}, source.as, Deadline::After(Context::kGuestLimit));
  if (!download) return RespondReadError(context, source, download.error());
  if (!download->length) return ReadUnknownLength(context, *download);
  if (*download->length > kSmallFile) return RespondTooLarge(context);
  return CopyToClient(context, *lease, *download);
}

Status ReadFileStream(Context& context) {
  ASSIGN_OR_RETURN(const Source source, SourceFromBody(context));
  return ReadAnySize(context, source);
}

Status GetFileStream(Context& context) {
  ASSIGN_OR_RETURN(std::string path, context.RequiredParam("path"));
  RETURN_IF_ERROR(CheckGuestPath(path));
  return ReadAnySize(context, Source{std::move(path), {context.Param("user")}});
}

}  // namespace wrenn::api
