// What a sandbox may reach, and how that changes while it runs.
#include "sandbox/plan.h"
#include "sandbox/sandbox.h"
#include "sandbox/text.h"

namespace wrenn::sandbox {

namespace {

using store::SandboxState;

// For the journal, however long the lists are.
std::string Summary(const Network& network) {
  const auto count = [](const std::optional<std::vector<std::string>>& list) {
    return list ? list->size() : 0;
  };
  return fmt::format("internet {}, {} allowed, {} denied",
                     network.allow_internet_access.value_or(false) ? "on" : "off",
                     count(network.allow_out), count(network.deny_out));
}

}  // namespace

Result<net::NetworkPolicy> Sandbox::Policy() const {
  const store::SandboxRecord now = record();
  ASSIGN_OR_RETURN(const Network network, NetworkOf(now));
  const bool closed = now.egress && !network.allow_internet_access.value_or(false);
  if (!services_.host.slots && (network.NeedsSlot() || closed)) return Fail(NoNetworkSlots());
  return PolicyOf(network);
}

Status Sandbox::CheckNetworkChange() const {
  {
    std::lock_guard lock(mutex_);
    RETURN_IF_ERROR(CheckRunning());
  }
  if (share_.HasSlot()) return {};
  if (!services_.host.slots) return Fail(NoNetworkSlots());
  return Fail(Code::kFailedPrecondition,
              "sandbox '{}' was made without a network: make one with --egress or --allow-out",
              id_);
}

Result<store::SandboxRecord> Sandbox::SetNetwork(const Network& change) {
  RETURN_IF_ERROR(CheckNetworkChange());
  ASSIGN_OR_RETURN(const Network before, NetworkOf(record()));
  const Network after = Merge(before, change);
  if (after == before) return View();
  Phases phases = BeginPhases("network");
  RETURN_IF_ERROR(RecordNetwork(after));
  phases.Mark("record");
  RETURN_IF_ERROR(ApplyNetwork(before, after, phases));
  return View();
}

// Whatever is recorded holds from the next start of the server on, should this one end here.
Status Sandbox::ApplyNetwork(const Network& before, const Network& after, Phases& phases) {
  const auto apply = [&]() -> Status {
    ASSIGN_OR_RETURN(const net::NetworkPolicy policy, PolicyOf(after));
    return share_.SetPolicy(policy);
  };
  const Status applied = apply();
  phases.Mark("slot");
  if (applied) {
    (void)RecordFact({SandboxState::kRunning, "", "network", "done", phases.Finish()});
    return {};
  }
  {
    std::lock_guard lock(mutex_);
    record_.network = ToJson(before);
  }
  phases.Note("error", json::value(CleanTail(applied.error().ToString())));
  (void)RecordFact({SandboxState::kRunning, "", "network", "failed", phases.Finish()});
  return Fail(applied.error().WithContext("the network stays as it was"));
}

Status Sandbox::RecordNetwork(const Network& network) {
  store::SandboxRecord next = record();
  next.network = ToJson(network);
  const store::EventRecord event = MakeEvent({next.state, Summary(network), "network", "intent"});
  RETURN_IF_ERROR(services_.store.UpdateSandbox(next, &event));
  std::lock_guard lock(mutex_);
  record_ = std::move(next);
  return {};
}

}  // namespace wrenn::sandbox
