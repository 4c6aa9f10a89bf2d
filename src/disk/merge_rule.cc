#include "disk/merge_rule.h"

#include "disk/backend.h"

namespace wrenn::disk {
namespace {

constexpr size_t kManyLayers = 6;
// Layers up to this size are always worth merging.
constexpr uint64_t kSmallLayer = 4 << 20;

}  // namespace

size_t LayersToMerge(const std::string& folder, std::span<const Layer> layers) {
  uint64_t above = 0;
  size_t count = 0;
  for (const Layer& layer : layers) {
    const uint64_t size = AllocatedBytes(folder + "/" + layer.name);
    if (count > 0 && size > kSmallLayer && size > 2 * above) break;
    above += size;
    ++count;
  }
  return count >= kManyLayers ? count : 0;
}

}  // namespace wrenn::disk
