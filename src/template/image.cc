#include "template/image.h"

#include <sys/stat.h>

#include "base/encoding.h"
#include "base/io.h"
#include "base/json.h"
#include "os/digest.h"

namespace wrenn::template_ {
namespace {

constexpr int kFormat = 1;

json::object ToJson(const ImageManifest& manifest) {
  json::object object;
  object["format"] = kFormat;
  object["hash"] = manifest.hash;
  object["kind"] = manifest.kind;
  object["recipe"] = manifest.recipe;
  object["recipe_text"] = manifest.recipe_text;
  object["bytes"] = manifest.bytes;
  object["created_at"] = FormatTime(manifest.created_at);
  return object;
}

}  // namespace

std::string ImageFile(const os::Paths& paths, const std::string& hash) {
  return paths.Image(hash) + "/rootfs";
}

bool HasImage(const os::Paths& paths, const std::string& hash) {
  const auto text = ReadFile(paths.Image(hash) + "/manifest.json");
  if (!text) return false;
  const auto object = ParseJsonObject(*text);
  if (!object) return false;
  JsonReader reader(*object);
  reader.Int("format", 0, kFormat, kFormat);
  const int64_t bytes = reader.Int("bytes", -1, 0, INT64_MAX);
  struct stat info;
  return reader.Finish() && ::stat(ImageFile(paths, hash).c_str(), &info) == 0 &&
         info.st_size == bytes;
}

Status FinishImage(const Workspace& workspace, ImageManifest& manifest) {
  const std::string folder = workspace.path() + "/image";
  manifest.bytes = FileBytes(folder + "/rootfs");
  ASSIGN_OR_RETURN(manifest.hash, os::Sha256File(folder + "/rootfs"));
  RETURN_IF_ERROR(workspace.Seal("image/rootfs"));
  return WriteImageManifest(folder, manifest);
}

Status WriteImageManifest(const std::string& folder, const ImageManifest& manifest) {
  return WriteFileAtomically(folder + "/manifest.json", json::serialize(ToJson(manifest)) + "\n");
}

uint64_t FileBytes(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

}  // namespace wrenn::template_
