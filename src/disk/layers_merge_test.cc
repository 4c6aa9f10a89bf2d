#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "base/io.h"
#include "disk/backend.h"
#include "disk/layers.h"
#include "disk/qcow2.h"
#include "disk/qcow2_reader.h"
#include "disk/sparse_copy.h"
#include "os/command.h"
#include "os/files.h"

namespace wrenn::disk {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kBaseBytes = 5 * kMiB + 512;

std::string RunTool(std::vector<std::string> argv) {
  os::CommandOptions options;
  options.argv = std::move(argv);
  const auto out = os::RunCommandOrFail(options, Deadline::After(std::chrono::seconds(120)));
  EXPECT_TRUE(out) << out.error().ToString();
  return out.value_or("");
}

// Disks that QEMU's own tools write and read.
class MergeTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!os::FindProgram("qemu-img") || !os::FindProgram("qemu-io")) {
      GTEST_SKIP() << "needs qemu-img and qemu-io (package qemu-utils)";
    }
    dir_ = os::TemporaryDirectory::Make();
    ASSERT_TRUE(dir_);
    for (const char* name : {"disk", "other"}) ASSERT_TRUE(os::MakeDirectory(In(name)));
    std::string base(kBaseBytes, '\0');
    for (auto& byte : base) byte = static_cast<char>(random_());
    ASSERT_TRUE(WriteFileAtomically(In("base"), base));
  }

  std::string In(const std::string& name) const { return dir_->path() + "/" + name; }
  std::string Disk() const { return In("disk"); }
  std::string PathOf(const Layer& layer) const { return Disk() + "/" + layer.name; }

  Layers Bottom(const char* backend = "qcow2") {
    return {(*MakeBackend(backend))->Create(In("base"), Disk(), 0).value()};
  }
  void Add(Layers& layers, uint64_t size_bytes = 0) {
    auto added = AddLayer(Disk(), layers.front(), size_bytes);
    ASSERT_TRUE(added) << added.error().ToString();
    layers.insert(layers.begin(), std::move(*added));
  }
  // qemu-io commands on the top layer, or another.
  void Io(const Layer& layer, const std::vector<std::string>& commands) {
    std::vector<std::string> argv = {"qemu-io",
                                     "-t",
                                     "unsafe",
                                     "-d",
                                     "unmap",
                                     "-f",
                                     layer.format == Format::kRaw ? "raw" : "qcow2"};
    for (const std::string& command : commands) argv.insert(argv.end(), {"-c", command});
    argv.push_back(PathOf(layer));
    RunTool(std::move(argv));
  }
  // What the guest would read.
  std::string Content(const Layer& layer) {
    RunTool({"qemu-img", "convert", "-f", layer.format == Format::kRaw ? "raw" : "qcow2", "-O",
             "raw", PathOf(layer), In("content")});
    return ReadFile(In("content"), 64 * kMiB).value();
  }
  // Writes, zeros and discards of random places, in whole sectors.
  std::vector<std::string> RandomCommands(uint64_t size_bytes) {
    std::vector<std::string> commands;
    while (commands.size() < 25) {
      const uint64_t unit = random_() % 3 == 0 ? kCluster : random_() % 2 == 0 ? 4096 : 512;
      const uint64_t offset = random_() % (size_bytes / unit) * unit;
      const uint64_t longest = std::min<uint64_t>(size_bytes - offset, 400000);
      const uint64_t length = std::max<uint64_t>(random_() % longest / unit, 1) * unit;
      if (offset + length > size_bytes) continue;
      static constexpr const char* kKinds[] = {"write -P ", "write -P ",  "write -P ",
                                               "write -z ", "write -zu ", "discard "};
      const size_t kind = random_() % 6;
      const std::string pattern = kind < 3 ? fmt::format("{} ", 1 + random_() % 255) : "";
      commands.push_back(fmt::format("{}{}{} {}", kKinds[kind], pattern, offset, length));
    }
    return commands;
  }
  // Where a layer's first data lies in its file.
  Cluster FirstData(const Layer& layer) const {
    std::vector<Cluster> table(kTableEntries);
    const auto reader = Qcow2Reader::Open(PathOf(layer));
    EXPECT_TRUE(reader->ReadTable(0, std::span<Cluster, kTableEntries>(table)).value());
    return *std::ranges::find_if(table, IsData);
  }
  // Merges and compares with what was read before.
  Layer MergeAndCompare(const Layers& layers, size_t count) {
    const std::string before = Content(layers.front());
    const auto merged = MergeLayers(Disk(), layers, count);
    EXPECT_TRUE(merged) << merged.error().ToString();
    if (!merged) return {};
    EXPECT_TRUE(Content(*merged) == before) << count << " of " << layers.size();
    EXPECT_EQ(merged->format, layers[count - 1].format);
    if (merged->format == Format::kQcow2) {
      const std::string checked = RunTool({"qemu-img", "check", PathOf(*merged)});
      EXPECT_NE(checked.find("No errors were found"), std::string::npos) << checked;
      Layers now(layers.begin() + static_cast<long>(count), layers.end());
      now.insert(now.begin(), *merged);
      const Status chained = CheckLayers(Disk(), now, In("base"));
      EXPECT_TRUE(chained) << chained.error().ToString();
    }
    return *merged;
  }

  std::mt19937_64 random_{4711};
  Result<os::TemporaryDirectory> dir_ = Fail(Code::kUnknown, "not made");
};

TEST_F(MergeTest, RandomChainsReadTheSameByteForByte) {
  for (const char* backend : {"qcow2", "copy", "qcow2", "copy"}) {
    Layers layers = Bottom(backend);
    uint64_t size = kBaseBytes;
    Io(layers.front(), RandomCommands(size));
    while (layers.size() < 6) {
      // Some grow, to the end of a cluster or to the middle of one.
      if (random_() % 2 == 0) size += random_() % (2 * kMiB) / 512 * 512;
      Add(layers, size);
      Io(layers.front(), RandomCommands(size));
    }
    for (const size_t count : {2, 4, 5, 6}) {
      const Layer merged = MergeAndCompare(layers, count);
      ASSERT_FALSE(HasFailure());
      // QEMU can go on with it.
      Layers next = {merged};
      Add(next);
      Io(merged, RandomCommands(size));
      if (merged.format == Format::kQcow2) RunTool({"qemu-img", "check", PathOf(merged)});
    }
  }
}

TEST_F(MergeTest, KeepsZerosThatHideWhatIsBelow) {
  Layers layers = Bottom();
  Add(layers);
  Io(layers.front(), {"write -z 0 1M", "write -P 7 2M 64k"});
  Add(layers);
  Io(layers.front(), {"write -z 2M 64k", "write -P 9 512k 64k"});
  const Layer merged = MergeAndCompare(layers, 2);
  const auto reader = Qcow2Reader::Open(PathOf(merged));
  ASSERT_TRUE(reader);
  std::vector<Cluster> table(kTableEntries);
  ASSERT_TRUE(reader->ReadTable(0, std::span<Cluster, kTableEntries>(table)).value());
  EXPECT_EQ(table[0], kZeros);
  EXPECT_TRUE(IsData(table[8]));
  EXPECT_EQ(table[15], kZeros);
  EXPECT_EQ(table[16], kUnallocated);
  EXPECT_EQ(table[32], kZeros);
}

TEST_F(MergeTest, IntoARawDiskZerosBecomeHoles) {
  Layers layers = Bottom("copy");
  const uint64_t before = AllocatedBytes(PathOf(layers.front()));
  Add(layers, 16 * kMiB);
  Io(layers.front(), {"write -z 0 4M", "write -P 7 1M 64k", "write -P 8 15M 1M"});
  const Layer merged = MergeAndCompare(layers, 2);
  EXPECT_EQ(VirtualSize(PathOf(merged)).value(), 16 * kMiB);
  EXPECT_LT(AllocatedBytes(PathOf(merged)), before - 2 * kMiB);
}

TEST_F(MergeTest, AHoleInDataIsZerosWhateverIsBelow) {
  for (const char* backend : {"qcow2", "copy"}) {
    Layers layers = Bottom(backend);
    Add(layers);
    Io(layers.front(), {"write -P 7 1M 256k"});
    const Cluster data = FirstData(layers.front());
    const UniqueFd fd(::open(PathOf(layers.front()).c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(PunchHole(fd.get(), data + 4096, 2 * kCluster));
    const Layer merged = MergeAndCompare(layers, layers.back().format == Format::kRaw ? 2 : 1);
    EXPECT_LT(AllocatedBytes(PathOf(merged)), kBaseBytes + kMiB / 4);
  }
}

TEST_F(MergeTest, WhatIsInAFileBehindTheDisksEndIsNotCopied) {
  for (const char* backend : {"qcow2", "copy"}) {
    Layers layers = Bottom(backend);
    Add(layers);
    const uint64_t end =
        kBaseBytes / kCluster * kCluster;  // where the last, partial cluster begins
    Io(layers.front(), {fmt::format("write -P 7 {} 512", end)});
    const UniqueFd fd(::open(PathOf(layers.front()).c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(
        WriteAt(fd.get(), std::string(kCluster - 512, 'x'), FirstData(layers.front()) + 512));
    Add(layers, 6 * kMiB);
    MergeAndCompare(layers, layers.back().format == Format::kRaw ? 3 : 2);
  }
}

TEST_F(MergeTest, ALargeDiskCostsWhatIsInIt) {
  Layers layers = Bottom();
  Add(layers, 3 * (uint64_t{1} << 40));
  Io(layers.front(), {"write -P 1 2T 128k", "write -P 2 700G 4k"});
  Add(layers);
  Io(layers.front(), {"write -P 3 2T 64k", "write -P 4 100G 4k"});
  const auto merged = MergeLayers(Disk(), layers, 2);
  ASSERT_TRUE(merged) << merged.error().ToString();
  EXPECT_LT(AllocatedBytes(PathOf(*merged)), kMiB);
  Io(*merged, {"read -P 3 2T 64k", "read -P 1 2199023321088 64k", "read -P 2 700G 4k",
               "read -P 4 100G 4k", "read -P 0 500G 64k"});
  RunTool({"qemu-img", "check", PathOf(*merged)});
  RunTool({"qemu-img", "compare", PathOf(layers.front()), PathOf(*merged)});
}

TEST_F(MergeTest, OneLayerIsCopiedWithoutWhatItNoLongerUses) {
  Layers layers = Bottom();
  Add(layers);
  Io(layers.front(), {"write -P 1 0 4M", "discard 0 3M"});
  const Layer merged = MergeAndCompare(layers, 1);
  EXPECT_LT(AllocatedBytes(PathOf(merged)), AllocatedBytes(PathOf(layers.front())) + kMiB / 2);
  MergeAndCompare(Bottom("copy"), 1);
}

TEST_F(MergeTest, RefusesWhatIsNoChain) {
  Layers layers = Bottom();
  Add(layers);
  Add(layers);
  const auto error = [&](const Layers& these, size_t count) {
    const auto merged = MergeLayers(Disk(), these, count);
    EXPECT_FALSE(merged);
    return merged ? Code::kUnknown : merged.error().code;
  };
  const size_t files = os::ListDirectory(Disk())->size();
  EXPECT_EQ(error(layers, 0), Code::kInvalidArgument);
  EXPECT_EQ(error(layers, 4), Code::kInvalidArgument);
  EXPECT_EQ(error({layers[0], layers[2]}, 2), Code::kDataLoss);
  EXPECT_EQ(error({layers[0], NewLayer(Format::kQcow2)}, 1), Code::kDataLoss);
  EXPECT_EQ(error({NewLayer(Format::kQcow2)}, 1), Code::kNotFound);
  // One whose entries all lead to the same data.
  Io(layers[0], {"write -P 1 0 64k"});
  UniqueFd top(::open(PathOf(layers[0]).c_str(), O_RDWR | O_CLOEXEC));
  std::string entries(kCluster, '\0');
  const auto header = ReadQcow2Header(top.get());
  ASSERT_EQ(ReadAt(top.get(), std::span(entries).first(8), header->l1_table).value(), 8u);
  const uint64_t table = NumberAt(entries, 0, 8) << 1 >> 1;
  entries.clear();
  while (entries.size() < kCluster) AppendNumber(entries, FirstData(layers[0]), 8);
  ASSERT_TRUE(WriteAt(top.get(), entries, table));
  EXPECT_EQ(error(layers, 1), Code::kDataLoss);
  entries.assign(kCluster, '\0');
  ASSERT_TRUE(WriteAt(top.get(), entries, table));
  // One that has been made smaller than what is below it.
  UniqueFd fd(::open(PathOf(layers[1]).c_str(), O_RDWR | O_CLOEXEC));
  std::string number;
  AppendNumber(number, kMiB, 8);
  ASSERT_TRUE(WriteAt(fd.get(), number, 24));
  EXPECT_EQ(error(layers, 2), Code::kDataLoss);
  EXPECT_EQ(os::ListDirectory(Disk())->size(), files);
}

TEST_F(MergeTest, RefusesWhatQemuCanMakeAndWrennDoesNot) {
  const Layers below = Bottom();
  const size_t files = os::ListDirectory(Disk())->size();
  const auto make = [&](const std::vector<std::string>& options) {
    Layer layer = NewLayer(Format::kQcow2);
    std::vector<std::string> argv = {
        "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "./" + below[0].name};
    argv.insert(argv.end(), options.begin(), options.end());
    argv.push_back(PathOf(layer));
    RunTool(std::move(argv));
    return layer;
  };
  const auto refused = [&](const Layer& layer) {
    const auto merged = MergeLayers(Disk(), {layer, below[0]}, 1);
    const Code code = merged ? Code::kUnknown : merged.error().code;
    EXPECT_EQ(::unlink(PathOf(layer).c_str()), 0);
    EXPECT_EQ(os::ListDirectory(Disk())->size(), files);
    return code;
  };
  // Without options it is what wrenn reads.
  const Layer plain = make({});
  const auto merged_plain = MergeLayers(Disk(), {plain, below[0]}, 1);
  ASSERT_TRUE(merged_plain) << merged_plain.error().ToString();
  ASSERT_TRUE(RemoveLayers(Disk(), {plain, *merged_plain}));

  for (const char* option : {"compat=0.10", "cluster_size=4k", "extended_l2=on"}) {
    EXPECT_EQ(refused(make({"-o", option})), Code::kUnimplemented) << option;
  }
  const Layer snapshot = make({});
  RunTool({"qemu-img", "snapshot", "-c", "one", PathOf(snapshot)});
  EXPECT_EQ(refused(snapshot), Code::kUnimplemented);
  const Layer compressed = make({});
  Io(compressed, {"write -c -P 1 0 64k"});
  EXPECT_EQ(refused(compressed), Code::kUnimplemented);
}

TEST_F(MergeTest, ALayerThatNamesAFileOfTheHostsIsFound) {
  Layers layers = Bottom();
  Add(layers);
  EXPECT_TRUE(CheckLayers(Disk(), layers, In("base")));
  EXPECT_TRUE(CheckLayers(Disk(), Bottom("copy"), In("base")));
  EXPECT_EQ(CheckLayers(Disk(), layers, In("content")).error().code, Code::kDataLoss);
  for (const Layer& layer : layers) {
    const std::string good = ReadFile(PathOf(layer)).value();
    const std::string bad =
        *EncodeQcow2Header({kBaseBytes, "/etc/shadow", Format::kRaw, kCluster, kCluster});
    ASSERT_TRUE(WriteFileAtomically(PathOf(layer), bad));
    EXPECT_EQ(CheckLayers(Disk(), layers, In("base")).error().code, Code::kDataLoss);
    ASSERT_TRUE(WriteFileAtomically(PathOf(layer), good));
  }
  EXPECT_TRUE(CheckLayers(Disk(), layers, In("base")));
}

TEST_F(MergeTest, ROOT_OnAFullDiskNothingIsLeft) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount";
  const std::string small = Disk();
  if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=12m") != 0) {
    GTEST_SKIP() << "cannot mount a tmpfs";
  }
  for (const char* backend : {"qcow2", "copy"}) {
    Layers layers = Bottom(backend);
    Add(layers);
    Io(layers.front(), {"write -P 1 0 4M"});
    if (layers.back().format == Format::kQcow2) Io(layers.back(), {"write -P 2 1M 4M"});
    const std::string before = Content(layers.front());
    const auto merged = MergeLayers(Disk(), layers, 2);
    EXPECT_EQ(merged ? Code::kUnknown : merged.error().code, Code::kResourceExhausted);
    EXPECT_EQ(FindLayers(Disk())->size(), 2u);
    EXPECT_TRUE(Content(layers.front()) == before);
    EXPECT_TRUE(RemoveLayers(Disk(), layers));
  }
  EXPECT_EQ(::umount(small.c_str()), 0);
}

}  // namespace
}  // namespace wrenn::disk
