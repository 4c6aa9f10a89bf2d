#include <sys/stat.h>

#include "os/command.h"
#include "snapshot/packed_fixture.h"

namespace wrenn::snapshot {
namespace {

class PackTest : public PackedFixture {
 protected:
  void ExpectAllThere() {
    for (const std::string& name : names_) {
      EXPECT_EQ(*ReadFile(From(name)), *ReadFile(To(name))) << name;
    }
  }
};

TEST_F(PackTest, GivesBackEveryFile) {
  const std::string stream = Packed();
  auto unpacker = Unpacker::Open(SourceOf(stream));
  ASSERT_TRUE(unpacker) << unpacker.error().ToString();
  EXPECT_EQ(unpacker->index().name, "my-snapshot");
  EXPECT_EQ(unpacker->index().description, Labels().description);
  EXPECT_EQ(unpacker->index().created_at, Labels().created_at);
  ASSERT_EQ(unpacker->index().files.size(), names_.size());
  const Status unpacked = unpacker->Unpack([this](const auto& name) { return To(name); });
  ASSERT_TRUE(unpacked) << unpacked.error().ToString();
  ExpectAllThere();
  struct stat info;
  ASSERT_EQ(::stat(To(kPackedState).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(PackTest, GivesTheSameBytesEachTime) { EXPECT_EQ(Packed(), Packed()); }

TEST_F(PackTest, TakesAStreamInPiecesOfAnySize) {
  const std::string stream = Packed();
  ASSERT_TRUE(UnpackAll(SourceOf(stream, 1)));
  ExpectAllThere();
}

// Of 8 MiB, three blocks are data.
TEST_F(PackTest, KeepsHolesBothWays) {
  const std::string stream = Packed();
  auto unpacker = Unpacker::Open(SourceOf(stream));
  ASSERT_TRUE(unpacker);
  const auto& files = unpacker->index().files;
  const auto memory = std::ranges::find(files, kTestMemory, &PackedFile::name);
  ASSERT_NE(memory, files.end());
  EXPECT_EQ(memory->size, kTestMemorySize);
  EXPECT_LE(memory->data, 3u * 64 << 10);
  ASSERT_TRUE(unpacker->Unpack([this](const auto& name) { return To(name); }));
  EXPECT_LE(os::AllocatedBytes(To(kTestMemory)), os::AllocatedBytes(From(kTestMemory)));
  ExpectAllThere();
}

TEST_F(PackTest, MakesHolesOfZeros) {
  Write(kTestLayer, std::string(1 << 20, '\0') + "end");
  names_.pop_back();  // it was there already
  ASSERT_TRUE(UnpackAll(Packed()));
  EXPECT_LE(os::AllocatedBytes(To(kTestLayer)), 64u << 10);
  ExpectAllThere();
}

TEST_F(PackTest, KeepsAFileThatIsOneHole) {
  MakeSparse(From("memory-abcdefghij0123456789"), 1 << 20, {});
  ASSERT_TRUE(UnpackAll(Packed()));
  EXPECT_EQ(os::AllocatedBytes(To("memory-abcdefghij0123456789")), 0u);
  ExpectAllThere();
}

TEST_F(PackTest, PacksLargeFilesOfManyHoles) {
  // 4 GiB with data in every 16th MiB.
  std::vector<std::pair<uint64_t, std::string>> data;
  for (uint64_t i = 0; i < 256; ++i) data.emplace_back(i << 24, std::to_string(i));
  const std::string name = "memory-abcdefghij0123456789";
  MakeSparse(From(name), uint64_t{4} << 30, data);
  const std::string stream = Packed();
  EXPECT_LT(stream.size(), 200'000u);
  ASSERT_TRUE(UnpackAll(stream));
  struct stat info;
  ASSERT_EQ(::stat(To(name).c_str(), &info), 0);
  EXPECT_EQ(info.st_size, off_t{4} << 30);
  const UniqueFd fd(::open(To(name).c_str(), O_RDONLY | O_CLOEXEC));
  for (const auto& [offset, text] : data) {
    std::string found(text.size(), '\0');
    ASSERT_EQ(::pread(fd.get(), found.data(), found.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(found.size()));
    EXPECT_EQ(found, text);
  }
}

TEST_F(PackTest, CanBeReadByOrdinaryTools) {
  const std::string file = folder_->path() + "/packed.tar.zst";
  ASSERT_TRUE(WriteFileAtomically(file, Packed()));
  const auto run = [](std::vector<std::string> argv) {
    os::CommandOptions command;
    command.argv = std::move(argv);
    return os::RunCommandOrFail(command, Deadline::After(std::chrono::seconds(60)));
  };
  if (!run({"zstd", "--version"})) GTEST_SKIP() << "the program zstd is needed";
  const auto tested = run({"zstd", "-q", "-t", file});
  ASSERT_TRUE(tested) << tested.error().ToString();
  const auto unpacked = run({"tar", "--zstd", "-xf", file, "-C", folder_->path() + "/to"});
  ASSERT_TRUE(unpacked) << unpacked.error().ToString();
  ExpectAllThere();
  EXPECT_LE(os::AllocatedBytes(To(kTestMemory)), 256u << 10);
  EXPECT_TRUE(os::Exists(To(kIndexFile)));
}

TEST_F(PackTest, EndsWithItsSink) {
  size_t taken = 0;
  const Status packed = PackAll([&](std::string_view data) -> Status {
    taken += data.size();
    return Fail(Code::kUnavailable, "the client has gone");
  });
  ASSERT_FALSE(packed);
  EXPECT_EQ(packed.error().code, Code::kUnavailable);
  EXPECT_EQ(packed.error().message, "the client has gone");
}

TEST_F(PackTest, RefusesWhatNoSnapshotHas) {
  Write("passwd", "root");
  std::string stream;
  const Status packed = PackAll(SinkTo(stream));
  ASSERT_FALSE(packed);
  EXPECT_EQ(packed.error().code, Code::kInvalidArgument);
  EXPECT_TRUE(stream.empty());
}

}  // namespace
}  // namespace wrenn::snapshot
