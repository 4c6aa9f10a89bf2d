// Services: what sandboxes use of their manager.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "sandbox/admission.h"
#include "sandbox/host_resources.h"
#include "sandbox/manager.h"
#include "sandbox/metrics.h"
#include "sandbox/standbys.h"
#include "sandbox/worker_pool.h"

namespace wrenn::sandbox {

// Owned by the manager; nothing that uses it outlives it.
struct Services {
  const ManagerConfig& config;
  store::Store& store;
  template_::Catalogue& catalogue;
  vmm::Engine& engine;
  Admission& admission;
  Standbys& standbys;
  std::shared_ptr<WorkerPool> workers;
  Metrics& metrics;
  // Set once, by Shutdown(): no sandbox starts any more.
  std::atomic<bool> closing{false};
  // Has the reaper look again: a deadline may have come nearer.
  std::function<void()> wake_reaper;
  // A sandbox has ended and all of it is recorded, or it is removed. Called on its executor.
  std::function<void(const std::string& id)> forget;
  // As Admission::Change(), with machines that stand ready giving way. From any thread.
  std::function<Status(Reservation& reservation, const Amount& amount)> reserve;
  // Bytes that snapshots may still write which are being imported.
  std::atomic<uint64_t> promised_disk{0};
  // Set once, by Recover().
  HostResources host{};

  void Tell(Severity severity, const std::string& id, std::string message,
            json::object details = {}) const {
    if (config.observer) {
      config.observer(Happening{severity, id, std::move(message), std::move(details)});
    }
  }
};

}  // namespace wrenn::sandbox
