#include "disk/backend.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "disk/cow_file.h"
#include "disk/qcow2.h"
#include "disk/qcow2_writer.h"
#include "disk/sparse_copy.h"
#include "os/files.h"

namespace wrenn::disk {
namespace {

struct Base {
  UniqueFd fd;
  uint64_t own_size = 0;
  uint64_t size = 0;  // that the guest shall see
};

// Opens the base image and decides the overlay's size.
Result<Base> OpenBase(const std::string& path, uint64_t wanted) {
  Base base;
  base.fd.Reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!base.fd) return Fail(ErrnoError("cannot open base image '" + path + "'"));
  struct stat info;
  if (::fstat(base.fd.get(), &info) < 0) return Fail(ErrnoError("cannot read '" + path + "'"));
  base.own_size = static_cast<uint64_t>(info.st_size);
  if (wanted != 0 && wanted < base.own_size) {
    return Fail(Code::kInvalidArgument,
                "a disk of {} bytes is smaller than the template's, which has {}", wanted,
                base.own_size);
  }
  base.size = RoundUpToSector(std::max(wanted, base.own_size));
  return base;
}

// The base's name as seen from the overlay's folder.
Result<std::string> RelativeName(const std::string& base, const std::string& directory) {
  std::error_code error;
  const auto from = std::filesystem::canonical(directory, error);
  if (error) return Fail(ErrnoError("cannot resolve '" + directory + "'", error.value()));
  const auto to = std::filesystem::canonical(base, error);
  if (error) return Fail(ErrnoError("cannot resolve '" + base + "'", error.value()));
  // "./" because QEMU takes what is before a ':' in the first part of a name for a protocol.
  const std::string name = to.lexically_relative(from).string();
  return name.starts_with("..") ? name : "./" + name;
}

class FileBackend : public Backend {
 public:
  Result<Layer> Create(const std::string& base, const std::string& directory,
                       uint64_t size_bytes) override {
    ASSIGN_OR_RETURN(const Base opened, OpenBase(base, size_bytes));
    Layer layer = NewLayer(format());
    ASSIGN_OR_RETURN(NewFile file, NewFile::Make(directory + "/" + layer.name));
    RETURN_IF_ERROR(Fill(file, opened, base, directory));
    file.Keep();
    return layer;
  }

 protected:
  virtual Format format() const { return Format::kRaw; }
  virtual Status Fill(NewFile& file, const Base& base, const std::string& base_path,
                      const std::string& directory) = 0;
};

class Qcow2Backend final : public FileBackend {
 public:
  const char* name() const override { return "qcow2"; }

 protected:
  Format format() const override { return Format::kQcow2; }
  Status Fill(NewFile& file, const Base& base, const std::string& base_path,
              const std::string& directory) override {
    ASSIGN_OR_RETURN(const std::string backing, RelativeName(base_path, directory));
    return WriteEmptyQcow2(file.fd(), backing, Format::kRaw, base.size);
  }
};

class DmSnapshotBackend final : public FileBackend {
 public:
  const char* name() const override { return "dm-snapshot"; }

 protected:
  Format format() const override { return Format::kCow; }
  Status Fill(NewFile& file, const Base& base, const std::string& base_path,
              const std::string& directory) override {
    ASSIGN_OR_RETURN(const std::string name, RelativeName(base_path, directory));
    return WriteEmptyCow(file.fd(), {name, base.own_size, base.size});
  }
};

class ReflinkBackend final : public FileBackend {
 public:
  const char* name() const override { return "reflink"; }

 protected:
  Status Fill(NewFile& file, const Base& base, const std::string&, const std::string&) override {
    if (auto shared = ShareBlocks(base.fd.get(), file.fd()); !shared) {
      Error error = std::move(shared.error());
      if (error.code == Code::kUnimplemented) {
        error.message +=
            ": keep images and sandboxes together on xfs or btrfs, or use the disk backend 'qcow2'";
      }
      return Fail(std::move(error));
    }
    return file.SetSize(base.size);
  }
};

class CopyBackend final : public FileBackend {
 public:
  const char* name() const override { return "copy"; }

 protected:
  Status Fill(NewFile& file, const Base& base, const std::string&, const std::string&) override {
    RETURN_IF_ERROR(CopyData(base.fd.get(), file.fd()));
    return file.SetSize(base.size);
  }
};

}  // namespace

Result<std::unique_ptr<Backend>> MakeBackend(const std::string& name) {
  if (name == "auto" || name == "qcow2") return std::make_unique<Qcow2Backend>();
  if (name == "reflink") return std::make_unique<ReflinkBackend>();
  if (name == "copy") return std::make_unique<CopyBackend>();
  if (name == "dm-snapshot") return std::make_unique<DmSnapshotBackend>();
  return Fail(Code::kInvalidArgument,
              "unknown disk backend '{}': it must be auto, dm-snapshot, qcow2, reflink or copy",
              name);
}

uint64_t AllocatedBytes(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) < 0) return 0;
  uint64_t bytes = static_cast<uint64_t>(info.st_blocks) * 512;
  if (!S_ISDIR(info.st_mode)) return bytes;
  if (const auto names = os::ListDirectory(path)) {
    for (const std::string& name : *names) bytes += AllocatedBytes(path + "/" + name);
  }
  return bytes;
}

}  // namespace wrenn::disk
