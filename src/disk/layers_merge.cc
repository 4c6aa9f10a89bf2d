#include <unistd.h>

#include <optional>
#include <utility>

#include "base/io.h"
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

Status Write(const Parts& parts, NewFile& file) {
  if (!parts.raw) return MergeToQcow2(parts.upper, file.fd());
  if (!ShareBlocks(parts.raw->get(), file.fd())) {
    RETURN_IF_ERROR(CopyData(parts.raw->get(), file.fd()));
  }
  if (parts.upper.empty()) return {};
  RETURN_IF_ERROR(file.SetSize(parts.upper.front().header().size_bytes));
  return MergeIntoRaw(parts.upper, file.fd());
}

}  // namespace

Result<Layer> MergeLayers(const std::string& directory, const Layers& layers, size_t count) {
  if (count == 0 || count > layers.size()) {
    return Fail(Code::kInvalidArgument, "{} of {} layers cannot be merged", count, layers.size());
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

}  // namespace wrenn::disk
