// Sandboxes: create, list, show, end; console, journal, metrics.
#include "api/handlers.h"
#include "api/views.h"

namespace wrenn::api {
namespace {

// Bounds that keep numbers sane; what this host gives is decided by its limits.
constexpr int64_t kMaxVcpus = 256;
constexpr int64_t kMinMemoryMb = 32;
constexpr int64_t kMaxMemoryMb = 16 << 20;
constexpr int64_t kMaxDiskMb = 64 << 20;
constexpr int64_t kMaxTimeoutSec = 366L * 24 * 3600;
constexpr int64_t kDefaultLogBytes = 64 << 10;
constexpr int64_t kMaxLogBytes = 16 << 20;

std::optional<int> ReadSize(JsonReader& reader, std::string_view name, int64_t low, int64_t high) {
  const auto number = reader.OptionalInt(name, low, high);
  return number ? std::optional<int>(static_cast<int>(*number)) : std::nullopt;
}

// `egress` is another word for the network's allow_internet_access.
Result<sandbox::Network> ReadNetwork(JsonReader& reader) {
  sandbox::Network network;
  if (const json::object* object = reader.Object("network")) {
    ASSIGN_OR_RETURN(network, sandbox::ParseNetwork(*object, "network"));
  }
  if (!reader.Has("egress")) return network;
  const bool egress = reader.Bool("egress");
  if (network.allow_internet_access.value_or(egress) != egress) {
    reader.SetError("egress and network.allow_internet_access contradict each other");
  }
  network.allow_internet_access = egress;
  return network;
}

// Names and sizes of envs and metadata are checked by the manager, for whoever asks it.
Result<sandbox::CreateRequest> DecodeCreate(const json::object& object) {
  JsonReader reader(object);
  sandbox::CreateRequest request;
  request.template_name = reader.String("template", request.template_name);
  request.vcpus = ReadSize(reader, "vcpus", 1, kMaxVcpus);
  request.memory_mb = ReadSize(reader, "memory_mb", kMinMemoryMb, kMaxMemoryMb);
  request.disk_mb = ReadSize(reader, "disk_mb", 1, kMaxDiskMb);
  request.timeout_sec = reader.Int("timeout_sec", request.timeout_sec, 0, kMaxTimeoutSec);
  if (reader.Has("on_timeout")) request.on_timeout = reader.String("on_timeout");
  request.auto_resume = reader.Bool("auto_resume");
  request.cold = reader.Bool("cold");
  ASSIGN_OR_RETURN(request.network, ReadNetwork(reader));
  request.envs = reader.StringMap("envs");
  request.metadata = reader.StringMap("metadata");
  RETURN_IF_ERROR(reader.FinishStrict());
  return request;
}

}  // namespace

Status CreateSandbox(Context& context) {
  ASSIGN_OR_RETURN(const json::object body, context.ReadJson());
  ASSIGN_OR_RETURN(sandbox::CreateRequest request, DecodeCreate(body));
  ASSIGN_OR_RETURN(const store::SandboxRecord record,
                   context.services.manager.Create(context.tenant, std::move(request)));
  context.exchange.AddField("Location", "/v1/sandboxes/" + record.id);
  return context.RespondJson(201, SandboxView(record));
}

Status ListSandboxes(Context& context) {
  ASSIGN_OR_RETURN(const auto records, context.services.manager.List(context.tenant));
  const auto view = [&](const store::SandboxRecord& record) {
    return SandboxDetailsView(record, context.services.manager.DiskUsedBytes(record));
  };
  return context.RespondJson(200, ListView(records, view));
}

Status GetSandbox(Context& context) {
  ASSIGN_OR_RETURN(const store::SandboxRecord record,
                   context.services.manager.Get(context.tenant, context.sandbox_id()));
  return context.RespondJson(
      200, SandboxDetailsView(record, context.services.manager.DiskUsedBytes(record)));
}

Status DeleteSandbox(Context& context) {
  RETURN_IF_ERROR(context.services.manager.Destroy(context.tenant, context.sandbox_id()));
  return context.exchange.RespondEmpty(204);
}

Status StopSandbox(Context& context) {
  ASSIGN_OR_RETURN(
      const store::SandboxRecord record,
      context.services.manager.Stop(context.tenant, context.sandbox_id(), "stopped on request"));
  return context.RespondJson(200, SandboxView(record));
}

Status PauseSandbox(Context& context) {
  ASSIGN_OR_RETURN(
      const store::SandboxRecord record,
      context.services.manager.Pause(context.tenant, context.sandbox_id(), "paused on request"));
  return context.RespondJson(200, SandboxView(record));
}

Status ResumeSandbox(Context& context) {
  ASSIGN_OR_RETURN(const json::object body, context.ReadJson());
  JsonReader reader(body);
  const bool cold = reader.Bool("cold");
  RETURN_IF_ERROR(reader.FinishStrict());
  ASSIGN_OR_RETURN(const store::SandboxRecord record,
                   context.services.manager.Resume(context.tenant, context.sandbox_id(), cold));
  return context.RespondJson(200, SandboxView(record));
}

Status ForkSandbox(Context& context) {
  ASSIGN_OR_RETURN(const json::object body, context.ReadJson());
  JsonReader reader(body);
  const int64_t count = reader.Int("count", 1, 1, sandbox::Manager::kMaxForks);
  RETURN_IF_ERROR(reader.FinishStrict());
  ASSIGN_OR_RETURN(
      const auto records,
      context.services.manager.Fork(context.tenant, context.sandbox_id(), static_cast<int>(count)));
  return context.RespondJson(201, json::object{{"sandboxes", ListView(records, SandboxView)}});
}

Status PingSandbox(Context& context) {
  ASSIGN_OR_RETURN(const json::object body, context.ReadJson());
  JsonReader reader(body);
  const std::optional<int64_t> timeout = reader.OptionalInt("timeout_sec", 0, kMaxTimeoutSec);
  RETURN_IF_ERROR(reader.FinishStrict());
  ASSIGN_OR_RETURN(const store::SandboxRecord record,
                   context.services.manager.Ping(context.tenant, context.sandbox_id(), timeout));
  return context.RespondJson(200, SandboxView(record));
}

Status ChangeNetwork(Context& context) {
  ASSIGN_OR_RETURN(const json::object body, context.ReadJson());
  ASSIGN_OR_RETURN(const sandbox::Network change, sandbox::ParseNetwork(body, ""));
  ASSIGN_OR_RETURN(
      const store::SandboxRecord record,
      context.services.manager.SetNetwork(context.tenant, context.sandbox_id(), change));
  return context.RespondJson(200, SandboxView(record));
}

Status GetLogs(Context& context) {
  ASSIGN_OR_RETURN(const int64_t limit,
                   context.IntParam("limit", kDefaultLogBytes, 0, kMaxLogBytes));
  ASSIGN_OR_RETURN(const std::string console,
                   context.services.manager.Console(context.tenant, context.sandbox_id(),
                                                    static_cast<size_t>(limit)));
  return context.exchange.Respond(200, "text/plain; charset=utf-8", console);
}

Status GetEvents(Context& context) {
  ASSIGN_OR_RETURN(const auto events,
                   context.services.manager.Events(context.tenant, context.sandbox_id()));
  return context.RespondJson(200, ListView(events, EventView));
}

Status GetMetrics(Context& context) {
  ASSIGN_OR_RETURN(const auto lease, context.LookAtSandbox());
  const auto metrics = lease->agent().Metrics(Deadline::After(Context::kGuestLimit));
  if (!metrics) return Fail(context.FromGuest(metrics.error()));
  return context.RespondJson(200, MetricsView(*metrics, lease->Use()));
}

}  // namespace wrenn::api
