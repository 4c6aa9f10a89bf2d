#include "memory/flatten.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <vector>

#include "memory/image_files.h"
#include "memory/reader.h"
#include "memory/verify.h"

namespace wrenn::memory {
namespace {

// What each machine may have to write: this much, or this part of its memory if that is more.
constexpr uint64_t kMuch = 32 << 20;
constexpr uint64_t kPart = 8;

// Checks the chunks of an image's files that are used, each once.
class SourceCheck {
 public:
  explicit SourceCheck(const ImageReader& reader) : reader_(reader) {
    for (const ImageFile& file : reader.image().files) checked_.emplace_back(file.chunks.size());
  }

  Status Check(const Extent& extent) {
    if (extent.file == kZero) return {};
    const ImageFile& file = reader_.image().files[extent.file];
    const uint64_t last = (extent.file_offset + extent.length - 1) / kChunkSize;
    for (uint64_t chunk = extent.file_offset / kChunkSize; chunk <= last; ++chunk) {
      if (checked_[extent.file][chunk]) continue;
      ASSIGN_OR_RETURN([[maybe_unused]] auto bytes,
                       ReadChunk(file, reader_.fd(extent.file), chunk, buffer_));
      checked_[extent.file][chunk] = true;
    }
    return {};
  }

 private:
  const ImageReader& reader_;
  std::vector<std::vector<bool>> checked_;  // by file and chunk
  std::vector<char> buffer_ = std::vector<char>(kChunkSize);
};

// Writes a flat file chunk by chunk.
class Flattening {
 public:
  Flattening(const ImageReader& reader, int target)
      : reader_(reader), image_(reader.image()), target_(target), check_(reader) {
    // Where the file system cannot share blocks, the base's data is copied.
    cloned_ = image_.base != kZero && ::ioctl(target_, FICLONE, reader_.fd(image_.base)) == 0;
  }

  Result<ChunkDigest> AddChunk(Range chunk) {
    const std::vector<Extent> pieces = Pieces(chunk);
    const auto in_base = [&](const Extent& piece) {
      return piece.file != kZero && image_.IsInBase(piece);
    };
    if (std::ranges::all_of(pieces, in_base)) {
      if (!cloned_) RETURN_IF_ERROR(CopyBase(chunk));
      return image_.files[image_.base].chunks[chunk.offset / kChunkSize];
    }
    for (const Extent& piece : pieces) RETURN_IF_ERROR(check_.Check(piece));
    const std::span<char> bytes(buffer_.data(), chunk.length);
    RETURN_IF_ERROR(reader_.Read(chunk.offset, bytes));
    for (const Extent& piece : pieces) {
      if (cloned_ && in_base(piece)) continue;
      const auto of_piece = bytes.subspan(piece.offset - chunk.offset, piece.length);
      RETURN_IF_ERROR(Put(piece.offset, of_piece));
    }
    return DigestOfChunk(bytes);
  }

 private:
  std::vector<Extent> Pieces(Range chunk) const {
    std::vector<Extent> pieces;
    for (size_t i = image_.IndexAt(chunk.offset);
         i < image_.extents.size() && image_.extents[i].offset < chunk.end(); ++i) {
      Extent piece = image_.extents[i];
      const uint64_t begin = std::max(piece.offset, chunk.offset);
      if (piece.file != kZero) piece.file_offset += begin - piece.offset;
      piece.length = std::min(piece.end(), chunk.end()) - begin;
      piece.offset = begin;
      pieces.push_back(piece);
    }
    return pieces;
  }

  Status CopyBase(Range chunk) {
    const int base = reader_.fd(image_.base);
    ASSIGN_OR_RETURN(const Ranges data, DataIn(base, chunk));
    for (const Range& range : data) {
      const std::span<char> bytes(buffer_.data(), range.length);
      RETURN_IF_ERROR(ReadAt(base, range.offset, bytes));
      RETURN_IF_ERROR(WriteAt(target_, range.offset, bytes));
    }
    return {};
  }

  // Runs of pages that are zeros become holes, the others are written.
  Status Put(uint64_t offset, std::span<const char> bytes) {
    while (!bytes.empty()) {
      const bool zero = IsZero(bytes.first(kPageSize));
      size_t run = kPageSize;
      while (run < bytes.size() && IsZero(bytes.subspan(run, kPageSize)) == zero) run += kPageSize;
      if (!zero) {
        RETURN_IF_ERROR(WriteAt(target_, offset, bytes.first(run)));
      } else if (cloned_ && ::fallocate(target_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                        static_cast<off_t>(offset), static_cast<off_t>(run)) < 0) {
        return Fail(ErrnoError("cannot make a hole in the snapshot's memory"));
      }
      offset += run;
      bytes = bytes.subspan(run);
    }
    return {};
  }

  const ImageReader& reader_;
  const Image& image_;
  const int target_;
  SourceCheck check_;
  bool cloned_ = false;
  std::vector<char> buffer_ = std::vector<char>(kChunkSize);
};

}  // namespace

Result<Image> Flatten(const Image& image, const std::string& from_directory,
                      const std::string& directory) {
  ASSIGN_OR_RETURN(const ImageReader reader, ImageReader::Open(image, from_directory));
  ASSIGN_OR_RETURN(NewImageFile file, NewImageFile::Make(directory));
  ImageFile base{.name = file.name(), .size = image.size, .chunks = {}};
  Flattening flattening(reader, file.fd());
  for (uint64_t at = 0; at < image.size; at += kChunkSize) {
    ASSIGN_OR_RETURN(const ChunkDigest digest,
                     flattening.AddChunk({at, std::min(kChunkSize, image.size - at)}));
    base.chunks.push_back(digest);
  }
  RETURN_IF_ERROR(file.Seal(image.size));

  Image flat;
  flat.size = image.size;
  flat.files.push_back(std::move(base));
  flat.base = 0;
  flat.extents = {{.offset = 0, .length = image.size, .file = 0, .file_offset = 0}};
  file.Keep();
  return flat;
}

bool WantsFlatten(const Image& image) {
  uint64_t beside_base = 0;
  for (const Extent& extent : image.extents) {
    if (extent.file != kZero && !image.IsInBase(extent)) beside_base += extent.length;
  }
  return beside_base > std::max(kMuch, image.size / kPart);
}

}  // namespace wrenn::memory
