#include "disk/layers.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/io.h"
#include "disk/backend.h"
#include "disk/qcow2.h"
#include "os/command.h"
#include "os/files.h"

namespace wrenn::disk {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr const char* kTop = "disk-0123456789abcdefghij.qcow2";
constexpr const char* kBottom = "disk-zyxwvutsrqponmlkjihg.raw";

std::string QemuImg(std::vector<std::string> arguments) {
  os::CommandOptions options;
  options.argv = std::move(arguments);
  options.argv.insert(options.argv.begin(), "qemu-img");
  const auto out = os::RunCommandOrFail(options, Deadline::After(std::chrono::seconds(60)));
  EXPECT_TRUE(out) << out.error().ToString();
  return out.value_or("");
}

TEST(LayerNamesTest, AreNewEachTimeAndSayTheFormat) {
  for (const Format format : {Format::kRaw, Format::kQcow2}) {
    const Layer layer = NewLayer(format);
    EXPECT_EQ(ParseLayer(layer.name).value(), layer);
    EXPECT_NE(NewLayer(format), layer);
  }
}

TEST(LayerNamesTest, NothingElseIsAName) {
  for (const char* name :
       {"", ".qcow2", "disk.qcow2", "disk-0123456789abcdefghij", "disk-0123456789abcdefghij.img",
        "disk-0123456789abcdefghi.raw", "disk-0123456789abcdefghijk.raw",
        "disk-0123456789ABCDEFGHIJ.raw", "disk-../../../../../../x.raw",
        "../disk-0123456789abcdefghij.raw", "disk-0123456789abcdefghij.raw.qcow2",
        "disk-0123456789abcdefghij.raw\n", "dusk-0123456789abcdefghij.raw"}) {
    EXPECT_EQ(ParseLayer(name).error().code, Code::kInvalidArgument) << name;
  }
}

TEST(LayerNamesTest, AListIsADiskOnlyInOrder) {
  const Layers layers = {{kTop, Format::kQcow2}, {kBottom, Format::kRaw}};
  EXPECT_EQ(ParseLayers(LayerNames(layers)).value(), layers);
  EXPECT_EQ(json::serialize(ToJson(layers)), json::serialize(json::array{kTop, kBottom}));

  EXPECT_FALSE(ParseLayers(std::vector<std::string>{}));
  EXPECT_FALSE(ParseLayers({kTop, kTop}));
  EXPECT_FALSE(ParseLayers({kBottom, kTop}));
  EXPECT_FALSE(ParseLayers({kTop, "../x"}));
  std::vector<std::string> many;
  while (many.size() < kMaxLayers) many.push_back(NewLayer(Format::kQcow2).name);
  EXPECT_TRUE(ParseLayers(many));
  many.push_back(NewLayer(Format::kQcow2).name);
  EXPECT_EQ(ParseLayers(many).error().code, Code::kInvalidArgument);
}

class LayersTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = os::TemporaryDirectory::Make();
    ASSERT_TRUE(dir_);
    for (const char* name : {"a", "b"}) ASSERT_TRUE(os::MakeDirectory(Path(name)));
    // Data in the middle and a size that is no whole number of clusters or sectors.
    std::string content(3 * kMiB + 100, 'b');
    content.replace(0, kMiB, kMiB, '\0');
    ASSERT_TRUE(WriteFileAtomically(Path("base"), content));
  }

  std::string Path(const std::string& name) const { return dir_->path() + "/" + name; }
  // The lowest layer, in folder a.
  Layer Bottom(const char* backend = "qcow2") {
    auto made = (*MakeBackend(backend))->Create(Path("base"), Path("a"), 0);
    EXPECT_TRUE(made) << made.error().ToString();
    return made.value_or(Layer());
  }
  Layers Chain() {
    Layers layers = {Bottom()};
    layers.insert(layers.begin(), AddLayer(Path("a"), layers.front(), 0).value());
    return layers;
  }
  static ino_t InodeOf(const std::string& path) {
    struct stat info;
    return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
  }

  Result<os::TemporaryDirectory> dir_ = Fail(Code::kUnknown, "not made");
};

TEST_F(LayersTest, ANewLayerReadsAsWhatIsBelow) {
  if (!os::FindProgram("qemu-img")) GTEST_SKIP() << "needs qemu-img (package qemu-utils)";
  for (const char* backend : {"qcow2", "copy"}) {
    const Layer bottom = Bottom(backend);
    const auto middle = AddLayer(Path("a"), bottom, 0);
    ASSERT_TRUE(middle) << middle.error().ToString();
    const auto top = AddLayer(Path("a"), *middle, 600 * kMiB + 1);
    ASSERT_TRUE(top) << top.error().ToString();
    EXPECT_EQ(VirtualSize(Path("a/") + bottom.name).value(), 3 * kMiB + 512);
    EXPECT_EQ(VirtualSize(Path("a/") + middle->name).value(), 3 * kMiB + 512);
    EXPECT_EQ(VirtualSize(Path("a/") + top->name).value(), 600 * kMiB + 512);

    for (const Layer& layer : {*middle, *top}) {
      QemuImg({"check", Path("a/") + layer.name});
      QemuImg({"compare", "-f", "raw", "-F", "qcow2", Path("base"), Path("a/") + layer.name});
    }
    const std::string info = QemuImg({"info", Path("a/") + middle->name});
    EXPECT_NE(info.find("backing file: ./" + bottom.name), std::string::npos) << info;
    // In another place and under other folders' names it still finds what is below.
    ASSERT_TRUE(LinkLayers({*top, *middle, bottom}, Path("a"), Path("b")));
    EXPECT_EQ(::rename(Path("a").c_str(), Path("gone").c_str()), 0);
    QemuImg({"compare", "-f", "raw", "-F", "qcow2", Path("base"), Path("b/") + top->name});
    EXPECT_EQ(::rename(Path("gone").c_str(), Path("a").c_str()), 0);
  }
}

TEST_F(LayersTest, ANewLayerCannotShrinkOrHangInTheAir) {
  const Layer bottom = Bottom();
  EXPECT_EQ(AddLayer(Path("a"), bottom, kMiB).error().code, Code::kInvalidArgument);
  EXPECT_EQ(AddLayer(Path("a"), bottom, kMaxDiskBytes + 1).error().code, Code::kOutOfRange);
  EXPECT_EQ(AddLayer(Path("b"), bottom, 0).error().code, Code::kNotFound);
  ASSERT_TRUE(WriteFileAtomically(Path("b/") + kTop, "no qcow2"));
  EXPECT_EQ(AddLayer(Path("b"), {kTop, Format::kQcow2}, 0).error().code, Code::kDataLoss);
  EXPECT_EQ(FindLayers(Path("a"))->size(), 1u);
  EXPECT_EQ(FindLayers(Path("b"))->size(), 1u);
}

TEST_F(LayersTest, OnlyFilesAreOpened) {
  ASSERT_EQ(::symlink(Path("base").c_str(), Path("link.raw").c_str()), 0);
  ASSERT_EQ(::mkfifo(Path("fifo.raw").c_str(), 0600), 0);
  EXPECT_FALSE(VirtualSize(Path("link.raw")));
  EXPECT_EQ(VirtualSize(Path("fifo.raw")).error().code, Code::kFailedPrecondition);
  EXPECT_EQ(VirtualSize(Path("a")).error().code, Code::kFailedPrecondition);
  // The name decides, not the content.
  const Layer bottom = Bottom();
  ASSERT_EQ(::rename((Path("a/") + bottom.name).c_str(), Path("x.raw").c_str()), 0);
  EXPECT_EQ(VirtualSize(Path("x.raw")).value(), 4 * kCluster);
}

TEST_F(LayersTest, LinksAreTheSameFilesAndMayBeThere) {
  const Layers layers = Chain();
  const std::string top = layers.front().name;
  EXPECT_EQ(std::filesystem::hard_link_count(Path("a/") + top), 1u);
  ASSERT_TRUE(LinkLayers(layers, Path("a"), Path("b")));
  EXPECT_EQ(InodeOf(Path("a/") + top), InodeOf(Path("b/") + top));
  EXPECT_EQ(std::filesystem::hard_link_count(Path("a/") + top), 2u);
  EXPECT_TRUE(LinkLayers(layers, Path("a"), Path("b")));

  ASSERT_TRUE(RemoveLayers(Path("a"), layers));
  EXPECT_TRUE(RemoveLayers(Path("a"), layers));
  EXPECT_TRUE(FindLayers(Path("a"))->empty());
  EXPECT_EQ(FindLayers(Path("b"))->size(), 2u);
  EXPECT_EQ(std::filesystem::hard_link_count(Path("b/") + top), 1u);
  EXPECT_TRUE(FindLayers(Path("nowhere"))->empty());
}

TEST_F(LayersTest, CopiesOfChangesAreDisksOfTheirOwn) {
  ASSERT_EQ(::truncate(Path("base").c_str(), 3 * kMiB), 0);
  const Layer layer = Bottom("dm-snapshot");
  EXPECT_TRUE(NeedsDevice(layer.name));
  const auto copy = CopyChanges(Path("a"), layer, Path("b"), 0);
  ASSERT_TRUE(copy) << copy.error().ToString();
  EXPECT_EQ(ParseLayer(copy->name).value(), *copy);
  EXPECT_NE(copy->name, layer.name);
  EXPECT_TRUE(CheckLayers(Path("b"), {*copy}, Path("base")));
  EXPECT_EQ(ReadFile(Path("b/") + copy->name).value(), ReadFile(Path("a/") + layer.name).value());
  EXPECT_LE(AllocatedBytes(Path("b/") + copy->name), 64u << 10);
  const auto larger = CopyChanges(Path("a"), layer, Path("b"), 5 * kMiB + 1);
  ASSERT_TRUE(larger) << larger.error().ToString();
  EXPECT_EQ(VirtualSize(Path("b/") + larger->name).value(), 5 * kMiB + 512);

  EXPECT_EQ(CopyChanges(Path("a"), layer, Path("b"), kMiB).error().code, Code::kInvalidArgument);
  EXPECT_EQ(CopyChanges(Path("b"), layer, Path("a"), 0).error().code, Code::kNotFound);
  ASSERT_EQ(::truncate((Path("a/") + layer.name).c_str(), 100), 0);
  EXPECT_EQ(CopyChanges(Path("a"), layer, Path("b"), 0).error().code, Code::kDataLoss);
  EXPECT_EQ(FindLayers(Path("b"))->size(), 2u);
  EXPECT_EQ(FindLayers(Path("a"))->size(), 1u);
}

TEST_F(LayersTest, ROOT_CopiesOfChangesLeaveRoomForOthers) {
  ASSERT_EQ(::truncate(Path("base").c_str(), 3 * kMiB), 0);
  const Layer layer = Bottom("dm-snapshot");
  // With room for the file, but not for what others write.
  const std::string small = Path("small");
  ASSERT_TRUE(os::MakeDirectory(small));
  if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=200m") != 0) {
    GTEST_SKIP() << "cannot mount a tmpfs";
  }
  const auto copy = CopyChanges(Path("a"), layer, small, 0);
  EXPECT_TRUE(FindLayers(small)->empty());
  ::umount(small.c_str());
  ASSERT_FALSE(copy);
  EXPECT_EQ(copy.error().code, Code::kResourceExhausted);
}

TEST_F(LayersTest, AFailedLinkingLeavesWhatWasThere) {
  const Layers layers = Chain();
  // The first can be linked, the second name is taken by another file.
  const std::string taken = Path("b/") + layers.back().name;
  ASSERT_TRUE(WriteFileAtomically(taken, "another"));
  EXPECT_EQ(LinkLayers(layers, Path("a"), Path("b")).error().code, Code::kAlreadyExists);
  EXPECT_EQ(FindLayers(Path("b"))->size(), 1u);
  EXPECT_EQ(ReadFile(taken).value(), "another");
  ASSERT_EQ(::unlink(taken.c_str()), 0);

  // A link that was there before the attempt survives it.
  ASSERT_TRUE(LinkLayers({layers.front()}, Path("a"), Path("b")));
  ASSERT_EQ(::unlink((Path("a/") + layers.back().name).c_str()), 0);
  EXPECT_EQ(LinkLayers(layers, Path("a"), Path("b")).error().code, Code::kNotFound);
  EXPECT_EQ(FindLayers(Path("b"))->size(), 1u);
}

}  // namespace
}  // namespace wrenn::disk
