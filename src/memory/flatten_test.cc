#include "memory/flatten.h"

#include "memory/delta_bytes.h"
#include "memory/image_files.h"
#include "memory/image_fixture.h"
#include "memory/test_mount.h"

namespace wrenn::memory {
namespace {

class FlattenTest : public ImageFixture {
 protected:
  // Makes an image in a folder below `parent`, flattens it and looks at what came of it.
  void FlattenBelow(const std::string& parent) {
    const std::string first = parent + "/first";
    const std::string flat = parent + "/flat";
    ASSERT_TRUE(os::MakeDirectory(first));
    ASSERT_TRUE(os::MakeDirectory(flat));
    const Image image = TakeNext(TakeBase(first), first, first);
    const uint64_t free_before = os::FreeDiskBytes(parent).value_or(0);
    const auto flattened = Flatten(image, first, flat);
    ASSERT_TRUE(flattened) << flattened.error().ToString();
    taken_ = free_before - os::FreeDiskBytes(parent).value_or(0);
    ASSERT_EQ(flattened->files.size(), 1u);
    EXPECT_EQ(flattened->base, 0u);
    EXPECT_EQ(DeltaBytes(*flattened), 0u);
    EXPECT_TRUE(flattened->Check());
    ExpectContent(*flattened, flat);
    EXPECT_EQ(FilesIn(flat).size(), 1u);
    // Zeroed pages of the old base are holes of the new one.
    auto reader = ImageReader::Open(*flattened, flat);
    ASSERT_TRUE(reader);
    EXPECT_EQ(*DataIn(reader->fd(0), {0, kSize}),
              (Ranges{{10 * kPageSize, 10 * kPageSize}, {30 * kPageSize, 290 * kPageSize}}));
    // The digests are those of the content, as a new image of it has them.
    const std::string again = parent + "/again";
    ASSERT_TRUE(os::MakeDirectory(again));
    const auto taken = Take(Image::Zero(kSize), again, again);
    ASSERT_TRUE(taken);
    EXPECT_TRUE(taken->files[0].chunks == flattened->files[0].chunks);
    // The old image is as it was.
    ExpectContent(image, first);
  }

  uint64_t taken_ = 0;  // of the file system's bytes, by the new file
};

TEST_F(FlattenTest, MakesOneFileOfMany) { FlattenBelow(dir_->path()); }

TEST_F(FlattenTest, ROOT_SharesTheBasesBlocks) {
  TestMount mount;
  if (const std::string reason = mount.MountXfs(dir_->path()); !reason.empty()) {
    GTEST_SKIP() << reason;
  }
  FlattenBelow(mount.path());
  EXPECT_LT(taken_, 200 * kPageSize);  // the base has 290 pages, of which 250 stay
}

TEST(WantsFlattenTest, WhenMuchIsNotInTheBase) {
  constexpr uint64_t kMiB = 1 << 20;
  const auto wants = [](uint64_t size, uint64_t changed, uint32_t file) {
    Image image;
    image.size = size;
    image.files = {{.name = NewFileName(), .size = size, .chunks = {}},
                   {.name = NewFileName(), .size = size, .chunks = {}}};
    image.base = 0;
    image.extents = {{.offset = 0, .length = size, .file = 0, .file_offset = 0}};
    image.Apply({{.offset = 0, .length = changed, .file = file, .file_offset = 0}});
    return WantsFlatten(image);
  };
  EXPECT_FALSE(wants(128 * kMiB, 32 * kMiB, 1));
  EXPECT_TRUE(wants(128 * kMiB, 33 * kMiB, 1));
  EXPECT_FALSE(wants(512 * kMiB, 33 * kMiB, 1));
  EXPECT_TRUE(wants(512 * kMiB, 65 * kMiB, 1));
  // Zeros are mostly holes of the base as well.
  EXPECT_FALSE(wants(128 * kMiB, 64 * kMiB, kZero));
}

TEST_F(FlattenTest, AnImageWithoutFilesBecomesAnEmptyBase) {
  const std::string folder = Folder("a");
  const auto flat = Flatten(Image::Zero(kSize), folder, folder);
  ASSERT_TRUE(flat) << flat.error().ToString();
  ExpectContent(*flat, folder);
}

// Damage must not get a new, right digest.
TEST_F(FlattenTest, FindsDamageOrKeepsItVisible) {
  const std::string first = Folder("a");
  const std::string flat = Folder("b");
  for (uint64_t page = 600; page < 700; ++page) Scribble(ram_.data(), page, page + 1);
  const Image image = TakeNext(TakeBase(first), first, first);
  const std::string base = first + "/" + image.files[0].name;
  const std::string packed = first + "/" + image.files[1].name;
  Corrupt(packed, 5000);
  EXPECT_EQ(Flatten(image, first, flat).error().code, Code::kDataLoss);
  Corrupt(packed, 5000);           // right again
  Corrupt(base, 100 * kPageSize);  // in a chunk that has changes, too
  EXPECT_EQ(Flatten(image, first, flat).error().code, Code::kDataLoss);
  Corrupt(base, 100 * kPageSize);
  EXPECT_TRUE(FilesIn(flat).empty());
  Corrupt(base, 650 * kPageSize);  // in a chunk that is taken over
  const auto flattened = Flatten(image, first, flat);
  if (flattened) {
    EXPECT_EQ(Verify(*flattened, flat).error().code, Code::kDataLoss);
  } else {
    EXPECT_EQ(flattened.error().code, Code::kDataLoss);
  }
}

TEST_F(FlattenTest, ROOT_AFullDiskLeavesNothing) {
  TestMount mount;
  if (const std::string reason = mount.MountTmpfs(dir_->path(), "size=2m"); !reason.empty()) {
    GTEST_SKIP() << reason;
  }
  const Image image = TakeNext(TakeBase(mount.path()), mount.path(), mount.path());
  const auto files = FilesIn(mount.path());
  EXPECT_EQ(Flatten(image, mount.path(), mount.path()).error().code, Code::kResourceExhausted);
  EXPECT_EQ(FilesIn(mount.path()), files);
}

}  // namespace
}  // namespace wrenn::memory
