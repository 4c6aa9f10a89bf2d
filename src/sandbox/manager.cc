#include "sandbox/manager.h"

#include <mutex>

#include "base/gate.h"
#include "base/id.h"
#include "base/revert.h"
#include "os/files.h"
#include "sandbox/directory.h"
#include "sandbox/disk_use.h"
#include "sandbox/gauges.h"
#include "sandbox/plan.h"
#include "sandbox/pool_shape.h"
#include "sandbox/reaper.h"
#include "sandbox/recovery.h"
#include "sandbox/shutdown.h"
#include "sandbox/snapshot_transfer.h"
#include "sandbox/template_check.h"
#include "sandbox/template_snapshot.h"
#include "sandbox/turns.h"
#include "sandbox/warm_pool.h"

namespace wrenn::sandbox {
namespace {

// Threads for stops, removals and exits beside the starts: these wait for guests rather than
// compute.
constexpr int kSpareWorkers = 16;
// Unlimited starts would need unlimited threads.
constexpr int kMostParallelStarts = 64;
constexpr int kMaxEvents = 1000;

// Whether it is, or will be, paused, as far as a request has to wait for its return.
bool IsPausing(store::SandboxState state) {
  return state == store::SandboxState::kPausing || state == store::SandboxState::kPaused ||
         state == store::SandboxState::kResuming;
}

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
        standbys_(admission_),
        workers_(std::make_shared<WorkerPool>(ParallelStarts(config_.limits) + kSpareWorkers)),
        services_{config_,  store,    catalogue, engine, admission_, standbys_,
                  workers_, metrics_, {},        {},     {},         {}},
        directory_(services_),
        pool_(services_),
        starts_(std::make_shared<Turns>(ParallelStarts(config_.limits))),
        reaper_(Wire(), directory_) {}

  ~ManagerImpl() override {
    Shutdown(AtShutdown::kKeep, Deadline::After(std::chrono::milliseconds(0)));
  }

  Status Recover() override {
    RETURN_IF_ERROR(RecoverAll(services_, directory_, disk_backend_));
    reaper_.Start();
    FillPool();
    return {};
  }

  Result<store::SandboxRecord> Create(const std::string& tenant, CreateRequest request) override {
    ASSIGN_OR_RETURN(const Gate::Pass pass, Enter());
    constexpr int kAttempts = 3;
    for (int attempt = 1;; ++attempt) {
      std::string snapshot;
      auto made = CreateOnce(tenant, request, snapshot);
      if (made || attempt == kAttempts || snapshot.empty()) return made;
      // Replaced or removed between the look at it and the links to it: there may be another now.
      if (os::Exists(snapshot + snapshot::kManifestFile)) return made;
    }
  }

  Result<store::SandboxRecord> Get(const std::string& tenant, const std::string& id) override {
    ASSIGN_OR_RETURN(const auto sandbox, directory_.Find(tenant, id));
    return sandbox->View();
  }

  Result<store::SandboxRecord> GetAfterLoss(const std::string& tenant,
                                            const std::string& id) override {
    ASSIGN_OR_RETURN(const auto sandbox, directory_.Find(tenant, id));
    return sandbox->RecordAfterLoss();
  }

  Result<std::vector<store::SandboxRecord>> List(const std::string& tenant) override {
    ASSIGN_OR_RETURN(auto records, services_.store.ListSandboxes(tenant));
    // What lives is known better here.
    for (store::SandboxRecord& record : records) {
      if (const auto live = directory_.FindLive(record.id)) record = live->View();
    }
    return records;
  }

  std::optional<uint64_t> DiskUsedBytes(const store::SandboxRecord& record) const override {
    return sandbox::DiskUsedBytes(config_.paths, record);
  }

  Result<store::SandboxRecord> Stop(const std::string& tenant, const std::string& id,
                                    const std::string& reason) override {
    ASSIGN_OR_RETURN(const Gate::Pass pass, Enter());
    ASSIGN_OR_RETURN(const auto sandbox, directory_.Find(tenant, id));
    return sandbox->executor().Call([sandbox, reason] { return sandbox->Stop(reason); });
  }

  Result<store::SandboxRecord> Pause(const std::string& tenant, const std::string& id,
                                     const std::string& reason) override {
    ASSIGN_OR_RETURN(const Gate::Pass pass, Enter());
    ASSIGN_OR_RETURN(const auto sandbox, directory_.Find(tenant, id));
    RETURN_IF_ERROR(CheckSnapshots());
    return sandbox->executor().Call([sandbox, reason] { return sandbox->Pause(reason); });
  }

  Result<store::SandboxRecord> Resume(const std::string& tenant, const std::string& id,
                                      bool cold) override {
    ASSIGN_OR_RETURN(const Gate::Pass pass, Enter());
    ASSIGN_OR_RETURN(const auto sandbox, directory_.Find(tenant, id));
    return ResumeIt(sandbox, cold);
  }

  Result<std::vector<store::SandboxRecord>> Fork(const std::string& tenant, const std::string& id,
                                                 int count) override {
    ASSIGN_OR_RETURN(const Gate::Pass pass, Enter());
    if (count < 1 || count > kMaxForks) {
      return Fail(Code::kInvalidArgument, "count must be between 1 and {}", kMaxForks);
    }
    ASSIGN_OR_RETURN(const auto parent, directory_.Find(tenant, id));
    RETURN_IF_ERROR(CheckSnapshots());
    std::vector<Reservation> reservations;
    for (int i = 0; i < count; ++i) {
      ASSIGN_OR_RETURN(Reservation one, Reserve(AmountOf(parent->record())));
      reservations.push_back(std::move(one));
    }
    // Only for the children to start from: they keep links to what they need.
    const std::string snapshot = NewId("sn");
    const std::string place = config_.paths.Snapshot(snapshot);
    ASSIGN_OR_RETURN(const snapshot::Manifest manifest, parent->executor().Call([&] {
      return parent->TakeSnapshot(snapshot, place, snapshot::Durability::kPassing);
    }));
    Revert revert;
    revert.Add([&] { (void)snapshot::Remove(place); });
    return StartChildren(*parent, place, std::move(reservations));
  }

  Result<store::TemplateRecord> CreateSnapshot(const std::string& tenant, const std::string& id,
                                               std::string name, bool overwrite) override {
    ASSIGN_OR_RETURN(const Gate::Pass pass, Enter());
    ASSIGN_OR_RETURN(const auto sandbox, directory_.Find(tenant, id));
    RETURN_IF_ERROR(CheckSnapshots());
    return SnapshotAsTemplate(services_, *sandbox, std::move(name), overwrite);
  }

  Result<TemplateDetails> InspectTemplate(const std::string& tenant,
                                          const std::string& name) override {
    return sandbox::InspectTemplate(services_, tenant, name);
  }

  Result<snapshot::Verdict> VerifyTemplate(const std::string& tenant,
                                           const std::string& name) override {
    ASSIGN_OR_RETURN(const Gate::Pass pass, Enter());
    return sandbox::VerifyTemplate(services_, tenant, name);
  }

  Status ExportSnapshot(const std::string& tenant, const std::string& name,
                        const snapshot::GoOn& go_on, const snapshot::ByteSink& sink) override {
    ASSIGN_OR_RETURN(const Gate::Pass pass, Enter());
    return sandbox::ExportSnapshot(services_, tenant, name, go_on, sink);
  }

  Result<store::TemplateRecord> ImportSnapshot(const std::string& tenant, const std::string& name,
                                               bool overwrite,
                                               snapshot::ByteSource source) override {
    ASSIGN_OR_RETURN(const Gate::Pass pass, Enter());
    return sandbox::ImportSnapshot(services_, tenant, name, overwrite, std::move(source));
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

  Result<store::SandboxRecord> SetNetwork(const std::string& tenant, const std::string& id,
                                          const Network& change) override {
    ASSIGN_OR_RETURN(const Gate::Pass pass, Enter());
    ASSIGN_OR_RETURN(const auto sandbox, directory_.Find(tenant, id));
    return sandbox->executor().Call([sandbox, change] { return sandbox->SetNetwork(change); });
  }

  Result<std::unique_ptr<Lease>> Use(const std::string& tenant, const std::string& id) override {
    ASSIGN_OR_RETURN(const Gate::Pass pass, Enter());
    ASSIGN_OR_RETURN(const auto sandbox, directory_.Find(tenant, id));
    const store::SandboxRecord record = sandbox->record();
    if (record.auto_resume && IsPausing(record.state)) {
      // kAborted: somebody else was quicker, or it has not been paused after all.
      const auto resumed = ResumeIt(sandbox, false);
      if (!resumed && resumed.error().code != Code::kAborted) return Fail(resumed.error());
    }
    return sandbox->Use();
  }

  Result<std::unique_ptr<Lease>> Look(const std::string& tenant, const std::string& id) override {
    ASSIGN_OR_RETURN(const Gate::Pass pass, Enter());
    ASSIGN_OR_RETURN(const auto sandbox, directory_.Find(tenant, id));
    return sandbox->Look();
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

  Protections protections() const override {
    return {services_.host.users != nullptr, services_.host.cgroups.has_value(),
            services_.host.slots != nullptr};
  }
  const vmm::EngineInfo& engine() const override { return services_.engine.info(); }

  std::string MetricsText() const override {
    return RenderGauges(admission_.used(), pool_.sizes(), standbys_.count()) + metrics_.Render();
  }

  int Shutdown(AtShutdown sandboxes, Deadline deadline) override {
    gate_.Close();
    services_.closing = true;
    reaper_.Stop();
    pool_.Stop();
    standbys_.Stop();
    for (const auto& sandbox : directory_.Live()) {
      const store::SandboxState state = sandbox->record().state;
      // Those that start have nobody who will use them.
      if (state == store::SandboxState::kStarting) sandbox->Interrupt();
      if (state != store::SandboxState::kPaused) continue;
      sandbox->executor().Post([sandbox] { sandbox->EndStandby("the server ends"); });
    }
    if (sandboxes != AtShutdown::kKeep) EndRunning(directory_, sandboxes, deadline);
    gate_.WaitEmpty(deadline);
    // What still waits for a guest does not any more.
    for (const auto& sandbox : directory_.Live()) sandbox->Interrupt();
    workers_->Stop();
    reaper_.StoreActivity();
    int left = 0;
    for (const auto& sandbox : directory_.Live()) left += sandbox->HoldsMachine() ? 1 : 0;
    return left;
  }

 private:
  // Connects the services with the parts that are made after them, before the reaper begins.
  Services& Wire() {
    services_.wake_reaper = [this] { reaper_.Wake(); };
    services_.forget = [this](const std::string& id) { directory_.Forget(id); };
    services_.reserve = [this](Reservation& reservation, const Amount& amount) {
      return Reserve(reservation, amount);
    };
    return services_;
  }

  Result<Gate::Pass> Enter() {
    Gate::Pass pass = gate_.Enter();
    if (!pass) return Fail(Code::kUnavailable, "the server is shutting down");
    return pass;
  }

  // Before a snapshot is compared with what the engine makes here.
  Status Settle(const std::string& kernel, const std::string& initramfs) {
    return services_.engine.Settle(kernel, initramfs, Deadline::After(config_.boot_limit));
  }

  Status CheckSnapshots() const {
    if (engine().snapshots) return {};
    return Fail(Code::kUnimplemented, "{}", engine().snapshots_explanation);
  }

  Result<store::SandboxRecord> ResumeIt(const std::shared_ptr<Sandbox>& sandbox, bool cold) {
    RETURN_IF_ERROR(CheckSnapshots());
    const std::string kernel = config_.paths.Kernel(sandbox->record().kernel);
    RETURN_IF_ERROR(Settle(kernel + "/vmlinux", kernel + "/initramfs"));
    return sandbox->executor().Call([sandbox, cold] { return sandbox->Resume(cold); });
  }

  Result<Reservation> Reserve(const Amount& amount) {
    Reservation reservation;
    RETURN_IF_ERROR(Reserve(reservation, amount));
    return reservation;
  }

  // Machines that stand ready give way, the pool's first. For one request at a time: what has been
  // given for one would be taken by another, and be missing while there is enough for both.
  Status Reserve(Reservation& reservation, const Amount& amount) {
    if (Status done = admission_.Change(reservation, amount); done) return done;
    std::lock_guard lock(giving_back_);
    for (;;) {
      Status done = admission_.Change(reservation, amount);
      if (done || !admission_.FitsWithoutSpare(reservation, amount)) return done;
      const int64_t given = pool_.GiveBack(amount.memory_mb);
      if (given + standbys_.GiveBack(amount.memory_mb - given) == 0) return done;
    }
  }

  // The templates that always have machines ready, before anybody asks for one. One that has never
  // been started gets them after its first sandbox.
  void FillPool() {
    for (const auto& [name, count] : config_.warm_pool.fixed) {
      const auto add = [&, &called = name]() -> Status {
        ASSIGN_OR_RETURN(const template_::Resolved from,
                         services_.catalogue.Find(store::kDefaultTenant, called));
        CreateRequest request;
        RETURN_IF_ERROR(FillFromSnapshot(services_, from, request));
        ASSIGN_OR_RETURN(const store::SandboxRecord record,
                         MakePlan(store::kDefaultTenant, request, from, config_.limits));
        ASSIGN_OR_RETURN(const Source source, SourceOf(services_, record, from, false));
        if (source.IsRestore()) pool_.Add(ShapeOf(record, source, true));
        return {};
      };
      if (Status added = add(); !added) {
        services_.Tell(Severity::kWarning, "", "no warm machines of a template",
                       {{"template", name}, {"error", added.error().ToString()}});
      }
    }
  }

  // Notes which snapshot it started from, if any.
  Result<store::SandboxRecord> CreateOnce(const std::string& tenant, CreateRequest request,
                                          std::string& snapshot) {
    ASSIGN_OR_RETURN(template_::Resolved from,
                     services_.catalogue.Find(tenant, request.template_name));
    const bool plain = IsPlain(tenant, request);
    RETURN_IF_ERROR(FillFromSnapshot(services_, from, request));
    RETURN_IF_ERROR(FitToEngine(engine(), protections().slots, request));
    ASSIGN_OR_RETURN(store::SandboxRecord record, MakePlan(tenant, request, from, config_.limits));
    record.disk_backend = disk_backend_;
    RETURN_IF_ERROR(Settle(from.vmlinux, from.initramfs));
    ASSIGN_OR_RETURN(Source source, SourceOf(services_, record, from, request.cold));
    snapshot = source.snapshot;
    if (source.IsRestore()) source.ready = pool_.Take(ShapeOf(record, source, plain));
    if (source.ready) record.id = source.ready->id;
    ASSIGN_OR_RETURN(Reservation reservation, Reserve(AmountOf(record)));
    const bool boots = !source.IsRestore();
    ASSIGN_OR_RETURN(auto sandbox, Sandbox::Make(services_, std::move(record)));
    auto made = Start(sandbox, std::move(source), std::move(reservation)).get();
    // What it has kept warm is what the pool is made of.
    if (made && boots && config_.warm_pool.fixed.contains(request.template_name)) FillPool();
    return made;
  }

  // Starts it when it is its turn. Neither that nor the start depends on the caller.
  std::future<Result<store::SandboxRecord>> Start(const std::shared_ptr<Sandbox>& sandbox,
                                                  Source source, Reservation reservation) {
    using Answer = Result<store::SandboxRecord>;
    auto promise = std::make_shared<std::promise<Answer>>();
    auto answer = promise->get_future();
    auto held = std::make_shared<Reservation>(std::move(reservation));
    directory_.Add(sandbox);
    starts_->Take([sandbox, held, promise, from = std::move(source)](Turns::Turn turn) {
      const bool taken = sandbox->executor().Post([=]() mutable {
        promise->set_value(sandbox->Start(from, std::move(*held)));
        turn.reset();
      });
      if (!taken) promise->set_value(Fail(Code::kUnavailable, "the server is shutting down"));
    });
    return answer;
  }

  // All or none.
  Result<std::vector<store::SandboxRecord>> StartChildren(const Sandbox& parent,
                                                          const std::string& place,
                                                          std::vector<Reservation> reservations) {
    ASSIGN_OR_RETURN(const Source source,
                     SourceOfSnapshot(services_, place, "fork of " + parent.id(), "fork"));
    std::vector<std::shared_ptr<Sandbox>> children;
    std::vector<std::future<Result<store::SandboxRecord>>> starting;
    for (Reservation& reservation : reservations) {
      auto child = Sandbox::Make(services_, PlanFork(parent.record()));
      if (!child) return Fail(std::move(child.error()));  // the first one's, for all are alike
      starting.push_back(Start(*child, source, std::move(reservation)));
      children.push_back(std::move(*child));
    }
    std::vector<store::SandboxRecord> records;
    std::optional<Error> failure;
    for (auto& one : starting) {
      auto record = one.get();
      if (record)
        records.push_back(std::move(*record));
      else if (!failure)
        failure = std::move(record.error());
    }
    if (!failure) return records;
    for (const auto& child : children) {
      child->executor().Post([child] { (void)child->Destroy(); });
    }
    return Fail(failure->WithContext(fmt::format("'{}' could not be forked", parent.id())));
  }

  const ManagerConfig config_;
  const std::string disk_backend_;
  Gate gate_;
  Admission admission_;
  Standbys standbys_;
  std::mutex giving_back_;  // held while machines that stand ready end for one request
  const std::shared_ptr<WorkerPool> workers_;
  Metrics metrics_;
  Services services_;
  Directory directory_;
  WarmPool pool_;
  const std::shared_ptr<Turns> starts_;
  Reaper reaper_;
};

}  // namespace

Result<std::unique_ptr<Manager>> MakeManager(ManagerConfig config, store::Store& store,
                                             template_::Catalogue& catalogue, vmm::Engine& engine) {
  ASSIGN_OR_RETURN(std::string backend, ChooseDiskBackend(config, engine.info()));
  RETURN_IF_ERROR(MeasureDisk(config.paths, config.limits));
  return std::make_unique<ManagerImpl>(std::move(config), store, catalogue, engine,
                                       std::move(backend));
}

}  // namespace wrenn::sandbox
