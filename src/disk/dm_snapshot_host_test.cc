#include "disk/dm_snapshot.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cstdlib>
#include <optional>
#include <thread>

#include "disk/dm_snapshot_host_fixture.h"

namespace wrenn::disk {
namespace {

TEST_F(DmSnapshotTest, DM_IsADiskOverItsBase) {
  const Layer layer = Make(20 * kMiB);
  auto disk = Attach("sb-1", layer);
  ASSERT_TRUE(disk);
  EXPECT_EQ(disk->path(), "/dev/mapper/wrenn-sb-1");
  struct stat info;
  ASSERT_EQ(::stat(disk->path().c_str(), &info), 0);
  EXPECT_EQ(info.st_rdev, disk->device());
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  std::string content = ReadFile(base_).value();
  content.resize(20 * kMiB);
  EXPECT_TRUE(Read(disk->path(), 21 * kMiB) == content);
  ASSERT_TRUE(Write(disk->path(), "over the base", 5000));
  ASSERT_TRUE(Write(disk->path(), "across its end", 8 * kMiB - 5));
  ASSERT_TRUE(Write(disk->path(), "behind it", 19 * kMiB));
  const auto state = disk->State();
  ASSERT_TRUE(state) << state.error().ToString();
  EXPECT_EQ(state->failure, "");
  EXPECT_EQ(state->allocated_bytes, 4 * kChunk);
  EXPECT_EQ(state->metadata_bytes, 2 * kChunk);
  EXPECT_LT(os::AllocatedBytes(PathOf(layer)), 64 << 10);
  content.replace(5000, 13, "over the base");
  content.replace(8 * kMiB - 5, 14, "across its end");
  content.replace(19 * kMiB, 9, "behind it");
  ASSERT_TRUE(disk->Remove(Soon()));
  EXPECT_FALSE(os::Exists(disk->path()));

  auto again = Attach("sb-2", layer);  // another id, say of a resumed sandbox
  ASSERT_TRUE(again);
  EXPECT_TRUE(Read(again->path(), 21 * kMiB) == content);
  EXPECT_TRUE(again->Remove(Soon()));
  EXPECT_TRUE(again->Remove(Soon()));  // harmless
}

TEST_F(DmSnapshotTest, DM_DisksOfABaseShareItsLoopDevice) {
  auto first = Attach("sb-1", Make());
  auto second = Attach("sb-2", Make());
  ASSERT_TRUE(first && second);
  EXPECT_EQ(snapshots_->origins(), 1u);
  EXPECT_EQ(ListHost().loops.size(), before_.loops.size() + 3);
  ASSERT_TRUE(Write(first->path(), "mine", 0));
  EXPECT_NE(Read(second->path(), 4), "mine");
  EXPECT_TRUE(first->Remove(Soon()));
  EXPECT_EQ(snapshots_->origins(), 1u);
  EXPECT_TRUE(second->Remove(Soon()));
  EXPECT_EQ(snapshots_->origins(), 0u);
}

TEST_F(DmSnapshotTest, DM_TakenDownFromAboveAndOnlyWhenNobodyUsesIt) {
  std::vector<std::string> steps;
  snapshots_ = Open([&](const std::string& id, std::string_view step) {
    EXPECT_EQ(id, "sb-1");
    steps.emplace_back(step);
  });
  auto disk = Attach("sb-1", Make());
  ASSERT_TRUE(disk);
  EXPECT_EQ(steps,
            (std::vector<std::string>{"changes", "origin", "device", "table", "active", "node"}));
  steps.clear();
  UniqueFd user(::open(disk->path().c_str(), O_RDWR | O_CLOEXEC));
  const auto refused = disk->Remove(Deadline::After(std::chrono::milliseconds(100)));
  EXPECT_EQ(refused.error().code, Code::kDeadlineExceeded);
  EXPECT_TRUE(steps.empty());  // the loop devices were not touched
  EXPECT_EQ(ListHost().loops.size(), before_.loops.size() + 2);
  ASSERT_TRUE(WriteAt(user.get(), "still there", 0));
  EXPECT_EQ(::fsync(user.get()), 0);
  std::thread closer([&] {
    ::usleep(100000);  // while the other thread waits
    user.Reset();
  });
  EXPECT_TRUE(disk->Remove(Soon()));
  closer.join();
  EXPECT_EQ(steps, (std::vector<std::string>{"device-gone", "changes-gone", "origin-gone"}));
}

TEST_F(DmSnapshotTest, DM_EndingTheObjectsLeavesTheDiskAlone) {
  std::optional<DmSnapshot> disk(std::move(*Attach("sb-1", Make())));
  const UniqueFd user(::open(disk->path().c_str(), O_RDWR | O_CLOEXEC));
  disk.reset();
  snapshots_ = Open();
  ASSERT_TRUE(WriteAt(user.get(), "goes on", 0));
  EXPECT_EQ(::fsync(user.get()), 0);
  EXPECT_EQ(*snapshots_->Ids(), std::vector<std::string>{"sb-1"});
}

TEST_F(DmSnapshotTest, DM_FiftyLivesLeaveNothing) {
  for (int i = 0; i < 50; ++i) {
    const Layer layer = Make();
    auto disk = Attach("sb-" + std::to_string(i), layer);
    ASSERT_TRUE(disk);
    ASSERT_TRUE(Write(disk->path(), std::string(64 << 10, 'w'), 1 * kMiB));
    ASSERT_TRUE(disk->Remove(Soon()));
    ASSERT_TRUE(RemoveLayers(dir_->path(), {layer}));
  }
  EXPECT_EQ(ListHost(), before_);
}

TEST_F(DmSnapshotTest, DM_AFileIsAttachedOnce) {
  const Layer layer = Make();
  auto disk = Attach("sb-1", layer);
  ASSERT_TRUE(disk);
  EXPECT_EQ(snapshots_->Attach("sb-2", PathOf(layer), base_).error().code,
            Code::kFailedPrecondition);
  EXPECT_EQ(snapshots_->Attach("sb-1", PathOf(Make()), base_).error().code, Code::kAlreadyExists);
  EXPECT_EQ(snapshots_->Attach("../x", PathOf(Make()), base_).error().code, Code::kInvalidArgument);
  EXPECT_EQ(*snapshots_->Ids(), std::vector<std::string>{"sb-1"});
  EXPECT_EQ(Read(disk->path(), 1), "a");  // and those that failed have not harmed it
}

TEST_F(DmSnapshotTest, DM_RefusesWhatDoesNotFit) {
  const Layer layer = Make();
  EXPECT_EQ(snapshots_->Attach("sb-1", PathOf(layer), base_ + "x").error().code, Code::kNotFound);
  EXPECT_EQ(snapshots_->Attach("sb-1", PathOf(layer) + "x", base_).error().code, Code::kNotFound);
  MakeBase(base_ + "2", 4 * kMiB);
  EXPECT_EQ(snapshots_->Attach("sb-1", PathOf(layer), base_ + "2").error().code, Code::kDataLoss);
  ASSERT_TRUE(Write(PathOf(layer), "garbage", 0));
  EXPECT_EQ(snapshots_->Attach("sb-1", PathOf(layer), base_).error().code, Code::kDataLoss);
  EXPECT_EQ(ListHost(), before_);
}

// With a number of chunks that fills its last area of metadata, and with ones beside it.
TEST_F(DmSnapshotTest, DM_TheStoreCannotOverflow) {
  for (const uint64_t chunks : {255, 256, 257, 512}) {
    SCOPED_TRACE(chunks);
    ::unlink(base_.c_str());
    MakeBase(base_, chunks * kChunk);
    digest_ = os::Sha256File(base_).value();
    const Layer layer = Make();
    auto disk = Attach("sb-1", layer);
    ASSERT_TRUE(disk);
    std::string content;
    for (uint64_t i = 0; i < chunks; ++i) content.append(kChunk, static_cast<char>('A' + i % 26));
    ASSERT_TRUE(Write(disk->path(), content, 0));
    const auto state = disk->State();
    ASSERT_TRUE(state);
    EXPECT_EQ(state->failure, "");
    EXPECT_LE(state->allocated_bytes, CowStoreBytes(chunks * kChunk));
    ASSERT_TRUE(disk->Remove(Soon()));
    auto again = Attach("sb-1", layer);
    ASSERT_TRUE(again);
    EXPECT_TRUE(Read(again->path(), content.size() + 1) == content);
    ASSERT_TRUE(again->Remove(Soon()));
  }
}

TEST_F(DmSnapshotTest, DM_ACopyOfTheChangesIsTheDiskOfThatMoment) {
  const Layer layer = Make(12 * kMiB + 512);
  auto disk = Attach("sb-1", layer);
  ASSERT_TRUE(disk);
  std::srand(11);
  for (int i = 0; i < 100; ++i) {
    const uint64_t offset = static_cast<uint64_t>(std::rand()) % (12 * kMiB - 20000);
    ASSERT_TRUE(Write(disk->path(), std::string(static_cast<size_t>(std::rand()) % 20000 + 1, 'W'),
                      offset));
  }
  UniqueFd user(::open(disk->path().c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(WriteAt(user.get(), "in the page cache only", 3 * kMiB));
  const std::string then = Read(disk->path(), 13 * kMiB);
  ASSERT_TRUE(disk->Suspend());
  const auto copy = CopyChanges(dir_->path(), layer, dir_->path(), 0);
  const auto larger = CopyChanges(dir_->path(), layer, dir_->path(), 20 * kMiB);
  ASSERT_TRUE(disk->Resume());
  ASSERT_TRUE(copy && larger);
  // Each goes its own way from here.
  ASSERT_TRUE(Write(disk->path(), std::string(2 * kMiB, 'L'), 0));
  auto other = Attach("sb-2", *copy);
  ASSERT_TRUE(other);
  EXPECT_TRUE(Read(other->path(), 13 * kMiB) == then);
  ASSERT_TRUE(Write(other->path(), std::string(2 * kMiB, 'O'), 0));
  auto grown = Attach("sb-3", *larger);
  ASSERT_TRUE(grown);
  const std::string whole = Read(grown->path(), 21 * kMiB);
  EXPECT_EQ(whole.size(), 20 * kMiB);
  EXPECT_TRUE(whole.substr(0, then.size()) == then);
  EXPECT_TRUE(whole.substr(then.size()) == std::string(whole.size() - then.size(), '\0'));
  EXPECT_EQ(Read(disk->path(), 1), "L");
  EXPECT_EQ(Read(other->path(), 1), "O");
  user.Reset();
  for (DmSnapshot* one : {&*disk, &*other, &*grown}) {
    std::vector<std::string> gone;
    ASSERT_TRUE(one->Remove(Soon(), [&](std::string_view what) { gone.emplace_back(what); }));
    EXPECT_EQ(gone, (std::vector<std::string>{"device", "loops"}));
  }
}

TEST_F(DmSnapshotTest, DM_FlattensToWhatTheDeviceReads) {
  const Layer layer = Make(12 * kMiB + 512);
  auto disk = Attach("sb-1", layer);
  ASSERT_TRUE(disk);
  std::srand(7);
  for (int i = 0; i < 100; ++i) {
    const uint64_t offset = static_cast<uint64_t>(std::rand()) % (12 * kMiB - 20000);
    ASSERT_TRUE(Write(disk->path(), std::string(static_cast<size_t>(std::rand()) % 20000 + 1, 'W'),
                      offset));
  }
  // Of a disk in use, as its device reads at that moment.
  const UniqueFd user(::open(disk->path().c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(WriteAt(user.get(), "in the page cache only", 3 * kMiB));
  ASSERT_TRUE(disk->Suspend());
  const std::string flat = dir_->path() + "/flat";
  const Status flattened = Flatten(dir_->path(), {layer}, base_, flat);
  ASSERT_TRUE(disk->Resume());
  ASSERT_TRUE(flattened) << flattened.error().ToString();
  const std::string content = Read(disk->path(), 13 * kMiB);
  EXPECT_EQ(content.size(), 12 * kMiB + 512);
  EXPECT_EQ(content.substr(3 * kMiB, 8), "in the p");
  EXPECT_TRUE(ReadFile(flat, 64 * kMiB).value() == content);
  // No more than the base's data and the changes.
  EXPECT_LE(os::AllocatedBytes(flat),
            os::AllocatedBytes(base_) + os::AllocatedBytes(PathOf(layer)));
  EXPECT_LT(os::AllocatedBytes(flat), 10 * kMiB);
}

}  // namespace
}  // namespace wrenn::disk
