#include "disk/layers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <set>
#include <utility>

#include "base/id.h"
#include "base/revert.h"
#include "disk/backend.h"
#include "disk/cow_file.h"
#include "disk/qcow2.h"
#include "disk/qcow2_writer.h"
#include "disk/sparse_copy.h"
#include "os/files.h"

namespace wrenn::disk {
namespace {

constexpr std::string_view kPrefix = "disk";
constexpr std::string_view kQcow2Ending = ".qcow2";
constexpr std::string_view kRawEnding = ".raw";
constexpr std::string_view kCowEnding = ".cow";

std::string_view EndingOf(Format format) {
  switch (format) {
    case Format::kRaw:
      return kRawEnding;
    case Format::kCow:
      return kCowEnding;
    case Format::kQcow2:
      break;
  }
  return kQcow2Ending;
}

// Whether two names are links of one file. Symbolic links are not followed.
bool IsSameFile(const std::string& a, const std::string& b) {
  struct stat first;
  struct stat second;
  return ::lstat(a.c_str(), &first) == 0 && ::lstat(b.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

// Whether two paths lead to one file, links followed as QEMU would.
bool IsSamePlace(const std::string& a, const std::string& b) {
  struct stat first;
  struct stat second;
  return ::stat(a.c_str(), &first) == 0 && ::stat(b.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

// A backing name as QEMU reads it.
std::string Resolve(const std::string& directory, const std::string& name) {
  return name.starts_with('/') ? name : directory + "/" + name;
}

Status CheckBase(const std::string& directory, const std::string& name, const std::string& base) {
  if (IsSamePlace(Resolve(directory, name), base)) return {};
  return Fail(Error{Code::kDataLoss, "the disk does not continue its image", name});
}

}  // namespace

Layer NewLayer(Format format) { return {NewId(kPrefix).append(EndingOf(format)), format}; }

Result<Layer> ParseLayer(std::string_view name) {
  for (const Format format : {Format::kQcow2, Format::kRaw, Format::kCow}) {
    const std::string_view ending = EndingOf(format);
    if (!name.ends_with(ending)) continue;
    if (!IsId(kPrefix, name.substr(0, name.size() - ending.size()))) break;
    return Layer{std::string(name), format};
  }
  return Fail(Code::kInvalidArgument, "'{}' is no name of a disk's layer", name.substr(0, 64));
}

Result<Layers> ParseLayers(const std::vector<std::string>& names) {
  if (names.empty() || names.size() > kMaxLayers) {
    return Fail(Code::kInvalidArgument, "a disk must have 1 to {} layers, not {}", kMaxLayers,
                names.size());
  }
  Layers layers;
  std::set<std::string_view> seen;
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(Layer layer, ParseLayer(name));
    if (!seen.insert(name).second) {
      return Fail(Code::kInvalidArgument, "a disk has the layer '{}' twice", name);
    }
    if (!layers.empty() && layers.back().format == Format::kRaw) {
      return Fail(Code::kInvalidArgument, "a raw layer has a layer below it");
    }
    if (layer.format == Format::kCow && names.size() > 1) {
      return Fail(Code::kInvalidArgument, "a file of changes is not the only layer");
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

std::vector<std::string> LayerNames(const Layers& layers) {
  std::vector<std::string> names;
  for (const Layer& layer : layers) names.push_back(layer.name);
  return names;
}

json::array ToJson(const Layers& layers) {
  json::array names;
  for (const Layer& layer : layers) names.emplace_back(layer.name);
  return names;
}

Result<Layers> FindLayers(const std::string& directory) {
  auto names = os::ListDirectory(directory);
  if (!names && names.error().code == Code::kNotFound) return Layers();
  if (!names) return Fail(std::move(names.error()));
  Layers layers;
  for (const std::string& name : *names) {
    if (auto layer = ParseLayer(name)) layers.push_back(std::move(*layer));
  }
  return layers;
}

Result<Layer> AddLayer(const std::string& directory, const Layer& below, uint64_t size_bytes) {
  if (below.format == Format::kCow) {
    return Fail(Code::kInvalidArgument, "a layer cannot lie over a file of changes");
  }
  ASSIGN_OR_RETURN(const uint64_t least, VirtualSize(directory + "/" + below.name));
  const uint64_t size = size_bytes == 0 ? least : size_bytes;
  if (size < least) {
    return Fail(Code::kInvalidArgument,
                "a disk of {} bytes is smaller than what it continues, which has {}", size, least);
  }
  // "./" because QEMU takes what is before a ':' in the first part of a name for a protocol.
  Layer layer = NewLayer(Format::kQcow2);
  ASSIGN_OR_RETURN(NewFile file, NewFile::Make(directory + "/" + layer.name));
  RETURN_IF_ERROR(
      WriteEmptyQcow2(file.fd(), "./" + below.name, below.format, RoundUpToSector(size)));
  file.Keep();
  return layer;
}

Result<Layer> CopyChanges(const std::string& from, const Layer& layer, const std::string& to,
                          uint64_t size_bytes) {
  const std::string path = from + "/" + layer.name;
  ASSIGN_OR_RETURN(const UniqueFd source, OpenImage(path));
  // One that the kernel has given up would be no good either.
  RETURN_IF_ERROR(ReadCowHeader(source.get()));
  Layer copy = NewLayer(Format::kCow);
  ASSIGN_OR_RETURN(NewFile file, NewFile::Make(to + "/" + copy.name));
  if (!ShareBlocks(source.get(), file.fd())) {
    ASSIGN_OR_RETURN(const uint64_t free, os::FreeDiskBytes(to));
    const uint64_t wanted = AllocatedBytes(path);
    if (free < kRoomForChanges || free - kRoomForChanges < wanted) {
      return Fail(
          Code::kResourceExhausted,
          "there is no room for a copy of the disk's changes: they are {} MiB, {} are free, "
          "and {} must stay so",
          wanted >> 20, free >> 20, kRoomForChanges >> 20);
    }
    RETURN_IF_ERROR(CopyData(source.get(), file.fd()));
  }
  if (size_bytes != 0) RETURN_IF_ERROR(GrowCow(file.fd(), RoundUpToSector(size_bytes)));
  file.Keep();
  return copy;
}

Status LinkLayers(const Layers& layers, const std::string& from, const std::string& to) {
  Revert revert;
  for (const Layer& layer : layers) {
    const std::string source = from + "/" + layer.name;
    const std::string link = to + "/" + layer.name;
    if (::link(source.c_str(), link.c_str()) == 0) {
      revert.Add([link] { ::unlink(link.c_str()); });
    } else if (errno != EEXIST) {
      return Fail(ErrnoError("cannot link the disk's layer '" + layer.name + "'"));
    } else if (!IsSameFile(source, link)) {
      return Fail(Code::kAlreadyExists, "there is another layer '{}'", layer.name);
    }
  }
  revert.Disarm();
  return {};
}

Status RemoveLayers(const std::string& directory, const Layers& layers) {
  Status removed;
  for (const Layer& layer : layers) {
    const std::string path = directory + "/" + layer.name;
    if (::unlink(path.c_str()) < 0 && errno != ENOENT && removed) {
      removed = Fail(ErrnoError("cannot remove the disk's layer '" + layer.name + "'"));
    }
  }
  return removed;
}

Result<uint64_t> VirtualSize(const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenImage(path));
  if (path.ends_with(kQcow2Ending)) {
    ASSIGN_OR_RETURN(const Qcow2Header header, ReadQcow2Header(fd.get()));
    return header.size_bytes;
  }
  if (path.ends_with(kCowEnding)) {
    ASSIGN_OR_RETURN(const CowHeader header, ReadCowHeader(fd.get()));
    return header.disk_bytes;
  }
  struct stat info;
  if (::fstat(fd.get(), &info) < 0) return Fail(ErrnoError("cannot read the disk"));
  return static_cast<uint64_t>(info.st_size);
}

Status CheckLayers(const std::string& directory, const Layers& layers, const std::string& base) {
  for (size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].format == Format::kRaw) continue;
    ASSIGN_OR_RETURN(const UniqueFd fd, OpenImage(directory + "/" + layers[i].name));
    if (layers[i].format == Format::kCow) {
      ASSIGN_OR_RETURN(const CowHeader header, ReadCowHeader(fd.get()));
      RETURN_IF_ERROR(CheckBase(directory, header.base, base));
      continue;
    }
    ASSIGN_OR_RETURN(const Qcow2Header header, ReadQcow2Header(fd.get()));
    if (i + 1 < layers.size()) {
      RETURN_IF_ERROR(CheckBelow(header, layers[i + 1]));
    } else if (header.backing_format != Format::kRaw) {
      return Fail(Code::kDataLoss, "the disk does not continue its image");
    } else {
      RETURN_IF_ERROR(CheckBase(directory, header.backing, base));
    }
  }
  return {};
}

}  // namespace wrenn::disk
