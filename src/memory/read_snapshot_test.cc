// The format as tests/tools/read_snapshot.py understands it, which was written from the document.
#include "memory/flatten.h"
#include "memory/image_fixture.h"
#include "os/command.h"

namespace wrenn::memory {
namespace {

class ReadSnapshotTest : public ImageFixture {
 protected:
  void SetUp() override {
    ImageFixture::SetUp();
    if (!os::FindProgram("python3")) GTEST_SKIP() << "needs python3";
  }

  static Result<std::string> Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"python3", WRENN_READ_SNAPSHOT});
    os::CommandOptions command;
    command.argv = std::move(arguments);
    return os::RunCommandOrFail(command, Deadline::After(std::chrono::seconds(60)));
  }

  void ExpectSameRam(const std::string& folder) {
    const auto digest = Run({folder});
    ASSERT_TRUE(digest) << digest.error().ToString();
    EXPECT_EQ(*digest, os::Sha256Hex({ram_.data(), ram_.size()}) + "\n");
  }
};

TEST_F(ReadSnapshotTest, ReadsWhatWasWritten) {
  const std::string first = Folder("a");
  const std::string second = Folder("b");
  const std::string flat = Folder("c");
  const Image base = TakeBase(first);
  ASSERT_TRUE(Save(base, first));
  ExpectSameRam(first);
  const Image next = TakeNext(base, first, second);
  ASSERT_TRUE(Save(next, second));
  ExpectSameRam(second);
  const auto flattened = Flatten(next, second, flat);
  ASSERT_TRUE(flattened && Save(*flattened, flat));
  ExpectSameRam(flat);

  const std::string output = dir_->path() + "/ram";
  ASSERT_TRUE(Run({second, "-o", output}));
  EXPECT_EQ(*os::Sha256File(output), os::Sha256Hex({ram_.data(), ram_.size()}));

  Corrupt(second + "/" + next.files[1].name, 9999);
  EXPECT_FALSE(Run({second}));
  Corrupt(first + "/memory.map", 50);
  EXPECT_FALSE(Run({first}));
}

// Both readers take and refuse the same maps, and see the same in them.
TEST_F(ReadSnapshotTest, AgreesAboutTheCorpus) {
  int taken = 0;
  int refused = 0;
  for (const std::string& name : FilesIn(WRENN_IMAGE_CORPUS)) {
    SCOPED_TRACE(name);
    std::string map = *ReadFile(std::string(WRENN_IMAGE_CORPUS "/") + name);
    const auto digest = os::Sha256Bytes(map);
    map.append(reinterpret_cast<const char*>(digest.data()), digest.size());
    const std::string folder = Folder(name);
    ASSERT_TRUE(WriteFileAtomically(folder + "/memory.map", map));
    const auto printed = Run({folder, "--map"});
    const auto image = Load(folder);
    ASSERT_EQ(image.has_value(), printed.has_value());
    ++(image ? taken : refused);
    if (!image) continue;
    std::string wanted;
    for (const Extent& extent : image->extents) {
      wanted += fmt::format("{} {} ", extent.offset, extent.length);
      wanted += extent.file == kZero
                    ? "zeros\n"
                    : fmt::format("{} {}\n", image->files[extent.file].name, extent.file_offset);
    }
    EXPECT_EQ(*printed, wanted);
  }
  EXPECT_GE(taken, 5);
  EXPECT_GE(refused, 10);
}

}  // namespace
}  // namespace wrenn::memory
