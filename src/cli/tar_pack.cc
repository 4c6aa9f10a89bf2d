#include "cli/tar_pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <vector>

#include "base/io.h"
#include "cli/terminal.h"

namespace wrenn::cli {
namespace {

namespace fs = std::filesystem;

class Packer {
 public:
  explicit Packer(const TarSink& sink)
      : sink_(sink),
        archive_(archive_write_new(), archive_write_free),
        entry_(archive_entry_new(), archive_entry_free),
        buffer_(256 << 10) {}

  Status Pack(const fs::path& folder) {
    // GNU's format, which busybox reads with long names too.
    archive_write_set_format_gnutar(archive_.get());
    archive_write_set_bytes_in_last_block(archive_.get(), 1);
    if (archive_write_open(archive_.get(), this, nullptr, OnWrite, nullptr) != ARCHIVE_OK) {
      return Failure("cannot pack '" + folder.string() + "'");
    }
    RETURN_IF_ERROR(Add(folder, "."));
    RETURN_IF_ERROR(AddBelow(folder));
    if (archive_write_close(archive_.get()) != ARCHIVE_OK) {
      return Failure("cannot pack '" + folder.string() + "'");
    }
    return {};
  }

 private:
  static la_ssize_t OnWrite(archive* archive, void* self, const void* data, size_t size) {
    auto* packer = static_cast<Packer*>(self);
    if (auto written = packer->sink_({static_cast<const char*>(data), size}); !written) {
      packer->sink_error_ = written.error();
      archive_set_error(archive, EIO, "the other end failed");
      return -1;
    }
    return static_cast<la_ssize_t>(size);
  }

  tl::unexpected<Error> Failure(const std::string& what) {
    if (sink_error_) return Fail(*sink_error_);
    const char* text = archive_error_string(archive_.get());
    return Fail(Code::kInternal, "{}: {}", what, text ? text : "unknown error");
  }

  Status AddBelow(const fs::path& folder) {
    std::error_code error;
    auto walk = fs::recursive_directory_iterator(folder, error);
    for (; !error && walk != fs::recursive_directory_iterator(); walk.increment(error)) {
      RETURN_IF_ERROR(Add(walk->path(), walk->path().lexically_relative(folder).string()));
    }
    if (error) return Fail(ErrnoError("cannot read '" + folder.string() + "'", error.value()));
    return {};
  }

  Status Add(const fs::path& path, const std::string& name) {
    struct stat info{};
    if (::lstat(path.c_str(), &info) < 0)
      return Fail(ErrnoError("cannot read '" + path.string() + "'"));
    if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode) && !S_ISLNK(info.st_mode)) {
      PrintNote(fmt::format("left out '{}': neither file, folder nor link", path.string()));
      return {};
    }
    UniqueFd file;
    if (S_ISREG(info.st_mode)) {
      file = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
      if (!file || ::fstat(file.get(), &info) < 0) {
        return Fail(ErrnoError("cannot read '" + path.string() + "'"));
      }
    }
    archive_entry_clear(entry_.get());
    archive_entry_copy_stat(entry_.get(), &info);
    archive_entry_set_pathname(entry_.get(), name.c_str());
    archive_entry_set_uid(entry_.get(), 0);
    archive_entry_set_gid(entry_.get(), 0);
    if (S_ISLNK(info.st_mode)) {
      std::error_code error;
      const std::string target = fs::read_symlink(path, error).string();
      if (error) return Fail(ErrnoError("cannot read '" + path.string() + "'", error.value()));
      archive_entry_set_symlink(entry_.get(), target.c_str());
    }
    if (archive_write_header(archive_.get(), entry_.get()) < ARCHIVE_WARN) {
      return Failure("cannot pack '" + path.string() + "'");
    }
    return file ? AddContent(file.get(), path, static_cast<uint64_t>(info.st_size)) : Status();
  }

  // The header has promised the size: more is cut, less is an error.
  Status AddContent(int file, const fs::path& path, uint64_t size) {
    while (size > 0) {
      const size_t want = std::min<uint64_t>(size, buffer_.size());
      ASSIGN_OR_RETURN(const size_t got,
                       ReadSome(file, std::span(buffer_).first(want), Deadline::Never()));
      if (got == 0) {
        return Fail(Code::kAborted, "'{}' became shorter while it was copied", path.string());
      }
      if (archive_write_data(archive_.get(), buffer_.data(), got) < 0) {
        return Failure("cannot pack '" + path.string() + "'");
      }
      size -= got;
    }
    return {};
  }

  const TarSink& sink_;
  std::unique_ptr<archive, decltype(&archive_write_free)> archive_;
  std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry_;
  std::vector<char> buffer_;
  std::optional<Error> sink_error_;
};

}  // namespace

Status PackTar(const std::string& folder, const TarSink& sink) { return Packer(sink).Pack(folder); }

}  // namespace wrenn::cli
