#include "template/initramfs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/io.h"
#include "os/files.h"
#include "template/synthetic.h"

namespace wrenn::template_ {
namespace {

using testing::ElementsAre;

// One entry of a cpio archive in the "newc" format, read by its description alone
// (Documentation/driver-api/early-userspace/buffer-format.rst).
struct Entry {
  std::string name;
  unsigned mode = 0;
  unsigned major = 0;
  unsigned minor = 0;
  std::string content;
};

std::vector<Entry> ParseNewc(const std::string& bytes) {
  std::vector<Entry> entries;
  for (size_t at = 0; at + 110 <= bytes.size();) {
    EXPECT_EQ(bytes.substr(at, 6), "070701");
    const auto field = [&](int index) {
      return static_cast<unsigned>(std::stoul(bytes.substr(at + 6 + 8 * index, 8), nullptr, 16));
    };
    const size_t name_at = at + 110;
    const size_t content_at = (name_at + field(11) + 3) / 4 * 4;
    Entry entry{bytes.substr(name_at, field(11) - 1), field(1), field(9), field(10),
                bytes.substr(content_at, field(6))};
    if (entry.name == "TRAILER!!!") return entries;
    at = (content_at + field(6) + 3) / 4 * 4;
    entries.push_back(std::move(entry));
  }
  ADD_FAILURE() << "no trailer";
  return entries;
}

class InitramfsTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = os::TemporaryDirectory::Make();
    ASSERT_TRUE(directory_);
    ASSERT_TRUE(WriteFileAtomically(At("init"), program_));
  }
  std::string At(const std::string& name) const { return directory_->path() + "/" + name; }

  const std::string program_ = SyntheticBytes(10'001);
  const std::vector<KernelModule> modules_ = {{"b.ko", "second in the alphabet"},
                                              {"a.ko", "first"}};
  Result<os::TemporaryDirectory> directory_ = Fail(Code::kUnknown, "not made");
};

TEST_F(InitramfsTest, HoldsWhatTheGuestStartsWith) {
  ASSERT_TRUE(WriteInitramfs(At("cpio"), At("init"), modules_));
  std::map<std::string, Entry> entries;
  for (Entry& entry : ParseNewc(*ReadFile(At("cpio")))) {
    const std::string name = entry.name;
    entries.emplace(name, std::move(entry));
  }
  EXPECT_EQ(entries["init"].mode, 0100755U);
  EXPECT_TRUE(entries["init"].content == program_);
  EXPECT_EQ(entries["modules/order"].content, "b.ko\na.ko\n");
  EXPECT_EQ(entries["modules/b.ko"].content, "second in the alphabet");
  EXPECT_EQ(entries["dev/console"].mode, 020600U);
  EXPECT_EQ(entries["dev/console"].major, 5U);
  EXPECT_EQ(entries["dev/console"].minor, 1U);
  for (const char* folder : {"dev", "proc", "sys", "newroot", "modules"}) {
    EXPECT_EQ(entries[folder].mode, 040755U) << folder;
  }
}

TEST_F(InitramfsTest, IsTheSameEachTime) {
  ASSERT_TRUE(WriteInitramfs(At("one"), At("init"), modules_));
  ASSERT_TRUE(WriteInitramfs(At("two"), At("init"), modules_));
  EXPECT_TRUE(*ReadFile(At("one")) == *ReadFile(At("two")));
}

TEST_F(InitramfsTest, GivesItsModulesBackInOrder) {
  ASSERT_TRUE(WriteInitramfs(At("cpio"), At("init"), modules_));
  const auto modules = ReadInitramfsModules(At("cpio"));
  ASSERT_TRUE(modules) << modules.error().message;
  ASSERT_EQ(modules->size(), 2U);
  EXPECT_EQ((*modules)[0].file, "b.ko");
  EXPECT_EQ((*modules)[1].content, "first");
}

TEST_F(InitramfsTest, RefusesOtherFiles) {
  EXPECT_FALSE(ReadInitramfsModules(At("absent")));
  ASSERT_TRUE(WriteFileAtomically(At("text"), "not a cpio archive at all"));
  EXPECT_FALSE(ReadInitramfsModules(At("text")));
  EXPECT_FALSE(WriteInitramfs(At("cpio"), At("absent"), modules_));
}

class ModulesTest : public InitramfsTest {
 protected:
  void SetUp() override {
    InitramfsTest::SetUp();
    ASSERT_TRUE(os::MakeDirectories(At("m/kernel/drivers")));
    ASSERT_TRUE(WriteFileAtomically(At("m/modules.builtin"), "kernel/fs/ext4/ext4.ko\n"));
    Add("virtio.ko", MakeModule("virtio_ring"));
    Add("virtio_ring.ko", MakeModule(""));
    Add("virtio-rng.ko.xz", CompressForTest(Compression::kXz, MakeModule("virtio,virtio_ring")));
  }
  void Add(const std::string& file, const std::string& content) {
    ASSERT_TRUE(WriteFileAtomically(At("m/kernel/drivers/" + file), content));
  }
  std::vector<std::string> Collect(std::vector<std::string_view> wanted) {
    std::vector<std::string> files;
    const auto modules = CollectModules(At("m"), wanted);
    if (!modules) return {modules.error().message};
    for (const KernelModule& module : *modules) files.push_back(module.file);
    return files;
  }
};

TEST_F(ModulesTest, ComeAfterWhatTheyNeedAndOnce) {
  EXPECT_THAT(Collect({"virtio_rng", "virtio"}),
              ElementsAre("virtio_ring.ko", "virtio.ko", "virtio_rng.ko"));
}

TEST_F(ModulesTest, BuiltInOnesAreLeftOut) {
  EXPECT_THAT(Collect({"ext4", "virtio_ring"}), ElementsAre("virtio_ring.ko"));
}

TEST_F(ModulesTest, AMissingOneIsNamed) {
  EXPECT_THAT(Collect({"virtio_blk"}), ElementsAre(testing::HasSubstr("'virtio_blk'")));
}

TEST_F(ModulesTest, DamagedOnesAreRefused) {
  const std::string whole = MakeModule("x");
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_FALSE(ModuleDependencies(whole.substr(0, length))) << length;
  }
  EXPECT_THAT(ModuleDependencies(whole).value(), ElementsAre("x"));
}

}  // namespace
}  // namespace wrenn::template_
