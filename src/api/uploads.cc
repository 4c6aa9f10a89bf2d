// Files into a sandbox. The bytes go from the client's socket to the guest's, whatever their
// number.
#include <memory>

#include "api/errors.h"
#include "api/handlers.h"
#include "api/multipart.h"

namespace wrenn::api {
namespace {

// What the routes without "stream" take.
constexpr uint64_t kSmallFile = 32 << 20;
constexpr size_t kBufferSize = 128 << 10;
constexpr size_t kMaxField = 8 << 10;
// What a form with one file has beside the file, at most.
constexpr uint64_t kFormOverhead = 64 << 10;
// A client that sends nothing for so long is gone.
constexpr Deadline::Duration kClientIdle{60'000};

using Buffer = std::unique_ptr<char[]>;

struct Target {
  std::string path;
  agent::As as;
};

Result<Target> TargetFromQuery(const Context& context) {
  Target target{context.Param("path"), {context.Param("user")}};
  RETURN_IF_ERROR(CheckGuestPath(target.path));
  return target;
}

Status RespondTooLarge(Context& context) {
  context.exchange.CloseAfter();
  return context.RespondError(
      413, kTooLarge,
      fmt::format("the file is larger than {} MiB: use /v1/sandboxes/{}/files/stream/write",
                  kSmallFile >> 20, context.sandbox_id()));
}

// Copies what `read` gives into a new file of the guest. The guest keeps the old file, or none,
// unless all of it arrives. Answers the request.
template <typename Read>
Status CopyToGuest(Context& context, const Target& target, std::optional<uint64_t> length,
                   uint64_t limit, Read read) {
  ASSIGN_OR_RETURN(const auto lease, context.UseSandbox());
  const auto fail = [&](const Error& error) {
    return context.RespondFileError(context.FromGuest(error, target.as.user));
  };
  auto upload =
      lease->agent().Write(target.path, length, target.as, Deadline::After(Context::kGuestLimit));
  if (!upload) return fail(upload.error());
  const Buffer buffer(new char[kBufferSize]);
  for (uint64_t total = 0;;) {
    ASSIGN_OR_RETURN(const size_t got, read(std::span(buffer.get(), kBufferSize)));
    if (got == 0) break;
    total += got;
    if (total > limit) return RespondTooLarge(context);
    const auto written = upload->Write({buffer.get(), got}, Deadline::After(Context::kGuestLimit));
    if (!written) return fail(written.error());
    lease->Touch();
  }
  const auto finished = upload->Finish(Deadline::After(Context::kGuestLimit));
  if (!finished) return fail(finished.error());
  return context.exchange.RespondEmpty(204);
}

// multipart/form-data: fields path and user, in any order, then file.
Status WriteMultipart(Context& context, const std::string& boundary, uint64_t limit) {
  wire::BodyReader& body = context.exchange.body();
  // Known to be too large before anything of it has gone to the guest.
  if (limit < UINT64_MAX && body.length().bytes > limit + kFormOverhead) {
    return RespondTooLarge(context);
  }
  const auto source = [&body](std::span<char> out) {
    return body.Read(out, Deadline::After(kClientIdle));
  };
  MultipartReader parts(source, boundary);
  ASSIGN_OR_RETURN(Target target, TargetFromQuery(context));
  for (;;) {
    ASSIGN_OR_RETURN(const auto part, parts.NextPart());
    if (!part) return Fail(Code::kInvalidArgument, "the part 'file' is required");
    if (part->name == "path") {
      ASSIGN_OR_RETURN(target.path, parts.ReadAll(kMaxField));
      RETURN_IF_ERROR(CheckGuestPath(target.path));
    } else if (part->name == "user") {
      ASSIGN_OR_RETURN(target.as.user, parts.ReadAll(kMaxField));
    } else if (part->name == "file") {
      break;
    } else {
      return Fail(Code::kInvalidArgument, "unknown part '{}'", part->name);
    }
  }
  if (target.path.empty()) {
    return Fail(Code::kInvalidArgument, "the part 'path' must come before the part 'file'");
  }
  return CopyToGuest(context, target, std::nullopt, limit,
                     [&](std::span<char> out) -> Result<size_t> {
                       ASSIGN_OR_RETURN(const size_t got, parts.Read(out));
                       if (got > 0) return got;
                       // The file is whole when the body is: nothing may follow it.
                       ASSIGN_OR_RETURN(const auto next, parts.NextPart());
                       if (next) {
                         return Fail(Code::kInvalidArgument, "the part 'file' must be the last");
                       }
                       return size_t{0};
                     });
}

// The body is the file; path and user are in the query.
Status WriteRaw(Context& context, uint64_t limit) {
  ASSIGN_OR_RETURN([[maybe_unused]] const std::string path, context.RequiredParam("path"));
  ASSIGN_OR_RETURN(const Target target, TargetFromQuery(context));
  wire::BodyReader& body = context.exchange.body();
  std::optional<uint64_t> length;
  if (body.length().kind == wire::BodyLength::Kind::kFixed) length = body.length().bytes;
  if (length && *length > limit) return RespondTooLarge(context);
  return CopyToGuest(context, target, length, limit, [&](std::span<char> out) {
    return body.Read(out, Deadline::After(kClientIdle));
  });
}

Status Write(Context& context, uint64_t limit) {
  const std::string_view type = context.exchange.request().fields.Get("content-type");
  if (!type.starts_with("multipart/")) return WriteRaw(context, limit);
  ASSIGN_OR_RETURN(const std::string boundary, MultipartReader::Boundary(type));
  return WriteMultipart(context, boundary, limit);
}

}  // namespace

Status WriteFile(Context& context) { return Write(context, kSmallFile); }

Status WriteFileStream(Context& context) { return Write(context, UINT64_MAX); }

}  // namespace wrenn::api
