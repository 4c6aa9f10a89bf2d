// What all backends promise: the tests that each must pass. Those of dm-snapshot run in the
// emulated host (backend_host_test.cc), all others anywhere.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>

#include "base/io.h"
#include "disk/backend.h"
#include "disk/dm_snapshot.h"
#include "disk/reflink_mount.h"
#include "disk/sparse_copy.h"
#include "os/command.h"
#include "os/digest.h"
#include "os/files.h"

namespace wrenn::disk {

inline constexpr uint64_t kMiB = 1 << 20;

// 8 MiB: data at 1 MiB and in the last page, holes elsewhere.
inline void MakeBase(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_TRUE(fd);
  ASSERT_EQ(::ftruncate(fd.get(), 8 * kMiB), 0);
  ASSERT_TRUE(WriteAt(fd.get(), std::string(100000, 'd'), kMiB));
  ASSERT_TRUE(WriteAt(fd.get(), "end", 8 * kMiB - 3));
}

class BackendTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    dir_ = os::TemporaryDirectory::Make();
    ASSERT_TRUE(dir_);
    std::string place = dir_->path();
    if (GetParam() == std::string("reflink")) {
      const std::string reason = mount_.emplace().Set(place);
      if (!reason.empty()) GTEST_SKIP() << reason;
      place = mount_->path();
    }
    base_ = place + "/base";
    overlay_ = place + "/sandbox";
    ASSERT_TRUE(os::MakeDirectory(overlay_));
    MakeBase(base_);
    auto backend = MakeBackend(GetParam());
    ASSERT_TRUE(backend);
    backend_ = std::move(*backend);
  }

  std::string PathOf(const Layer& layer) const { return overlay_ + "/" + layer.name; }

  // Writes 64 KiB of a letter to a disk, as a VMM would.
  void Write(const Layer& layer, uint64_t offset, char letter) {
    const std::string data(64 << 10, letter);
    if (layer.format == Format::kQcow2) {
      os::CommandOptions write;
      write.argv = {"qemu-io",
                    "-f",
                    "qcow2",
                    "-c",
                    fmt::format("write -P {} {} 64k", static_cast<int>(letter), offset),
                    PathOf(layer)};
      const auto done = os::RunCommandOrFail(write, Deadline::After(std::chrono::seconds(60)));
      ASSERT_TRUE(done) << done.error().ToString();
      return;
    }
    std::unique_ptr<DmSnapshots> snapshots;
    std::optional<DmSnapshot> attached;
    std::string path = PathOf(layer);
    if (layer.format == Format::kCow) {
      auto opened = DmSnapshots::Open(dir_->path());
      ASSERT_TRUE(opened) << opened.error().ToString();
      snapshots = std::move(*opened);
      auto made = snapshots->Attach("conformance", path, base_);
      ASSERT_TRUE(made) << made.error().ToString();
      attached.emplace(std::move(*made));
      path = attached->path();
    }
    UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_TRUE(fd && WriteAt(fd.get(), data, offset) && ::fsync(fd.get()) == 0);
    fd.Reset();
    if (!attached) return;
    const Status removed = attached->Remove(Deadline::After(std::chrono::seconds(20)));
    ASSERT_TRUE(removed) << removed.error().ToString();
  }

  // The disk's whole content.
  std::string Content(const Layer& layer) {
    const std::string flat = overlay_ + "/flat";
    const Status flattened = Flatten(overlay_, {layer}, base_, flat);
    EXPECT_TRUE(flattened) << flattened.error().ToString();
    flat_bytes_ = AllocatedBytes(flat);
    std::string content = ReadFile(flat, 64 * kMiB).value_or("");
    ::unlink(flat.c_str());
    return content;
  }

  Result<os::TemporaryDirectory> dir_ = Fail(Code::kUnknown, "not made");
  std::optional<ReflinkMount> mount_;
  std::string base_;
  std::string overlay_;
  std::unique_ptr<Backend> backend_;
  uint64_t flat_bytes_ = 0;  // that the last flattened disk took
};

TEST_P(BackendTest, MakesALayerOfANewName) {
  auto made = backend_->Create(base_, overlay_, 0);
  ASSERT_TRUE(made) << made.error().ToString();
  EXPECT_EQ(ParseLayer(made->name).value(), *made);
  EXPECT_LT(AllocatedBytes(PathOf(*made)), kMiB);
  struct stat info;
  ASSERT_EQ(::stat(PathOf(*made).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(VirtualSize(PathOf(*made)).value(), 8 * kMiB);
  EXPECT_TRUE(CheckLayers(overlay_, {*made}, base_));

  auto other = backend_->Create(base_, overlay_, 0);
  ASSERT_TRUE(other);
  EXPECT_NE(other->name, made->name);
  EXPECT_EQ(FindLayers(overlay_)->size(), 2u);
}

TEST_P(BackendTest, RefusesToShrinkAndLeavesNothing) {
  EXPECT_EQ(backend_->Create(base_, overlay_, kMiB).error().code, Code::kInvalidArgument);
  EXPECT_EQ(backend_->Create(base_ + "x", overlay_, 0).error().code, Code::kNotFound);
  EXPECT_TRUE(os::ListDirectory(overlay_)->empty());
}

TEST_P(BackendTest, ReadsAsItsBaseAndThenZeros) {
  std::string expected = ReadFile(base_).value();
  auto same = backend_->Create(base_, overlay_, 0);
  ASSERT_TRUE(same);
  EXPECT_TRUE(Content(*same) == expected);
  EXPECT_LE(flat_bytes_, AllocatedBytes(base_));  // holes are kept
  auto larger = backend_->Create(base_, overlay_, 16 * kMiB + 1);
  ASSERT_TRUE(larger) << larger.error().ToString();
  EXPECT_EQ(VirtualSize(PathOf(*larger)).value(), 16 * kMiB + 512);
  expected.resize(16 * kMiB + 512);
  EXPECT_TRUE(Content(*larger) == expected);
  EXPECT_LE(flat_bytes_, AllocatedBytes(base_));
}

TEST_P(BackendTest, WritesAreItsOwnAndStay) {
  const std::string before = os::Sha256File(base_).value();
  std::string expected = ReadFile(base_).value();
  expected.resize(16 * kMiB);
  auto first = backend_->Create(base_, overlay_, 16 * kMiB);
  auto second = backend_->Create(base_, overlay_, 16 * kMiB);
  ASSERT_TRUE(first && second);
  const std::string untouched = expected;
  // Over the base's data, over its holes, across its end, behind it.
  for (const auto& [offset, letter] : {std::pair{kMiB + 12288, 'a'},
                                       {4 * kMiB, 'b'},
                                       {8 * kMiB - 4096, 'c'},
                                       {12 * kMiB, 'd'},
                                       {4 * kMiB + 4096, 'e'}}) {
    Write(*first, offset, letter);
    expected.replace(offset, 64 << 10, 64 << 10, letter);
    EXPECT_TRUE(Content(*first) == expected) << letter;
  }
  EXPECT_LE(flat_bytes_, AllocatedBytes(base_) + kMiB);
  EXPECT_TRUE(Content(*second) == untouched);
  EXPECT_EQ(os::Sha256File(base_).value(), before);
}

TEST_P(BackendTest, FlattensOnlyOverItsBase) {
  auto made = backend_->Create(base_, overlay_, 0);
  ASSERT_TRUE(made);
  MakeBase(base_ + "2");
  const std::string flat = overlay_ + "/flat";
  ASSERT_TRUE(Flatten(overlay_, {*made}, base_, flat));
  EXPECT_EQ(Flatten(overlay_, {*made}, base_, flat).error().code, Code::kAlreadyExists);
  ::unlink(flat.c_str());
  if (made->format == Format::kRaw) return;  // which is over nothing
  EXPECT_EQ(Flatten(overlay_, {*made}, base_ + "2", flat).error().code, Code::kDataLoss);
  EXPECT_FALSE(os::Exists(flat));
}

}  // namespace wrenn::disk
