#include "memory/fill.h"

#include <algorithm>

#include "memory/image_files.h"
#include "memory/reader.h"

namespace wrenn::memory {
namespace {

// Small enough to be in the processor's cache between reading and writing.
constexpr uint64_t kWindow = 256 << 10;

// What must be written for the machine to have the image's content.
Result<Ranges> Missing(const ImageReader& reader, const Ranges& written) {
  const Image& image = reader.image();
  Ranges missing;
  for (const Extent& extent : image.extents) {
    const Range whole{extent.offset, extent.length};
    if (extent.file != kZero && !image.IsInBase(extent)) {
      Append(missing, whole);
      continue;
    }
    Ranges wrong = Intersect(written, whole);
    if (!image.IsInBase(extent)) {
      // Zeros, which a hole of the base is as well.
      ASSIGN_OR_RETURN(const Ranges data, DataIn(reader.fd(image.base), whole));
      wrong = Unite(wrong, data);
    }
    for (const Range& range : wrong) Append(missing, range);
  }
  return missing;
}

// Takes up to kWindow bytes off `ranges`, from `index` on.
Ranges TakeWindow(Ranges& ranges, size_t& index) {
  Ranges window;
  for (uint64_t room = kWindow; room > 0 && index < ranges.size();) {
    Range& range = ranges[index];
    const uint64_t step = std::min(room, range.length);
    window.push_back({range.offset, step});
    range.offset += step;
    range.length -= step;
    room -= step;
    if (range.length == 0) ++index;
  }
  return window;
}

}  // namespace

Result<uint64_t> Fill(const Image& image, const std::string& directory,
                      const ProcessMemory& memory) {
  if (memory.size() != image.size) {
    return Fail(Code::kFailedPrecondition, "the machine has {} bytes of memory, the snapshot {}",
                memory.size(), image.size);
  }
  ASSIGN_OR_RETURN(const ImageReader reader, ImageReader::Open(image, directory));
  ASSIGN_OR_RETURN(const Ranges written, memory.Written());
  ASSIGN_OR_RETURN(Ranges missing, Missing(reader, written));
  const uint64_t total = TotalLength(missing);
  std::vector<char> buffer(std::min(total, kWindow));
  for (size_t index = 0; index < missing.size();) {
    const Ranges window = TakeWindow(missing, index);
    const std::span<char> bytes(buffer.data(), TotalLength(window));
    RETURN_IF_ERROR(reader.ReadRanges(window, bytes));
    RETURN_IF_ERROR(memory.WriteRanges(window, bytes));
  }
  return total;
}

}  // namespace wrenn::memory
