#include "sandbox/manager.h"

#include "base/gate.h"
#include "sandbox/directory.h"
#include "sandbox/plan.h"
#include "sandbox/reaper.h"
#include "sandbox/recovery.h"
#include "sandbox/turns.h"

namespace wrenn::sandbox {
namespace {

// Threads for stops, removals and exits beside the starts: these wait for guests rather than
// compute.
constexpr int kSpareWorkers = 16;
// Unlimited starts would need unlimited threads.
constexpr int kMostParallelStarts = 64;
constexpr int kMaxEvents = 1000;

int ParallelStarts(const Limits& limits) {
  const int wanted = limits.max_parallel_starts;
  return wanted <= 0 ? kMostParallelStarts : std::min(wanted, kMostParallelStarts);
}

class ManagerImpl final : public Manager {
 public:
  ManagerImpl(ManagerConfig config, store::Store& store, template_::Catalogue& catalogue,
              vmm::Engine& engine, std::string disk_backend)
      : config_(std::move(config)),
        disk_backend_(std::move(disk_backend)),
        admission_(config_.limits, config_.paths.root),
        workers_(std::make_shared<WorkerPool>(ParallelStarts(config_.limits) + kSpareWorkers)),
        services_{config_, store, catalogue, engine, admission_, workers_, {}, {}, {}},
        directory_(services_),
        starts_(std::make_shared<Turns>(ParallelStarts(config_.limits))),
        reaper_(Wire(), directory_) {}

  ~ManagerImpl() override { Shutdown(false, Deadline::After(std::chrono::milliseconds(0))); }

  Status Recover() override { return RecoverAll(services_, directory_); }

  Result<store::SandboxRecord> Create(const std::string& tenant, CreateRequest request) override {
    ASSIGN_OR_RETURN(const Gate::Pass pass, Enter());
    ASSIGN_OR_RETURN(template_::Resolved from,
                     services_.catalogue.Find(tenant, request.template_name));
    ASSIGN_OR_RETURN(store::SandboxRecord record, MakePlan(tenant, request, from, config_.limits));
    RETURN_IF_ERROR(CheckEgress(request));
    record.disk_backend = disk_backend_;
    ASSIGN_OR_RETURN(Reservation reservation,
                     admission_.Reserve({1, record.vcpus, record.memory_mb, record.disk_mb}));
    ASSIGN_OR_RETURN(auto sandbox, Sandbox::Make(services_, std::move(record)));
    return Start(sandbox, std::move(from), std::move(reservation));
  }

  Result<store::SandboxRecord> Get(const std::string& tenant, const std::string& id) override {
    ASSIGN_OR_RETURN(const auto sandbox, directory_.Find(tenant, id));
    return sandbox->record();
  }

  Result<std::vector<store::SandboxRecord>> List(const std::string& tenant) override {
    ASSIGN_OR_RETURN(auto records, services_.store.ListSandboxes(tenant));
    // What lives is known better here.
    for (store::SandboxRecord& record : records) {
      if (const auto live = directory_.FindLive(record.id)) record = live->record();
    }
    return records;
  }

  Result<store::SandboxRecord> Stop(const std::string& tenant, const std::string& id,
                                    const std::string& reason) override {
    ASSIGN_OR_RETURN(const Gate::Pass pass, Enter());
    ASSIGN_OR_RETURN(const auto sandbox, directory_.Find(tenant, id));
    return sandbox->executor().Call([sandbox, reason] { return sandbox->Stop(reason); });
  }

  Status Destroy(const std::string& tenant, const std::string& id) override {
    ASSIGN_OR_RETURN(const Gate::Pass pass, Enter());
    ASSIGN_OR_RETURN(const auto sandbox, directory_.Find(tenant, id));
    sandbox->Interrupt();
    return sandbox->executor().Call([sandbox] { return sandbox->Destroy(); });
  }

  Result<store::SandboxRecord> Ping(const std::string& tenant, const std::string& id,
                                    std::optional<int64_t> timeout_sec) override {
    ASSIGN_OR_RETURN(const Gate::Pass pass, Enter());
    if (timeout_sec) RETURN_IF_ERROR(CheckTimeout(*timeout_sec));
    ASSIGN_OR_RETURN(const auto sandbox, directory_.Find(tenant, id));
    if (!timeout_sec) return sandbox->Touch();
    return sandbox->executor().Call(
        [sandbox, seconds = *timeout_sec] { return sandbox->SetTimeout(seconds); });
  }

  Result<std::unique_ptr<Lease>> Use(const std::string& tenant, const std::string& id) override {
    ASSIGN_OR_RETURN(const Gate::Pass pass, Enter());
    ASSIGN_OR_RETURN(const auto sandbox, directory_.Find(tenant, id));
    return sandbox->Use();
  }

  Result<std::string> Console(const std::string& tenant, const std::string& id,
                              size_t limit) override {
    ASSIGN_OR_RETURN(const auto sandbox, directory_.Find(tenant, id));
    return sandbox->ConsoleTail(limit);
  }

  Result<std::vector<store::EventRecord>> Events(const std::string& tenant,
                                                 const std::string& id) override {
    ASSIGN_OR_RETURN(const auto sandbox, directory_.Find(tenant, id));
    return services_.store.ListEvents(sandbox->id(), kMaxEvents);
  }

  Totals totals() const override {
    const Amount used = admission_.used();
    return {used.sandboxes, used.memory_mb, used.vcpus, used.disk_mb};
  }

  const vmm::EngineInfo& engine() const override { return services_.engine.info(); }

  void Shutdown(bool stop_sandboxes, Deadline deadline) override {
    gate_.Close();
    services_.closing = true;
    reaper_.Stop();
    // Those that start have nobody who will use them.
    for (const auto& sandbox : directory_.Live()) {
      if (sandbox->record().state == store::SandboxState::kStarting) sandbox->Interrupt();
    }
    if (stop_sandboxes) {
      for (const auto& sandbox : directory_.Live()) {
        sandbox->executor().Post([sandbox] { (void)sandbox->Stop("the server was stopped"); });
      }
      directory_.WaitEmpty(deadline);
    }
    gate_.WaitEmpty(deadline);
    // What still waits for a guest does not any more.
    for (const auto& sandbox : directory_.Live()) sandbox->Interrupt();
    workers_->Stop();
    reaper_.StoreActivity();
  }

 private:
  // Connects the services with the parts that are made after them, before the reaper begins.
  Services& Wire() {
    services_.wake_reaper = [this] { reaper_.Wake(); };
    services_.forget = [this](const std::string& id) { directory_.Forget(id); };
    return services_;
  }

  Result<Gate::Pass> Enter() {
    Gate::Pass pass = gate_.Enter();
    if (!pass) return Fail(Code::kUnavailable, "the server is shutting down");
    return pass;
  }

  Status CheckEgress(const CreateRequest& request) const {
    if (!request.egress || engine().user_network) return {};
    return Fail(Code::kFailedPrecondition, "this host can give a sandbox no network: {}",
                engine().user_network_explanation);
  }

  // Waits for its turn and for the start, neither of which depends on the caller.
  Result<store::SandboxRecord> Start(const std::shared_ptr<Sandbox>& sandbox,
                                     template_::Resolved from, Reservation reservation) {
    using Answer = Result<store::SandboxRecord>;
    auto promise = std::make_shared<std::promise<Answer>>();
    auto answer = promise->get_future();
    auto held = std::make_shared<Reservation>(std::move(reservation));
    directory_.Add(sandbox);
    starts_->Take([sandbox, held, promise, template_from = std::move(from)](Turns::Turn turn) {
      const bool taken = sandbox->executor().Post([=]() mutable {
        promise->set_value(sandbox->Start(template_from, std::move(*held)));
        turn.reset();
      });
      if (!taken) promise->set_value(Fail(Code::kUnavailable, "the server is shutting down"));
    });
    return answer.get();
  }

  const ManagerConfig config_;
  const std::string disk_backend_;
  Gate gate_;
  Admission admission_;
  const std::shared_ptr<WorkerPool> workers_;
  Services services_;
  Directory directory_;
  const std::shared_ptr<Turns> starts_;
  Reaper reaper_;
};

}  // namespace

Result<std::unique_ptr<Manager>> MakeManager(ManagerConfig config, store::Store& store,
                                             template_::Catalogue& catalogue, vmm::Engine& engine) {
  ASSIGN_OR_RETURN(const auto backend, disk::MakeBackend(config.disk_backend));
  RETURN_IF_ERROR(MeasureDisk(config.paths, config.limits));
  return std::make_unique<ManagerImpl>(std::move(config), store, catalogue, engine,
                                       backend->name());
}

}  // namespace wrenn::sandbox
