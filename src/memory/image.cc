#include "memory/image.h"

#include <algorithm>

#include "base/id.h"

namespace wrenn::memory {
namespace {

// What the format's fields can hold.
constexpr uint64_t kMaxSize = uint64_t{1} << 44;
constexpr size_t kMaxFiles = 65535;

tl::unexpected<Error> Invalid(std::string_view what) {
  return Fail(Code::kInvalidArgument, "not a memory image: {}", what);
}

bool IsPages(uint64_t bytes) { return bytes % kPageSize == 0; }

Status CheckFiles(const Image& image) {
  if (image.files.size() > kMaxFiles) return Invalid("it has too many files");
  std::vector<std::string_view> names;
  names.reserve(image.files.size());
  for (const ImageFile& file : image.files) {
    if (!IsId("memory", file.name)) return Invalid("a file has a bad name");
    if (file.size == 0 || !IsPages(file.size) || file.size > kMaxSize) {
      return Invalid("a file has a bad size");
    }
    if (file.chunks.size() != (file.size + kChunkSize - 1) / kChunkSize) {
      return Invalid("a file has too few or too many digests");
    }
    names.push_back(file.name);
  }
  std::ranges::sort(names);
  if (std::ranges::adjacent_find(names) != names.end()) return Invalid("a file is there twice");
  if (image.base == kZero) return {};
  if (image.base >= image.files.size() || image.files[image.base].size != image.size) {
    return Invalid("its base is no file of its size");
  }
  return {};
}

bool Continues(const Extent& first, const Extent& second) {
  return first.end() == second.offset && first.file == second.file &&
         (first.file == kZero || first.file_offset + first.length == second.file_offset);
}

// What is left of an extent from `begin` to `end`.
Extent Cut(const Extent& extent, uint64_t begin, uint64_t end) {
  Extent part = extent;
  part.offset = begin;
  part.length = end - begin;
  if (part.file != kZero) part.file_offset += begin - extent.offset;
  return part;
}

}  // namespace

void Append(std::vector<Extent>& extents, const Extent& extent) {
  if (extent.length == 0) return;
  if (!extents.empty() && Continues(extents.back(), extent)) {
    extents.back().length += extent.length;
  } else {
    extents.push_back(extent);
  }
}

Image Image::Zero(uint64_t size) {
  Image image;
  image.size = size;
  Append(image.extents, {.offset = 0, .length = size});
  return image;
}

void Image::Apply(const std::vector<Extent>& changes) {
  std::vector<Extent> merged;
  merged.reserve(extents.size() + changes.size());
  auto change = changes.begin();
  for (const Extent& old : extents) {
    uint64_t at = old.offset;
    while (at < old.end()) {
      while (change != changes.end() && change->end() <= at) ++change;
      const bool none = change == changes.end() || change->offset >= old.end();
      const uint64_t begin = none ? old.end() : std::max(change->offset, at);
      Append(merged, Cut(old, at, begin));
      if (none) break;
      at = std::min(change->end(), old.end());
      Append(merged, Cut(*change, begin, at));
    }
  }
  extents = std::move(merged);

  std::vector<bool> used(files.size(), false);
  if (base != kZero) used[base] = true;
  for (const Extent& extent : extents) {
    if (extent.file != kZero) used[extent.file] = true;
  }
  std::vector<uint32_t> renumbered(files.size(), kZero);
  std::vector<ImageFile> kept;
  for (size_t i = 0; i < files.size(); ++i) {
    if (!used[i]) continue;
    renumbered[i] = static_cast<uint32_t>(kept.size());
    kept.push_back(std::move(files[i]));
  }
  files = std::move(kept);
  if (base != kZero) base = renumbered[base];
  for (Extent& extent : extents) {
    if (extent.file != kZero) extent.file = renumbered[extent.file];
  }
}

bool Image::IsInBase(const Extent& extent) const {
  // Without a base, machines run on an empty file: zeros.
  if (extent.file == kZero) return base == kZero;
  return extent.file == base && extent.file_offset == extent.offset;
}

size_t Image::IndexAt(uint64_t offset) const {
  const auto at = std::ranges::upper_bound(extents, offset, {}, &Extent::end);
  return static_cast<size_t>(at - extents.begin());
}

Status Image::Check() const {
  if (size == 0 || !IsPages(size) || size > kMaxSize) return Invalid("its size is bad");
  RETURN_IF_ERROR(CheckFiles(*this));
  std::vector<bool> used(files.size(), false);
  if (base != kZero) used[base] = true;
  uint64_t end = 0;
  const Extent* last = nullptr;
  for (const Extent& extent : extents) {
    if (extent.offset != end || extent.length == 0 || !IsPages(extent.length) ||
        extent.length > size - end) {
      return Invalid("its extents do not fit together");
    }
    if (extent.file == kZero) {
      if (extent.file_offset != 0) return Invalid("an extent of zeros has a place in a file");
    } else {
      if (extent.file >= files.size()) return Invalid("an extent is in no file");
      const uint64_t file_size = files[extent.file].size;
      if (!IsPages(extent.file_offset) || extent.length > file_size ||
          extent.file_offset > file_size - extent.length) {
        return Invalid("an extent reaches beyond its file");
      }
      used[extent.file] = true;
    }
    if (last && Continues(*last, extent)) return Invalid("two extents should be one");
    end = extent.end();
    last = &extent;
  }
  if (end != size) return Invalid("its extents do not cover it");
  if (std::ranges::find(used, false) != used.end()) return Invalid("a file is not used");
  return {};
}

std::string NewFileName() { return NewId("memory"); }

}  // namespace wrenn::memory
