#include "template/kernel_modules.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "base/io.h"
#include "template/decompress.h"

namespace wrenn::template_ {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxModule = 64 << 20;

// Modules are called with '_' everywhere but in some of their files' names.
std::string Normalized(std::string_view name) {
  std::string out(name);
  std::ranges::replace(out, '-', '_');
  return out;
}

// The module's name by its file: "virtio-rng.ko.xz" is virtio_rng; nothing for other files.
std::optional<std::string> ModuleName(std::string_view file) {
  const size_t dot = file.find(".ko");
  if (dot == file.npos || dot == 0) return std::nullopt;
  const std::string_view rest = file.substr(dot + 3);
  if (!rest.empty() && rest != ".xz" && rest != ".zst" && rest != ".gz") return std::nullopt;
  return Normalized(file.substr(0, dot));
}

template <typename T>
std::optional<T> ReadStruct(std::string_view bytes, uint64_t at) {
  if (at > bytes.size() || bytes.size() - at < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::optional<std::string_view> Part(std::string_view bytes, uint64_t at, uint64_t size) {
  if (at > bytes.size() || size > bytes.size() - at) return std::nullopt;
  return bytes.substr(at, size);
}

// The content of the section of that name.
std::optional<std::string_view> Section(std::string_view elf, std::string_view name) {
  const auto header = ReadStruct<Elf64_Ehdr>(elf, 0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
      header->e_ident[EI_CLASS] != ELFCLASS64) {
    return std::nullopt;
  }
  const auto section_at = [&](unsigned index) {
    return ReadStruct<Elf64_Shdr>(elf, header->e_shoff + uint64_t{index} * sizeof(Elf64_Shdr));
  };
  const auto names_header = section_at(header->e_shstrndx);
  if (!names_header) return std::nullopt;
  const auto names = Part(elf, names_header->sh_offset, names_header->sh_size);
  if (!names) return std::nullopt;
  for (unsigned i = 0; i < header->e_shnum; ++i) {
    const auto section = section_at(i);
    if (!section || section->sh_name >= names->size()) return std::nullopt;
    const std::string_view rest = names->substr(section->sh_name);
    if (rest.substr(0, rest.find('\0')) == name) {
      return Part(elf, section->sh_offset, section->sh_size);
    }
  }
  return std::nullopt;
}

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    if (end > 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

// Gathers modules depth first, so that each comes after what it needs.
class Collection {
 public:
  explicit Collection(const std::string& folder) : folder_(folder) {}

  Status Index() {
    std::error_code error;
    fs::recursive_directory_iterator it(folder_ + "/kernel", error);
    for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
      if (auto name = ModuleName(it->path().filename().native())) {
        files_.emplace(std::move(*name), it->path().native());
      }
    }
    if (error) {
      return Fail(Code::kNotFound, "cannot read the kernel's modules: {}", error.message());
    }
    auto builtin = ReadFile(folder_ + "/modules.builtin");
    if (!builtin) return Fail(builtin.error().WithContext("cannot read the built-in modules"));
    for (const std::string& line : Split(*builtin, '\n')) {
      if (auto name = ModuleName(fs::path(line).filename().native())) builtin_.insert(*name);
    }
    return {};
  }

  Status Add(const std::string& name) {
    if (builtin_.contains(name) || !seen_.insert(name).second) return {};
    const auto file = files_.find(name);
    if (file == files_.end()) {
      return Fail(Code::kNotFound, "this kernel lacks the module '{}', which guests need", name);
    }
    ASSIGN_OR_RETURN(std::string content, ReadFile(file->second, kMaxModule));
    if (const auto compression = DetectCompression(content)) {
      ASSIGN_OR_RETURN(content, Decompress(*compression, content, kMaxModule));
    }
    auto needs = ModuleDependencies(content);
    if (!needs) return Fail(needs.error().WithContext("module '" + name + "'"));
    for (const std::string& needed : *needs) RETURN_IF_ERROR(Add(needed));
    modules.push_back({name + ".ko", std::move(content)});
    return {};
  }

  std::vector<KernelModule> modules;

 private:
  const std::string& folder_;
  std::map<std::string, std::string> files_;
  std::set<std::string> builtin_;
  std::set<std::string> seen_;
};

}  // namespace

Result<std::vector<std::string>> ModuleDependencies(std::string_view elf) {
  const auto info = Section(elf, ".modinfo");
  if (!info) return Fail(Code::kInvalidArgument, "not a kernel module");
  constexpr std::string_view kDepends = "depends=";
  std::vector<std::string> names;
  for (const std::string& entry : Split(*info, '\0')) {
    if (!entry.starts_with(kDepends)) continue;
    for (const std::string& name : Split(std::string_view(entry).substr(kDepends.size()), ',')) {
      names.push_back(Normalized(name));
    }
  }
  return names;
}

Result<std::vector<KernelModule>> CollectModules(const std::string& folder,
                                                 std::span<const std::string_view> wanted) {
  Collection collection(folder);
  RETURN_IF_ERROR(collection.Index());
  for (const std::string_view name : wanted) {
    RETURN_IF_ERROR(collection.Add(Normalized(name)));
  }
  return std::move(collection.modules);
}

}  // namespace wrenn::template_
