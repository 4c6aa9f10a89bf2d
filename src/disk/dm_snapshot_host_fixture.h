// For tests in the emulated host: a base image, files of changes over it, and what is on the host.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "base/io.h"
#include "disk/backend.h"
#include "disk/dm_snapshot.h"
#include "disk/sparse_copy.h"
#include "os/digest.h"
#include "os/files.h"
#include "os/mounts.h"

namespace wrenn::disk {

inline Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }

// What dmsetup, losetup and ls would list.
struct HostListing {
  std::vector<std::string> devices;
  std::vector<std::string> loops;  // "loop0: /path"
  std::vector<std::string> nodes;
  friend bool operator==(const HostListing&, const HostListing&) = default;
};

inline HostListing ListHost() {
  HostListing listing;
  listing.devices = os::DeviceMapper::Open()->List("").value();
  const auto blocks = os::ListDirectory("/sys/block");
  for (const std::string& name : *blocks) {
    const auto file = ReadFile("/sys/block/" + name + "/loop/backing_file", 4096);
    if (file) listing.loops.push_back(name + ": " + *file);
  }
  listing.nodes = os::ListDirectory("/dev/mapper").value();
  return listing;
}

class DmSnapshotTest : public testing::Test {
 protected:
  static constexpr uint64_t kMiB = 1 << 20;

  void SetUp() override {
    auto mapper = os::DeviceMapper::Open();
    if (!mapper) GTEST_SKIP() << mapper.error().message;
    // /tmp is no disk in the emulated host.
    dir_ = os::TemporaryDirectory::Make(os::Exists("/host/init") ? "/host" : "");
    ASSERT_TRUE(dir_);
    before_ = ListHost();
    snapshots_ = Open();
    base_ = dir_->path() + "/base";
    MakeBase(base_, 8 * kMiB);
    digest_ = os::Sha256File(base_).value();
  }

  void TearDown() override {
    if (!snapshots_) return;
    EXPECT_EQ(os::Sha256File(base_).value(), digest_);
    const Status cleared = snapshots_->RemoveStale({}, Soon());
    EXPECT_TRUE(cleared) << cleared.error().ToString();
    snapshots_.reset();
    EXPECT_TRUE(os::UnmountBelow(dir_->path()));
    EXPECT_EQ(ListHost(), before_);
  }

  std::unique_ptr<DmSnapshots> Open(DmSnapshots::OnStep on_step = {}) {
    auto opened = DmSnapshots::Open(dir_->path(), std::move(on_step));
    EXPECT_TRUE(opened) << opened.error().ToString();
    return opened ? std::move(*opened) : nullptr;
  }

  // Letters that differ from chunk to chunk, with a hole in the middle.
  static void MakeBase(const std::string& path, uint64_t bytes) {
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(::ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
    for (uint64_t at = 0; at < bytes; at += kChunk) {
      if (at > bytes / 4 && at < bytes / 2) continue;
      const auto letter = static_cast<char>('a' + at / kChunk % 26);
      ASSERT_TRUE(WriteAt(fd.get(), std::string(std::min(kChunk, bytes - at), letter), at));
    }
  }

  // A new file of changes over the base.
  Layer Make(uint64_t disk_bytes = 0, const std::string& folder = {}) {
    auto layer = (*MakeBackend("dm-snapshot"))
                     ->Create(base_, folder.empty() ? dir_->path() : folder, disk_bytes);
    EXPECT_TRUE(layer) << layer.error().ToString();
    return layer.value_or(Layer());
  }
  std::string PathOf(const Layer& layer) const { return dir_->path() + "/" + layer.name; }

  Result<DmSnapshot> Attach(const std::string& id, const Layer& layer) {
    auto attached = snapshots_->Attach(id, PathOf(layer), base_);
    EXPECT_TRUE(attached) << attached.error().ToString();
    return attached;
  }

  static Status Write(const std::string& path, const std::string& data, uint64_t offset) {
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd) return Fail(ErrnoError("open"));
    RETURN_IF_ERROR(WriteAt(fd.get(), data, offset));
    if (::fsync(fd.get()) < 0) return Fail(ErrnoError("fsync"));
    return {};
  }

  static std::string Read(const std::string& path, size_t bytes, uint64_t offset = 0) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string data(bytes, '?');
    const auto got = ReadAt(fd.get(), std::span(data), offset);
    EXPECT_TRUE(got) << got.error().ToString();
    data.resize(got.value_or(0));
    return data;
  }

  Result<os::TemporaryDirectory> dir_ = Fail(Code::kUnknown, "not made");
  HostListing before_;
  std::unique_ptr<DmSnapshots> snapshots_;
  std::string base_;
  std::string digest_;  // of the base
};

}  // namespace wrenn::disk
