#include "memory/image.h"

#include <gtest/gtest.h>

#include <random>

#include "base/io.h"
#include "memory/delta_bytes.h"
#include "os/digest.h"
#include "os/files.h"

namespace wrenn::memory {
namespace {

constexpr uint64_t kPages = 600;

ImageFile MakeFile(uint64_t pages) {
  const uint64_t size = pages * kPageSize;
  ImageFile file{.name = NewFileName(), .size = size, .chunks = {}};
  file.chunks.resize((size + kChunkSize - 1) / kChunkSize);
  for (ChunkDigest& chunk : file.chunks) chunk.fill(7);
  return file;
}

// RAM as a table: where each page's bytes are.
struct Place {
  std::string file;  // empty: zeros
  uint64_t page = 0;
  friend bool operator==(const Place&, const Place&) = default;
};

std::vector<Place> PlacesOf(const Image& image) {
  std::vector<Place> places;
  for (const Extent& extent : image.extents) {
    for (uint64_t at = 0; at < extent.length; at += kPageSize) {
      if (extent.file == kZero) {
        places.emplace_back();
      } else {
        places.push_back({image.files[extent.file].name, (extent.file_offset + at) / kPageSize});
      }
    }
  }
  return places;
}

// Sorted random changes that refer to any file of the image or to zeros.
std::vector<Extent> RandomChanges(const Image& image, std::mt19937_64& random) {
  std::vector<Extent> changes;
  for (uint64_t page = random() % 50; page < kPages; page += random() % 80) {
    const uint64_t count = std::min(kPages - page, 1 + random() % 20);
    Extent change{.offset = page * kPageSize, .length = count * kPageSize};
    if (random() % 3) {
      change.file = static_cast<uint32_t>(random() % image.files.size());
      const uint64_t room = image.files[change.file].size / kPageSize - count;
      // At its own place at times, as in a base.
      change.file_offset = (page <= room && random() % 2 ? page : random() % room) * kPageSize;
    }
    changes.push_back(change);
    page += count;
  }
  return changes;
}

TEST(ImageTest, ApplyIsWhatATableOfPagesSays) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    std::mt19937_64 random(seed);
    Image image = Image::Zero(kPages * kPageSize);
    ASSERT_TRUE(image.Check());
    std::vector<Place> model(kPages);
    for (int round = 0; round < 40; ++round) {
      image.files.push_back(MakeFile(round == 0 ? kPages : 30 + random() % 300));
      if (round == 0 && seed % 2) image.base = 0;
      const std::string base = image.base == kZero ? "" : image.files[image.base].name;
      const std::vector<Extent> changes = RandomChanges(image, random);
      for (const Extent& change : changes) {
        for (uint64_t at = 0; at < change.length; at += kPageSize) {
          Place& place = model[(change.offset + at) / kPageSize];
          place = {};
          if (change.file == kZero) continue;
          place = {image.files[change.file].name, (change.file_offset + at) / kPageSize};
        }
      }
      image.Apply(changes);
      const Status valid = image.Check();  // that it is merged, and no file is left over
      ASSERT_TRUE(valid) << valid.error().ToString() << " " << seed << " " << round;
      ASSERT_TRUE(PlacesOf(image) == model) << seed << " " << round;
      uint64_t delta = 0;
      for (uint64_t page = 0; page < kPages; ++page) {
        delta += model[page] != Place{base, base.empty() ? 0 : page} ? kPageSize : 0;
        const Extent& extent = image.extents[image.IndexAt(page * kPageSize + 5)];
        ASSERT_TRUE(extent.offset <= page * kPageSize && page * kPageSize < extent.end());
      }
      EXPECT_EQ(DeltaBytes(image), delta);
      if (!base.empty()) {
        EXPECT_EQ(image.files[image.base].name, base);
      }
      const auto decoded = Decode(Encode(image));
      ASSERT_TRUE(decoded) << decoded.error().ToString();
      EXPECT_EQ(*decoded, image);
    }
  }
}

// With a base, a packed file and zeros: 4 pages.
Image Small() {
  Image image = Image::Zero(4 * kPageSize);
  image.files = {MakeFile(4), MakeFile(2)};
  image.base = 0;
  image.extents = {{0, kPageSize, 0, 0},
                   {kPageSize, kPageSize, 1, kPageSize},
                   {2 * kPageSize, kPageSize},
                   {3 * kPageSize, kPageSize, 0, 3 * kPageSize}};
  return image;
}

TEST(ImageTest, RefusesWhatIsNoImage) {
  ASSERT_TRUE(Small().Check()) << Small().Check().error().ToString();
  using Spoil = void (*)(Image&);
  const Spoil spoils[] = {
      [](Image& i) { i.size = 0; },
      [](Image& i) { i.size += kPageSize; },
      [](Image& i) { i.size += 1; },
      [](Image& i) { i.base = 1; },
      [](Image& i) { i.base = 2; },
      [](Image& i) { i.files[1].name = "memory-../../../../etc/pwd"; },
      [](Image& i) { i.files[1].name = "memory.map"; },
      [](Image& i) { i.files[1].name = "x" + i.files[1].name.substr(1); },
      [](Image& i) { i.files[1].name += "/"; },
      [](Image& i) { i.files[1].name = i.files[0].name; },
      [](Image& i) { i.files[1].size -= kPageSize; },
      [](Image& i) { i.files[1].size += 1; },
      [](Image& i) { i.files[1].size = UINT64_MAX - kPageSize + 1; },
      [](Image& i) { i.files[1].chunks.clear(); },
      [](Image& i) { i.files[1].chunks.emplace_back(); },
      [](Image& i) { i.files.push_back(MakeFile(1)); },
      [](Image& i) { i.extents[1].offset += kPageSize; },
      [](Image& i) { i.extents[1].length = 0; },
      [](Image& i) { i.extents[1].length -= 1; },
      [](Image& i) { i.extents[1].length = UINT64_MAX - kPageSize + 1; },
      [](Image& i) { i.extents[1].file = 2; },
      [](Image& i) { i.extents[1].file_offset += kPageSize; },
      [](Image& i) { i.extents[1].file_offset = UINT64_MAX - kPageSize + 1; },
      [](Image& i) { i.extents[1].file_offset += 1; },
      [](Image& i) { i.extents[2].file_offset = kPageSize; },
      [](Image& i) { i.extents.pop_back(); },
      [](Image& i) { i.extents.clear(); },
      [](Image& i) { i.extents.push_back({4 * kPageSize, kPageSize}); },
      [](Image& i) { i.extents[1] = {kPageSize, kPageSize}; },  // two of zeros side by side
  };
  for (size_t n = 0; n < std::size(spoils); ++n) {
    Image image = Small();
    spoils[n](image);
    EXPECT_EQ(image.Check().error().code, Code::kInvalidArgument) << n;
    // What the format cannot say is lost on the way.
    const auto decoded = Decode(Encode(image));
    EXPECT_TRUE(!decoded || *decoded != image) << n;
    EXPECT_FALSE(Save(image, "/nowhere")) << n;
  }
}

// With the digest made to fit, so that what is behind it is reached.
std::string Resigned(std::string map) {
  map.resize(map.size() - 32);
  const auto digest = os::Sha256Bytes(map);
  return map.append(reinterpret_cast<const char*>(digest.data()), digest.size());
}

TEST(MapFormatTest, RefusesDamageOfEveryByte) {
  const std::string good = Encode(Small());
  ASSERT_TRUE(Decode(good));
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    EXPECT_FALSE(Decode(bad)) << i;
    EXPECT_FALSE(Decode(good.substr(0, i))) << i;
    // Signed anew: no crash, and what is taken is a valid image.
    if (const auto image = Decode(Resigned(bad))) {
      EXPECT_EQ(Encode(*image), Resigned(bad)) << i;
    }
    if (i >= 80) {
      EXPECT_FALSE(Decode(Resigned(good.substr(0, i)))) << i;
    }
  }
  EXPECT_FALSE(Decode(good + "x"));
  EXPECT_FALSE(Decode(Resigned(good + std::string(16, '\0'))));
}

TEST(MapFormatTest, AllocatesNothingByNumbersAlone) {
  for (const size_t field : {20, 40}) {  // numbers of files and extents
    std::string map = Encode(Small());
    map.replace(field, 4, "\xff\xff\xff\x7f");
    EXPECT_EQ(Decode(Resigned(map)).error().code, Code::kInvalidArgument);
  }
  std::string map = Encode(Small());
  map.replace(48 + 32, 8, std::string("\0\xf0\xff\xff\xff\xff\xff\x0f", 8));  // a file's size
  EXPECT_EQ(Decode(Resigned(map)).error().code, Code::kInvalidArgument);
}

TEST(MapFormatTest, TellsNewerVersionsFromDamage) {
  std::string map = Encode(Small());
  map[8] = 2;
  EXPECT_EQ(Decode(map).error().code, Code::kUnimplemented);
  EXPECT_EQ(Decode("").error().code, Code::kInvalidArgument);
  EXPECT_EQ(Decode("wrennmem").error().code, Code::kInvalidArgument);
}

TEST(MapFormatTest, SavesAndLoads) {
  auto dir = os::TemporaryDirectory::Make();
  ASSERT_TRUE(dir);
  EXPECT_EQ(Load(dir->path()).error().code, Code::kNotFound);
  ASSERT_TRUE(Save(Small(), dir->path()));
  ASSERT_TRUE(Save(Image::Zero(kPageSize), dir->path()));
  const auto loaded = Load(dir->path());
  ASSERT_TRUE(loaded) << loaded.error().ToString();
  EXPECT_EQ(*loaded, Image::Zero(kPageSize));
  EXPECT_EQ(os::ListDirectory(dir->path())->size(), 1u);
  ASSERT_TRUE(WriteFileAtomically(dir->path() + "/memory.map", "wrennmem"));
  EXPECT_EQ(Load(dir->path()).error().code, Code::kDataLoss);
}

}  // namespace
}  // namespace wrenn::memory
