#include "snapshot/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include "disk/sparse_copy.h"
#include "snapshot/zstd_stream.h"

namespace wrenn::snapshot {
namespace {

constexpr size_t kBufferSize = 1 << 20;
// Smaller holes cost more in the table of a file's parts than their zeros do when compressed.
constexpr uint64_t kLeastHole = 64 << 10;
// About how many parts a file may be told in: the table is held in memory, here and by the reader.
constexpr uint64_t kMostParts = 65536;

struct Part {
  uint64_t offset = 0;
  uint64_t length = 0;
};

// Where a file has data: sorted, with holes of some size between. What lies between smaller ones
// counts as data.
Result<std::vector<Part>> FindParts(int fd, uint64_t size) {
  const uint64_t least_hole = std::max(kLeastHole, size / kMostParts);
  std::vector<Part> parts;
  for (uint64_t at = 0; at < size;) {
    const off_t data = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // no more data
    if (data < 0) return Fail(ErrnoError("cannot find a file's data"));
    const off_t hole = ::lseek(fd, data, SEEK_HOLE);
    if (hole < 0) return Fail(ErrnoError("cannot find a file's holes"));
    const auto begin = static_cast<uint64_t>(data);
    const uint64_t end = std::min(static_cast<uint64_t>(hole), size);
    if (begin >= end) break;
    if (!parts.empty() && begin - (parts.back().offset + parts.back().length) < least_hole) {
      parts.back().length = end - parts.back().offset;
    } else {
      parts.push_back({begin, end - begin});
    }
    at = end;
  }
  return parts;
}

uint64_t TotalLength(const std::vector<Part>& parts) {
  uint64_t sum = 0;
  for (const Part& part : parts) sum += part.length;
  return sum;
}

struct OpenFile {
  UniqueFd fd;
  uint64_t size = 0;
  std::vector<Part> parts;
};

Result<OpenFile> Open(const std::string& path) {
  OpenFile file;
  ASSIGN_OR_RETURN(file.fd, disk::OpenImage(path));
  struct stat info;
  if (::fstat(file.fd.get(), &info) < 0) return Fail(ErrnoError("cannot read '" + path + "'"));
  file.size = static_cast<uint64_t>(info.st_size);
  ASSIGN_OR_RETURN(file.parts, FindParts(file.fd.get(), file.size));
  return file;
}

// A tar stream: pax headers only where a file has holes or is too large for others (pax(1)), the
// holes as GNU tar's "sparse format 1.0", which all tar programs of today read.
class TarWriter {
 public:
  TarWriter(const ByteSink& sink, std::chrono::system_clock::time_point time)
      : zstd_(sink),
        time_(std::chrono::system_clock::to_time_t(time)),
        archive_(archive_write_new(), archive_write_free),
        entry_(archive_entry_new(), archive_entry_free),
        buffer_(kBufferSize),
        zeros_(kBufferSize) {}
  // What is not at its end must not look as if it were: the end that libarchive makes now goes
  // nowhere.
  ~TarWriter() { dropped_ = true; }

  Status Begin() {
    archive_write_set_format_pax_restricted(archive_.get());
    archive_write_set_bytes_in_last_block(archive_.get(), 1);
    return Check(archive_write_open(archive_.get(), this, nullptr, OnWrite, nullptr) == ARCHIVE_OK);
  }

  Status AddText(const char* name, const std::string& text) {
    RETURN_IF_ERROR(AddHeader(name, text.size(), {{0, text.size()}}));
    RETURN_IF_ERROR(AddData(text.data(), text.size()));
    return EndEntry();
  }

  Status AddFile(const std::string& name, const OpenFile& file) {
    RETURN_IF_ERROR(AddHeader(name.c_str(), file.size, file.parts));
    uint64_t at = 0;
    for (const Part& part : file.parts) {
      RETURN_IF_ERROR(AddHole(part.offset - at));
      RETURN_IF_ERROR(AddPart(name, file.fd.get(), part));
      at = part.offset + part.length;
    }
    RETURN_IF_ERROR(AddHole(file.size - at));
    return EndEntry();
  }

  Status End() {
    RETURN_IF_ERROR(Check(archive_write_close(archive_.get()) == ARCHIVE_OK));
    return zstd_.Finish();
  }

 private:
  // Never fails as libarchive sees it, which would leave its buffers behind (3.6.2): the error is
  // kept, and looked at after each call.
  static la_ssize_t OnWrite(archive*, void* self, const void* data, size_t size) {
    auto* writer = static_cast<TarWriter*>(self);
    if (!writer->dropped_ && !writer->sink_error_) {
      if (auto written = writer->zstd_.Write({static_cast<const char*>(data), size}); !written) {
        writer->sink_error_ = std::move(written.error());
      }
    }
    return static_cast<la_ssize_t>(size);
  }

  // After each call of libarchive, whether it was right.
  Status Check(bool good) {
    if (sink_error_) return Fail(*sink_error_);
    if (good) return {};
    const char* text = archive_error_string(archive_.get());
    return Fail(Code::kInternal, "cannot pack the snapshot: {}", text ? text : "unknown error");
  }

  Status AddHeader(const char* name, uint64_t size, const std::vector<Part>& parts) {
    archive_entry* entry = entry_.get();
    archive_entry_clear(entry);
    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, static_cast<la_int64_t>(size));
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0600);
    archive_entry_set_mtime(entry, time_, 0);
    if (TotalLength(parts) < size) {
      for (const Part& part : parts) {
        archive_entry_sparse_add_entry(entry, static_cast<la_int64_t>(part.offset),
                                       static_cast<la_int64_t>(part.length));
      }
      // Without any part it would count as full.
      if (parts.empty()) archive_entry_sparse_add_entry(entry, static_cast<la_int64_t>(size), 0);
    }
    return Check(archive_write_header(archive_.get(), entry) == ARCHIVE_OK);
  }

  Status AddData(const char* data, size_t size) {
    if (size == 0) return {};
    const la_ssize_t taken = archive_write_data(archive_.get(), data, size);
    return Check(taken == static_cast<la_ssize_t>(size));
  }

  // libarchive wants the bytes of holes too, and leaves them out itself.
  Status AddHole(uint64_t length) {
    while (length > 0) {
      const size_t piece = std::min<uint64_t>(length, zeros_.size());
      RETURN_IF_ERROR(AddData(zeros_.data(), piece));
      length -= piece;
    }
    return {};
  }

  Status AddPart(const std::string& name, int fd, const Part& part) {
    for (uint64_t done = 0; done < part.length;) {
      const size_t want = std::min<uint64_t>(part.length - done, buffer_.size());
      ASSIGN_OR_RETURN(const size_t got,
                       disk::ReadAt(fd, std::span(buffer_).first(want), part.offset + done));
      if (got < want) return Fail(Code::kDataLoss, "'{}' has become shorter", name);
      RETURN_IF_ERROR(AddData(buffer_.data(), got));
      done += got;
    }
    return {};
  }

  Status EndEntry() { return Check(archive_write_finish_entry(archive_.get()) == ARCHIVE_OK); }

  // The archive's end may still use these.
  ZstdWriter zstd_;
  std::optional<Error> sink_error_;
  bool dropped_ = false;
  const time_t time_;
  std::unique_ptr<archive, decltype(&archive_write_free)> archive_;
  std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry_;
  std::vector<char> buffer_;
  const std::vector<char> zeros_;
};

}  // namespace

Status Pack(PackedIndex labels, const std::vector<PackSource>& files, const ByteSink& sink) {
  labels.files.clear();
  for (const PackSource& source : files) {
    ASSIGN_OR_RETURN(const OpenFile file, Open(source.path));
    labels.files.push_back({source.name, file.size, TotalLength(file.parts)});
  }
  const std::string index = json::serialize(labels.ToJson()) + "\n";
  // Rather than a file that nobody takes.
  RETURN_IF_ERROR(ParsePackedIndex(index).map([](const auto&) {}));

  TarWriter writer(sink, labels.created_at);
  RETURN_IF_ERROR(writer.Begin());
  RETURN_IF_ERROR(writer.AddText(kIndexFile, index));
  for (size_t i = 0; i < files.size(); ++i) {
    ASSIGN_OR_RETURN(const OpenFile file, Open(files[i].path));
    const PackedFile now{files[i].name, file.size, TotalLength(file.parts)};
    if (now != labels.files[i]) return Fail(Code::kDataLoss, "'{}' has been changed", now.name);
    RETURN_IF_ERROR(writer.AddFile(files[i].name, file));
  }
  return writer.End();
}

}  // namespace wrenn::snapshot
