#include "sandbox/sandbox_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/id.h"
#include "base/io.h"
#include "os/files.h"
#include "template/image.h"

namespace wrenn::sandbox {
namespace {

constexpr const char* kEmptyMemory = "/memory.empty";
constexpr const char* kParentFile = "/parent";

}  // namespace

SandboxFiles::SandboxFiles(const os::Paths& paths, const std::string& id,
                           std::unique_ptr<disk::Backend> backend)
    : paths_(paths),
      folder_(paths.Sandbox(id)),
      runtime_(paths.SandboxRuntime(id)),
      backend_(std::move(backend)) {}

Status SandboxFiles::MakeFolders() {
  RETURN_IF_ERROR(os::MakeDirectory(folder_));
  return os::MakeDirectory(runtime_);
}

Result<disk::Layers> SandboxFiles::MakeDisk(const std::string& base, uint64_t size_bytes) {
  ASSIGN_OR_RETURN(disk::Layer layer, backend_->Create(base, folder_, size_bytes));
  return disk::Layers{std::move(layer)};
}

Status SandboxFiles::MakeMemory(int memory_mb) {
  const uint64_t bytes = static_cast<uint64_t>(memory_mb) << 20;
  const std::string path = folder_ + kEmptyMemory;
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(bytes)) < 0) {
    return Fail(ErrnoError("cannot make '" + path + "'"));
  }
  return memory::Save(memory::Image::Zero(bytes), folder_);
}

Result<disk::Layers> SandboxFiles::TakeDisk(const std::string& snapshot,
                                            const snapshot::Manifest& manifest, uint64_t size_bytes,
                                            bool devices) {
  ASSIGN_OR_RETURN(disk::Layers layers, disk::ParseLayers(manifest.layers));
  const std::string base = template_::ImageFile(paths_, manifest.image);
  if (disk::NeedsDevice(layers.front().name)) {
    RETURN_IF_ERROR(disk::CheckLayers(snapshot, layers, base));
    if (devices) {
      ASSIGN_OR_RETURN(disk::Layer copy,
                       disk::CopyChanges(snapshot, layers.front(), folder_, size_bytes));
      return disk::Layers{std::move(copy)};
    }
    disk::Layer whole = disk::NewLayer(disk::Format::kRaw);
    RETURN_IF_ERROR(disk::Flatten(snapshot, layers, base, folder_ + "/" + whole.name));
    layers = {std::move(whole)};
  } else {
    RETURN_IF_ERROR(disk::LinkLayers(layers, snapshot, folder_));
    RETURN_IF_ERROR(disk::CheckLayers(folder_, layers, base));
  }
  ASSIGN_OR_RETURN(disk::Layer top, disk::AddLayer(folder_, layers.front(), size_bytes));
  layers.insert(layers.begin(), std::move(top));
  return layers;
}

Result<memory::Image> SandboxFiles::TakeMemory(const std::string& snapshot) {
  ASSIGN_OR_RETURN(memory::Image image, memory::Load(snapshot));
  for (const memory::ImageFile& file : image.files) {
    RETURN_IF_ERROR(os::LinkFile(snapshot + "/" + file.name, folder_ + "/" + file.name));
  }
  RETURN_IF_ERROR(os::LinkFile(snapshot + "/memory.map", folder_ + "/memory.map"));
  return image;
}

Status SandboxFiles::KeepMemory(const memory::Image& image, const std::string& from) {
  for (const memory::ImageFile& file : image.files) {
    const std::string to = folder_ + "/" + file.name;
    if (!os::Exists(to)) RETURN_IF_ERROR(os::LinkFile(from + "/" + file.name, to));
  }
  RETURN_IF_ERROR(memory::Save(image, folder_));
  ASSIGN_OR_RETURN(const auto names, os::ListDirectory(folder_));
  for (const std::string& name : names) {
    const auto has_name = [&](const memory::ImageFile& file) { return file.name == name; };
    if (!name.starts_with("memory-") || std::ranges::any_of(image.files, has_name)) continue;
    RETURN_IF_ERROR(os::RemoveTree(folder_ + "/" + name));
  }
  return {};
}

Status SandboxFiles::NoteParent(const std::string& snapshot_id) {
  return ReplaceFile(folder_ + kParentFile, snapshot_id, 0600);
}

std::string SandboxFiles::Parent() const {
  auto id = ReadFile(folder_ + kParentFile, 64);
  return id && IsId("sn", *id) ? *id : "";
}

std::string SandboxFiles::MemoryBase() const {
  std::string empty = folder_ + kEmptyMemory;
  if (os::Exists(empty)) return empty;
  const auto image = MemoryImage();
  if (!image || image->base == memory::kZero) return "";
  return folder_ + "/" + image->files[image->base].name;
}

Status SandboxFiles::WriteMachine(const json::object& machine) {
  // After a crash of the host there is no machine.
  return ReplaceFile(folder_ + "/machine.json", json::serialize(machine), 0600);
}

Result<json::object> SandboxFiles::ReadMachine() const {
  auto text = ReadFile(folder_ + "/machine.json", 64 << 10);
  if (!text && text.error().code == Code::kNotFound) return json::object();
  if (!text) return Fail(std::move(text.error()));
  return ParseJsonObject(*text);
}

Result<std::string> SandboxFiles::ConsoleTail(size_t limit) const {
  const std::string path = folder_ + "/console.log";
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd && errno == ENOENT) return std::string();
  struct stat info;
  if (!fd || ::fstat(fd.get(), &info) < 0) return Fail(ErrnoError("cannot read the console"));
  const auto size = static_cast<size_t>(info.st_size);
  const size_t begin = size > limit ? size - limit : 0;
  std::string tail(size - begin, '\0');
  const ssize_t got = ::pread(fd.get(), tail.data(), tail.size(), static_cast<off_t>(begin));
  if (got < 0) return Fail(ErrnoError("cannot read the console"));
  tail.resize(static_cast<size_t>(got));
  return tail;
}

Status SandboxFiles::RemoveAllButLogs() {
  Status removed = os::RemoveTree(runtime_);
  const auto names = os::ListDirectory(folder_);
  if (!names) return names.error().code == Code::kNotFound ? removed : Fail(names.error());
  for (const std::string& name : *names) {
    if (name == "console.log" || name == "vmm.log") continue;
    if (Status one = os::RemoveTree(folder_ + "/" + name); !one) removed = std::move(one);
  }
  return removed;
}

Status SandboxFiles::RemoveAll() {
  Status folder = os::RemoveTree(folder_);
  Status sockets = os::RemoveTree(runtime_);
  return folder ? sockets : folder;
}

json::object DiskJson(const disk::Layers& layers, const LayerDigests& digests) {
  json::object known;
  for (const disk::Layer& layer : layers) {
    if (const auto found = digests.find(layer.name); found != digests.end()) {
      known.emplace(layer.name, found->second);
    }
  }
  return {{"layers", disk::ToJson(layers)}, {"digests", std::move(known)}};
}

LayerDigests DigestsIn(const json::object& disk) { return JsonReader(disk).StringMap("digests"); }

Result<disk::Layers> ParseDisk(const json::object& disk) {
  JsonReader reader(disk);
  auto layers = disk::ParseLayers(reader.Strings("layers"));
  if (!reader.Finish() || !layers)
    return Fail(Code::kDataLoss, "the record of its disk is damaged");
  return layers;
}

}  // namespace wrenn::sandbox
