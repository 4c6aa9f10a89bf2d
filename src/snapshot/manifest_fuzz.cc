// A snapshot's manifest from anywhere: what is taken keeps the rules, and says again what it said.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/id.h"
#include "snapshot/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace wrenn;
  auto manifest =
      snapshot::ParseManifest(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!manifest) {
    const Code code = manifest.error().code;
    if (code != Code::kInvalidArgument && code != Code::kUnimplemented) std::abort();
    return 0;
  }
  if (!IsId("sn", manifest->id) || manifest->vcpus < 1 || manifest->memory_mb < 1) std::abort();
  // Nothing that becomes a part of a path may lead out of its folder.
  for (const std::string& layer : manifest->layers) {
    if (layer.empty() || layer.front() == '.' || layer.find('/') != layer.npos) std::abort();
  }
  for (const auto& [layer, digest] : manifest->layer_digests) {
    if (std::ranges::count(manifest->layers, layer) != 1 || digest.size() != 64) std::abort();
  }
  for (const std::string& hash : {manifest->kernel, manifest->image}) {
    if (hash.empty() || hash.front() == '.' || hash.find('/') != hash.npos) std::abort();
  }
  const std::string text = json::serialize(manifest->ToJson());
  auto again = snapshot::ParseManifest(text);
  if (!again || json::serialize(again->ToJson()) != text) std::abort();
  return 0;
}
