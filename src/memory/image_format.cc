// The bytes of memory.map. docs/snapshot-format.md describes them.
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/io.h"
#include "memory/image.h"
#include "os/digest.h"

namespace wrenn::memory {
namespace {

constexpr std::string_view kMagic = "wrennmem";
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderSize = 48;
constexpr size_t kNameField = 32;  // padded with zeros
constexpr size_t kFileSize = kNameField + 8;
constexpr size_t kExtentSize = 16;
constexpr size_t kDigestSize = sizeof(ChunkDigest);
constexpr const char* kMapFile = "/memory.map";
constexpr size_t kMaxMapBytes = size_t{1} << 30;

// Numbers are little endian, which is what the hosts that wrenn runs on are.
static_assert(std::endian::native == std::endian::little);

template <typename T>
void Put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// Takes pieces off the front of bytes; what is not there any more is zeros, and noted.
class Cursor {
 public:
  explicit Cursor(std::string_view rest) : rest_(rest) {}

  template <typename T>
  T Take() {
    T value{};
    if (std::string_view bytes = Bytes(sizeof(T)); !bytes.empty()) {
      std::memcpy(&value, bytes.data(), sizeof(T));
    }
    return value;
  }
  // Exactly so many, or none.
  std::string_view Bytes(size_t count) {
    if (rest_.size() < count) {
      rest_ = {};
      short_ = true;
      return {};
    }
    const std::string_view bytes = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return bytes;
  }
  size_t left() const { return rest_.size(); }
  bool was_short() const { return short_; }

 private:
  std::string_view rest_;
  bool short_ = false;
};

tl::unexpected<Error> Damaged(std::string_view what) {
  return Fail(Code::kInvalidArgument, "not a memory map: {}", what);
}

Status DecodeFiles(Cursor& in, uint32_t count, Image& image) {
  if (count > in.left() / kFileSize) return Damaged("its table of files is cut off");
  image.files.resize(count);
  for (ImageFile& file : image.files) {
    const std::string_view field = in.Bytes(kNameField);
    const std::string_view name = field.substr(0, field.find('\0'));
    if (field.find_first_not_of('\0', name.size()) != std::string_view::npos) {
      return Damaged("a name has bytes behind its end");
    }
    file.name = name;
    file.size = in.Take<uint64_t>();
  }
  for (ImageFile& file : image.files) {
    const uint64_t chunks = file.size / kChunkSize + (file.size % kChunkSize != 0 ? 1 : 0);
    if (chunks > in.left() / kDigestSize) return Damaged("its digests are cut off");
    file.chunks.resize(chunks);
    const std::string_view digests = in.Bytes(chunks * kDigestSize);
    if (chunks > 0) std::memcpy(file.chunks.data(), digests.data(), digests.size());
  }
  return {};
}

Status DecodeExtents(Cursor& in, uint64_t count, Image& image) {
  if (count != in.left() / kExtentSize || in.left() % kExtentSize != 0) {
    return Damaged("it has not as many extents as it says");
  }
  image.extents.resize(count);
  uint64_t offset = 0;
  for (Extent& extent : image.extents) {
    extent.offset = offset;
    extent.length = uint64_t{in.Take<uint32_t>()} * kPageSize;
    extent.file = in.Take<uint32_t>();
    const auto page = in.Take<uint64_t>();
    if (page > UINT64_MAX / kPageSize) return Damaged("an extent reaches beyond its file");
    extent.file_offset = page * kPageSize;
    if (extent.length > image.size - offset) return Damaged("its extents reach beyond it");
    offset += extent.length;
  }
  return {};
}

}  // namespace

std::string Encode(const Image& image) {
  std::string out(kMagic);
  Put<uint32_t>(out, kVersion);
  Put<uint32_t>(out, kPageSize);
  Put<uint32_t>(out, kChunkSize);
  Put<uint32_t>(out, static_cast<uint32_t>(image.files.size()));
  Put<uint32_t>(out, image.base);
  Put<uint32_t>(out, 0);
  Put<uint64_t>(out, image.size);
  Put<uint64_t>(out, image.extents.size());
  for (const ImageFile& file : image.files) {
    std::string name = file.name;
    name.resize(kNameField);
    out += name;
    Put<uint64_t>(out, file.size);
  }
  for (const ImageFile& file : image.files) {
    out.append(reinterpret_cast<const char*>(file.chunks.data()), file.chunks.size() * kDigestSize);
  }
  for (const Extent& extent : image.extents) {
    Put<uint32_t>(out, static_cast<uint32_t>(extent.length / kPageSize));
    Put<uint32_t>(out, extent.file);
    Put<uint64_t>(out, extent.file_offset / kPageSize);
  }
  const ChunkDigest digest = os::Sha256Bytes(out);
  out.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  return out;
}

Result<Image> Decode(std::string_view bytes) {
  if (!bytes.starts_with(kMagic)) return Damaged("it begins differently");
  Cursor in(bytes.substr(kMagic.size()));
  const auto version = in.Take<uint32_t>();
  if (version > kVersion) {
    return Fail(Code::kUnimplemented, "the memory map has format {}, this wrenn knows {}", version,
                kVersion);
  }
  if (version != kVersion || bytes.size() < kHeaderSize + kDigestSize) {
    return Damaged("it is too short");
  }
  const std::string_view signed_part = bytes.substr(0, bytes.size() - kDigestSize);
  const ChunkDigest digest = os::Sha256Bytes(signed_part);
  if (std::memcmp(digest.data(), bytes.data() + signed_part.size(), kDigestSize) != 0) {
    return Damaged("its digest is wrong");
  }
  in = Cursor(signed_part.substr(kMagic.size() + sizeof(version)));
  const auto page_size = in.Take<uint32_t>();
  const auto chunk_size = in.Take<uint32_t>();
  if (page_size != kPageSize || chunk_size != kChunkSize) return Damaged("its units are others");
  Image image;
  const auto files = in.Take<uint32_t>();
  image.base = in.Take<uint32_t>();
  if (in.Take<uint32_t>() != 0) return Damaged("a field that must be 0 is not");
  image.size = in.Take<uint64_t>();
  const auto extents = in.Take<uint64_t>();
  RETURN_IF_ERROR(DecodeFiles(in, files, image));
  RETURN_IF_ERROR(DecodeExtents(in, extents, image));
  if (in.was_short()) return Damaged("it is too short");
  RETURN_IF_ERROR(image.Check());
  return image;
}

Result<Image> Load(const std::string& directory) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(directory + kMapFile, kMaxMapBytes));
  Result<Image> image = Decode(bytes);
  if (!image && image.error().code == Code::kInvalidArgument) {
    return Fail(
        Error{Code::kDataLoss, "the snapshot's memory map is damaged", image.error().ToString()});
  }
  return image;
}

Status Save(const Image& image, const std::string& directory) {
  RETURN_IF_ERROR(image.Check());  // rather than a file that nobody can load
  return ReplaceFile(directory + kMapFile, Encode(image), 0600);
}

}  // namespace wrenn::memory
