// The policy of a sandbox with a network slot, as the kernel has it: real slots in namespaces of
// their own, with a fake machine in them.
#include <gmock/gmock.h>

#include "net/test_world.h"
#include "os/command.h"
#include "sandbox/manager_fixture.h"
#include "snapshot/folder.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

Network Lists(std::vector<std::string> allow, std::vector<std::string> deny) {
  Network network;
  network.allow_out = std::move(allow);
  network.deny_out = std::move(deny);
  return network;
}

class NetworkChangeTest : public ManagerFixture {
 protected:
  void SetUp() override {
    if (const std::string reason = world_.SetUp(); !reason.empty()) GTEST_SKIP() << reason;
    if (!os::FindProgram("nft")) GTEST_SKIP() << "needs the program nft (Debian package nftables)";
    ManagerFixture::SetUp();
    engine_->NeedSlots();
    engine_->on_boot = [this](const vmm::MachineConfig& config) { slot_ = config.net_namespace; };
    StartManager();
  }

  std::string CreateWith(const Network& network) {
    CreateRequest request;
    request.timeout_sec = 0;
    request.network = network;
    const auto made = manager_->Create(kTenant, request);
    EXPECT_TRUE(made) << made.error().ToString();
    return made ? made->id : "";
  }

  // What a command prints in the slot of the last sandbox.
  std::string InSlot(const std::vector<std::string>& command) {
    std::string text;
    const auto slot = os::NetNamespace::Open(slot_);
    EXPECT_TRUE(slot) << slot.error().ToString();
    if (!slot) return text;
    EXPECT_TRUE(slot->Run([&] {
      text = os::Output(command);
      return Status();
    }));
    return text;
  }
  std::string Set(const char* name) {
    return InSlot({"nft", "list", "set", "inet", "wrenn", name});
  }
  std::string Queues() { return InSlot({"tc", "qdisc"}); }

  net::TestWorld world_;
  std::string slot_;
};

TEST_F(NetworkChangeTest, IsTheRequestsAndThenWhatItIsChangedTo) {
  Network asked = Lists({"1.1.1.1"}, {"9.9.9.0/24"});
  asked.allow_internet_access = true;
  asked.upload_kbps = 1000;
  const std::string id = CreateWith(asked);
  EXPECT_EQ(*NetworkOf(Stored(id)), asked);
  EXPECT_THAT(Set("allow4"), HasSubstr("1.1.1.1"));
  EXPECT_THAT(Set("deny4"), HasSubstr("9.9.9.0"));
  EXPECT_THAT(Queues(), HasSubstr("rate 1Mbit"));

  Network change;
  change.deny_out = {"8.8.8.8", "2606:4700::/32"};
  change.upload_kbps = 0;
  change.download_kbps = 2000;
  const auto changed = manager_->SetNetwork(kTenant, id, change);
  ASSERT_TRUE(changed) << changed.error().ToString();
  EXPECT_EQ(*NetworkOf(*changed), Merge(asked, change));
  EXPECT_EQ(*NetworkOf(Stored(id)), Merge(asked, change));
  EXPECT_THAT(Set("allow4"), HasSubstr("1.1.1.1"));
  EXPECT_THAT(Set("deny4"), AllOf(HasSubstr("8.8.8.8"), Not(HasSubstr("9.9.9.0"))));
  EXPECT_THAT(Set("deny6"), HasSubstr("2606:4700::"));
  EXPECT_THAT(Queues(), AllOf(HasSubstr("rate 2Mbit"), Not(HasSubstr("rate 1Mbit"))));
  EXPECT_TRUE(HasEvent(id, "network", "intent"));
  EXPECT_TRUE(HasEvent(id, "network", "done"));
}

// That it has a network for its list does not mean that it may reach all.
TEST_F(NetworkChangeTest, AnAllowListAloneAllowsNothingElse) {
  const std::string id = CreateWith(Lists({"1.1.1.1"}, {}));
  EXPECT_TRUE(Stored(id).egress);
  EXPECT_EQ(NetworkOf(Stored(id))->allow_internet_access, false);
  EXPECT_THAT(Set("allow4"), HasSubstr("1.1.1.1"));
  EXPECT_THAT(Set("deny4"), HasSubstr("0.0.0.0"));
  EXPECT_THAT(Set("deny6"), HasSubstr("::"));
  Network change;
  change.upload_kbps = 1000;
  ASSERT_TRUE(manager_->SetNetwork(kTenant, id, change));
  EXPECT_THAT(Set("deny4"), HasSubstr("0.0.0.0"));
}

TEST_F(NetworkChangeTest, WhatCannotBeStoredIsNotDone) {
  const std::string id = CreateWith(Lists({}, {"9.9.9.9"}));
  const auto before = Set("deny4");
  store_->Set([](const std::string& call, SandboxState) -> std::optional<Error> {
    if (call != "update") return std::nullopt;
    return Error{Code::kResourceExhausted, "the disk is full", {}};
  });
  const auto changed = manager_->SetNetwork(kTenant, id, Lists({"1.1.1.1"}, {}));
  EXPECT_EQ(changed.error().code, Code::kResourceExhausted);
  store_->Set({});
  EXPECT_EQ(Set("deny4"), before);
  EXPECT_EQ(*NetworkOf(*manager_->Get(kTenant, id)), *NetworkOf(Stored(id)));
  EXPECT_EQ(NetworkOf(Stored(id))->deny_out, std::vector<std::string>{"9.9.9.9"});
}

TEST_F(NetworkChangeTest, WhatTheKernelRefusesIsNotRecorded) {
  const std::string id = CreateWith(Lists({}, {"9.9.9.9"}));
  ASSERT_EQ(InSlot({"nft", "delete", "table", "inet", "wrenn"}), "");
  Network change = Lists({"1.1.1.1"}, {});
  change.upload_kbps = 1000;
  const auto changed = manager_->SetNetwork(kTenant, id, change);
  ASSERT_FALSE(changed);
  EXPECT_THAT(changed.error().message, HasSubstr("the network stays as it was"));
  EXPECT_THAT(Queues(), Not(HasSubstr("tbf")));
  for (const auto& record : {Stored(id), *manager_->Get(kTenant, id)}) {
    EXPECT_EQ(*NetworkOf(record), [] {
      Network before = Lists({}, {"9.9.9.9"});
      before.allow_internet_access = false;
      return before;
    }());
    EXPECT_EQ(record.state, SandboxState::kRunning);
  }
  EXPECT_TRUE(HasEvent(id, "network", "failed"));
}

// As a server leaves it that is killed between recording a policy and setting it.
TEST_F(NetworkChangeTest, TheNextServerSetsWhatIsRecorded) {
  const std::string id = CreateWith(Lists({}, {"9.9.9.9"}));
  manager_.reset();
  auto record = Stored(id);
  Network recorded = Lists({"1.1.1.1"}, {"8.8.8.8"});
  recorded.download_kbps = 2000;
  record.network = ToJson(recorded);
  ASSERT_TRUE(real_store_->UpdateSandbox(record, nullptr));
  EXPECT_THAT(Set("allow4"), Not(HasSubstr("1.1.1.1")));

  StartManager();
  EXPECT_EQ(manager_->Get(kTenant, id)->state, SandboxState::kRunning);
  EXPECT_THAT(Set("allow4"), HasSubstr("1.1.1.1"));
  EXPECT_THAT(Queues(), HasSubstr("rate 2Mbit"));
}

TEST_F(NetworkChangeTest, OnlyOfOneThatRuns) {
  const std::string id = CreateWith({});
  EXPECT_TRUE(manager_->SetNetwork(kTenant, id, {}));  // no change
  EXPECT_EQ(Stored(id).version, manager_->Get(kTenant, id)->version);
  EXPECT_EQ(manager_->SetNetwork("other", id, {}).error().code, Code::kNotFound);
  ASSERT_TRUE(manager_->Stop(kTenant, id, "asked to"));
  const auto changed = manager_->SetNetwork(kTenant, id, Lists({"1.1.1.1"}, {}));
  EXPECT_EQ(changed.error().code, Code::kAborted);
  EXPECT_EQ(Stored(id).network, (json::object{{"allow_internet_access", false}}));
}

class NoSlotTest : public ManagerFixture {};

TEST_F(NoSlotTest, WithoutASlotNothingIsChanged) {
  StartManager();
  const std::string id = Create();
  const auto changed = manager_->SetNetwork(kTenant, id, Lists({"1.1.1.1"}, {}));
  EXPECT_EQ(changed.error().code, Code::kFailedPrecondition);
  EXPECT_THAT(changed.error().message, HasSubstr("run it as root"));
  EXPECT_EQ(Stored(id).network, (json::object{{"allow_internet_access", false}}));
  EXPECT_FALSE(HasEvent(id, "network", "intent"));
}

// What is recorded goes on into snapshots and from there.
TEST_F(NoSlotTest, ASnapshotHasThePolicy) {
  StartManager();
  const std::string id = Create();
  manager_.reset();
  auto record = Stored(id);
  record.network = {{"max_connections", 0}, {"allow_out", json::array()}};
  ASSERT_TRUE(real_store_->UpdateSandbox(record, nullptr));
  StartManager();
  ASSERT_TRUE(manager_->Pause(kTenant, id, "asked to"));
  const auto manifest = snapshot::Open(config_.paths.Snapshot(Stored(id).snapshot));
  ASSERT_TRUE(manifest);
  EXPECT_EQ(manifest->network, record.network);
  const auto children = manager_->Fork(kTenant, id, 1);
  ASSERT_TRUE(children) << children.error().ToString();
  EXPECT_EQ(children->at(0).network, record.network);
}

}  // namespace
}  // namespace wrenn::sandbox
