#include "snapshot/verify.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <optional>

#include "base/id.h"
#include "base/io.h"
#include "disk/backend.h"
#include "memory/writer.h"
#include "os/digest.h"
#include "os/files.h"
#include "snapshot/folder.h"
#include "snapshot/inspect.h"

namespace wrenn::snapshot {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kMemory = 4 * kMiB;

// A snapshot of real files: a machine's first memory image and a disk of two layers over an image.
class VerifyTest : public testing::Test {
 protected:
  void SetUp() override {
    auto root = os::TemporaryDirectory::Make();
    ASSERT_TRUE(root);
    root_.emplace(std::move(*root));
    ASSERT_TRUE(os::MakeDirectory(root_->path() + "/images"));
    ASSERT_TRUE(os::MakeDirectory(root_->path() + "/snapshots"));
    base_.path = root_->path() + "/images/rootfs";
    ASSERT_TRUE(WriteFileAtomically(base_.path, std::string(3 * kMiB, 'r'), 0600));
    base_.digest = *os::Sha256File(base_.path);
    manifest_.id = NewId("sn");
    manifest_.sandbox = NewId("sb");
    manifest_.engine = "qemu/tcg";
    manifest_.fingerprint = {{"engine", "qemu"}};
    manifest_.vcpus = 1;
    manifest_.memory_mb = 4;
    manifest_.kernel = manifest_.image = base_.digest;
    manifest_.created_at = std::chrono::system_clock::now();
    place_ = root_->path() + "/snapshots/" + manifest_.id;
    const Status made = Make();
    ASSERT_TRUE(made) << made.error().ToString();
  }

  Status Make() {
    ASSIGN_OR_RETURN(Draft draft, Draft::Make(place_));
    RETURN_IF_ERROR(WriteFileAtomically(draft.path() + kStateFile, std::string(9000, 's'), 0600));
    RETURN_IF_ERROR(MakeMemory(draft.path()));
    ASSIGN_OR_RETURN(const auto backend, disk::MakeBackend("qcow2"));
    ASSIGN_OR_RETURN(const disk::Layer bottom, backend->Create(base_.path, draft.path(), 0));
    ASSIGN_OR_RETURN(const disk::Layer top, disk::AddLayer(draft.path(), bottom, 0));
    manifest_.layers = disk::LayerNames({top, bottom});
    RETURN_IF_ERROR(AddLayerDigests(draft.path(), manifest_));
    return draft.Commit(manifest_, Durability::kPassing);
  }

  // Data in the first and the last MiB, zeros between them.
  Status MakeMemory(const std::string& folder) {
    const auto read = [](uint64_t offset, std::span<char> out) -> Status {
      std::memset(out.data(), offset < kMiB || offset >= 3 * kMiB ? 'm' : 0, out.size());
      return {};
    };
    memory::Written written;
    ASSIGN_OR_RETURN(const memory::Image image,
                     memory::WriteImage(memory::Image::Zero(kMemory), folder, {{0, kMemory}}, read,
                                        folder, written));
    memory_ = image.files.at(0).name;
    return memory::Save(image, folder);
  }

  std::string PathOf(const std::string& name) const { return place_ + "/" + name; }

  static void Flip(const std::string& path, off_t offset) {
    const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    char byte = 0;
    ASSERT_EQ(::pread(fd.get(), &byte, 1, offset), 1) << path;
    byte = static_cast<char>(byte ^ 1);
    ASSERT_EQ(::pwrite(fd.get(), &byte, 1, offset), 1) << path;
  }

  std::vector<std::string> Problems() const {
    const auto verdict = Verify(place_, base_);
    if (!verdict) return {verdict.error().ToString()};
    EXPECT_EQ(verdict->ok(), verdict->problems.empty());
    for (const std::string& problem : verdict->problems) {
      EXPECT_THAT(problem, testing::Not(HasSubstr(root_->path())));
    }
    return verdict->problems;
  }

  std::optional<os::TemporaryDirectory> root_;
  Base base_;
  Manifest manifest_;
  std::string place_;
  std::string memory_;
};

TEST_F(VerifyTest, WhatWasWrittenIsGood) {
  const auto verdict = Verify(place_, base_);
  ASSERT_TRUE(verdict) << verdict.error().ToString();
  EXPECT_THAT(verdict->problems, IsEmpty());
  EXPECT_TRUE(verdict->ok());
  // State, map, memory, two layers, image.
  EXPECT_EQ(verdict->files, 6u);
  // The hole in the memory is not read.
  const auto map = ReadFile(PathOf("memory.map"));
  uint64_t disk_bytes = 0;
  for (const std::string& layer : manifest_.layers) disk_bytes += ReadFile(PathOf(layer))->size();
  EXPECT_EQ(verdict->bytes, 9000 + map->size() + 2 * kMiB + disk_bytes + 3 * kMiB);
  EXPECT_EQ(verdict->unchecked, 0u);
}

TEST_F(VerifyTest, AFlippedByteIsFoundWhereverItIsCompared) {
  Flip(PathOf("state"), 4711);
  EXPECT_THAT(Problems(), ElementsAre("the machine state is damaged"));
  Flip(PathOf("state"), 4711);
  Flip(PathOf(memory_), 3 * kMiB + 17);
  EXPECT_THAT(Problems(),
              ElementsAre(fmt::format("chunk 3 of the snapshot's file '{}' is damaged", memory_)));
  Flip(PathOf(memory_), 3 * kMiB + 17);
  Flip(base_.path, 2 * kMiB);
  EXPECT_THAT(Problems(), ElementsAre("the image below the disk is damaged"));
  Flip(base_.path, 2 * kMiB);
  Flip(PathOf("memory.map"), 60);
  EXPECT_THAT(Problems(),
              ElementsAre("the memory map is damaged", HasSubstr("the memory map cannot be used")));
  Flip(PathOf("memory.map"), 60);
  // A part of a layer's file that has no structure: behind its header.
  for (const std::string& layer : manifest_.layers) {
    Flip(PathOf(layer), 1000);
    EXPECT_THAT(Problems(),
                ElementsAre(fmt::format("the disk's layer '{}': it is damaged", layer)));
    Flip(PathOf(layer), 1000);
  }
  EXPECT_THAT(Problems(), IsEmpty());
}

TEST_F(VerifyTest, LayersWithoutADigestAreCounted) {
  manifest_.layer_digests.erase(manifest_.layers[0]);
  ASSERT_TRUE(ReplaceManifest(place_, manifest_));
  Flip(PathOf(manifest_.layers[0]), 1000);
  const auto verdict = Verify(place_, base_);
  ASSERT_TRUE(verdict);
  EXPECT_TRUE(verdict->ok());
  EXPECT_EQ(verdict->unchecked, 1u);
  EXPECT_FALSE(HasAllDigests(manifest_));
  // What is small enough.
  ASSERT_TRUE(AddLayerDigests(place_, manifest_, {}, 0));
  EXPECT_FALSE(HasAllDigests(manifest_));
  ASSERT_TRUE(AddLayerDigests(place_, manifest_, {}, kMiB));
  EXPECT_TRUE(HasAllDigests(manifest_));
}

TEST_F(VerifyTest, ABitInAHoleIsFound) {
  const UniqueFd fd(::open(PathOf(memory_).c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::pwrite(fd.get(), "x", 1, 2 * kMiB), 1);
  EXPECT_THAT(Problems(), ElementsAre(HasSubstr("chunk 2")));
}

TEST_F(VerifyTest, AllDamageIsTold) {
  Flip(PathOf("state"), 0);
  Flip(PathOf(memory_), 0);
  Flip(PathOf(memory_), 3 * kMiB);
  ASSERT_EQ(::unlink(PathOf(manifest_.layers[1]).c_str()), 0);
  EXPECT_THAT(
      Problems(),
      ElementsAre("the machine state is damaged", HasSubstr("chunk 0"), HasSubstr("chunk 3"),
                  fmt::format("the disk's layer '{}': it is missing", manifest_.layers[1])));
}

TEST_F(VerifyTest, MissingAndCutFilesAreTold) {
  ASSERT_EQ(::truncate(PathOf(memory_).c_str(), 3 * kMiB), 0);
  EXPECT_THAT(Problems(), ElementsAre(HasSubstr("has another size")));
  ASSERT_EQ(::unlink(PathOf(memory_).c_str()), 0);
  EXPECT_THAT(Problems(), ElementsAre(HasSubstr("is missing")));
  ASSERT_EQ(::unlink(PathOf("state").c_str()), 0);
  EXPECT_THAT(Problems(), ElementsAre("the machine state cannot be read: it is missing",
                                      HasSubstr("is missing")));
}

TEST_F(VerifyTest, LayersThatDoNotFitAreTold) {
  manifest_.layer_digests.clear();
  ASSERT_TRUE(ReplaceManifest(place_, manifest_));
  // The bottom layer's name stands for another disk's.
  auto backend = disk::MakeBackend("qcow2");
  ASSERT_TRUE(WriteFileAtomically(root_->path() + "/images/other", std::string(kMiB, 'o'), 0600));
  auto other = (*backend)->Create(root_->path() + "/images/other", place_, 0);
  ASSERT_TRUE(other) << other.error().ToString();
  ASSERT_EQ(::rename(PathOf(other->name).c_str(), PathOf(manifest_.layers[1]).c_str()), 0);
  EXPECT_THAT(Problems(), ElementsAre("the disk's layers do not fit: the disk does not continue "
                                      "its image"));
  // The header's version.
  Flip(PathOf(manifest_.layers[0]), 7);
  EXPECT_THAT(Problems(), ElementsAre(HasSubstr(manifest_.layers[0])));
}

TEST_F(VerifyTest, AManifestThatIsNoneIsAProblemAndNoneIsAnError) {
  ASSERT_TRUE(WriteFileAtomically(place_ + kManifestFile, "{", 0600));
  EXPECT_THAT(Problems(), ElementsAre(HasSubstr("the manifest is damaged")));
  ASSERT_EQ(::unlink((place_ + kManifestFile).c_str()), 0);
  EXPECT_EQ(Verify(place_, base_).error().code, Code::kNotFound);
}

TEST_F(VerifyTest, ProblemsAreBounded) {
  // A file with more chunks than problems are told.
  const auto read = [](uint64_t, std::span<char> out) -> Status {
    std::memset(out.data(), 'x', out.size());
    return {};
  };
  constexpr uint64_t kLarge = (kMaxProblems + 20) * kMiB;
  memory::Written written;
  auto image =
      memory::WriteImage(memory::Image::Zero(kLarge), place_, {{0, kLarge}}, read, place_, written);
  ASSERT_TRUE(image) << image.error().ToString();
  for (memory::ChunkDigest& digest : image->files[0].chunks) digest[0] ^= 1;
  ASSERT_TRUE(memory::Save(*image, place_));
  EXPECT_EQ(Problems().size(), kMaxProblems);
}

TEST_F(VerifyTest, ItCanBeBrokenOff) {
  int asked = 0;
  const auto verdict = Verify(place_, base_, [&] { return ++asked < 4; });
  ASSERT_FALSE(verdict);
  EXPECT_EQ(verdict.error().code, Code::kCanceled);
  EXPECT_EQ(asked, 4);
}

TEST_F(VerifyTest, AnImageAloneIsChecked) {
  const auto good = VerifyBase(base_);
  ASSERT_TRUE(good);
  EXPECT_TRUE(good->ok());
  EXPECT_EQ(good->bytes, 3 * kMiB);
  Flip(base_.path, 0);
  EXPECT_THAT(VerifyBase(base_)->problems, ElementsAre("the image is damaged"));
  ASSERT_EQ(::unlink(base_.path.c_str()), 0);
  EXPECT_THAT(VerifyBase(base_)->problems, ElementsAre("the image cannot be read: it is missing"));
}

TEST_F(VerifyTest, InspectSaysWhatItTakes) {
  const auto contents = Inspect(place_);
  ASSERT_TRUE(contents) << contents.error().ToString();
  EXPECT_EQ(contents->manifest.id, manifest_.id);
  EXPECT_EQ(contents->memory_files, 1u);
  EXPECT_GE(contents->memory_bytes, 2 * kMiB);
  EXPECT_LT(contents->memory_bytes, 3 * kMiB);
  EXPECT_GT(contents->disk_bytes, 0u);
  EXPECT_LT(contents->disk_bytes, kMiB);
  EXPECT_GE(contents->state_bytes, 9000u);
  const uint64_t own = contents->own_bytes;
  EXPECT_GE(own, contents->memory_bytes + contents->disk_bytes + contents->state_bytes);
  ASSERT_TRUE(os::LinkFile(PathOf(memory_), root_->path() + "/link"));
  EXPECT_EQ(Inspect(place_)->own_bytes, own - contents->memory_bytes);
  ASSERT_TRUE(Remove(place_));
  EXPECT_EQ(Inspect(place_).error().code, Code::kNotFound);
}

}  // namespace
}  // namespace wrenn::snapshot
