#include "snapshot/manifest.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/id.h"
#include "disk/layers.h"

namespace wrenn::snapshot {
namespace {

constexpr int kMaxMemoryMb = 16 << 20;
constexpr int kMaxVcpus = 4096;
constexpr size_t kMaxHash = 64;  // characters

bool IsDigest(std::string_view text) {
  return text.size() == 64 && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// Whether it may be the hash of an image or a kernel, as far as paths are concerned.
bool IsHash(std::string_view text) {
  const auto plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-';
  };
  return !text.empty() && text.size() <= kMaxHash && std::ranges::all_of(text, plain);
}

int RequiredInt(JsonReader& reader, std::string_view name, int high) {
  const auto number = reader.OptionalInt(name, 1, high);
  if (!number) reader.SetError(fmt::format("{} is required", name));
  return static_cast<int>(number.value_or(0));
}

uint64_t Bytes(JsonReader& reader, std::string_view name) {
  return static_cast<uint64_t>(reader.Int(name, 0, 0, INT64_MAX));
}

// What no type says.
Status CheckNames(const Manifest& manifest) {
  const auto bad = [](std::string_view name) {
    return Fail(Code::kInvalidArgument, "{} is not what it must be", name);
  };
  if (!IsId("sn", manifest.id)) return bad("id");
  if (!IsId("sb", manifest.sandbox)) return bad("sandbox");
  if (!manifest.parent.empty() && !IsId("sn", manifest.parent)) return bad("parent");
  if (!IsHash(manifest.kernel)) return bad("kernel");
  if (!IsHash(manifest.image)) return bad("image");
  if (!IsDigest(manifest.state_digest)) return bad("state_sha256");
  if (!IsDigest(manifest.memory_digest)) return bad("memory_map_sha256");
  if (auto layers = disk::ParseLayers(manifest.layers); !layers) {
    return Fail(layers.error().WithContext("layers"));
  }
  for (const auto& [layer, digest] : manifest.layer_digests) {
    const bool known = std::ranges::find(manifest.layers, layer) != manifest.layers.end();
    if (!known || !IsDigest(digest)) return bad("layer_digests");
  }
  for (const auto& [layer, bytes] : manifest.layer_bytes) {
    const bool known = std::ranges::find(manifest.layers, layer) != manifest.layers.end();
    if (!known) return bad("layer_bytes");
  }
  return {};
}

}  // namespace

json::object Sizes::ToJson() const {
  return {{"state", state}, {"memory", memory}, {"disk", disk}};
}

json::object Manifest::ToJson() const {
  json::array names;
  for (const std::string& layer : layers) names.emplace_back(layer);
  json::object digests;
  for (const auto& [layer, digest] : layer_digests) digests.emplace(layer, digest);
  json::object lengths;
  for (const auto& [layer, bytes] : layer_bytes) lengths.emplace(layer, bytes);
  return {{"format", kFormat},
          {"id", id},
          {"sandbox", sandbox},
          {"parent", parent},
          {"created_at", FormatTime(created_at)},
          {"engine", engine},
          {"fingerprint", fingerprint},
          {"vcpus", vcpus},
          {"memory_mb", memory_mb},
          {"disk_mb", disk_mb},
          {"egress", egress},
          {"network", network},
          {"kernel", kernel},
          {"image", image},
          {"template_name", template_name},
          {"template_id", template_id},
          {"agent_token", agent_token},
          {"state_sha256", state_digest},
          {"memory_map_sha256", memory_digest},
          {"layers", std::move(names)},
          {"layer_digests", std::move(digests)},
          {"layer_bytes", std::move(lengths)},
          {"sizes", sizes.ToJson()}};
}

Result<Manifest> ParseManifest(std::string_view text) {
  ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(text));
  JsonReader reader(object);
  const auto format = reader.OptionalInt("format", 1, INT64_MAX);
  if (!format) reader.SetError("format is required");
  RETURN_IF_ERROR(reader.Finish());
  // Nothing else is looked at: a newer one may be made of anything.
  if (*format != kFormat) {
    return Fail(Code::kUnimplemented, "the snapshot has format {}, this wrenn knows {}", *format,
                kFormat);
  }
  Manifest manifest;
  manifest.id = reader.RequiredString("id");
  manifest.sandbox = reader.RequiredString("sandbox");
  manifest.parent = reader.String("parent");
  const std::string created_at = reader.RequiredString("created_at");
  manifest.engine = reader.RequiredString("engine");
  if (const json::object* fingerprint = reader.Object("fingerprint")) {
    manifest.fingerprint = *fingerprint;
  } else {
    reader.SetError("fingerprint is required");
  }
  manifest.vcpus = RequiredInt(reader, "vcpus", kMaxVcpus);
  manifest.memory_mb = RequiredInt(reader, "memory_mb", kMaxMemoryMb);
  manifest.disk_mb = static_cast<int>(reader.Int("disk_mb", 0, 0, INT32_MAX));
  manifest.egress = reader.Bool("egress");
  if (const json::object* network = reader.Object("network")) manifest.network = *network;
  manifest.kernel = reader.RequiredString("kernel");
  manifest.image = reader.RequiredString("image");
  manifest.template_name = reader.String("template_name");
  manifest.template_id = reader.String("template_id");
  manifest.agent_token = reader.String("agent_token");
  manifest.state_digest = reader.RequiredString("state_sha256");
  manifest.memory_digest = reader.RequiredString("memory_map_sha256");
  manifest.layers = reader.Strings("layers");
  manifest.layer_digests = reader.StringMap("layer_digests");
  if (const json::object* lengths = reader.Object("layer_bytes")) {
    JsonReader inner(*lengths, "layer_bytes");
    for (const auto& member : *lengths) {
      manifest.layer_bytes.emplace(member.key(), Bytes(inner, member.key()));
    }
    RETURN_IF_ERROR(inner.Finish());
  }
  if (const json::object* sizes = reader.Object("sizes")) {
    JsonReader inner(*sizes, "sizes");
    manifest.sizes = {Bytes(inner, "state"), Bytes(inner, "memory"), Bytes(inner, "disk")};
    RETURN_IF_ERROR(inner.Finish());
  }
  RETURN_IF_ERROR(reader.Finish());
  const auto time = ParseTime(created_at);
  // One way to write it.
  if (!time || FormatTime(*time) != created_at) {
    return Fail(Code::kInvalidArgument, "created_at is not what it must be");
  }
  manifest.created_at = *time;
  RETURN_IF_ERROR(CheckNames(manifest));
  return manifest;
}

}  // namespace wrenn::snapshot
