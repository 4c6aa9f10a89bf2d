#include "cli/tar_unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "base/unique_fd.h"
#include "cli/terminal.h"

namespace wrenn::cli {
namespace {

namespace fs = std::filesystem;

// libarchive unpacks relative to the working directory, and its checks for symbolic links begin
// there.
class WorkingDirectory {
 public:
  static Result<WorkingDirectory> Enter(const std::string& folder) {
    UniqueFd old(::open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!old || ::chdir(folder.c_str()) < 0)
      return Fail(ErrnoError("cannot enter '" + folder + "'"));
    return WorkingDirectory(std::move(old));
  }
  WorkingDirectory(WorkingDirectory&&) = default;
  ~WorkingDirectory() {
    if (old_ && ::fchdir(old_.get()) < 0) std::abort();  // it was there a moment ago
  }

 private:
  explicit WorkingDirectory(UniqueFd old) : old_(std::move(old)) {}
  UniqueFd old_;
};

constexpr int kExtractFlags = ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_SECURE_NODOTDOT |
                              ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS | ARCHIVE_EXTRACT_PERM |
                              ARCHIVE_EXTRACT_TIME;

class Unpacker {
 public:
  explicit Unpacker(const TarSource& source)
      : source_(source),
        reader_(archive_read_new(), archive_read_free),
        writer_(archive_write_disk_new(), archive_write_free),
        buffer_(256 << 10) {}

  Status Unpack() {
    archive_read_support_format_tar(reader_.get());
    archive_write_disk_set_options(writer_.get(), kExtractFlags);
    if (archive_read_open(reader_.get(), this, nullptr, OnRead, nullptr) != ARCHIVE_OK) {
      return ReadFailure();
    }
    for (;;) {
      archive_entry* entry = nullptr;
      const int status = archive_read_next_header(reader_.get(), &entry);
      if (status == ARCHIVE_EOF) break;
      if (status < ARCHIVE_WARN) return ReadFailure();
      RETURN_IF_ERROR(UnpackEntry(entry));
    }
    // The times and modes of folders are set at the end, when nothing is added to them any more.
    if (archive_write_close(writer_.get()) != ARCHIVE_OK) return WriteFailure(".");
    return {};
  }

 private:
  static la_ssize_t OnRead(archive* archive, void* self, const void** data) {
    auto* unpacker = static_cast<Unpacker*>(self);
    auto got = unpacker->source_(unpacker->buffer_);
    if (!got) {
      unpacker->source_error_ = got.error();
      archive_set_error(archive, EIO, "the other end failed");
      return -1;
    }
    *data = unpacker->buffer_.data();
    return static_cast<la_ssize_t>(*got);
  }

  tl::unexpected<Error> ReadFailure() {
    if (source_error_) return Fail(*source_error_);
    const char* text = archive_error_string(reader_.get());
    return Fail(Code::kDataLoss, "cannot read the guest's archive: {}",
                text ? text : "unknown error");
  }

  tl::unexpected<Error> WriteFailure(const std::string& name) {
    const char* text = archive_error_string(writer_.get());
    return Fail(Code::kInternal, "cannot unpack '{}': {}", name, text ? text : "unknown error");
  }

  Status UnpackEntry(archive_entry* entry) {
    const char* path = archive_entry_pathname(entry);
    if (!path || !*path)
      return Fail(Code::kDataLoss, "the guest's archive has a file without a name");
    const std::string name = path;
    const auto type = archive_entry_filetype(entry);
    if (!archive_entry_hardlink(entry) && type != AE_IFREG && type != AE_IFDIR &&
        type != AE_IFLNK) {
      PrintNote(fmt::format("left out '{}': neither file, folder nor link", name));
      return {};
    }
    // A folder of ours must let us in, and be removable.
    const auto own = static_cast<mode_t>(type == AE_IFDIR ? 0700 : 0);
    archive_entry_set_perm(entry, (archive_entry_perm(entry) & 0777) | own);
    if (archive_write_header(writer_.get(), entry) != ARCHIVE_OK) return WriteFailure(name);
    if (archive_entry_size(entry) > 0) RETURN_IF_ERROR(CopyContent(name));
    if (archive_write_finish_entry(writer_.get()) != ARCHIVE_OK) return WriteFailure(name);
    return {};
  }

  Status CopyContent(const std::string& name) {
    for (;;) {
      const void* data = nullptr;
      size_t size = 0;
      la_int64_t offset = 0;
      const int status = archive_read_data_block(reader_.get(), &data, &size, &offset);
      if (status == ARCHIVE_EOF) return {};
      if (status < ARCHIVE_WARN) return ReadFailure();
      if (archive_write_data_block(writer_.get(), data, size, offset) < ARCHIVE_WARN) {
        return WriteFailure(name);
      }
    }
  }

  const TarSource& source_;
  std::unique_ptr<archive, decltype(&archive_read_free)> reader_;
  std::unique_ptr<archive, decltype(&archive_write_free)> writer_;
  std::vector<char> buffer_;
  std::optional<Error> source_error_;
};

Status MoveOne(const fs::path& from, const fs::path& to) {
  struct stat source{};
  struct stat target{};
  if (::lstat(from.c_str(), &source) < 0)
    return Fail(ErrnoError("cannot read '" + from.string() + "'"));
  const bool exists = ::lstat(to.c_str(), &target) == 0;
  if (S_ISDIR(source.st_mode) && exists) {
    if (!S_ISDIR(target.st_mode)) {
      return Fail(Code::kInvalidArgument, "'{}' is in the way of a folder: remove it first",
                  to.string());
    }
    return MoveInto(from.string(), to.string());
  }
  if (exists && S_ISDIR(target.st_mode)) {
    return Fail(Code::kInvalidArgument, "the folder '{}' is in the way of a file: remove it first",
                to.string());
  }
  if (::rename(from.c_str(), to.c_str()) < 0) {
    return Fail(ErrnoError("cannot write '" + to.string() + "'"));
  }
  return {};
}

}  // namespace

Status UnpackTar(const TarSource& source, const std::string& folder) {
  ASSIGN_OR_RETURN(const WorkingDirectory inside, WorkingDirectory::Enter(folder));
  return Unpacker(source).Unpack();
}

Status MoveInto(const std::string& from, const std::string& to) {
  std::error_code error;
  auto walk = fs::directory_iterator(from, error);
  std::vector<fs::path> names;
  for (; !error && walk != fs::directory_iterator(); walk.increment(error)) {
    names.push_back(walk->path().filename());
  }
  if (error) return Fail(ErrnoError("cannot read '" + from + "'", error.value()));
  for (const fs::path& name : names) RETURN_IF_ERROR(MoveOne(from / name, to / name));
  return {};
}

}  // namespace wrenn::cli
