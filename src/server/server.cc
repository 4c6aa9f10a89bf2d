#include "server/server.h"
#include "server/fault.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "api/api.h"
#include "os/files.h"
#include "sandbox/manager.h"
#include "server/first_key.h"
#include "server/log.h"
#include "server/root_lock.h"
#include "server/signals.h"
#include "template/garbage.h"
#include "template/workspace.h"
#include "vmm/firecracker/engine.h"
#include "vmm/qemu/engine.h"
#include "wire/http_server.h"
#include "wire/sockets.h"

namespace wrenn::server {
namespace {

// For requests in progress when the server is told to stop, and for the manager's own work then.
constexpr Deadline::Duration kDrainLimit{10'000};
constexpr Deadline::Duration kShutdownLimit{60'000};

// One sandbox takes a dozen descriptors, one connection one: the usual 1024 are soon gone.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);  // else the old limit stays, and refusals say so
}

std::string Bracketed(const std::string& address) {
  return address.find(':') == std::string::npos ? address : "[" + address + "]";
}

bool IsLoopback(const std::string& address) {
  return address.starts_with("127.") || address == "::1";
}

std::string WantName(sandbox::Want want) {
  return want == sandbox::Want::kOn ? "on" : want == sandbox::Want::kOff ? "off" : "auto";
}

Result<std::unique_ptr<vmm::Engine>> MakeEngine(const ServerConfig& config) {
  if (config.engine == "firecracker") {
    if (config.at_shutdown == sandbox::AtShutdown::kPause) {
      return Fail(Code::kInvalidArgument,
                  "Firecracker's machines cannot be paused yet: use --on-shutdown keep or stop");
    }
    if (config.isolation.jail == sandbox::Want::kOff) {
      return Fail(Code::kInvalidArgument, "Firecracker is always jailed: use --jail auto");
    }
    return vmm::MakeFirecrackerEngine({config.firecracker});
  }
  vmm::QemuOptions options;
  options.acceleration = config.acceleration;
  options.probe_cache = config.paths.root + "/kvm-probe.json";
  options.probe_directory = config.paths.runtime;
  options.jail = WantName(config.isolation.jail);
  vmm::RemoveOldProbes(options.probe_directory);  // under the lock of the runtime folder
  return vmm::MakeQemuEngine(std::move(options));
}

Result<std::unique_ptr<sandbox::Manager>> MakeManager(const ServerConfig& config,
                                                      store::Store& store,
                                                      template_::Catalogue& catalogue,
                                                      vmm::Engine& engine) {
  sandbox::ManagerConfig manager;
  manager.paths = config.paths;
  manager.limits = config.limits;
  manager.disk_backend = config.disk_backend;
  manager.disk_rate = config.disk_rate;
  manager.ended_retention = std::chrono::hours(config.ended_retention_hours);
  manager.warm_pool = config.warm_pool;
  manager.standby = std::chrono::seconds(config.standby_seconds);
  manager.verify_at_load = config.verify_at_load;
  manager.isolation = config.isolation;
  manager.observer = LogHappening;
  manager.on_step = FaultFromEnvironment();
  return sandbox::MakeManager(std::move(manager), store, catalogue, engine);
}

void LogStart(const ServerConfig& config, const vmm::EngineInfo& engine,
              const std::string& address) {
  LogInfo(fmt::format("machines run on {} {} with {}: {}", engine.name, engine.version,
                      engine.acceleration, engine.explanation));
  if (!engine.security_boundary) {
    LogWarning(
        "emulation is not a security boundary by QEMU's own policy: run nothing hostile here");
  }
  if (!IsLoopback(config.address)) {
    LogWarning(
        fmt::format("the API listens on {}, which others can reach, without encryption: put a "
                    "proxy with TLS in front",
                    address));
  }
  LogInfo(
      fmt::format("listening on {}, root '{}', pid {}", address, config.paths.root, ::getpid()));
}

// Images and kernels that were in their place already when a build or an import was killed, before
// anything named them. A build that goes on meanwhile sees to it itself.
void RemoveGarbage(const os::Paths& paths, store::Store& store) {
  const auto lock = template_::LockCatalogue(paths, Deadline::After(Deadline::Duration(0)));
  if (!lock) return;
  if (auto removed = template_::CollectGarbage(paths, store, *lock); !removed) {
    LogWarning("images or kernels without a template could not be removed: " +
               removed.error().ToString());
  }
}

// After the first signal: a second one ends the process at once. What it leaves is what a crash
// leaves, and the next start takes care of it.
void EndAtSecondSignal(std::shared_ptr<StopSignals> signals) {
  std::thread([waiting = std::move(signals)] {
    if (!waiting->Wait()) return;
    LogWarning("second signal: ending at once");
    ::_exit(1);
  }).detach();
}

}  // namespace

Result<UniqueFd> Listen(const ServerConfig& config) {
  auto listener = wire::ListenTcp(config.address, config.port);
  if (listener) return listener;
  if (listener.error().code == Code::kInvalidArgument) return listener;  // not an address
  return Fail(listener.error().code, "{}: choose another with --listen, e.g. --listen {}:{}",
              listener.error().message, Bracketed(config.address),
              config.port == 8080 ? 8081 : 8080);
}

Status Run(const ServerConfig& config, const RunOptions& options) {
  ASSIGN_OR_RETURN(auto blocked, StopSignals::Block());
  const auto signals = std::make_shared<StopSignals>(std::move(blocked));
  ::umask(077);
  RaiseDescriptorLimit();

  // A first start that cannot be leaves no root; later, whoever has the root says more than the
  // port.
  UniqueFd listener;
  if (!os::Exists(config.paths.PidFile())) {
    ASSIGN_OR_RETURN(listener, Listen(config));
  }
  RETURN_IF_ERROR(config.paths.Prepare());
  ASSIGN_OR_RETURN(RootLock lock, RootLock::Acquire(config.paths));
  RETURN_IF_ERROR(OpenLog(config));
  if (!listener) {
    ASSIGN_OR_RETURN(listener, Listen(config));
  }
  ASSIGN_OR_RETURN(const uint16_t port, wire::LocalPort(listener.get()));
  const std::string address = fmt::format("{}:{}", Bracketed(config.address), port);

  ASSIGN_OR_RETURN(const auto store, store::OpenSqlite(config.paths.Database()));
  ASSIGN_OR_RETURN(const bool new_key, EnsureKey(config.paths, *store));
  if (new_key) LogInfo(fmt::format("made an API key: it is in '{}'", config.paths.KeyFile()));
  for (const Error& error : template_::CleanTemporary(config.paths)) {
    LogWarning("what a killed build left could not be removed: " + error.ToString());
  }
  RemoveGarbage(config.paths, *store);
  ASSIGN_OR_RETURN(const auto engine, MakeEngine(config));
  const auto catalogue = template_::MakeCatalogue(config.paths, *store);
  ASSIGN_OR_RETURN(const auto manager, MakeManager(config, *store, *catalogue, *engine));
  RETURN_IF_ERROR(manager->Recover());

  ASSIGN_OR_RETURN(const auto api, api::Api::Make(*manager, *catalogue, *store,
                                                  {options.version, LogAccess, config.paths}));
  wire::HttpServer http([&api](wire::Exchange& exchange) { api->Handle(exchange); },
                        api::Api::HttpOptions());
  http.Listen(std::move(listener));
  LogStart(config, engine->info(), address);
  RETURN_IF_ERROR(lock.Announce(address));
  if (options.on_ready) options.on_ready(address);

  ASSIGN_OR_RETURN(const int signal, signals->Wait());
  EndAtSecondSignal(signals);
  LogInfo(fmt::format("stopping on signal {} ({})", signal, ::sigdescr_np(signal)));
  if (!api->Drain(Deadline::After(kDrainLimit))) {
    LogWarning("requests are still in progress: ending them");
  }
  const int left = manager->Shutdown(config.at_shutdown, Deadline::After(kShutdownLimit));
  http.Stop();
  LogInfo(left == 0 ? std::string("ended; no sandbox runs")
                    : fmt::format("ended; {} go on running and are adopted by the next start",
                                  left == 1 ? "1 sandbox" : fmt::format("{} sandboxes", left)));
  return {};
}

}  // namespace wrenn::server
