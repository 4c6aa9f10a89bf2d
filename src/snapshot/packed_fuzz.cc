// A packed snapshot from anywhere: nothing but the files that the index announces comes out of it,
// of the sizes that it announces.
//
// The input is the tar stream, which is compressed here: else nothing would get beyond the
// checksums of zstd.
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "os/digest.h"
#include "os/files.h"
#include "snapshot/unpack.h"
#include "snapshot/zstd_stream.h"

namespace {

constexpr uint64_t kMostBytes = 64 << 20;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace wrenn;
  static const os::TemporaryDirectory folder = std::move(*os::TemporaryDirectory::Make());
  std::string stream;
  const snapshot::ByteSink sink = [&](std::string_view bytes) {
    stream += bytes;
    return Status();
  };
  snapshot::ZstdWriter zstd(sink);
  if (!zstd.Write({reinterpret_cast<const char*>(data), size}) || !zstd.Finish()) std::abort();

  const auto check = [](const Error& error) {
    if (error.code != Code::kInvalidArgument && error.code != Code::kUnimplemented) std::abort();
  };
  auto unpacker = snapshot::Unpacker::Open(
      [&stream, at = size_t{0}](std::span<char> out) mutable -> Result<size_t> {
        const size_t count = std::min(out.size(), stream.size() - at);
        std::memcpy(out.data(), stream.data() + at, count);
        at += count;
        return count;
      });
  if (!unpacker) {
    check(unpacker.error());
    return 0;
  }
  const std::string place = folder.path() + "/files";
  if (!os::MakeDirectory(place)) std::abort();
  // What file systems do with very large files is not what is looked for here.
  const auto path_of = [&](const snapshot::PackedFile& file) {
    return file.size > kMostBytes ? std::string() : place + "/" + os::Sha256Hex(file.name);
  };
  const auto& files = unpacker->index().files;
  const Status unpacked = unpacker->Unpack([&](const std::string& name) {
    return path_of(*std::ranges::find(files, name, &snapshot::PackedFile::name));
  });
  if (!unpacked) check(unpacked.error());
  if (unpacked) {
    for (const snapshot::PackedFile& file : files) {
      const std::string path = path_of(file);
      struct stat info;
      if (path.empty()) continue;
      if (::stat(path.c_str(), &info) != 0 || static_cast<uint64_t>(info.st_size) != file.size) {
        std::abort();
      }
    }
  }
  if (!os::RemoveTree(place)) std::abort();
  return 0;
}
