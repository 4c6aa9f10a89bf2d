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
  Layers now{layers.front()};
  // Each round but the last adds one that `layers` does not have.
  while (now.size() < kMaxLayers) {
    ASSIGN_OR_RETURN(const Qcow2Header header, HeaderOf(directory, now.back()));
    const auto below = std::find_if(layers.begin() + 1, layers.end(), [&](const Layer& layer) {
      return CheckBelow(header, layer).has_value();
    });
    if (below != layers.end()) {
      now.insert(now.end(), below, layers.end());
      return now;
    }
    if (now.size() > 1 && layers.back().format == Format::kQcow2) {
      // Of all of them: it lies over the image then, as the lowest did.
      ASSIGN_OR_RETURN(const Qcow2Header lowest, HeaderOf(directory, layers.back()));
      if (lowest.backing == header.backing && lowest.backing_format == header.backing_format) {
        return now;
      }
    }
    ASSIGN_OR_RETURN(Layer other, BelowOf(header));
    RETURN_IF_ERROR(CheckBelow(header, other));  // its format
    if (other.format != Format::kQcow2) {
      return Fail(Code::kDataLoss, "the disk's top layer lies over a layer that is not its own");
    }
    now.push_back(std::move(other));
  }
  return Fail(Code::kDataLoss, "the disk's top layer lies over more than {} layers", kMaxLayers);
}

}  // namespace wrenn::disk
