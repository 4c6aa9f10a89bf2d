#include "disk/follow_top.h"

#include <algorithm>

#include "disk/qcow2.h"
#include "disk/sparse_copy.h"

namespace wrenn::disk {
namespace {

Result<Qcow2Header> HeaderOf(const std::string& directory, const Layer& layer) {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenImage(directory + "/" + layer.name));
  return ReadQcow2Header(fd.get());
}

// The layer that a header names, which a VMM has written.
Result<Layer> BelowOf(const Qcow2Header& header) {
  constexpr std::string_view kHere = "./";
  auto layer = header.backing.starts_with(kHere)
                   ? ParseLayer(header.backing.substr(kHere.size()))
                   : Fail(Code::kDataLoss, "the disk's top layer lies over no layer");
  if (!layer) return Fail(Error{Code::kDataLoss, layer.error().message, header.backing});
  return layer;
}

}  // namespace

Result<Layers> FollowTop(const std::string& directory, const Layers& layers) {
  if (layers.size() < 2) return layers;
  ASSIGN_OR_RETURN(const Qcow2Header top, HeaderOf(directory, layers.front()));
  if (CheckBelow(top, layers[1])) return layers;
  ASSIGN_OR_RETURN(const Layer merged, BelowOf(top));
  RETURN_IF_ERROR(CheckBelow(top, merged));  // its format
  if (merged.format != Format::kQcow2) {
    return Fail(Code::kDataLoss, "the disk's top layer lies over a layer that is not its own");
  }
  ASSIGN_OR_RETURN(const Qcow2Header below, HeaderOf(directory, merged));
  Layers now{layers.front(), merged};
  for (size_t i = 2; i < layers.size(); ++i) {
    if (!CheckBelow(below, layers[i])) continue;
    now.insert(now.end(), layers.begin() + static_cast<ptrdiff_t>(i), layers.end());
    return now;
  }
  // Of all of them: it lies over the image then, as the lowest did.
  if (layers.back().format == Format::kQcow2) {
    ASSIGN_OR_RETURN(const Qcow2Header lowest, HeaderOf(directory, layers.back()));
    if (lowest.backing == below.backing && lowest.backing_format == below.backing_format) {
      return now;
    }
  }
  return Fail(Code::kDataLoss, "the disk's top layer lies over a layer that is not its own");
}

}  // namespace wrenn::disk
