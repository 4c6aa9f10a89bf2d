#include "memory/writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "base/revert.h"
#include "memory/image_files.h"
#include "memory/reader.h"

namespace wrenn::memory {
namespace {

constexpr uint64_t kWindow = 1 << 20;

// Finds what has changed, window by window, and writes it to a file in `directory`.
class Comparison {
 public:
  Comparison(const ImageReader& before, const PageReader& read, std::string directory,
             Written& written)
      : before_(before),
        read_(read),
        directory_(std::move(directory)),
        written_(written),
        flat_(before.image().base == kZero) {}

  bool flat() const { return flat_; }
  const std::vector<Extent>& changes() const { return changes_; }

  Status Add(Range range) {
    for (uint64_t at = range.offset; at < range.end(); at += kWindow) {
      RETURN_IF_ERROR(AddWindow({at, std::min(kWindow, range.end() - at)}));
    }
    return {};
  }

  // The new file, or none when there is nothing to write.
  Result<std::optional<NewImageFile>> Finish(ImageFile& file) {
    if (flat_) RETURN_IF_ERROR(NeedFile());
    if (file_) {
      ASSIGN_OR_RETURN(file, file_->Finish(flat_ ? before_.image().size : end_));
    }
    return std::move(file_);
  }

 private:
  Status AddWindow(Range window) {
    const std::span<char> now(now_.data(), window.length);
    const std::span<char> old(old_.data(), window.length);
    RETURN_IF_ERROR(read_(window.offset, now));
    RETURN_IF_ERROR(before_.Read(window.offset, old));
    written_.candidate_bytes += window.length;
    for (uint64_t at = 0; at < window.length; at += kPageSize) {
      const auto page = now.subspan(at, kPageSize);
      if (std::memcmp(page.data(), old.data() + at, kPageSize) == 0) continue;
      RETURN_IF_ERROR(AddPage(window.offset + at, page));
    }
    return {};
  }

  Status AddPage(uint64_t offset, std::span<const char> page) {
    if (IsZero(page)) {
      // Said in the map: leaving it out would mean that it has not changed.
      Append(changes_, {.offset = offset, .length = kPageSize});
      written_.zero_bytes += kPageSize;
      return {};
    }
    RETURN_IF_ERROR(NeedFile());
    const uint64_t place = flat_ ? offset : end_;
    RETURN_IF_ERROR(file_->Write(place, page));
    const auto index = static_cast<uint32_t>(before_.image().files.size());
    Append(changes_, {.offset = offset, .length = kPageSize, .file = index, .file_offset = place});
    end_ = place + kPageSize;
    written_.data_bytes += kPageSize;
    return {};
  }

  Status NeedFile() {
    if (file_) return {};
    ASSIGN_OR_RETURN(NewImageFile file, NewImageFile::Make(directory_));
    file_.emplace(std::move(file));
    return {};
  }

  const ImageReader& before_;
  const PageReader& read_;
  const std::string directory_;
  Written& written_;
  const bool flat_;
  std::vector<char> now_ = std::vector<char>(kWindow);
  std::vector<char> old_ = std::vector<char>(kWindow);
  std::vector<Extent> changes_;
  std::optional<NewImageFile> file_;
  uint64_t end_ = 0;  // of what is in the new file
};

Result<bool> IsSameFile(const std::string& a, const std::string& b) {
  struct stat first;
  struct stat second;
  if (::lstat(a.c_str(), &first) < 0) return Fail(ErrnoError("cannot look at '" + a + "'"));
  if (::lstat(b.c_str(), &second) < 0) return Fail(ErrnoError("cannot look at '" + b + "'"));
  return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

// Gives a file a name in `to` too; `revert` takes it away if it was not there.
Status Link(const std::string& name, const std::string& from, const std::string& to,
            Revert& revert) {
  const std::string source = from + "/" + name;
  const std::string target = to + "/" + name;
  if (::linkat(AT_FDCWD, source.c_str(), AT_FDCWD, target.c_str(), 0) == 0) {
    revert.Add([target] { ::unlink(target.c_str()); });
    return {};
  }
  if (errno != EEXIST) return Fail(ErrnoError("cannot link '" + source + "'"));
  ASSIGN_OR_RETURN(const bool same, IsSameFile(source, target));
  if (same) return {};
  return Fail(
      Error{Code::kAlreadyExists, "another file of the snapshot has the name '" + name + "'", to});
}

// The new base has holes wherever the map says zero: then that need not be said.
void ReferToBase(Image& image) {
  std::vector<Extent> extents;
  for (Extent extent : image.extents) {
    if (extent.file == kZero) {
      extent.file = image.base;
      extent.file_offset = extent.offset;
    }
    Append(extents, extent);
  }
  image.extents = std::move(extents);
}

}  // namespace

Result<Image> WriteImage(const Image& before, const std::string& before_directory,
                         const Ranges& candidates, const PageReader& read,
                         const std::string& directory, Written& written) {
  written = {};
  RETURN_IF_ERROR(CheckRanges(candidates, before.size));
  ASSIGN_OR_RETURN(const ImageReader reader, ImageReader::Open(before, before_directory));
  Comparison comparison(reader, read, directory, written);
  for (const Range& range : candidates) RETURN_IF_ERROR(comparison.Add(range));
  ImageFile file;
  ASSIGN_OR_RETURN(std::optional<NewImageFile> made, comparison.Finish(file));

  Image image = before;
  if (made) image.files.push_back(file);
  if (comparison.flat()) image.base = static_cast<uint32_t>(before.files.size());
  image.Apply(comparison.changes());
  if (comparison.flat()) ReferToBase(image);
  RETURN_IF_ERROR(image.Check());

  Revert revert;
  for (const ImageFile& each : image.files) {
    if (made && each.name == made->name()) continue;
    RETURN_IF_ERROR(Link(each.name, before_directory, directory, revert));
  }
  revert.Disarm();
  if (made) made->Keep();
  return image;
}

}  // namespace wrenn::memory
