#include "memory/reader.h"

#include <algorithm>
#include <cstring>

#include "memory/image_files.h"

namespace wrenn::memory {
namespace {

// Reads that are put together as long as both their sources and their targets go on.
class Reads {
 public:
  explicit Reads(const ImageReader& reader) : reader_(reader) {}

  Status Add(uint32_t file, uint64_t offset, std::span<char> out) {
    if (file == file_ && offset == offset_ + out_.size() &&
        out.data() == out_.data() + out_.size()) {
      out_ = {out_.data(), out_.size() + out.size()};
      return {};
    }
    RETURN_IF_ERROR(Finish());
    file_ = file;
    offset_ = offset;
    out_ = out;
    return {};
  }
  Status Finish() { return out_.empty() ? Status() : ReadAt(reader_.fd(file_), offset_, out_); }

 private:
  const ImageReader& reader_;
  uint32_t file_ = kZero;
  uint64_t offset_ = 0;
  std::span<char> out_;
};

}  // namespace

Result<ImageReader> ImageReader::Open(const Image& image, const std::string& directory) {
  RETURN_IF_ERROR(image.Check());
  std::vector<UniqueFd> fds;
  fds.reserve(image.files.size());
  for (const ImageFile& file : image.files) {
    ASSIGN_OR_RETURN(UniqueFd fd, OpenImageFile(file, directory));
    fds.push_back(std::move(fd));
  }
  return ImageReader(image, std::move(fds));
}

Status ImageReader::Read(uint64_t offset, std::span<char> out) const {
  return ReadRanges({{offset, out.size()}}, out);
}

Status ImageReader::ReadRanges(const Ranges& ranges, std::span<char> out) const {
  if (TotalLength(ranges) != out.size()) {
    return Fail(Code::kInvalidArgument, "the ranges are not as long as the room for them");
  }
  Reads reads(*this);
  for (const Range& range : ranges) {
    if (range.offset > image_.size || range.length > image_.size - range.offset) {
      return Fail(Code::kOutOfRange, "byte {} is not in the snapshot's memory", range.offset);
    }
    uint64_t at = range.offset;
    for (size_t index = image_.IndexAt(at); at < range.end(); ++index) {
      const Extent& extent = image_.extents[index];
      const uint64_t step = std::min(range.end(), extent.end()) - at;
      if (extent.file == kZero) {
        std::memset(out.data(), 0, step);
      } else {
        const uint64_t place = extent.file_offset + (at - extent.offset);
        RETURN_IF_ERROR(reads.Add(extent.file, place, out.first(step)));
      }
      out = out.subspan(step);
      at += step;
    }
  }
  return reads.Finish();
}

}  // namespace wrenn::memory
