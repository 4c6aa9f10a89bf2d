#include "memory/repack.h"

#include <algorithm>
#include <numeric>

#include "memory/reader.h"
#include "memory/writer.h"

namespace wrenn::memory {
namespace {

constexpr size_t kManyFiles = 8;
constexpr uint64_t kSmallFile = 1 << 20;
// Of bytes that nothing refers to.
constexpr uint64_t kMuchWaste = 4 << 20;

// Which files are put into one, by index, and what speaks for it.
struct Choice {
  std::vector<bool> merged;
  size_t count = 0;
  uint64_t wasted = 0;
};

// The small ones, and those that are hardly used. A file that is much larger than all smaller ones
// together stays, so that each byte is copied only as often as the whole doubles.
Choice Choose(const Image& image) {
  std::vector<uint64_t> used(image.files.size(), 0);
  for (const Extent& extent : image.extents) {
    if (extent.file != kZero) used[extent.file] += extent.length;
  }
  std::vector<size_t> by_size(image.files.size());
  std::iota(by_size.begin(), by_size.end(), 0);
  std::ranges::sort(by_size, {}, [&](size_t i) { return image.files[i].size; });

  Choice choice{.merged = std::vector<bool>(image.files.size(), false)};
  uint64_t smaller = 0;
  for (const size_t i : by_size) {
    if (i == image.base) continue;
    const uint64_t size = image.files[i].size;
    if (size > kSmallFile && size > 2 * smaller && used[i] >= size / 2) continue;
    choice.merged[i] = true;
    ++choice.count;
    choice.wasted += size - std::min(size, used[i]);
    smaller += used[i];
  }
  return choice;
}

}  // namespace

bool WantsRepack(const Image& image, unsigned patience) {
  if (image.base == kZero) return false;
  const Choice choice = Choose(image);
  return choice.count >= patience * kManyFiles || choice.wasted > patience * kMuchWaste;
}

Result<Image> Repack(const Image& image, const std::string& from_directory,
                     const std::string& directory) {
  if (image.base == kZero) {
    return Fail(Code::kInvalidArgument, "an image without a base cannot be repacked");
  }
  ASSIGN_OR_RETURN(const ImageReader reader, ImageReader::Open(image, from_directory));
  const Choice choice = Choose(image);
  // Without the chosen files, RAM is there what the base has.
  Image rest = image;
  Ranges moved;
  std::vector<Extent> revealed;
  for (const Extent& extent : image.extents) {
    if (extent.file == kZero || !choice.merged[extent.file]) continue;
    Append(moved, Range{extent.offset, extent.length});
    revealed.push_back({extent.offset, extent.length, image.base, extent.offset});
  }
  rest.Apply(revealed);
  const auto read = [&](uint64_t offset, std::span<char> out) { return reader.Read(offset, out); };
  Written written;
  return WriteImage(rest, from_directory, moved, read, directory, written);
}

}  // namespace wrenn::memory
