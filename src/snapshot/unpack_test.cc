// Streams that are damaged, and streams that mean harm.
#include "snapshot/packed_fixture.h"

namespace wrenn::snapshot {
namespace {

class UnpackTest : public PackedFixture {
 protected:
  void ExpectRefused(const std::string& stream, const std::string& why) {
    const Status unpacked = UnpackAll(stream);
    ASSERT_FALSE(unpacked) << why;
    EXPECT_EQ(unpacked.error().code, Code::kInvalidArgument) << unpacked.error().ToString();
    EXPECT_NE(unpacked.error().message.find(why), std::string::npos) << unpacked.error().message;
    EXPECT_EQ(unpacked.error().message.find(folder_->path()), std::string::npos);
  }

  // A sound stream by hand, to be spoilt; the index first.
  std::vector<TarFile> Sound() const {
    std::vector<TarFile> files;
    PackedIndex index = Labels();
    for (const std::string& name : names_) {
      const std::string content = name == kTestMemory ? "RAM" : *ReadFile(From(name));
      files.push_back({name, content, AE_IFREG, "", "", 0});
      index.files.push_back({name, content.size(), content.size()});
    }
    files.insert(files.begin(), {kIndexFile, json::serialize(index.ToJson()), AE_IFREG, "", "", 0});
    return files;
  }
  // Where "memory-..." is in it.
  static TarFile& Find(std::vector<TarFile>& files, const std::string& name) {
    return *std::ranges::find(files, name, &TarFile::name);
  }
  // The index alone, with one entry replaced.
  std::string WithEntry(const std::string& name, PackedFile instead) {
    PackedIndex index = Labels();
    for (const std::string& one : names_) index.files.push_back({one, 1, 1});
    std::ranges::replace_if(
        index.files, [&](const PackedFile& file) { return file.name == name; }, std::move(instead));
    return PackByHand({{kIndexFile, json::serialize(index.ToJson()), AE_IFREG, "", "", 0}});
  }
};

TEST_F(UnpackTest, TakesASoundOneMadeByHand) { EXPECT_TRUE(UnpackAll(PackByHand(Sound()))); }

TEST_F(UnpackTest, RefusesWhatIsNone) {
  ExpectRefused("", "cut off");
  ExpectRefused("no zstd at all", "compression");
  std::string stream;
  const ByteSink sink = SinkTo(stream);
  ZstdWriter zstd(sink);
  ASSERT_TRUE(zstd.Write(std::string(5000, 'x')));
  ASSERT_TRUE(zstd.Finish());
  ExpectRefused(stream, "damaged");
}

TEST_F(UnpackTest, RefusesWhatIsCutOffAnywhere) {
  const std::string stream = Packed();
  for (size_t length = 0; length < stream.size(); length += stream.size() / 40 + 1) {
    for (const std::string& name : names_) (void)os::RemoveTree(To(name));
    ExpectRefused(stream.substr(0, length), "");
  }
  for (const std::string& name : names_) (void)os::RemoveTree(To(name));
  ExpectRefused(stream.substr(0, stream.size() - 1), "cut off");  // a part of the checksum
}

// Some bits of a frame mean nothing (RFC 8878): without them the files are the same.
TEST_F(UnpackTest, TakesNoOtherFilesWhateverByteIsChanged) {
  const std::string stream = Packed();
  int taken = 0;
  for (size_t at = 0; at < stream.size(); at += 1 + stream.size() / 100) {
    for (const std::string& name : names_) (void)os::RemoveTree(To(name));
    std::string changed = stream;
    changed[at] = static_cast<char>(changed[at] ^ 0x10);
    if (!UnpackAll(changed)) continue;
    ++taken;
    for (const std::string& name : names_) EXPECT_EQ(*ReadFile(From(name)), *ReadFile(To(name)));
  }
  EXPECT_LE(taken, 3);
}

TEST_F(UnpackTest, RefusesWhatFollowsBehindIt) {
  ExpectRefused(Packed() + "more", "");
  for (const std::string& name : names_) (void)os::RemoveTree(To(name));
  std::string stream = Packed();
  const ByteSink sink = SinkTo(stream);
  ZstdWriter zstd(sink);
  ASSERT_TRUE(zstd.Write(std::string(2 << 20, 'x')));
  ASSERT_TRUE(zstd.Finish());
  ExpectRefused(stream, "behind its end");
}

TEST_F(UnpackTest, PassesOnErrorsOfTheSource) {
  const std::string stream = Packed();
  const Status unpacked =
      UnpackAll([&, at = size_t{0}](std::span<char> out) mutable -> Result<size_t> {
        if (at > stream.size() / 2) return Fail(Code::kUnavailable, "the client has gone");
        const size_t count = std::min<size_t>({out.size(), 100, stream.size() - at});
        std::memcpy(out.data(), stream.data() + at, count);
        at += count;
        return count;
      });
  ASSERT_FALSE(unpacked);
  EXPECT_EQ(unpacked.error().code, Code::kUnavailable);
  EXPECT_EQ(unpacked.error().message, "the client has gone");
}

TEST_F(UnpackTest, RefusesOtherNamesInTheIndex) {
  for (const char* name :
       {"../state", "/etc/passwd", "./state", "state/", "memory-", "memory-0123456789ABCDEFGHIJ",
        "disk-0123456789abcdefghij.vmdk", "kernel/../state", "kernel/other", "image/manifest.json",
        "memory-0123456789abcdefghij/x", "", "wrenn-snapshot.json"}) {
    ExpectRefused(WithEntry(kTestLayer, {name, 1, 1}), "its index");
  }
}

TEST_F(UnpackTest, RefusesAnIndexThatCannotBeRight) {
  ExpectRefused(WithEntry(kTestLayer, {kTestMemory, 1, 1}), "there twice");
  ExpectRefused(WithEntry(kPackedState, {"memory-zzzzzzzzzzzzzzzzzzzz", 1, 1}),
                "'state' is missing");
  ExpectRefused(WithEntry(kPackedState, {kPackedState, uint64_t{2} << 30, 1}), "larger than");
  ExpectRefused(WithEntry(kTestMemory, {kTestMemory, uint64_t{1} << 45, 1}), "larger than");
  ExpectRefused(WithEntry(kPackedState, {kPackedState, 5, 6}), "more data than bytes");
  ExpectRefused(PackByHand({{kIndexFile, "{}", AE_IFREG, "", "", 0}}), "format is required");
  ExpectRefused(PackByHand({{kIndexFile, "not JSON", AE_IFREG, "", "", 0}}), "its index");
  ExpectRefused(PackByHand({{kIndexFile, std::string(2 << 20, ' '), AE_IFREG, "", "", 0}}),
                "too long");
  ExpectRefused(PackByHand({{"state", "x", AE_IFREG, "", "", 0}}), "something else");
}

TEST_F(UnpackTest, SaysThatItIsTooNew) {
  const Status unpacked =
      UnpackAll(PackByHand({{kIndexFile, R"({"format":2})", AE_IFREG, "", "", 0}}));
  ASSERT_FALSE(unpacked);
  EXPECT_EQ(unpacked.error().code, Code::kUnimplemented);
}

TEST_F(UnpackTest, RefusesAnotherNameThanAnnounced) {
  for (const char* name : {"../escaped", "/tmp/escaped", "state2", "./state"}) {
    for (const std::string& one : names_) (void)os::RemoveTree(To(one));
    auto files = Sound();
    Find(files, kPackedState).name = name;
    ExpectRefused(PackByHand(files), "something else is where 'state' should be");
    EXPECT_FALSE(os::Exists(folder_->path() + "/escaped"));
  }
}

TEST_F(UnpackTest, RefusesLinksAndSpecialFiles) {
  const auto spoil = [&](auto change) {
    for (const std::string& one : names_) (void)os::RemoveTree(To(one));
    auto files = Sound();
    change(Find(files, kPackedState));
    return PackByHand(files);
  };
  ExpectRefused(spoil([](TarFile& file) {
                  file.type = AE_IFLNK;
                  file.link = "/etc/passwd";
                  file.content.clear();
                }),
                "'state' is no plain file");
  ExpectRefused(spoil([](TarFile& file) {
                  file.hard_link = kPackedManifest;
                  file.content.clear();
                }),
                "'state' is no plain file");
  ExpectRefused(spoil([](TarFile& file) {
                  file.type = AE_IFIFO;
                  file.content.clear();
                }),
                "'state' is no plain file");
  ExpectRefused(spoil([](TarFile& file) {
                  file.type = AE_IFDIR;
                  file.content.clear();
                }),
                "");
}

TEST_F(UnpackTest, RefusesAFileTwiceMissingOrTooMany) {
  auto files = Sound();
  files.push_back(files.back());
  ExpectRefused(PackByHand(files), "more files");
  for (const std::string& one : names_) (void)os::RemoveTree(To(one));
  files = Sound();
  files.pop_back();
  ExpectRefused(PackByHand(files), "it ends before");
  for (const std::string& one : names_) (void)os::RemoveTree(To(one));
  files = Sound();
  std::swap(files[2], files[3]);
  ExpectRefused(PackByHand(files), "something else");
}

TEST_F(UnpackTest, RefusesAnotherSizeThanAnnounced) {
  auto files = Sound();
  Find(files, kPackedState).content += "more";
  ExpectRefused(PackByHand(files), "'state' has another size");
  for (const std::string& one : names_) (void)os::RemoveTree(To(one));
  files = Sound();
  Find(files, kPackedState).hole_after = uint64_t{1} << 40;
  ExpectRefused(PackByHand(files), "'state' has another size");
}

// The index says that most of it is a hole, so that there seems to be room for it.
TEST_F(UnpackTest, RefusesMoreDataThanAnnounced) {
  auto files = Sound();
  PackedIndex index = *ParsePackedIndex(files[0].content);
  std::ranges::find(index.files, kPackedImage, &PackedFile::name)->data = 100;
  files[0].content = json::serialize(index.ToJson());
  ExpectRefused(PackByHand(files), "more data than it should have");
}

// A table of holes takes memory: a megabyte of zstd could hold a billion of them.
TEST_F(UnpackTest, RefusesEndlessTablesOfHoles) {
  const std::string header = [&] {
    PackedIndex index = Labels();
    for (const std::string& one : names_) index.files.push_back({one, 1 << 30, 1 << 30});
    index.files[0] = {kPackedManifest, 1, 1};
    for (PackedFile& file : index.files) {
      if (!IsMemoryName(file.name)) file.size = file.data = 1;
    }
    std::ranges::rotate(index.files, index.files.end() - 1);  // the memory first
    return json::serialize(index.ToJson());
  }();
  // GNU sparse 1.0 by hand: the pax header says so, the table is in front of the data.
  std::string stream;
  const ByteSink sink = SinkTo(stream);
  ZstdWriter zstd(sink);
  const auto block = [](std::string name, uint64_t size, char type) {
    std::string text(512, '\0');
    text.replace(0, name.size(), name);
    text.replace(100, 7, "0000600");
    text.replace(124, 11, fmt::format("{:011o}", size));
    text.replace(148, 8, "        ");
    text[156] = type;
    text.replace(257, 8, std::string("ustar\00000", 8));
    unsigned sum = 0;
    for (const unsigned char c : text) sum += c;
    text.replace(148, 7, fmt::format("{:06o}", sum) + std::string(1, '\0'));
    return text;
  };
  const auto padded = [](std::string text) {
    text.resize((text.size() + 511) / 512 * 512);
    return text;
  };
  const auto attribute = [](const std::string& text) {
    size_t length = text.size() + 2;
    length += std::to_string(length).size();
    return fmt::format("{} {}\n", length, text);
  };
  ASSERT_TRUE(zstd.Write(block(kIndexFile, header.size(), '0') + padded(header)));
  const std::string pax = attribute("GNU.sparse.major=1") + attribute("GNU.sparse.minor=0") +
                          attribute(std::string("GNU.sparse.name=") + kTestMemory) +
                          attribute("GNU.sparse.realsize=1073741824");
  const uint64_t table = uint64_t{1} << 30;
  ASSERT_TRUE(zstd.Write(block("pax", pax.size(), 'x') + padded(pax) + block("m", table, '0') +
                         "300000000\n"));
  std::string holes;
  while (holes.size() < (4 << 20)) holes += "0\n0\n";
  for (uint64_t done = 0; done < table; done += holes.size()) ASSERT_TRUE(zstd.Write(holes));
  ASSERT_TRUE(zstd.Finish());
  EXPECT_LT(stream.size(), 4u << 20);
  ExpectRefused(stream, "headers are too long");
}

TEST_F(UnpackTest, RefusesWindowsThatTakeMuchMemory) {
  // A frame's header (RFC 8878, 3.1.1.1) whose window has 2^30 bytes, and an empty last block.
  const std::string stream("\x28\xb5\x2f\xfd\x00\xa0\x01\x00\x00", 9);
  ExpectRefused(stream, "compression");
}

TEST_F(UnpackTest, WritesOverNothing) {
  ASSERT_TRUE(WriteFileAtomically(To(kPackedState), "old"));
  const Status unpacked = UnpackAll(Packed());
  ASSERT_FALSE(unpacked);
  EXPECT_EQ(unpacked.error().code, Code::kAlreadyExists);
  EXPECT_EQ(*ReadFile(To(kPackedState)), "old");
}

}  // namespace
}  // namespace wrenn::snapshot
