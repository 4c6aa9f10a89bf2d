#include "snapshot/packed.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/encoding.h"
#include "base/id.h"
#include "disk/layers.h"

namespace wrenn::snapshot {
namespace {

constexpr size_t kMaxDescription = 1000;  // bytes
constexpr size_t kMaxFiles = 4096;
constexpr uint64_t kMaxFile = uint64_t{1} << 44;  // what docs/snapshot-format.md allows RAM to be
// A template's largest; all of it is compared with its digest, holes too.
constexpr uint64_t kMaxImage = uint64_t{1} << 40;

struct Rule {
  std::string_view name;
  uint64_t most;  // bytes
};

// The largest that each may be: some are read whole before they are used.
constexpr std::array<Rule, 7> kRequired = {{
    {kPackedManifest, 1 << 20},
    {kPackedMap, 256 << 20},
    {kPackedState, 1 << 30},
    {kPackedKernelManifest, 1 << 20},
    {kPackedVmlinux, 1 << 30},
    {kPackedInitramfs, 1 << 30},
    {kPackedImage, kMaxImage},
}};

// The most bytes that a file of this name may have; 0: no such file.
uint64_t MostBytes(std::string_view name) {
  const auto* rule = std::ranges::find(kRequired, name, &Rule::name);
  if (rule != kRequired.end()) return rule->most;
  return IsMemoryName(name) || IsLayerName(name) ? kMaxFile : 0;
}

// What people are shown must not drive their terminals.
bool IsPrintable(std::string_view text) {
  return IsUtf8(text) &&
         std::ranges::none_of(text, [](unsigned char c) { return c < ' ' || c == 0x7f; });
}

Result<PackedFile> ParseFile(const json::value& value) {
  const json::object* object = value.if_object();
  if (object == nullptr) return Fail(Code::kInvalidArgument, "an entry of 'files' is no object");
  JsonReader reader(*object, "files");
  PackedFile file;
  file.name = reader.RequiredString("name");
  file.size = static_cast<uint64_t>(reader.Int("size", 0, 0, INT64_MAX));
  file.data = static_cast<uint64_t>(reader.Int("data", 0, 0, INT64_MAX));
  RETURN_IF_ERROR(reader.FinishStrict());
  const uint64_t most = MostBytes(file.name);
  if (most == 0) {
    return Fail(Code::kInvalidArgument, "no snapshot has a file '{}'",
                PercentEncode(file.name.substr(0, 64), true));
  }
  if (file.size > most) {
    return Fail(Code::kInvalidArgument, "'{}' is larger than {} bytes", file.name, most);
  }
  if (file.data > file.size) {
    return Fail(Code::kInvalidArgument, "'{}' has more data than bytes", file.name);
  }
  return file;
}

Status CheckNames(const PackedIndex& index) {
  std::set<std::string_view> names;
  for (const PackedFile& file : index.files) {
    if (!names.insert(file.name).second) {
      return Fail(Code::kInvalidArgument, "'{}' is there twice", file.name);
    }
  }
  for (const Rule& rule : kRequired) {
    if (!names.contains(rule.name)) {
      return Fail(Code::kInvalidArgument, "'{}' is missing", rule.name);
    }
  }
  return {};
}

}  // namespace

uint64_t PackedIndex::DataBytes() const {
  uint64_t sum = 0;
  for (const PackedFile& file : files) sum += file.data;
  return sum;
}

json::object PackedIndex::ToJson() const {
  json::array list;
  for (const PackedFile& file : files) {
    list.push_back(json::object{{"name", file.name}, {"size", file.size}, {"data", file.data}});
  }
  return {{"format", kPackedFormat},
          {"name", name},
          {"description", description},
          {"created_at", FormatTime(created_at)},
          {"files", std::move(list)}};
}

bool IsMemoryName(std::string_view name) { return IsId("memory", name); }

bool IsLayerName(std::string_view name) { return disk::ParseLayer(name).has_value(); }

Result<PackedIndex> ParsePackedIndex(std::string_view text) {
  ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(text));
  JsonReader reader(object);
  const auto format = reader.OptionalInt("format", 1, INT64_MAX);
  if (!format) reader.SetError("format is required");
  RETURN_IF_ERROR(reader.Finish());
  // Nothing else is looked at: a newer one may be made of anything.
  if (*format != kPackedFormat) {
    return Fail(Code::kUnimplemented, "the file has format {}, this wrenn knows {}", *format,
                kPackedFormat);
  }
  PackedIndex index;
  index.name = reader.RequiredString("name");
  index.description = reader.String("description");
  const std::string created_at = reader.RequiredString("created_at");
  const json::array* files = reader.Array("files");
  if (files == nullptr) reader.SetError("files is required");
  RETURN_IF_ERROR(reader.Finish());
  ASSIGN_OR_RETURN(index.created_at, ParseTime(created_at));
  if (!IsName(index.name)) return Fail(Code::kInvalidArgument, "its name is none");
  if (index.description.size() > kMaxDescription || !IsPrintable(index.description)) {
    return Fail(Code::kInvalidArgument, "its description is too long, or no text");
  }
  if (files->size() > kMaxFiles) {
    return Fail(Code::kInvalidArgument, "it has more than {} files", kMaxFiles);
  }
  for (const json::value& value : *files) {
    ASSIGN_OR_RETURN(PackedFile file, ParseFile(value));
    index.files.push_back(std::move(file));
  }
  RETURN_IF_ERROR(CheckNames(index));
  return index;
}

}  // namespace wrenn::snapshot
