// A manager for tests: records in memory, and one agent for all sandboxes instead of machines.
#pragma once

#include <atomic>
#include <map>
#include <mutex>

#include "base/id.h"
#include "sandbox/manager.h"

namespace wrenn::api {

class FakeManager final : public sandbox::Manager {
 public:
  // Where an agent listens on loopback; 0: nowhere.
  uint16_t agent_port = 0;
  std::string agent_token;
  // What Create() fails with, and what a lost agent's sandbox has ended with.
  std::optional<Error> create_error;
  std::string end_reason;
  // How many leases were taken that count as activity, and commands left running.
  std::atomic<int> uses = 0;
  std::atomic<int> left_running = 0;

  Status Recover() override { return {}; }

  Result<store::SandboxRecord> Create(const std::string& tenant,
                                      sandbox::CreateRequest request) override {
    if (create_error) return Fail(*create_error);
    if (request.template_name != "minimal") {
      return Fail(Code::kNotFound, "no template '{}'", request.template_name);
    }
    if (request.memory_mb.value_or(0) > 100'000) {
      return Fail(Code::kResourceExhausted, "the host's memory is all given out");
    }
    store::SandboxRecord record;
    record.id = NewId("sb");
    record.tenant = tenant;
    record.state = store::SandboxState::kRunning;
    record.template_name = request.template_name;
    record.vcpus = request.vcpus.value_or(1);
    record.memory_mb = request.memory_mb.value_or(512);
    record.timeout_sec = request.timeout_sec;
    record.on_timeout = request.on_timeout.value_or("pause");
    record.auto_resume = request.auto_resume;
    record.network = sandbox::ToJson(request.network);
    record.origin = request.cold ? "boot" : "template";
    record.metadata = request.metadata;
    record.envs = request.envs;
    record.engine = "fake/none";
    record.agent_token = agent_token;
    record.created_at = record.updated_at = std::chrono::system_clock::now();
    std::lock_guard lock(mutex_);
    records_[record.id] = record;
    return record;
  }

  Result<store::SandboxRecord> Get(const std::string& tenant, const std::string& id) override {
    std::lock_guard lock(mutex_);
    const auto found = records_.find(id);
    if (found == records_.end() || found->second.tenant != tenant) {
      return Fail(Code::kNotFound, "no sandbox '{}'", id);
    }
    return found->second;
  }

  Result<store::SandboxRecord> GetAfterLoss(const std::string& tenant,
                                            const std::string& id) override {
    ASSIGN_OR_RETURN(store::SandboxRecord record, Get(tenant, id));
    if (end_reason.empty()) return record;
    record.state = store::SandboxState::kError;
    record.reason = end_reason;
    return record;
  }

  Result<std::vector<store::SandboxRecord>> List(const std::string& tenant) override {
    std::lock_guard lock(mutex_);
    std::vector<store::SandboxRecord> list;
    for (const auto& [id, record] : records_) {
      if (record.tenant == tenant) list.push_back(record);
    }
    return list;
  }

  std::optional<uint64_t> DiskUsedBytes(const store::SandboxRecord& record) const override {
    return store::IsEnded(record.state) ? std::nullopt : std::optional<uint64_t>(4096);
  }

  Result<store::SandboxRecord> Stop(const std::string& tenant, const std::string& id,
                                    const std::string& reason) override {
    RETURN_IF_ERROR(Get(tenant, id).map([](const auto&) {}));
    std::lock_guard lock(mutex_);
    store::SandboxRecord& record = records_[id];
    record.state = store::SandboxState::kStopped;
    record.reason = reason;
    return record;
  }

  Result<store::SandboxRecord> Pause(const std::string& tenant, const std::string& id,
                                     const std::string& reason) override {
    return Change(tenant, id, store::SandboxState::kRunning, store::SandboxState::kPaused, reason);
  }

  Result<store::SandboxRecord> Resume(const std::string& tenant, const std::string& id,
                                      bool cold) override {
    RETURN_IF_ERROR(
        Change(tenant, id, store::SandboxState::kPaused, store::SandboxState::kRunning, ""));
    std::lock_guard lock(mutex_);
    if (cold) records_[id].origin = "boot";
    return records_[id];
  }

  Result<std::vector<store::SandboxRecord>> Fork(const std::string& tenant, const std::string& id,
                                                 int count) override {
    ASSIGN_OR_RETURN(store::SandboxRecord record, Get(tenant, id));
    std::lock_guard lock(mutex_);
    std::vector<store::SandboxRecord> children;
    for (int i = 0; i < count; ++i) {
      record.id = NewId("sb");
      record.origin = "fork of " + id;
      records_[record.id] = record;
      children.push_back(record);
    }
    return children;
  }

  Result<store::TemplateRecord> CreateSnapshot(const std::string& tenant, const std::string& id,
                                               std::string name, bool overwrite) override {
    ASSIGN_OR_RETURN(const store::SandboxRecord record, Get(tenant, id));
    std::lock_guard lock(mutex_);
    if (snapshots_.contains(name) && !overwrite) {
      return Fail(Code::kAlreadyExists, "there is a template '{}' already", name);
    }
    store::TemplateRecord made;
    made.id = NewId("tp");
    made.tenant = tenant;
    made.name = name.empty() ? "snapshot-1" : name;
    made.type = "snapshot";
    made.vcpus = record.vcpus;
    made.memory_mb = record.memory_mb;
    made.created_at = std::chrono::system_clock::now();
    snapshots_[made.name] = made;
    return made;
  }

  Result<sandbox::TemplateDetails> InspectTemplate(const std::string& tenant,
                                                   const std::string& name) override {
    std::lock_guard lock(mutex_);
    const auto found = snapshots_.find(name);
    if (found == snapshots_.end() || found->second.tenant != tenant) {
      return Fail(Code::kNotFound, "no template '{}'", name);
    }
    snapshot::Contents contents;
    contents.manifest.id = NewId("sn");
    contents.manifest.agent_token = agent_token;
    contents.manifest.layers = {"disk-1.qcow2", "disk-2.qcow2"};
    contents.memory_bytes = 4096;
    return sandbox::TemplateDetails{found->second, std::move(contents)};
  }

  Result<snapshot::Verdict> VerifyTemplate(const std::string& tenant,
                                           const std::string& name) override {
    RETURN_IF_ERROR(InspectTemplate(tenant, name).map([](const auto&) {}));
    snapshot::Verdict verdict;
    verdict.files = 4;
    verdict.unchecked = 1;
    if (name == "damaged") verdict.problems.emplace_back("the machine state is damaged");
    return verdict;
  }

  // What is exported is what was imported, or the name.
  Status ExportSnapshot(const std::string&, const std::string& name, const snapshot::GoOn& go_on,
                        const snapshot::ByteSink& sink) override {
    std::string content;
    {
      std::lock_guard lock(mutex_);
      if (!snapshots_.contains(name)) return Fail(Code::kNotFound, "no template '{}'", name);
      content = contents_.contains(name) ? contents_[name] : name;
    }
    if (!go_on()) return Fail(Code::kCanceled, "the check was broken off");
    for (size_t at = 0; at < content.size(); at += 1000) {
      RETURN_IF_ERROR(sink(std::string_view(content).substr(at, 1000)));
    }
    if (content.starts_with("breaks off")) return Fail(Code::kDataLoss, "a file became shorter");
    return {};
  }

  Result<store::TemplateRecord> ImportSnapshot(const std::string& tenant, const std::string& name,
                                               bool overwrite,
                                               snapshot::ByteSource source) override {
    if (snapshots_.contains(name) && !overwrite) {
      return Fail(Code::kAlreadyExists, "there is a template '{}' already", name);
    }
    std::string content;
    std::string buffer(1000, '\0');
    for (;;) {
      ASSIGN_OR_RETURN(const size_t got, source(buffer));
      if (got == 0) break;
      content.append(buffer, 0, got);
    }
    if (content == "damaged") return Fail(Code::kInvalidArgument, "the packed snapshot is damaged");
    if (content == "large") return Fail(Code::kResourceExhausted, "no room");
    store::TemplateRecord made;
    made.id = NewId("tp");
    made.tenant = tenant;
    made.name = name.empty() ? "from-file" : name;
    made.type = "snapshot";
    std::lock_guard lock(mutex_);
    contents_[made.name] = content;
    snapshots_[made.name] = made;
    return made;
  }

  Status Destroy(const std::string& tenant, const std::string& id) override {
    RETURN_IF_ERROR(Get(tenant, id).map([](const auto&) {}));
    std::lock_guard lock(mutex_);
    records_.erase(id);
    return {};
  }

  Result<store::SandboxRecord> Ping(const std::string& tenant, const std::string& id,
                                    std::optional<int64_t> timeout_sec) override {
    RETURN_IF_ERROR(Get(tenant, id).map([](const auto&) {}));
    std::lock_guard lock(mutex_);
    store::SandboxRecord& record = records_[id];
    if (timeout_sec) record.timeout_sec = *timeout_sec;
    record.last_active_at = std::chrono::system_clock::now();
    return record;
  }

  Result<store::SandboxRecord> SetNetwork(const std::string& tenant, const std::string& id,
                                          const sandbox::Network& change) override {
    ASSIGN_OR_RETURN(const store::SandboxRecord found, Get(tenant, id));
    ASSIGN_OR_RETURN(const sandbox::Network before, sandbox::NetworkOf(found));
    std::lock_guard lock(mutex_);
    records_[id].network = sandbox::ToJson(sandbox::Merge(before, change));
    return records_[id];
  }

  Result<std::unique_ptr<sandbox::Lease>> Use(const std::string& tenant,
                                              const std::string& id) override {
    ++uses;
    return Look(tenant, id);
  }

  Result<std::unique_ptr<sandbox::Lease>> Look(const std::string& tenant,
                                               const std::string& id) override {
    ASSIGN_OR_RETURN(store::SandboxRecord record, Get(tenant, id));
    if (record.state != store::SandboxState::kRunning) {
      return Fail(Code::kAborted, "sandbox '{}' is stopped", id);
    }
    return std::unique_ptr<sandbox::Lease>(
        std::make_unique<FakeLease>(std::move(record), agent_port, left_running));
  }

  Result<std::string> Console(const std::string& tenant, const std::string& id,
                              size_t limit) override {
    RETURN_IF_ERROR(Get(tenant, id).map([](const auto&) {}));
    return std::string("a line\nand another\n").substr(0, limit);
  }

  Result<std::vector<store::EventRecord>> Events(const std::string& tenant,
                                                 const std::string& id) override {
    RETURN_IF_ERROR(Get(tenant, id).map([](const auto&) {}));
    store::EventRecord event;
    event.sequence = 1;
    event.kind = "create";
    event.phase = "done";
    return std::vector{event};
  }

  Totals totals() const override { return {}; }
  const vmm::EngineInfo& engine() const override { return engine_; }
  sandbox::Protections protections() const override { return {}; }
  std::string MetricsText() const override { return "wrenn_sandboxes 1\n"; }
  int Shutdown(sandbox::AtShutdown, Deadline) override { return 0; }

 private:
  class FakeLease final : public sandbox::Lease {
   public:
    FakeLease(store::SandboxRecord record, uint16_t port, std::atomic<int>& left_running)
        : record_(std::move(record)),
          left_running_(left_running),
          client_(agent::MakeTcpChannel("127.0.0.1", port), record_.agent_token) {}
    agent::Client& agent() override { return client_; }
    const store::SandboxRecord& record() const override { return record_; }
    void Touch() override {}
    void LeaveRunning(wire::StartRequest&) override { ++left_running_; }

   private:
    store::SandboxRecord record_;
    std::atomic<int>& left_running_;
    agent::Client client_;
  };

  Result<store::SandboxRecord> Change(const std::string& tenant, const std::string& id,
                                      store::SandboxState from, store::SandboxState to,
                                      const std::string& reason) {
    ASSIGN_OR_RETURN(const store::SandboxRecord found, Get(tenant, id));
    if (found.state != from) {
      return Fail(Code::kAborted, "sandbox '{}' is {}", id, store::StateName(found.state));
    }
    std::lock_guard lock(mutex_);
    store::SandboxRecord& record = records_[id];
    record.state = to;
    record.reason = reason;
    return record;
  }

  std::mutex mutex_;
  std::map<std::string, store::SandboxRecord> records_;
  std::map<std::string, store::TemplateRecord> snapshots_;
  std::map<std::string, std::string> contents_;  // that were imported
  vmm::EngineInfo engine_{"fake", "1",  "tcg", "a test", false, false,
                          "",     true, "",    false,    false, false};
};

}  // namespace wrenn::api
