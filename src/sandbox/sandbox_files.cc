#include "sandbox/sandbox_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/io.h"
#include "os/files.h"

namespace wrenn::sandbox {

SandboxFiles::SandboxFiles(const os::Paths& paths, const std::string& id,
                           std::unique_ptr<disk::Backend> backend)
    : folder_(paths.Sandbox(id)),
      runtime_(paths.SandboxRuntime(id)),
      backend_(std::move(backend)) {}

Status SandboxFiles::MakeFolders() {
  RETURN_IF_ERROR(os::MakeDirectory(folder_));
  return os::MakeDirectory(runtime_);
}

Result<disk::Layer> SandboxFiles::MakeDisk(const std::string& base, uint64_t size_bytes) {
  return backend_->Create(base, folder_, size_bytes);
}

Result<disk::Layer> SandboxFiles::Disk() const {
  ASSIGN_OR_RETURN(const disk::Layers layers, disk::FindLayers(folder_));
  if (layers.empty()) return Fail(Code::kNotFound, "the sandbox has no disk");
  return layers.front();
}

Status SandboxFiles::WriteMachine(const json::object& machine) {
  return WriteFileAtomically(folder_ + "/machine.json", json::serialize(machine), 0600);
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
  // The disk first: it is what takes room.
  auto layers = disk::FindLayers(folder_);
  Status disk = layers ? disk::RemoveLayers(folder_, *layers) : Fail(std::move(layers.error()));
  Status sockets = os::RemoveTree(runtime_);
  return disk ? sockets : disk;
}

Status SandboxFiles::RemoveAll() {
  Status folder = os::RemoveTree(folder_);
  Status sockets = os::RemoveTree(runtime_);
  return folder ? sockets : folder;
}

}  // namespace wrenn::sandbox
