// Many generations of images of real processes, beside a plain copy of what their memory must be.
#include <gtest/gtest.h>

#include <random>

#include "memory/copy.h"
#include "memory/delta_bytes.h"
#include "memory/fill.h"
#include "memory/flatten.h"
#include "memory/image_files.h"
#include "memory/reader.h"
#include "memory/repack.h"
#include "memory/test_machine.h"
#include "memory/verify.h"
#include "memory/writer.h"
#include "os/files.h"

namespace wrenn::memory {
namespace {

// Neither a power of two nor whole chunks.
constexpr uint64_t kPages = 1024 + 3 * 256 + 7;
constexpr uint64_t kSize = kPages * kPageSize;

os::Sha256Digest DigestOf(const std::vector<char>& ram) {
  return os::Sha256Bytes({ram.data(), ram.size()});
}

// One saved state.
struct Generation {
  std::string folder;
  Image image;
  std::vector<char> ram;  // what it must be
};

class GenerationsTest : public testing::TestWithParam<unsigned> {
 protected:
  void SetUp() override {
    dir_ = os::TemporaryDirectory::Make();
    ASSERT_TRUE(dir_);
    empty_ = dir_->path() + "/empty";
    ASSERT_TRUE(MakeEmptyBase(empty_, kSize));
  }

  uint64_t Random(uint64_t below) { return random_() % below; }

  std::string NewFolder() {
    std::string path = dir_->path() + "/" + std::to_string(folders_++);
    EXPECT_TRUE(os::MakeDirectory(path));
    return path;
  }

  // Runs of pages at random places, changed in all the ways there are.
  void MakeChanges(TestMachine& machine, std::vector<char>& ram) {
    for (uint64_t runs = 1 + Random(12); runs > 0; --runs) {
      const auto kind = static_cast<Change::Kind>(Random(Change::kDigest));
      const uint64_t page = Random(kPages);
      const uint64_t count = std::min(kPages - page, 1 + Random(Random(2) ? 4 : 300));
      for (uint64_t i = 0; i < count; ++i) {
        const Change change{.kind = kind, .page = page + i, .seed = random_()};
        machine.Make(change);
        Make(change, ram.data());
      }
    }
  }

  Result<TestMachine> Restore(const Generation& from) {
    const std::string base = from.folder + "/" + from.image.files[from.image.base].name;
    ASSIGN_OR_RETURN(TestMachine machine, TestMachine::Start(base, kSize));
    ASSIGN_OR_RETURN(const ProcessMemory memory, machine.Memory());
    ASSIGN_OR_RETURN([[maybe_unused]] const uint64_t filled, Fill(from.image, from.folder, memory));
    EXPECT_LE(filled, DeltaBytes(from.image));
    return machine;
  }

  // From the frozen process itself or from a copy of what it had.
  Result<Generation> Freeze(TestMachine& machine, const Image& before, const std::string& folder,
                            const std::vector<char>& ram) {
    ASSIGN_OR_RETURN(const ProcessMemory memory, machine.Memory());
    ASSIGN_OR_RETURN(const Ranges ranges, memory.Written());
    ASSIGN_OR_RETURN(const Copy copy, Copy::Take(memory, ranges));
    PageReader read = [&](uint64_t offset, std::span<char> out) {
      return memory.Read(offset, out);
    };
    if (Random(2)) {
      read = [&](uint64_t offset, std::span<char> out) { return copy.Read(offset, out); };
    }
    Generation next{.folder = NewFolder(), .image = {}, .ram = ram};
    Written written;
    ASSIGN_OR_RETURN(next.image,
                     WriteImage(before, folder, copy.ranges(), read, next.folder, written));
    EXPECT_EQ(written.candidate_bytes, TotalLength(ranges));
    RETURN_IF_ERROR(Save(next.image, next.folder));
    return next;
  }

  void ExpectIntact(const Generation& generation) {
    const auto image = Load(generation.folder);
    ASSERT_TRUE(image) << image.error().ToString();
    EXPECT_EQ(*image, generation.image);
    const auto reader = ImageReader::Open(*image, generation.folder);
    ASSERT_TRUE(reader) << reader.error().ToString();
    std::vector<char> ram(kSize, 'x');
    const Status read = reader->Read(0, ram);
    ASSERT_TRUE(read) << read.error().ToString();
    EXPECT_TRUE(ram == generation.ram);
    const Status verified = Verify(*image, generation.folder);
    EXPECT_TRUE(verified) << verified.error().ToString();
    EXPECT_EQ(os::ListDirectory(generation.folder)->size(), image->files.size() + 1);
  }

  Result<os::TemporaryDirectory> dir_ = Fail(Code::kUnknown, "not made");
  std::string empty_;
  int folders_ = 0;
  std::mt19937_64 random_{GetParam()};
};

TEST_P(GenerationsTest, EveryGenerationOfATreeIsWhatItsMachineWas) {
  std::vector<Generation> all;
  std::vector<char> ram(kSize, 0);
  {
    auto machine = TestMachine::Start(empty_, kSize);
    ASSERT_TRUE(machine) << machine.error().ToString();
    MakeChanges(*machine, ram);
    auto first = Freeze(*machine, Image::Zero(kSize), dir_->path(), ram);
    ASSERT_TRUE(first) << first.error().ToString();
    EXPECT_EQ(first->image.extents.size(), 1u);
    ASSERT_NO_FATAL_FAILURE(ExpectIntact(*first));
    all.push_back(std::move(*first));
  }
  for (int round = 0; round < 24; ++round) {
    SCOPED_TRACE(round);
    // Mostly the newest, at times one from long ago.
    const Generation from = all[Random(4) ? all.size() - 1 : Random(all.size())];
    auto machine = Restore(from);
    ASSERT_TRUE(machine) << machine.error().ToString();
    ram = from.ram;
    ASSERT_EQ(machine->Digest(), DigestOf(ram));
    Generation before = from;
    // A machine that runs on is frozen more than once, over the image that it came from or over the
    // last one of itself.
    for (uint64_t freezes = 1 + Random(3); freezes > 0; --freezes) {
      MakeChanges(*machine, ram);
      ASSERT_EQ(machine->Digest(), DigestOf(ram));
      auto next = Freeze(*machine, before.image, before.folder, ram);
      ASSERT_TRUE(next) << next.error().ToString();
      ASSERT_NO_FATAL_FAILURE(ExpectIntact(*next));
      if (Random(2)) before = *next;
      all.push_back(std::move(*next));
    }
    if (Random(4) == 0) {
      Generation flat{.folder = NewFolder(), .image = {}, .ram = all.back().ram};
      auto image = Flatten(all.back().image, all.back().folder, flat.folder);
      ASSERT_TRUE(image) << image.error().ToString();
      flat.image = *image;
      EXPECT_EQ(DeltaBytes(flat.image), 0u);
      ASSERT_TRUE(Save(flat.image, flat.folder));
      ASSERT_NO_FATAL_FAILURE(ExpectIntact(flat));
      all.push_back(std::move(flat));
    }
    if (Random(3) == 0) {
      const Generation last = all.back();
      Generation packed{.folder = NewFolder(), .image = {}, .ram = last.ram};
      auto image = Repack(last.image, last.folder, packed.folder);
      ASSERT_TRUE(image) << image.error().ToString();
      packed.image = *image;
      EXPECT_LE(packed.image.files.size(), last.image.files.size());
      EXPECT_LE(packed.image.files.size(), 4u);
      EXPECT_LE(DeltaBytes(packed.image), DeltaBytes(last.image));
      EXPECT_FALSE(WantsRepack(packed.image));
      ASSERT_TRUE(Save(packed.image, packed.folder));
      ASSERT_NO_FATAL_FAILURE(ExpectIntact(packed));
      all.push_back(std::move(packed));
    }
  }
  // No generation has changed by what came after it, and each does without the others' folders.
  for (size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE(i);
    ASSERT_NO_FATAL_FAILURE(ExpectIntact(all[i]));
    ASSERT_TRUE(os::RemoveTree(all[i].folder));
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, GenerationsTest, testing::Values(1u, 2u));

}  // namespace
}  // namespace wrenn::memory
