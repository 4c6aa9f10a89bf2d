// FaultyStore: a real store whose calls fail when a test wants it.
#pragma once

#include <functional>
#include <mutex>
#include <string>

#include "store/store.h"

namespace wrenn::sandbox {

class FaultyStore final : public store::Store {
 public:
  explicit FaultyStore(store::Store& real) : real_(real) {}

  // Asked before each call that writes: by name, with the state that would be written.
  using Decide = std::function<std::optional<Error>(const std::string& call, store::SandboxState)>;
  void Set(Decide decide) {
    std::lock_guard lock(mutex_);
    decide_ = std::move(decide);
  }

  Status AddSandbox(store::SandboxRecord& record, const store::EventRecord& event) override {
    RETURN_IF_ERROR(Check("add", record.state));
    return real_.AddSandbox(record, event);
  }
  Status UpdateSandbox(store::SandboxRecord& record, const store::EventRecord* event,
                       store::Durable durable) override {
    RETURN_IF_ERROR(Check("update", record.state));
    return real_.UpdateSandbox(record, event, durable);
  }
  Status Sync() override { return real_.Sync(); }
  Status TouchSandboxes(const std::vector<store::Activity>& activities) override {
    return real_.TouchSandboxes(activities);
  }
  Result<store::SandboxRecord> GetSandbox(const std::string& id) override {
    return real_.GetSandbox(id);
  }
  Result<std::vector<store::SandboxRecord>> ListSandboxes(const std::string& tenant) override {
    return real_.ListSandboxes(tenant);
  }
  Result<std::vector<store::SandboxRecord>> ListAllSandboxes() override {
    return real_.ListAllSandboxes();
  }
  Result<std::vector<store::SandboxRecord>> ListEndedSandboxes(store::Time time,
                                                               int limit) override {
    return real_.ListEndedSandboxes(time, limit);
  }
  Status RemoveSandbox(const std::string& id) override {
    RETURN_IF_ERROR(Check("remove", store::SandboxState::kStopping));
    return real_.RemoveSandbox(id);
  }
  Status AddEvent(const store::EventRecord& event) override { return real_.AddEvent(event); }
  Result<std::vector<store::EventRecord>> ListEvents(const std::string& id, int limit) override {
    return real_.ListEvents(id, limit);
  }
  Status PutTemplate(store::TemplateRecord& record, bool replace) override {
    return real_.PutTemplate(record, replace);
  }
  Result<store::TemplateRecord> FindTemplate(const std::string& tenant,
                                             const std::string& name) override {
    return real_.FindTemplate(tenant, name);
  }
  Result<std::vector<store::TemplateRecord>> ListTemplates(const std::string& tenant) override {
    return real_.ListTemplates(tenant);
  }
  Result<std::vector<store::TemplateRecord>> ListAllTemplates() override {
    return real_.ListAllTemplates();
  }
  Status RemoveTemplate(const std::string& tenant, const std::string& name) override {
    return real_.RemoveTemplate(tenant, name);
  }
  Status AddKey(const store::KeyRecord& record) override { return real_.AddKey(record); }
  Result<store::KeyRecord> FindKey(const std::string& hash) override { return real_.FindKey(hash); }
  Status TouchKey(const std::string& id, store::Time time) override {
    return real_.TouchKey(id, time);
  }
  Result<std::vector<store::KeyRecord>> ListKeys(const std::string& tenant) override {
    return real_.ListKeys(tenant);
  }
  Status RemoveKey(const std::string& id) override { return real_.RemoveKey(id); }

 private:
  Status Check(const std::string& call, store::SandboxState state) {
    std::lock_guard lock(mutex_);
    if (!decide_) return {};
    if (auto error = decide_(call, state)) return Fail(std::move(*error));
    return {};
  }

  store::Store& real_;
  std::mutex mutex_;
  Decide decide_;
};

}  // namespace wrenn::sandbox
