#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include <SQLiteCpp/SQLiteCpp.h>

#include "os/files.h"
#include "store/conformance_test.h"
#include "store/sqlite_schema.h"

namespace wrenn::store {
namespace {

class SqliteTestDatabase : public TestDatabase {
 public:
  explicit SqliteTestDatabase(os::TemporaryDirectory folder) : folder_(std::move(folder)) {}
  std::unique_ptr<Store> Open() override {
    auto store = OpenSqlite(folder_.path() + "/wrenn.db");
    EXPECT_TRUE(store) << store.error().ToString();
    return store ? std::move(*store) : nullptr;
  }

 private:
  os::TemporaryDirectory folder_;
};

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreConformanceTest,
                         ::testing::Values(StoreBackend{
                             "sqlite",
                             []() -> std::unique_ptr<TestDatabase> {
                               auto folder = os::TemporaryDirectory::Make();
                               if (!folder) return nullptr;
                               return std::make_unique<SqliteTestDatabase>(std::move(*folder));
                             }}),
                         [](const auto& test) { return test.param.name; });

class SqliteStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto folder = os::TemporaryDirectory::Make();
    ASSERT_TRUE(folder);
    folder_.emplace(std::move(*folder));
    path_ = folder_->path() + "/wrenn.db";
  }

  std::optional<os::TemporaryDirectory> folder_;
  std::string path_;
};

SandboxRecord Record(const std::string& id) {
  SandboxRecord record;
  record.id = id;
  return record;
}

EventRecord Event(const std::string& id) {
  EventRecord event;
  event.sandbox_id = id;
  event.kind = "create";
  return event;
}

TEST_F(SqliteStoreTest, IsForItsOwnerAlone) {
  auto store = OpenSqlite(path_);
  ASSERT_TRUE(store) << store.error().ToString();
  SandboxRecord record = Record("sb-a");
  ASSERT_TRUE((*store)->AddSandbox(record, Event("sb-a")));
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) {
    struct stat status{};
    ASSERT_EQ(::stat((path_ + suffix).c_str(), &status), 0) << suffix;
    EXPECT_EQ(status.st_mode & 0777, 0600u) << suffix;
  }
}

TEST_F(SqliteStoreTest, RefusesADatabaseOfANewerProgram) {
  ASSERT_TRUE(OpenSqlite(path_));
  SQLite::Database(path_, SQLite::OPEN_READWRITE)
      .exec(fmt::format("PRAGMA user_version = {}", kSchemaVersion + 1));
  const auto store = OpenSqlite(path_);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, Code::kFailedPrecondition);
  EXPECT_NE(store.error().message.find("newer wrenn"), std::string::npos) << store.error().message;
}

TEST_F(SqliteStoreTest, SaysThatAFileIsNoDatabase) {
  std::ofstream(path_) << "this is certainly not an SQLite database, and it is long enough to tell";
  const auto store = OpenSqlite(path_);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, Code::kDataLoss) << store.error().ToString();
}

TEST_F(SqliteStoreTest, SaysThatARecordIsDamaged) {
  auto store = OpenSqlite(path_);
  ASSERT_TRUE(store);
  SandboxRecord record = Record("sb-a");
  ASSERT_TRUE((*store)->AddSandbox(record, Event("sb-a")));
  SQLite::Database(path_, SQLite::OPEN_READWRITE).exec("UPDATE sandboxes SET envs = '[1'");
  EXPECT_EQ((*store)->GetSandbox("sb-a").error().code, Code::kDataLoss);
  SQLite::Database(path_, SQLite::OPEN_READWRITE)
      .exec("UPDATE sandboxes SET envs = '{}', state = 'dancing'");
  EXPECT_EQ((*store)->GetSandbox("sb-a").error().code, Code::kDataLoss);
  EXPECT_TRUE((*store)->RemoveSandbox("sb-a"));
}

TEST_F(SqliteStoreTest, AFolderThatIsMissingOrClosedIsAPlainError) {
  const auto store = OpenSqlite(folder_->path() + "/absent/wrenn.db");
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, Code::kNotFound) << store.error().ToString();
}

TEST_F(SqliteStoreTest, ItsFolderMayBeBelowALinkButItMayNotBeOne) {
  ASSERT_TRUE(os::MakeDirectory(folder_->path() + "/real"));
  ASSERT_EQ(::symlink("real", (folder_->path() + "/link").c_str()), 0);
  EXPECT_TRUE(OpenSqlite(folder_->path() + "/link/wrenn.db"));
  ASSERT_EQ(::symlink("real/wrenn.db", path_.c_str()), 0);
  EXPECT_EQ(OpenSqlite(path_).error().code, Code::kPermissionDenied);
}

TEST_F(SqliteStoreTest, ManyThreadsMayOpenANewDatabaseAtOnce) {
  constexpr int kThreads = 8;
  std::vector<Result<std::unique_ptr<Store>>> stores;
  for (int i = 0; i < kThreads; ++i) stores.emplace_back(nullptr);
  std::vector<std::thread> threads;
  for (auto& slot : stores) {
    threads.emplace_back([&] { slot = OpenSqlite(path_); });
  }
  for (auto& thread : threads) thread.join();
  for (size_t i = 0; i < stores.size(); ++i) {
    ASSERT_TRUE(stores[i]) << stores[i].error().ToString();
    SandboxRecord record = Record("sb-" + std::to_string(i));
    EXPECT_TRUE((*stores[i])->AddSandbox(record, Event(record.id)));
  }
  EXPECT_EQ(stores[0].value()->ListAllSandboxes()->size(), static_cast<size_t>(kThreads));
}

// What a process that is killed in the middle of its writes has stored is there, and nothing else.
TEST_F(SqliteStoreTest, KeepsWhatItPromisedWhenItsProcessIsKilled) {
  ASSERT_TRUE(OpenSqlite(path_));
  int pipe_fds[2];
  ASSERT_EQ(::pipe(pipe_fds), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto store = OpenSqlite(path_);
    for (int i = 0; store && i < 1'000'000; ++i) {
      SandboxRecord record = Record("sb-" + std::to_string(i));
      if (!(*store)->AddSandbox(record, Event(record.id))) break;
      if (::write(pipe_fds[1], &i, sizeof i) != sizeof i) break;
    }
    ::_exit(1);
  }
  ::close(pipe_fds[1]);
  int promised = -1;
  while (promised < 50 && ::read(pipe_fds[0], &promised, sizeof promised) == sizeof promised) {
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  while (::read(pipe_fds[0], &promised, sizeof promised) == sizeof promised) {
  }
  ::close(pipe_fds[0]);
  ASSERT_GE(promised, 50);

  auto store = OpenSqlite(path_);
  ASSERT_TRUE(store) << store.error().ToString();
  const auto records = (*store)->ListAllSandboxes();
  ASSERT_TRUE(records);
  // The one whose promise did not get through the pipe any more may be there too.
  EXPECT_GE(records->size(), static_cast<size_t>(promised + 1));
  EXPECT_LE(records->size(), static_cast<size_t>(promised + 2));
  for (const auto& record : *records) {
    EXPECT_EQ((*store)->ListEvents(record.id, 10)->size(), 1u);
  }
}

TEST_F(SqliteStoreTest, AWriterWaitsForAnotherProcessAndAReaderDoesNot) {
  auto store = OpenSqlite(path_);
  auto reader = OpenSqlite(path_);
  ASSERT_TRUE(store);
  ASSERT_TRUE(reader);
  SQLite::Database other(path_, SQLite::OPEN_READWRITE);
  std::optional<SQLite::Transaction> transaction(std::in_place, other,
                                                 SQLite::TransactionBehavior::IMMEDIATE);
  std::thread writer([&] {
    SandboxRecord record = Record("sb-a");
    EXPECT_TRUE((*store)->AddSandbox(record, Event("sb-a")));
  });
  EXPECT_TRUE((*reader)->ListAllSandboxes()->empty());
  transaction.reset();
  writer.join();
  EXPECT_EQ((*reader)->ListAllSandboxes()->size(), 1u);
}

// Puts a file system of 512 KiB on the folder, in a mount namespace of the calling process.
bool MountSmallDisk(const std::string& folder) {
  const uid_t uid = ::getuid();
  const gid_t gid = ::getgid();
  if (::unshare(uid == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
  if (uid != 0) {
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << uid << ' ' << uid << " 1";
    std::ofstream("/proc/self/gid_map") << gid << ' ' << gid << " 1";
  }
  return ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("none", folder.c_str(), "tmpfs", 0, "size=512k") == 0;
}

// Runs in a mount namespace of its own, so that the small file system goes with the child.
TEST_F(SqliteStoreTest, SaysThatTheDiskIsFullAndStaysUsable) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (!MountSmallDisk(folder_->path())) ::_exit(77);
    auto store = OpenSqlite(path_);
    if (!store) ::_exit(1);
    SandboxRecord first = Record("sb-first");
    if (!(*store)->AddSandbox(first, Event("sb-first"))) ::_exit(2);
    const std::string ballast_path = folder_->path() + "/ballast";
    {
      std::ofstream ballast(ballast_path);
      const std::string block(4096, 'x');
      while (ballast.write(block.data(), 4096).flush()) {
      }
    }
    Status added;
    for (int i = 0; i < 1000 && added; ++i) {
      SandboxRecord record = Record("sb-" + std::to_string(i));
      record.reason.assign(4000, 'r');
      added = (*store)->AddSandbox(record, Event(record.id));
    }
    if (added || added.error().code != Code::kResourceExhausted) ::_exit(3);
    if (!(*store)->GetSandbox("sb-first")) ::_exit(4);
    ::unlink(ballast_path.c_str());
    SandboxRecord last = Record("sb-last");
    if (!(*store)->AddSandbox(last, Event("sb-last"))) ::_exit(5);
    if (!(*store)->RemoveSandbox("sb-first")) ::_exit(6);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "needs a user namespace to mount a tmpfs in";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace wrenn::store
