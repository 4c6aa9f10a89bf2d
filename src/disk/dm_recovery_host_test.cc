#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <optional>
#include <thread>

#include "disk/dm_snapshot_host_fixture.h"

namespace wrenn::disk {
namespace {

class DmRecoveryTest : public DmSnapshotTest {
 protected:
  // Runs `body` in a process that kills itself at the end of `step`. False when it did not.
  template <typename Body>
  bool KilledAt(const std::string& step, Body body) {
    const pid_t child = ::fork();
    if (child == 0) {
      auto mortal = DmSnapshots::Open(dir_->path(), [&](const std::string&, std::string_view now) {
        if (now == step) ::kill(::getpid(), SIGKILL);
      });
      ::_exit(mortal && body(**mortal) ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }

  Status WriteAndRemove(DmSnapshots& snapshots, const Layer& layer) {
    ASSIGN_OR_RETURN(DmSnapshot disk, snapshots.Attach("sb-1", PathOf(layer), base_));
    RETURN_IF_ERROR(Write(disk.path(), "kept", 4096));
    return disk.Remove(Soon());
  }

  // After a fault: everything can be removed, and the file be used.
  void ExpectRecovery(const Layer& layer) {
    const Status removed = snapshots_->RemoveStale({}, Soon());
    EXPECT_TRUE(removed) << removed.error().ToString();
    EXPECT_EQ(ListHost(), before_);
    auto disk = Attach("sb-1", layer);
    ASSERT_TRUE(disk);
    EXPECT_EQ(Read(disk->path(), 1), "a");
    EXPECT_TRUE(disk->Remove(Soon()));
  }

  // A file system of 12 MiB, for disks that want 30 from now on.
  void MountSmall(const std::string& small) {
    ASSERT_TRUE(os::MakeDirectory(small));
    ASSERT_EQ(::mount("none", small.c_str(), "tmpfs", 0, "size=12m"), 0);
    ::unlink(base_.c_str());
    MakeBase(base_, 30 * kMiB);
    digest_ = os::Sha256File(base_).value();
  }
};

TEST_F(DmRecoveryTest, DM_KilledAtEachStepOfAttaching) {
  for (const char* step : {"changes", "origin", "device", "table", "active", "node"}) {
    SCOPED_TRACE(step);
    const Layer layer = Make();
    ASSERT_TRUE(KilledAt(step, [&](DmSnapshots& mortal) {
      return mortal.Attach("sb-1", PathOf(layer), base_).has_value();
    }));
    ExpectRecovery(layer);
  }
}

TEST_F(DmRecoveryTest, DM_KilledAtEachStepOfTakingDown) {
  for (const char* step : {"device-gone", "changes-gone", "origin-gone"}) {
    SCOPED_TRACE(step);
    const Layer layer = Make();
    ASSERT_TRUE(KilledAt(
        step, [&](DmSnapshots& mortal) { return WriteAndRemove(mortal, layer).has_value(); }));
    EXPECT_EQ(ListHost(), before_);  // nothing to recover even
    ExpectRecovery(layer);
    auto disk = Attach("sb-1", layer);
    ASSERT_TRUE(disk);
    EXPECT_EQ(Read(disk->path(), 4, 4096), "kept");
    EXPECT_TRUE(disk->Remove(Soon()));
  }
}

TEST_F(DmRecoveryTest, DM_AdoptsWhatAnotherServerHasLeft) {
  const Layer layer = Make();
  const Layer other = Make();
  ASSERT_TRUE(KilledAt("node", [&](DmSnapshots& mortal) {
    return mortal.Attach("sb-1", PathOf(layer), base_).has_value();
  }));
  EXPECT_EQ(*snapshots_->Ids(), std::vector<std::string>{"sb-1"});
  EXPECT_EQ(snapshots_->Adopt("sb-1", PathOf(other), base_).error().code, Code::kNotFound);
  MakeBase(base_ + "2", 8 * kMiB);
  EXPECT_EQ(snapshots_->Adopt("sb-1", PathOf(layer), base_ + "2").error().code, Code::kNotFound);
  EXPECT_EQ(snapshots_->Adopt("sb-2", PathOf(layer), base_).error().code, Code::kNotFound);

  ::unlink("/dev/mapper/wrenn-sb-1");
  auto disk = snapshots_->Adopt("sb-1", PathOf(layer), base_);
  ASSERT_TRUE(disk) << disk.error().ToString();
  ASSERT_TRUE(Write(disk->path(), "mine now", 0));
  auto beside = Attach("sb-2", other);
  ASSERT_TRUE(beside);
  EXPECT_EQ(snapshots_->origins(), 1u);
  EXPECT_TRUE(snapshots_->RemoveStale({"sb-1", "sb-2"}, Soon()));
  EXPECT_EQ(Read(disk->path(), 8), "mine now");
  EXPECT_TRUE(disk->Remove(Soon()));
  EXPECT_TRUE(beside->Remove(Soon()));
}

TEST_F(DmRecoveryTest, DM_HeldIoGoesOn) {
  const Layer layer = Make();
  for (const bool adopt : {true, false}) {
    SCOPED_TRACE(adopt);
    ASSERT_TRUE(KilledAt("suspended", [&](DmSnapshots& mortal) {
      auto disk = mortal.Attach("sb-1", PathOf(layer), base_);
      if (disk && disk->Suspend()) ::kill(::getpid(), SIGKILL);
      return false;
    }));
    std::optional<DmSnapshot> disk;
    const std::string node = os::DeviceMapper::NodePath("wrenn-sb-1");
    std::thread user([&] { EXPECT_TRUE(Write(node, "held", 0)); });
    ::usleep(50000);  // so that it probably waits; right in any case
    if (adopt) {
      auto adopted = snapshots_->Adopt("sb-1", PathOf(layer), base_);
      ASSERT_TRUE(adopted) << adopted.error().ToString();
      user.join();
      EXPECT_TRUE(adopted->Remove(Soon()));
    } else {
      EXPECT_TRUE(snapshots_->Clear("sb-1", Soon()));
      user.join();
    }
  }
}

TEST_F(DmRecoveryTest, DM_LeavesOtherServersAlone) {
  auto disk = Attach("sb-1", Make());
  ASSERT_TRUE(disk);
  ASSERT_TRUE(os::MakeDirectory(dir_->path() + "/other"));
  auto other = DmSnapshots::Open(dir_->path() + "/other");
  ASSERT_TRUE(other);
  EXPECT_TRUE((*other)->Ids()->empty());
  EXPECT_TRUE((*other)->RemoveStale({}, Soon()));
  EXPECT_EQ((*other)->Clear("sb-1", Soon()).error().code, Code::kFailedPrecondition);
  EXPECT_TRUE((*other)->Clear("sb-2", Soon()));
  EXPECT_EQ(Read(disk->path(), 1), "a");
}

TEST_F(DmRecoveryTest, DM_AFullFileSystemEndsTheDiskAndSaysSo) {
  const std::string small = dir_->path() + "/small";
  ASSERT_NO_FATAL_FAILURE(MountSmall(small));
  const Layer layer = Make(0, small);
  auto disk = snapshots_->Attach("sb-1", small + "/" + layer.name, base_);
  ASSERT_TRUE(disk) << disk.error().ToString();
  auto neighbour = Attach("sb-2", Make());
  ASSERT_TRUE(neighbour);

  UniqueFd user(::open(disk->path().c_str(), O_RDWR | O_CLOEXEC));
  uint64_t written = 0;
  uint64_t free = 0;
  while (written < 30 * kMiB) {
    const uint64_t left = os::FreeDiskBytes(small).value();
    const bool good =
        WriteAt(user.get(), std::string(256 << 10, 'w'), written) && ::fsync(user.get()) == 0;
    if (!good) break;
    EXPECT_EQ(disk->State()->failure, "");
    free = left;
    written += 256 << 10;
  }
  RecordProperty("written_kib", static_cast<int>(written >> 10));
  // Free space tells to the last: there was room for what could be written, and no more.
  EXPECT_GT(written, 10 * kMiB);
  EXPECT_LT(written, 12 * kMiB);
  EXPECT_LT(free, kMiB);
  EXPECT_NE(disk->State()->failure.find("file system is full"), std::string::npos);
  char byte = 0;
  EXPECT_LT(::pread(user.get(), &byte, 1, 29 * kMiB), 0);  // what was never written is gone as well
  ASSERT_TRUE(Write(neighbour->path(), "unharmed", 0));
  EXPECT_TRUE(neighbour->Remove(Soon()));
  user.Reset();
  EXPECT_TRUE(disk->Remove(Soon()));
  EXPECT_EQ(snapshots_->Attach("sb-1", small + "/" + layer.name, base_).error().code,
            Code::kDataLoss);
  const UniqueFd file(::open((small + "/" + layer.name).c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(ReadCowHeader(file.get()).error().code, Code::kDataLoss);
}

TEST_F(DmRecoveryTest, DM_HeldBeforeTheFileSystemIsFullNothingIsLost) {
  const std::string small = dir_->path() + "/small";
  ASSERT_NO_FATAL_FAILURE(MountSmall(small));
  const Layer layer = Make(0, small);
  auto disk = snapshots_->Attach("sb-1", small + "/" + layer.name, base_);
  ASSERT_TRUE(disk);
  const std::string content(20 * kMiB, 'w');
  std::thread writer([&] {
    const UniqueFd fd(::open(disk->path().c_str(), O_WRONLY | O_CLOEXEC));
    for (size_t at = 0; at < content.size(); at += 64 << 10) {
      EXPECT_TRUE(WriteAt(fd.get(), std::string_view(content).substr(at, 64 << 10), at));
      EXPECT_EQ(::fdatasync(fd.get()), 0);
    }
  });
  const Deadline deadline = Soon();
  while (os::FreeDiskBytes(small).value() > 4 * kMiB && !deadline.HasPassed()) ::usleep(1000);
  EXPECT_TRUE(disk->Hold());
  EXPECT_EQ(disk->State()->failure, "");
  EXPECT_GT(os::FreeDiskBytes(small).value(), kMiB);
  // Room is made.
  EXPECT_EQ(::mount("none", small.c_str(), "tmpfs", MS_REMOUNT, "size=40m"), 0);
  EXPECT_TRUE(disk->Resume());
  writer.join();
  EXPECT_EQ(disk->State()->failure, "");
  EXPECT_TRUE(Read(disk->path(), content.size()) == content);
  EXPECT_TRUE(disk->Remove(Soon()));
}

}  // namespace
}  // namespace wrenn::disk
