#include "snapshot/manifest.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/id.h"

namespace wrenn::snapshot {
namespace {

constexpr size_t kMaxLayers = 1024;
constexpr int kMaxMemoryMb = 16 << 20;
constexpr int kMaxVcpus = 4096;

bool IsDigest(std::string_view text) {
  return text.size() == 64 && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

json::object Manifest::ToJson() const {
  json::array names;
  for (const std::string& layer : layers) names.emplace_back(layer);
  return {{"format", kFormat},
          {"id", id},
          {"sandbox", sandbox},
          {"created_at", FormatTime(created_at)},
          {"engine", engine},
          {"fingerprint", fingerprint},
          {"vcpus", vcpus},
          {"memory_mb", memory_mb},
          {"disk_mb", disk_mb},
          {"egress", egress},
          {"kernel", kernel},
          {"image", image},
          {"template_name", template_name},
          {"template_id", template_id},
          {"agent_token", agent_token},
          {"state_sha256", state_digest},
          {"memory_map_sha256", memory_digest},
          {"layers", std::move(names)}};
}

Result<Manifest> ParseManifest(std::string_view text) {
  ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(text));
  JsonReader reader(object);
  const int64_t format = reader.Int("format", 0, 1, INT32_MAX);
  RETURN_IF_ERROR(reader.Finish());
  if (format != kFormat) {
    return Fail(Code::kUnimplemented, "the snapshot has format {}, this wrenn knows {}", format,
                kFormat);
  }
  Manifest manifest;
  manifest.id = reader.RequiredString("id");
  manifest.sandbox = reader.String("sandbox");
  const std::string created_at = reader.RequiredString("created_at");
  manifest.engine = reader.RequiredString("engine");
  if (const json::object* fingerprint = reader.Object("fingerprint")) {
    manifest.fingerprint = *fingerprint;
  }
  manifest.vcpus = static_cast<int>(reader.Int("vcpus", 0, 1, kMaxVcpus));
  manifest.memory_mb = static_cast<int>(reader.Int("memory_mb", 0, 1, kMaxMemoryMb));
  manifest.disk_mb = static_cast<int>(reader.Int("disk_mb", 0, 0, INT32_MAX));
  manifest.egress = reader.Bool("egress");
  manifest.kernel = reader.String("kernel");
  manifest.image = reader.String("image");
  manifest.template_name = reader.String("template_name");
  manifest.template_id = reader.String("template_id");
  manifest.agent_token = reader.String("agent_token");
  manifest.state_digest = reader.RequiredString("state_sha256");
  manifest.memory_digest = reader.RequiredString("memory_map_sha256");
  manifest.layers = reader.Strings("layers");
  RETURN_IF_ERROR(reader.Finish());
  ASSIGN_OR_RETURN(manifest.created_at, ParseTime(created_at));
  if (!IsId("sn", manifest.id) || manifest.layers.empty() || manifest.layers.size() > kMaxLayers ||
      !IsDigest(manifest.state_digest) || !IsDigest(manifest.memory_digest)) {
    return Fail(Code::kInvalidArgument, "the snapshot's manifest is damaged");
  }
  return manifest;
}

}  // namespace wrenn::snapshot
