// ManagerFixture: a manager over a real store and real files, with fake machines.
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/io.h"
#include "os/files.h"
#include "sandbox/fake_engine.h"
#include "sandbox/faulty_store.h"
#include "sandbox/manager.h"

namespace wrenn::sandbox {

using std::chrono::milliseconds;
using std::chrono::seconds;

// One template, "minimal", with an image of 1 MiB.
class FakeCatalogue final : public template_::Catalogue {
 public:
  explicit FakeCatalogue(std::string image) : image_(std::move(image)) {}
  Result<template_::Resolved> Find(const std::string&, const std::string& name) override {
    if (name != "minimal") return Fail(Code::kNotFound, "no template '{}'", name);
    template_::Resolved resolved;
    resolved.record.id = "tp-1";
    resolved.record.name = name;
    resolved.record.image = "image-0";
    resolved.record.kernel = "kernel-" + std::to_string(generation);
    resolved.record.vcpus = 1;
    resolved.record.memory_mb = 128;
    resolved.image = image_;
    resolved.image_bytes = 1 << 20;
    if (changes_between_looks) ++generation;
    return resolved;
  }
  Result<std::vector<store::TemplateRecord>> List(const std::string&) override {
    return std::vector<store::TemplateRecord>();
  }
  Status Remove(const std::string&, const std::string&) override { return {}; }

  std::atomic<bool> changes_between_looks = false;
  std::atomic<int> generation = 0;

 private:
  const std::string image_;
};

class ManagerFixture : public ::testing::Test {
 protected:
  static constexpr const char* kTenant = "default";

  void SetUp() override {
    auto folder = os::TemporaryDirectory::Make();
    ASSERT_TRUE(folder);
    folder_ = std::make_unique<os::TemporaryDirectory>(std::move(*folder));
    config_.paths.root = folder_->path() + "/root";
    config_.paths.runtime = folder_->path() + "/run";
    ASSERT_TRUE(config_.paths.Prepare());
    ASSERT_TRUE(os::MakeDirectory(config_.paths.Image("image-0")));
    image_ = config_.paths.Image("image-0") + "/rootfs";
    ASSERT_TRUE(WriteFileAtomically(image_, std::string(1 << 20, 'i')));
    config_.limits = Limits();
    config_.limits.max_parallel_starts = 4;
    config_.warm_pool.most = 0;
    config_.standby = milliseconds(0);
    config_.stop_limit = milliseconds(5'000);
    config_.boot_limit = milliseconds(20'000);
    config_.observer = [this](const Happening& happening) {
      std::lock_guard lock(mutex_);
      happenings_.push_back(happening);
    };
    auto opened = store::OpenSqlite(config_.paths.Database());
    ASSERT_TRUE(opened) << opened.error().ToString();
    real_store_ = std::move(*opened);
    store_ = std::make_unique<FaultyStore>(*real_store_);
    catalogue_ = std::make_unique<FakeCatalogue>(image_);
    engine_ = std::make_unique<FakeEngine>();
  }

  void TearDown() override {
    manager_.reset();
    engine_.reset();
  }

  // Makes a manager, as a server does at its start.
  void StartManager() {
    manager_.reset();
    auto made = MakeManager(config_, *store_, *catalogue_, *engine_);
    ASSERT_TRUE(made) << made.error().ToString();
    manager_ = std::move(*made);
    const Status recovered = manager_->Recover();
    ASSERT_TRUE(recovered) << recovered.error().ToString();
  }

  // The id of a new sandbox; empty when it could not be made.
  std::string Create(int64_t timeout_sec = 0, const std::string& on_timeout = "stop") {
    CreateRequest request;
    request.timeout_sec = timeout_sec;
    request.on_timeout = on_timeout;
    const auto made = manager_->Create(kTenant, request);
    EXPECT_TRUE(made) << made.error().ToString();
    return made ? made->id : "";
  }

  store::SandboxRecord Stored(const std::string& id) {
    const auto record = real_store_->GetSandbox(id);
    return record ? *record : store::SandboxRecord();
  }

  // Waits until the sandbox has this state in the store.
  bool WaitForState(const std::string& id, store::SandboxState state) {
    return WaitFor([&] { return Stored(id).state == state; });
  }

  // Polls, since the store tells nobody when it changes; bounded.
  static bool WaitFor(const std::function<bool()>& condition, milliseconds limit = seconds(20)) {
    const Deadline deadline = Deadline::After(limit);
    while (!condition()) {
      if (deadline.HasPassed()) return false;
      std::this_thread::sleep_for(milliseconds(5));
    }
    return true;
  }

  static std::vector<std::string> Names(const std::string& folder) {
    return os::ListDirectory(folder).value_or(std::vector<std::string>{"?"});
  }
  std::vector<std::string> Folders() const { return Names(config_.paths.Sandboxes()); }
  std::vector<std::string> RuntimeFolders() const { return Names(config_.paths.runtime + "/sb"); }
  std::vector<std::string> Snapshots() const { return Names(config_.paths.Snapshots()); }

  // A guest's RAM.
  std::span<char> Memory(const std::string& id) { return engine_->Find(id)->memory(); }
  // What the memory files of a folder take that have none of these names.
  static uint64_t NewMemoryBytes(const std::vector<std::string>& before,
                                 const std::string& folder) {
    uint64_t bytes = 0;
    for (const std::string& name : Names(folder)) {
      if (!name.starts_with("memory-") || std::ranges::count(before, name) > 0) continue;
      bytes += disk::AllocatedBytes(folder + "/" + name);
    }
    return bytes;
  }

  void ExpectNothingLeft() {
    EXPECT_TRUE(Folders().empty()) << Folders().front();
    EXPECT_TRUE(RuntimeFolders().empty());
    EXPECT_EQ(engine_->alive(), 0);
    EXPECT_EQ(real_store_->ListAllSandboxes()->size(), 0u);
    EXPECT_EQ(manager_->totals().sandboxes, 0);
    EXPECT_EQ(manager_->totals().memory_mb, 0);
    EXPECT_EQ(manager_->totals().vcpus, 0);
    EXPECT_EQ(manager_->totals().disk_mb, 0);
  }

  // Whether the journal has such a line.
  bool HasEvent(const std::string& id, const std::string& kind, const std::string& phase) {
    const auto events = real_store_->ListEvents(id, 100);
    if (!events) return false;
    return std::ranges::any_of(*events, [&](const store::EventRecord& event) {
      return event.kind == kind && event.phase == phase;
    });
  }

  std::unique_ptr<os::TemporaryDirectory> folder_;
  std::string image_;
  ManagerConfig config_;
  std::unique_ptr<store::Store> real_store_;
  std::unique_ptr<FaultyStore> store_;
  std::unique_ptr<FakeCatalogue> catalogue_;
  std::unique_ptr<FakeEngine> engine_;
  std::unique_ptr<Manager> manager_;

  std::mutex mutex_;
  std::vector<Happening> happenings_;
};

}  // namespace wrenn::sandbox
