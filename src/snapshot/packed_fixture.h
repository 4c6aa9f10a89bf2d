// Files to pack, and streams that no Pack() would write, for tests.
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/io.h"
#include "os/files.h"
#include "snapshot/pack.h"
#include "snapshot/unpack.h"
#include "snapshot/zstd_stream.h"

namespace wrenn::snapshot {

inline constexpr const char* kTestMemory = "memory-0123456789abcdefghij";
inline constexpr const char* kTestLayer = "disk-0123456789abcdefghij.qcow2";
inline constexpr uint64_t kTestMemorySize = 8 << 20;

// A stream that is held in memory.
inline ByteSink SinkTo(std::string& out) {
  return [&out](std::string_view data) {
    out += data;
    return Status();
  };
}
inline ByteSource SourceOf(const std::string& bytes, size_t piece = 1 << 20) {
  return [&bytes, at = size_t{0}, piece](std::span<char> out) mutable -> Result<size_t> {
    const size_t count = std::min({out.size(), piece, bytes.size() - at});
    std::memcpy(out.data(), bytes.data() + at, count);
    at += count;
    return count;
  };
}

class PackedFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    auto folder = os::TemporaryDirectory::Make();
    ASSERT_TRUE(folder);
    folder_ = std::make_unique<os::TemporaryDirectory>(std::move(*folder));
    for (const char* name : {"/from", "/to"}) {
      ASSERT_TRUE(os::MakeDirectory(folder_->path() + name));
      ASSERT_TRUE(os::MakeDirectory(folder_->path() + name + "/kernel"));
      ASSERT_TRUE(os::MakeDirectory(folder_->path() + name + "/image"));
    }
    for (const char* name : {kPackedManifest, kPackedMap, kPackedState, kTestLayer,
                             kPackedKernelManifest, kPackedVmlinux, kPackedInitramfs}) {
      Write(name, std::string("what is in ") + name);
    }
    Write(kPackedImage, std::string(300'000, 'i'));
    MakeSparse(From(kTestMemory), kTestMemorySize,
               {{0, "first"}, {3 << 20, "middle"}, {kTestMemorySize - 4, "last"}});
  }

  std::string From(const std::string& name) const { return folder_->path() + "/from/" + name; }
  std::string To(const std::string& name) const { return folder_->path() + "/to/" + name; }

  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(From(name), text));
    names_.push_back(name);
  }
  void MakeSparse(const std::string& path, uint64_t size,
                  const std::vector<std::pair<uint64_t, std::string>>& data) {
    const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(::ftruncate(fd.get(), static_cast<off_t>(size)), 0);
    for (const auto& [offset, text] : data) {
      ASSERT_EQ(::pwrite(fd.get(), text.data(), text.size(), static_cast<off_t>(offset)),
                static_cast<ssize_t>(text.size()));
    }
    names_.push_back(path.substr(path.rfind('/') + 1));
  }

  static PackedIndex Labels() {
    PackedIndex labels;
    labels.name = "my-snapshot";
    labels.description = "snapshot of sb-0123456789abcdefghij";
    labels.created_at = std::chrono::system_clock::time_point(std::chrono::seconds(1'700'000'000));
    return labels;
  }

  Status PackAll(const ByteSink& sink) {
    std::vector<PackSource> sources;
    for (const std::string& name : names_) sources.push_back({name, From(name)});
    return Pack(Labels(), sources, sink);
  }
  std::string Packed() {
    std::string stream;
    const Status packed = PackAll(SinkTo(stream));
    EXPECT_TRUE(packed) << packed.error().ToString();
    return stream;
  }

  // Into the folder "to".
  Status UnpackAll(ByteSource source) {
    ASSIGN_OR_RETURN(Unpacker unpacker, Unpacker::Open(std::move(source)));
    return unpacker.Unpack([this](const std::string& name) { return To(name); });
  }
  Status UnpackAll(const std::string& stream) { return UnpackAll(SourceOf(stream)); }

  std::unique_ptr<os::TemporaryDirectory> folder_;
  std::vector<std::string> names_;
};

// A file of a stream that is made by hand.
struct TarFile {
  std::string name;
  std::string content;
  int type = AE_IFREG;
  std::string link;       // symbolic
  std::string hard_link;  // to another file of the stream
  uint64_t hole_after = 0;
};

// A whole stream of these.
inline std::string PackByHand(const std::vector<TarFile>& files) {
  std::string stream;
  const ByteSink sink = SinkTo(stream);
  ZstdWriter zstd(sink);
  archive* tar = archive_write_new();
  archive_write_set_format_pax_restricted(tar);
  archive_write_set_bytes_in_last_block(tar, 1);
  archive_write_open(
      tar, &zstd, nullptr,
      [](archive*, void* writer, const void* data, size_t size) -> la_ssize_t {
        const auto written =
            static_cast<ZstdWriter*>(writer)->Write({static_cast<const char*>(data), size});
        return written ? static_cast<la_ssize_t>(size) : -1;
      },
      nullptr);
  archive_entry* entry = archive_entry_new();
  for (const TarFile& file : files) {
    archive_entry_clear(entry);
    archive_entry_set_pathname(entry, file.name.c_str());
    archive_entry_set_filetype(entry, static_cast<unsigned>(file.type));
    archive_entry_set_perm(entry, 0600);
    const auto size = static_cast<la_int64_t>(file.content.size());
    archive_entry_set_size(entry, size + static_cast<la_int64_t>(file.hole_after));
    if (file.hole_after > 0) archive_entry_sparse_add_entry(entry, 0, size);
    if (!file.link.empty()) archive_entry_set_symlink(entry, file.link.c_str());
    if (!file.hard_link.empty()) archive_entry_set_hardlink(entry, file.hard_link.c_str());
    EXPECT_EQ(archive_write_header(tar, entry), ARCHIVE_OK) << archive_error_string(tar);
    archive_write_data(tar, file.content.data(), file.content.size());
    EXPECT_EQ(archive_write_finish_entry(tar), ARCHIVE_OK);
  }
  archive_entry_free(entry);
  EXPECT_EQ(archive_write_close(tar), ARCHIVE_OK);
  archive_write_free(tar);
  EXPECT_TRUE(zstd.Finish());
  return stream;
}

}  // namespace wrenn::snapshot
