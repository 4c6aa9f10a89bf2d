#include "snapshot/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <vector>

#include "disk/sparse_copy.h"
#include "memory/chunks.h"
#include "snapshot/zstd_stream.h"

namespace wrenn::snapshot {
namespace {

constexpr size_t kBufferSize = 256 << 10;
constexpr uint64_t kMaxIndex = 1 << 20;  // bytes
// What one step of libarchive may read: the headers of a file with its table of holes, which are
// kept in memory, or a piece of its data.
constexpr size_t kMaxStep = 4 << 20;
// What may follow behind the stream's end: tar programs fill their last block up.
constexpr uint64_t kMaxPadding = 1 << 20;
constexpr uint64_t kBlock = 4096;

tl::unexpected<Error> Damaged(std::string_view what) {
  return Fail(Code::kInvalidArgument, "the packed snapshot is damaged: {}", what);
}

// Writes what is not zeros, by the blocks of the file.
Status WriteNonZero(int fd, std::span<const char> data, uint64_t offset) {
  size_t begin = 0;  // of what is neither zeros nor written
  const auto write_up_to = [&](size_t end) {
    if (begin == end) return Status();
    return disk::WriteAt(fd, {data.data() + begin, end - begin}, offset + begin);
  };
  for (size_t at = 0; at < data.size();) {
    const size_t length = std::min<uint64_t>(data.size() - at, kBlock - (offset + at) % kBlock);
    if (memory::IsZero(data.subspan(at, length))) {
      RETURN_IF_ERROR(write_up_to(at));
      begin = at + length;
    }
    at += length;
  }
  return write_up_to(data.size());
}

}  // namespace

// The stream as a row of files.
class PackReader {
 public:
  explicit PackReader(ByteSource source)
      : zstd_(std::move(source)),
        buffer_(kBufferSize),
        archive_(archive_read_new(), archive_read_free) {}

  Status Begin() {
    archive_read_support_format_tar(archive_.get());
    step_left_ = kMaxStep;
    if (archive_read_open(archive_.get(), this, nullptr, OnRead, nullptr) != ARCHIVE_OK) {
      return Failure("it is no packed snapshot");
    }
    return {};
  }

  // The next file must be this one; its size.
  Result<uint64_t> Expect(const std::string& name) {
    current_ = name;
    archive_entry* entry = nullptr;
    step_left_ = kMaxStep;
    const int status = archive_read_next_header(archive_.get(), &entry);
    if (status == ARCHIVE_EOF) return Damaged(fmt::format("it ends before '{}'", name));
    if (status != ARCHIVE_OK) return Failure(fmt::format("it cannot be read at '{}'", name));
    const char* path = archive_entry_pathname(entry);
    if (path == nullptr || name != path) {
      return Damaged(fmt::format("something else is where '{}' should be", name));
    }
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr ||
        archive_entry_symlink(entry) != nullptr || !archive_entry_size_is_set(entry) ||
        archive_entry_size(entry) < 0) {
      return Damaged(fmt::format("'{}' is no plain file", name));
    }
    return static_cast<uint64_t>(archive_entry_size(entry));
  }

  // Gives the data of the file, which is `size` bytes long and has at most `most` of data; holes
  // are left out. Offsets only grow.
  template <typename Take>
  Status ReadData(uint64_t size, uint64_t most, Take take) {
    uint64_t end = 0;
    for (;;) {
      const void* data = nullptr;
      size_t length = 0;
      la_int64_t at = 0;
      step_left_ = kMaxStep;
      const int status = archive_read_data_block(archive_.get(), &data, &length, &at);
      if (status == ARCHIVE_EOF) return {};
      if (status != ARCHIVE_OK) return Failure(fmt::format("it cannot be read in '{}'", current_));
      const auto offset = static_cast<uint64_t>(at);
      if (at < 0 || offset < end || offset > size || length > size - offset || length > most) {
        return Damaged(fmt::format("'{}' has more data than it should have", current_));
      }
      most -= length;
      end = offset + length;
      RETURN_IF_ERROR(take(std::span(static_cast<const char*>(data), length), offset));
    }
  }

  // Nothing may follow. Only what has been read to its end has had its checksum compared.
  Status ExpectEnd() {
    archive_entry* entry = nullptr;
    step_left_ = kMaxStep;
    const int status = archive_read_next_header(archive_.get(), &entry);
    if (status == ARCHIVE_OK) return Damaged("it has more files than it should have");
    if (status != ARCHIVE_EOF) return Failure("it cannot be read at its end");
    uint64_t padding = 0;
    for (;;) {
      auto got = zstd_.Read(buffer_);
      if (!got) return Fail(got.error().WithContext("the packed snapshot is damaged"));
      if (*got == 0) return {};
      padding += *got;
      if (padding > kMaxPadding) return Damaged("something follows behind its end");
    }
  }

 private:
  static la_ssize_t OnRead(archive* archive, void* self, const void** data) {
    auto* reader = static_cast<PackReader*>(self);
    const size_t want = std::min(reader->buffer_.size(), reader->step_left_);
    if (want == 0) {
      archive_set_error(archive, EFBIG, "its headers are too long");
      return -1;
    }
    auto got = reader->zstd_.Read(std::span(reader->buffer_).first(want));
    if (!got) {
      reader->source_error_ = std::move(got.error());
      archive_set_error(archive, EIO, "the other end failed");
      return -1;
    }
    reader->step_left_ -= *got;
    *data = reader->buffer_.data();
    return static_cast<la_ssize_t>(*got);
  }

  tl::unexpected<Error> Failure(const std::string& what) {
    if (source_error_ && source_error_->code != Code::kInvalidArgument) return Fail(*source_error_);
    if (source_error_) return Damaged(fmt::format("{}: {}", what, source_error_->message));
    const char* text = archive_error_string(archive_.get());
    return Damaged(fmt::format("{}: {}", what, text ? text : "unknown error"));
  }

  ZstdReader zstd_;
  std::vector<char> buffer_;
  size_t step_left_ = 0;  // bytes that this step may still read
  std::optional<Error> source_error_;
  std::string current_;
  std::unique_ptr<archive, decltype(&archive_read_free)> archive_;
};

namespace {

Result<PackedIndex> ReadIndex(PackReader& reader) {
  RETURN_IF_ERROR(reader.Begin());
  ASSIGN_OR_RETURN(const uint64_t size, reader.Expect(kIndexFile));
  if (size > kMaxIndex) return Damaged("its index is too long");
  std::string text(size, '\0');
  RETURN_IF_ERROR(reader.ReadData(size, size, [&](std::span<const char> data, uint64_t offset) {
    std::ranges::copy(data, text.begin() + static_cast<ptrdiff_t>(offset));
    return Status();
  }));
  auto index = ParsePackedIndex(text);
  if (!index && index.error().code == Code::kInvalidArgument) {
    return Damaged("its index: " + index.error().message);
  }
  return index;
}

Status UnpackFile(PackReader& reader, const PackedFile& file, const std::string& path) {
  ASSIGN_OR_RETURN(const uint64_t size, reader.Expect(file.name));
  if (size != file.size) return Damaged(fmt::format("'{}' has another size", file.name));
  if (path.empty()) {
    return reader.ReadData(size, file.data, [](auto, uint64_t) { return Status(); });
  }
  ASSIGN_OR_RETURN(disk::NewFile made, disk::NewFile::Make(path));
  if (::ftruncate(made.fd(), static_cast<off_t>(size)) < 0) {
    if (errno == EFBIG || errno == EINVAL) {
      return Damaged(fmt::format("'{}' is larger than a file can be here", file.name));
    }
    return Fail(ErrnoError("cannot size '" + file.name + "'"));
  }
  RETURN_IF_ERROR(
      reader.ReadData(size, file.data, [&](std::span<const char> data, uint64_t offset) {
        return WriteNonZero(made.fd(), data, offset);
      }));
  if (::fsync(made.fd()) < 0) return Fail(ErrnoError("cannot sync '" + file.name + "'"));
  made.Keep();
  return {};
}

}  // namespace

Unpacker::Unpacker(std::unique_ptr<PackReader> reader, PackedIndex index)
    : reader_(std::move(reader)), index_(std::move(index)) {}
Unpacker::Unpacker(Unpacker&&) noexcept = default;
Unpacker::~Unpacker() = default;

Result<Unpacker> Unpacker::Open(ByteSource source) {
  auto reader = std::make_unique<PackReader>(std::move(source));
  ASSIGN_OR_RETURN(PackedIndex index, ReadIndex(*reader));
  return Unpacker(std::move(reader), std::move(index));
}

Status Unpacker::Unpack(const Place& place) {
  for (const PackedFile& file : index_.files) {
    RETURN_IF_ERROR(UnpackFile(*reader_, file, place(file.name)));
  }
  return reader_->ExpectEnd();
}

}  // namespace wrenn::snapshot
