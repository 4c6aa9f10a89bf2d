#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include "api/keys.h"
#include "base/io.h"
#include "os/files.h"
#include "server/first_key.h"
#include "server/root_lock.h"

namespace wrenn::server {
namespace {

class Root : public testing::Test {
 protected:
  void SetUp() override {
    auto directory = os::TemporaryDirectory::Make();
    ASSERT_TRUE(directory);
    directory_ = std::make_unique<os::TemporaryDirectory>(std::move(*directory));
    paths_.root = directory_->path();
    paths_.runtime = paths_.root + "/run";
    ASSERT_TRUE(paths_.Prepare());
    auto store = store::OpenSqlite(paths_.Database());
    ASSERT_TRUE(store);
    store_ = std::move(*store);
  }

  std::unique_ptr<os::TemporaryDirectory> directory_;
  os::Paths paths_;
  std::unique_ptr<store::Store> store_;
};

TEST_F(Root, OnlyOneServerHasIt) {
  EXPECT_FALSE(RunningServer(paths_));
  {
    const auto lock = RootLock::Acquire(paths_);
    ASSERT_TRUE(lock) << lock.error().message;
    EXPECT_EQ(RunningServer(paths_)->pid, ::getpid());
    const auto second = RootLock::Acquire(paths_);
    ASSERT_FALSE(second);
    EXPECT_NE(second.error().message.find("pid " + std::to_string(::getpid())), std::string::npos);
    EXPECT_NE(second.error().message.find("wrenn serve --stop"), std::string::npos);
  }
  const auto none = RunningServer(paths_);
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("'wrenn serve' starts one"), std::string::npos);
}

TEST_F(Root, TellsWhereItsServerAnswers) {
  auto lock = RootLock::Acquire(paths_);
  ASSERT_TRUE(lock) << lock.error().message;
  EXPECT_EQ(RunningServer(paths_)->url, "");
  ASSERT_TRUE(lock->Announce("[::1]:8080"));
  EXPECT_EQ(RunningServer(paths_)->pid, ::getpid());
  EXPECT_EQ(RunningServer(paths_)->url, "http://[::1]:8080");
}

TEST_F(Root, OnlyOneServerHasTheRuntimeFolder) {
  const os::Paths other{.root = paths_.root + "/other", .runtime = paths_.runtime};
  ASSERT_TRUE(other.Prepare());
  {
    const auto lock = RootLock::Acquire(paths_);
    ASSERT_TRUE(lock) << lock.error().message;
    const auto second = RootLock::Acquire(other);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::kFailedPrecondition);
    EXPECT_NE(second.error().message.find("'" + paths_.root + "'"), std::string::npos);
    EXPECT_NE(second.error().message.find("--runtime"), std::string::npos);
    EXPECT_FALSE(RunningServer(other));
  }
  EXPECT_TRUE(RootLock::Acquire(other));
}

TEST_F(Root, ARuntimeFolderWithSocketsStaysItsRoots) {
  const os::Paths other{.root = paths_.root + "/other", .runtime = paths_.runtime};
  ASSERT_TRUE(other.Prepare());
  ASSERT_TRUE(RootLock::Acquire(other));
  ASSERT_TRUE(os::MakeDirectory(other.SandboxRuntime("sb_1")));  // goes on without its server
  const auto refused = RootLock::Acquire(paths_);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("'" + other.root + "'"), std::string::npos);
  EXPECT_TRUE(RootLock::Acquire(other));
  // What a root leaves that is gone is nobody's.
  ASSERT_TRUE(os::RemoveTree(other.root));
  EXPECT_TRUE(RootLock::Acquire(paths_));
}

TEST_F(Root, APidThatACrashLeftMeansNothing) {
  ASSERT_TRUE(WriteFileAtomically(paths_.PidFile(), "1\n", 0600));
  EXPECT_FALSE(RunningServer(paths_));
  EXPECT_TRUE(RootLock::Acquire(paths_));
}

TEST_F(Root, TheFirstKeyIsMadeOnceAndSecret) {
  EXPECT_TRUE(*EnsureKey(paths_, *store_));
  struct stat info{};
  ASSERT_EQ(::stat(paths_.KeyFile().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const auto key = api::ReadKeyFile(paths_.KeyFile());
  ASSERT_TRUE(key);
  EXPECT_TRUE(store_->FindKey(api::HashKey(*key)));
  EXPECT_FALSE(*EnsureKey(paths_, *store_));
  EXPECT_EQ(store_->ListKeys(store::kDefaultTenant)->size(), 1u);
}

TEST_F(Root, ANewStoreTakesTheKeyThatIsThere) {
  const std::string key = api::MakeKey();
  ASSERT_TRUE(WriteFileAtomically(paths_.KeyFile(), key + "\n", 0600));
  EXPECT_FALSE(*EnsureKey(paths_, *store_));
  EXPECT_TRUE(store_->FindKey(api::HashKey(key)));
}

TEST_F(Root, ARevokedKeyStaysRevoked) {
  ASSERT_TRUE(EnsureKey(paths_, *store_));
  const auto keys = store_->ListKeys(store::kDefaultTenant);
  ASSERT_TRUE(store_->AddKey(api::MakeKeyRecord(api::MakeKey(), "other")));
  ASSERT_TRUE(store_->RemoveKey(keys->at(0).id));
  EXPECT_FALSE(*EnsureKey(paths_, *store_));
  EXPECT_FALSE(store_->FindKey(keys->at(0).hash));
}

TEST_F(Root, AKeyFileThatHoldsSomethingElseIsSaid) {
  ASSERT_TRUE(WriteFileAtomically(paths_.KeyFile(), "hello\n", 0600));
  EXPECT_FALSE(EnsureKey(paths_, *store_));
}

}  // namespace
}  // namespace wrenn::server
