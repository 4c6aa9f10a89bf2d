// A disk that gets another layer while its guest writes to it.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "os/digest.h"
#include "tests/component/restore_fixture.h"

namespace wrenn::component {
namespace {

using testing::HasSubstr;

// All that a write to a file would change.
std::string Look(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) < 0) return "absent";
  return fmt::format("{} bytes, {} blocks, {}.{}, {}", info.st_size, info.st_blocks,
                     info.st_mtim.tv_sec, info.st_mtim.tv_nsec,
                     os::Sha256File(path).value_or("unreadable"));
}

std::string Disk(const Guest& guest) { return guest.machine->Disk(Patience()).value_or("unknown"); }

TEST_F(RestoreTest, ALayerIsNeverWrittenAgainOnceThereIsAnother) {
  auto guest = BootGuest();
  ASSERT_TRUE(guest) << guest.error().ToString();
  Guest& writer = **guest;
  EXPECT_EQ(Disk(writer), writer.config.disk);
  writer.Loop("writes",
              "head -c 300000 /dev/urandom > /root/new; sync /root/new; mv /root/new "
              "/root/file$((i % 4)); sync /root");
  std::unique_ptr<Frozen> last;
  for (int i = 0; i < 3; ++i) {
    SCOPED_TRACE(i);
    ASSERT_GT(writer.WaitForRounds("writes", writer.Rounds("writes") + 2), 0);
    auto frozen = Take(writer);
    ASSERT_TRUE(frozen) << frozen.error().ToString();
    const std::string before = writer.Path(writer.layers.at(1).name);
    const std::string look = Look(before);
    EXPECT_EQ(Disk(writer), writer.Path(writer.layers.front().name));
    const int64_t rounds = writer.Rounds("writes");
    EXPECT_GE(writer.WaitForRounds("writes", rounds + 3), rounds + 3);
    EXPECT_EQ(Look(before), look);
    struct stat info{};
    ASSERT_EQ(::stat(Disk(writer).c_str(), &info), 0);
    EXPECT_GT(info.st_blocks * 512, 300'000);
    last = std::move(*frozen);
  }
  ASSERT_EQ(writer.layers.size(), 4u);
  EXPECT_EQ(writer.Shell("dmesg | grep -i 'EXT4-fs.*error\\|I/O error'"), "");

  // The machine may go; its layers are a disk.
  const disk::Layers layers = last->layers;
  EXPECT_TRUE(disk::CheckLayers(last->folder.path(), layers, MinimalTemplate()->image));
  auto clone = Restore(*last);
  ASSERT_TRUE(clone) << clone.error().ToString();
  (void)(*clone)->Shell("kill $(cat /run/writes.pid); sync; echo 3 > /proc/sys/vm/drop_caches");
  EXPECT_EQ((*clone)->Shell("cat /root/file? | wc -c"), "1200000\n");
  EXPECT_EQ((*clone)->Shell("dmesg | grep -i 'EXT4-fs.*error\\|I/O error'"), "");
}

TEST_F(RestoreTest, ALayerThatIsNotSwitchedToCanBeDropped) {
  auto booted = BootGuest();
  ASSERT_TRUE(booted) << booted.error().ToString();
  Guest& guest = **booted;
  const std::string present = guest.config.disk;
  const auto next = PrepareLayer(guest);
  ASSERT_TRUE(next) << next.error().ToString();
  EXPECT_EQ(Disk(guest), present);
  ASSERT_TRUE(guest.machine->DropDisk(*next, Patience()));
  EXPECT_FALSE(guest.machine->DropDisk(*next, Patience()));
  EXPECT_FALSE(guest.machine->DropDisk(present, Patience()));
  const Status absent = guest.machine->PrepareDisk(guest.Path("disk-absent.qcow2"), Patience());
  ASSERT_FALSE(absent);
  EXPECT_THAT(absent.error().ToString(), HasSubstr("disk-absent"));
  ASSERT_TRUE(guest.machine->Freeze(Patience()));
  EXPECT_FALSE(guest.machine->SwitchDisk(*next, Patience()));
  EXPECT_EQ(Disk(guest), present);
  // And then made ready again after all.
  ASSERT_TRUE(guest.machine->PrepareDisk(*next, Patience()));
  const Status switched = guest.machine->SwitchDisk(*next, Patience());
  ASSERT_TRUE(switched) << switched.error().ToString();
  EXPECT_EQ(Disk(guest), *next);
  ASSERT_TRUE(guest.machine->Continue(Patience()));
  const std::string look = Look(present);
  EXPECT_EQ(guest.Shell("echo text > /root/file; sync; echo 3 > /proc/sys/vm/drop_caches; "
                        "cat /root/file"),
            "text\n");
  EXPECT_EQ(Look(present), look);
}

}  // namespace
}  // namespace wrenn::component
