// Machines that end by themselves.
#include "sandbox/manager_fixture.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;

class ExitTest : public ManagerFixture {
 protected:
  void SetUp() override {
    ManagerFixture::SetUp();
    StartManager();
  }
};

TEST_F(ExitTest, AnEndByItselfIsRecordedWithItsReason) {
  const std::string crashed = Create();
  engine_->Find(crashed)->End({"VMM killed by signal 11", false});
  ASSERT_TRUE(WaitForState(crashed, SandboxState::kError));
  EXPECT_EQ(Stored(crashed).reason, "VMM killed by signal 11");
  EXPECT_TRUE(Stored(crashed).ended_at);
  const auto events = manager_->Events(kTenant, crashed);
  EXPECT_EQ(events->back().kind, "exit");
  EXPECT_EQ(events->back().details.at("console").as_string(), "hello from ? the guest\n");

  const std::string clean = Create();
  engine_->Find(clean)->End({"guest shut down", true});
  ASSERT_TRUE(WaitForState(clean, SandboxState::kStopped));
  EXPECT_EQ(Stored(clean).reason, "guest shut down");
  EXPECT_TRUE(WaitFor([&] { return manager_->totals().sandboxes == 0; }));
  EXPECT_TRUE(RuntimeFolders().empty());
  EXPECT_EQ(Folders().size(), 2u);
}

// Between a machine's end and the executor's turn nobody is told that it runs.
TEST_F(ExitTest, AnEndThatIsNotRecordedYetIsToldAsItWillBe) {
  const std::string id = Create();
  store::SandboxRecord expected;
  std::string refusal;
  // Called on its executor.
  store_->Set([&](const std::string&, SandboxState state) -> std::optional<Error> {
    if (state != SandboxState::kRunning) return std::nullopt;
    engine_->Find(id)->End({"VMM killed by signal 9", false});
    expected = manager_->GetAfterLoss(kTenant, id).value_or(store::SandboxRecord());
    const auto lease = manager_->Use(kTenant, id);
    if (!lease && lease.error().code == Code::kAborted) refusal = lease.error().message;
    return std::nullopt;
  });
  EXPECT_TRUE(manager_->Ping(kTenant, id, 60));
  EXPECT_EQ(expected.state, SandboxState::kError);
  EXPECT_EQ(expected.reason, "VMM killed by signal 9");
  EXPECT_EQ(refusal, fmt::format("sandbox '{}' has just ended: VMM killed by signal 9", id));
  ASSERT_TRUE(WaitForState(id, SandboxState::kError));
  EXPECT_EQ(Stored(id).reason, "VMM killed by signal 9");
}

TEST_F(ExitTest, RecordsAndJournalHoldNoPathOfTheHost) {
  const std::string id = Create();
  const std::string path = config_.paths.Sandbox(id) + "/disk.qcow2";
  engine_->Find(id)->End({"the VMM ended: cannot open '" + path + "'", false});
  ASSERT_TRUE(WaitForState(id, SandboxState::kError));
  EXPECT_EQ(Stored(id).reason, "the VMM ended: cannot open 'disk.qcow2'");
  EXPECT_EQ(manager_->Events(kTenant, id)->back().message, Stored(id).reason);
}

}  // namespace
}  // namespace wrenn::sandbox
