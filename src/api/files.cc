// Folders and what is in them. Paths are the guest's: absolute, or relative to the user's home.
#include "api/handlers.h"
#include "api/views.h"

namespace wrenn::api {
namespace {

constexpr int64_t kMaxDepth = 64;

Deadline GuestDeadline() { return Deadline::After(Context::kGuestLimit); }

// The body's members: paths, all required, and the user that the guest does it as.
struct PathRequest {
  std::vector<std::string> paths;
  agent::As as;
};

Result<PathRequest> ReadPaths(Context& context, std::initializer_list<std::string_view> names) {
  ASSIGN_OR_RETURN(const json::object body, context.ReadJson());
  JsonReader reader(body);
  PathRequest request;
  for (const std::string_view name : names) request.paths.push_back(reader.RequiredString(name));
  request.as.user = reader.String("user");
  RETURN_IF_ERROR(reader.FinishStrict());
  for (const std::string& path : request.paths) RETURN_IF_ERROR(CheckGuestPath(path));
  return request;
}

Result<PathRequest> PathFromQuery(Context& context) {
  PathRequest request;
  ASSIGN_OR_RETURN(std::string path, context.RequiredParam("path"));
  RETURN_IF_ERROR(CheckGuestPath(path));
  request.paths.push_back(std::move(path));
  request.as.user = context.Param("user");
  return request;
}

}  // namespace

Status ListFiles(Context& context) {
  ASSIGN_OR_RETURN(const PathRequest request, PathFromQuery(context));
  ASSIGN_OR_RETURN(const int64_t depth, context.IntParam("depth", 1, 1, kMaxDepth));
  ASSIGN_OR_RETURN(const auto lease, context.UseSandbox());
  const auto entries = lease->agent().ListDir(request.paths[0], static_cast<uint32_t>(depth),
                                              request.as, GuestDeadline());
  if (!entries) return Fail(context.FromGuest(entries.error(), request.as.user));
  return context.RespondJson(200, ListView(*entries, EntryView));
}

Status StatFile(Context& context) {
  ASSIGN_OR_RETURN(const PathRequest request, PathFromQuery(context));
  ASSIGN_OR_RETURN(const auto lease, context.UseSandbox());
  const auto entry = lease->agent().Stat(request.paths[0], request.as, GuestDeadline());
  if (!entry) return Fail(context.FromGuest(entry.error(), request.as.user));
  return context.RespondJson(200, EntryView(*entry));
}

Status MakeFolder(Context& context) {
  ASSIGN_OR_RETURN(const PathRequest request, ReadPaths(context, {"path"}));
  ASSIGN_OR_RETURN(const auto lease, context.UseSandbox());
  const auto entry = lease->agent().MakeDir(request.paths[0], request.as, GuestDeadline());
  if (!entry) return context.RespondFileError(context.FromGuest(entry.error(), request.as.user));
  return context.RespondJson(201, EntryView(*entry));
}

Status MoveFile(Context& context) {
  ASSIGN_OR_RETURN(const PathRequest request, ReadPaths(context, {"source", "destination"}));
  ASSIGN_OR_RETURN(const auto lease, context.UseSandbox());
  const auto entry =
      lease->agent().Move(request.paths[0], request.paths[1], request.as, GuestDeadline());
  if (!entry) return context.RespondFileError(context.FromGuest(entry.error(), request.as.user));
  return context.RespondJson(200, EntryView(*entry));
}

Status RemoveFile(Context& context) {
  ASSIGN_OR_RETURN(const PathRequest request, ReadPaths(context, {"path"}));
  ASSIGN_OR_RETURN(const auto lease, context.UseSandbox());
  const auto removed = lease->agent().Remove(request.paths[0], request.as, GuestDeadline());
  if (!removed) return Fail(context.FromGuest(removed.error(), request.as.user));
  return context.exchange.RespondEmpty(204);
}

}  // namespace wrenn::api
