// What a killed build leaves, and its removal.
#include "template/workspace.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>

#include "os/process.h"
#include "template/build_fixture.h"

namespace wrenn::template_ {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

using WorkspaceTest = BuildFixture;

TEST_F(WorkspaceTest, AKilledBuildIsInvisibleAndCleanedUp) {
  for (const char* moment : {"laying out files", "writing the root file system", "checking"}) {
    const int status = InChild([&] {
      (void)BuildMinimal(false, [&](int, int, const std::string& what) {
        if (what.starts_with(moment)) ::raise(SIGKILL);
      });
      return 0;
    });
    ASSERT_TRUE(WIFSIGNALED(status)) << moment;
    EXPECT_THAT(Names(paths_.Images()), IsEmpty()) << moment;
    EXPECT_FALSE(store_->FindTemplate(store::kDefaultTenant, "minimal")) << moment;
    EXPECT_THAT(Leftovers(), SizeIs(2)) << moment;  // folder and lock
    EXPECT_THAT(CleanTemporary(paths_), IsEmpty());
    EXPECT_THAT(Leftovers(), IsEmpty()) << moment;
  }
  const auto built = BuildMinimal();
  EXPECT_TRUE(built) << built.error().ToString();
}

TEST_F(WorkspaceTest, CleaningSparesTheLiving) {
  const auto workspace = Workspace::Make(paths_);
  ASSERT_TRUE(workspace);
  EXPECT_THAT(CleanTemporary(paths_), IsEmpty());
  EXPECT_TRUE(os::Exists(workspace->path()));
}

TEST_F(WorkspaceTest, CleaningSparesWhatAKilledBuildsProgramsStillUse) {
  const std::string folder = paths_.Temporary() + "/build-0123";
  std::optional<os::Process> program;
  {
    const auto lock = os::FileLock::Acquire(folder + ".lock");
    ASSERT_TRUE(lock);
    ASSERT_TRUE(os::MakeDirectory(folder));
    os::SpawnOptions options;
    options.argv = {"sleep", "60"};
    options.pass_fds = {lock->fd()};
    auto spawned = os::Process::Spawn(options);
    ASSERT_TRUE(spawned);
    program = std::move(*spawned);
  }
  EXPECT_THAT(CleanTemporary(paths_), IsEmpty());
  EXPECT_TRUE(os::Exists(folder));
  ASSERT_TRUE(program->Kill(Deadline::After(std::chrono::seconds(10))));
  EXPECT_THAT(CleanTemporary(paths_), IsEmpty());
  EXPECT_FALSE(os::Exists(folder));
  EXPECT_FALSE(os::Exists(folder + ".lock"));
}

TEST_F(WorkspaceTest, CleaningUnmountsWhatAKilledBuildMounted) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to mount";
  const std::string tree = paths_.Temporary() + "/build-0123/tree";
  ASSERT_TRUE(os::MakeDirectories(tree + "/dev"));
  const int status = InChild([&] {
    if (::unshare(CLONE_NEWNS) < 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0 ||
        ::mount("dev", (tree + "/dev").c_str(), "tmpfs", 0, "size=1m") < 0) {
      return 77;
    }
    if (!os::MakeDirectory(tree + "/dev/shm")) return 1;
    if (::mount("shm", (tree + "/dev/shm").c_str(), "tmpfs", 0, "size=1m") < 0) return 1;
    if (!CleanTemporary(paths_).empty()) return 2;
    return Leftovers().empty() ? 0 : 3;
  });
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "no mount namespace here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(WorkspaceTest, CleaningTellsWhatItCannotRemove) {
  ASSERT_TRUE(os::MakeDirectory(paths_.Temporary() + "/build-0123.lock"));  // cannot be locked
  EXPECT_THAT(CleanTemporary(paths_), SizeIs(1));
}

}  // namespace
}  // namespace wrenn::template_
