#include <unistd.h>

#include <optional>
#include <utility>

#include "base/io.h"
#include "disk/cow_file.h"
#include "disk/layers.h"
#include "disk/merge.h"
#include "disk/sparse_copy.h"

namespace wrenn::disk {
namespace {

struct Parts {
  Readers upper;                // the qcow2 layers
  std::optional<UniqueFd> raw;  // the lowest, if it is raw
};

// Opens the layers that are to be merged, and checks that they may be.
Result<Parts> Open(const std::string& directory, const Layers& layers, size_t count) {
  Parts parts;
  uint64_t above = kMaxDiskBytes;
  // What lies below the merged ones is looked at as well.
  for (size_t i = 0; i < layers.size() && i <= count; ++i) {
    const std::string path = directory + "/" + layers[i].name;
    ASSIGN_OR_RETURN(const uint64_t size, VirtualSize(path));
    if (size > above) {
      return Fail(Code::kDataLoss, "a layer of the disk is smaller than what is below it");
    }
    above = size;
    if (i == count) break;
    if (layers[i].format == Format::kRaw) {
      ASSIGN_OR_RETURN(parts.raw, OpenImage(path));
      break;
    }
    ASSIGN_OR_RETURN(Qcow2Reader reader, Qcow2Reader::Open(path));
    if (i + 1 < layers.size()) RETURN_IF_ERROR(CheckBelow(reader.header(), layers[i + 1]));
    RETURN_IF_ERROR(reader.Check());
    parts.upper.push_back(std::move(reader));
  }
  return parts;
}

Status CopyWhole(int from, NewFile& to) {
  if (ShareBlocks(from, to.fd())) return {};
  return CopyData(from, to.fd());
}

// The file of changes of a disk that is one.
Status WriteFromCow(const std::string& path, const std::string& base, NewFile& file) {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenImage(path));
  ASSIGN_OR_RETURN(const CowHeader header, ReadCowHeader(fd.get()));
  ASSIGN_OR_RETURN(const uint64_t base_bytes, VirtualSize(base));
  if (base_bytes != header.base_bytes) {
    return Fail(Code::kDataLoss, "the disk's changes are of another base image");
  }
  ASSIGN_OR_RETURN(const UniqueFd image, OpenImage(base));
  RETURN_IF_ERROR(CopyWhole(image.get(), file));
  return MergeCow(fd.get(), header, file.fd());
}

Status Write(const Parts& parts, NewFile& file) {
  if (!parts.raw) return MergeToQcow2(parts.upper, file.fd());
  RETURN_IF_ERROR(CopyWhole(parts.raw->get(), file));
  if (parts.upper.empty()) return {};
  RETURN_IF_ERROR(file.SetSize(parts.upper.front().header().size_bytes));
  return MergeIntoRaw(parts.upper, file.fd());
}

}  // namespace

Result<Layer> MergeLayers(const std::string& directory, const Layers& layers, size_t count) {
  if (count == 0 || count > layers.size()) {
    return Fail(Code::kInvalidArgument, "{} of {} layers cannot be merged", count, layers.size());
  }
  if (layers.front().format == Format::kCow) {
    return Fail(Code::kInvalidArgument, "a file of changes cannot be merged with layers");
  }
  ASSIGN_OR_RETURN(const Parts parts, Open(directory, layers, count));
  Layer layer = NewLayer(parts.raw ? Format::kRaw : Format::kQcow2);
  ASSIGN_OR_RETURN(NewFile file, NewFile::Make(directory + "/" + layer.name));
  RETURN_IF_ERROR(Write(parts, file));
  if (::fsync(file.fd()) < 0) return Fail(ErrnoError("cannot sync the disk"));
  RETURN_IF_ERROR(SyncDirectory(directory));
  file.Keep();
  return layer;
}

Status Flatten(const std::string& directory, const Layers& layers, const std::string& base,
               const std::string& to) {
  RETURN_IF_ERROR(CheckLayers(directory, layers, base));
  ASSIGN_OR_RETURN(NewFile file, NewFile::Make(to));
  if (layers.front().format == Format::kCow) {
    RETURN_IF_ERROR(WriteFromCow(directory + "/" + layers.front().name, base, file));
  } else {
    ASSIGN_OR_RETURN(Parts parts, Open(directory, layers, layers.size()));
    if (!parts.raw) {
      ASSIGN_OR_RETURN(const uint64_t base_bytes, VirtualSize(base));
      if (base_bytes > parts.upper.back().header().size_bytes) {
        return Fail(Code::kDataLoss, "a layer of the disk is smaller than its base image");
      }
      ASSIGN_OR_RETURN(parts.raw, OpenImage(base));
    }
    RETURN_IF_ERROR(Write(parts, file));
  }
  if (::fsync(file.fd()) < 0) return Fail(ErrnoError("cannot sync the disk"));
  file.Keep();
  return {};
}

}  // namespace wrenn::disk
