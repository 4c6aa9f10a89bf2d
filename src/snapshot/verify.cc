#include "snapshot/verify.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/io.h"
#include "disk/cow_file.h"
#include "disk/layers.h"
#include "disk/qcow2_reader.h"
#include "disk/sparse_copy.h"
#include "memory/image_files.h"
#include "memory/verify.h"
#include "os/digest.h"
#include "os/files.h"
#include "snapshot/folder.h"

namespace wrenn::snapshot {
namespace {

constexpr const char* kMemoryMap = "/memory.map";
constexpr size_t kMaxManifest = 1 << 20;  // bytes

// Collects what is wrong; its methods fail with kCanceled alone.
class Checker {
 public:
  explicit Checker(const GoOn& go_on) : go_on_(go_on), buffer_(memory::kChunkSize) {}

  // A file that is compared as a whole.
  Status CheckFile(const std::string& path, const std::string& digest, std::string_view what) {
    ++verdict_.files;
    const auto fd = disk::OpenImage(path);
    if (!fd) return Problem("the {} cannot be read: {}", what, Reason(fd.error()));
    os::Sha256 sha;
    for (uint64_t at = 0;;) {
      RETURN_IF_ERROR(GoingOn());
      const auto got = disk::ReadAt(fd->get(), buffer_, at);
      if (!got) return Problem("the {} cannot be read: {}", what, Reason(got.error()));
      if (*got == 0) break;
      sha.Update({buffer_.data(), *got});
      at += *got;
      verdict_.bytes += *got;
    }
    return sha.FinishHex() == digest ? Status() : Problem("the {} is damaged", what);
  }

  // The memory map, which has a digest of its own, and each file that it names.
  Status CheckMemory(const std::string& place) {
    const auto image = memory::Load(place);
    if (!image) return Problem("the memory map cannot be used: {}", Reason(image.error()));
    for (const memory::ImageFile& file : image->files) {
      RETURN_IF_ERROR(CheckMemoryFile(file, place));
    }
    return {};
  }

  Status CheckDisk(const std::string& place, const Manifest& manifest, const std::string& image) {
    const auto layers = disk::ParseLayers(manifest.layers);
    if (!layers) return Problem("{}", layers.error().message);
    bool sound = true;
    for (const disk::Layer& layer : *layers) {
      RETURN_IF_ERROR(GoingOn());
      ++verdict_.files;
      Status checked = CheckLayer(layer, place + "/" + layer.name);
      sound = sound && checked.has_value();
      if (checked) checked = CheckDigest(layer.name, place, manifest.layer_digests);
      if (checked) continue;
      if (checked.error().code == Code::kCanceled) return checked;
      (void)Problem("the disk's layer '{}': {}", layer.name, Reason(checked.error()));
    }
    // Whether each lies over the next can only be seen where all can be read.
    const Status chain = sound ? disk::CheckLayers(place, *layers, image) : Status();
    return chain ? Status() : Problem("the disk's layers do not fit: {}", Reason(chain.error()));
  }

  Verdict Take() { return std::move(verdict_); }

 private:
  Status GoingOn() const {
    if (!go_on_ || go_on_()) return {};
    return Fail(Code::kCanceled, "the check was broken off");
  }

  template <typename... Args>
  Status Problem(fmt::format_string<Args...> format, Args&&... args) {
    if (verdict_.problems.size() < kMaxProblems) {
      verdict_.problems.push_back(fmt::format(format, std::forward<Args>(args)...));
    }
    return {};
  }

  // An error's message without paths of the host.
  static std::string Reason(const Error& error) {
    if (error.code == Code::kNotFound) return "it is missing";
    const bool ours = error.code == Code::kDataLoss || error.code == Code::kUnimplemented;
    return ours ? error.message : std::string(CodeName(error.code));
  }

  static Status CheckLayer(const disk::Layer& layer, const std::string& path) {
    ASSIGN_OR_RETURN(UniqueFd fd, disk::OpenImage(path));
    if (layer.format == disk::Format::kRaw) return {};
    if (layer.format == disk::Format::kCow) {
      ASSIGN_OR_RETURN(const disk::CowHeader header, disk::ReadCowHeader(fd.get()));
      RETURN_IF_ERROR(disk::ReadCowExceptions(fd.get(), header));
      return {};
    }
    ASSIGN_OR_RETURN(const disk::Qcow2Reader reader, disk::Qcow2Reader::Open(std::move(fd)));
    return reader.Check();
  }

  Status CheckDigest(const std::string& name, const std::string& place,
                     const std::map<std::string, std::string>& digests) {
    const auto wanted = digests.find(name);
    if (wanted == digests.end()) {
      ++verdict_.unchecked;
      return {};
    }
    ASSIGN_OR_RETURN(const std::string found,
                     DigestLayer(place + "/" + name, go_on_, &verdict_.bytes));
    if (found != wanted->second) return Fail(Code::kDataLoss, "it is damaged");
    return {};
  }

  // As memory::Verify(), but it finds all of the damage.
  Status CheckMemoryFile(const memory::ImageFile& file, const std::string& place) {
    ++verdict_.files;
    const auto fd = memory::OpenImageFile(file, place);
    if (!fd) return Problem("{}", fd.error().message);
    for (uint64_t chunk = 0; chunk < file.chunks.size(); ++chunk) {
      RETURN_IF_ERROR(GoingOn());
      const auto bytes = ReadChunk(file, fd->get(), chunk);
      if (!bytes && bytes.error().code == Code::kDataLoss) {
        (void)Problem("{}", bytes.error().message);
      } else if (!bytes) {
        return Problem("the file '{}' cannot be read: {}", file.name, Reason(bytes.error()));
      } else {
        verdict_.bytes += *bytes;
      }
    }
    return {};
  }

  // The bytes that were compared: none of a hole where zeros are wanted.
  Result<uint64_t> ReadChunk(const memory::ImageFile& file, int fd, uint64_t chunk) {
    if (memory::SaysZero(file.chunks[chunk])) {
      const uint64_t offset = chunk * memory::kChunkSize;
      const uint64_t length = std::min(memory::kChunkSize, file.size - offset);
      ASSIGN_OR_RETURN(const memory::Ranges data, memory::DataIn(fd, {offset, length}));
      if (data.empty()) return 0;
    }
    ASSIGN_OR_RETURN(const std::span<char> bytes, memory::ReadChunk(file, fd, chunk, buffer_));
    return bytes.size();
  }

  const GoOn& go_on_;
  std::vector<char> buffer_;
  Verdict verdict_;
};

}  // namespace

Result<Verdict> Verify(const std::string& place, const Base& base, const GoOn& go_on) {
  Checker checker(go_on);
  // Not by Open(), which ends at the first damage.
  const auto text = ReadFile(place + kManifestFile, kMaxManifest);
  if (!text && text.error().code == Code::kNotFound) {
    return Fail(Error{Code::kNotFound, "the snapshot is not there", place});
  }
  if (!text) return Fail(text.error());
  const auto manifest = ParseManifest(*text);
  if (!manifest) {
    Verdict unreadable;
    unreadable.files = 1;
    unreadable.problems.push_back("the manifest is damaged: " + manifest.error().message);
    return unreadable;
  }
  RETURN_IF_ERROR(checker.CheckFile(place + kStateFile, manifest->state_digest, "machine state"));
  RETURN_IF_ERROR(checker.CheckFile(place + kMemoryMap, manifest->memory_digest, "memory map"));
  RETURN_IF_ERROR(checker.CheckMemory(place));
  RETURN_IF_ERROR(checker.CheckDisk(place, *manifest, base.path));
  RETURN_IF_ERROR(checker.CheckFile(base.path, base.digest, "image below the disk"));
  return checker.Take();
}

Status VerifyForLoad(const std::string& place, const Manifest& manifest, const std::string& image) {
  const GoOn never_broken_off;
  Checker checker(never_broken_off);
  RETURN_IF_ERROR(checker.CheckMemory(place));
  RETURN_IF_ERROR(checker.CheckDisk(place, manifest, image));
  const Verdict verdict = checker.Take();
  if (verdict.ok()) return {};
  return Fail(Code::kDataLoss, "the snapshot is damaged: {}", verdict.problems.front());
}

Result<Verdict> VerifyBase(const Base& base, const GoOn& go_on) {
  Checker checker(go_on);
  RETURN_IF_ERROR(checker.CheckFile(base.path, base.digest, "image"));
  return checker.Take();
}

}  // namespace wrenn::snapshot
