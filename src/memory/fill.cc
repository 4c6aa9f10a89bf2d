#include "memory/fill.h"

#include <algorithm>

#include "memory/image_files.h"
#include "memory/parallel.h"
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

Status Move(const ImageReader& reader, const Ranges& ranges, const ProcessMemory& memory) {
  std::vector<char> buffer(std::min(TotalLength(ranges), kWindow));
  for (const Ranges& window : Split(ranges, (TotalLength(ranges) + kWindow - 1) / kWindow)) {
    const std::span<char> bytes(buffer.data(), TotalLength(window));
    RETURN_IF_ERROR(reader.ReadRanges(window, bytes));
    RETURN_IF_ERROR(memory.WriteRanges(window, bytes));
  }
  return {};
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
  ASSIGN_OR_RETURN(const Ranges missing, Missing(reader, written));
  RETURN_IF_ERROR(InParallel(
      missing, [&](const Ranges& part, uint64_t) { return Move(reader, part, memory); }));
  return TotalLength(missing);
}

}  // namespace wrenn::memory
