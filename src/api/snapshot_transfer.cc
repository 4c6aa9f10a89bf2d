// Snapshots to other hosts and from them. The bytes go from files to the client's socket and back,
// whatever their number.
#include <poll.h>

#include "api/handlers.h"
#include "api/views.h"
#include "base/id.h"

namespace wrenn::api {
namespace {

constexpr const char* kType = "application/octet-stream";
// A client that sends nothing for so long is gone.
constexpr Deadline::Duration kClientIdle{60'000};
// How soon it is seen that the server stops.
constexpr Deadline::Duration kLook{1'000};

// A transfer may take as long as the client likes; a server that ends does not wait for it.
Status CheckStopping(const Context& context) {
  pollfd entry = {context.services.stopping, POLLIN, 0};
  if (::poll(&entry, 1, 0) <= 0) return {};
  return Fail(Code::kUnavailable, "the server is stopping");
}

Result<size_t> ReadBody(Context& context, std::span<char> out) {
  const Deadline idle = Deadline::After(kClientIdle);
  for (;;) {
    RETURN_IF_ERROR(CheckStopping(context));
    auto got = context.exchange.body().Read(out, Deadline::After(kLook));
    if (got || got.error().code != Code::kDeadlineExceeded || idle.HasPassed()) return got;
  }
}

}  // namespace

Status ExportSnapshot(Context& context) {
  const std::string& name = context.params.at(0);
  if (!IsName(name)) return Fail(Code::kNotFound, "no template '{}'", name);
  wire::BodyWriter* writer = nullptr;
  const auto go_on = [&] { return !context.exchange.ClientGone() && CheckStopping(context); };
  // Nothing is answered before the snapshot has been found to be sound.
  const auto sink = [&](std::string_view data) -> Status {
    RETURN_IF_ERROR(CheckStopping(context));
    if (writer == nullptr) {
      context.exchange.AddField("Content-Disposition",
                                fmt::format("attachment; filename=\"{}.tar.zst\"", name));
      ASSIGN_OR_RETURN(writer, context.exchange.StartBody(200, kType));
    }
    return writer->Write(data, context.exchange.WriteDeadline());
  };
  RETURN_IF_ERROR(context.services.manager.ExportSnapshot(context.tenant, name, go_on, sink));
  return context.exchange.FinishBody();
}

Status ImportSnapshot(Context& context) {
  ASSIGN_OR_RETURN(const bool overwrite, context.BoolParam("overwrite"));
  auto imported = context.services.manager.ImportSnapshot(
      context.tenant, context.Param("name"), overwrite,
      [&](std::span<char> out) { return ReadBody(context, out); });
  // All that it can want is room on the disk.
  if (!imported) return context.RespondFileError(imported.error());
  context.exchange.AddField("Location", "/v1/snapshots/" + imported->name);
  return context.RespondJson(201, TemplateView(*imported));
}

}  // namespace wrenn::api
