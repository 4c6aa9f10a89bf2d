// What a VMM that its guest has taken over may leave in a disk's layer.
//
// The input describes a file, so that it can be small: pieces of an offset (3 bytes, big endian), a
// length (1 byte) and that many bytes; all else is zeros. The file ends with its last byte.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "disk/merge.h"
#include "disk/qcow2.h"
#include "disk/qcow2_reader.h"
#include "disk/sparse_copy.h"

namespace wrenn::disk {
namespace {

UniqueFd MakeFile(std::string_view input) {
  UniqueFd fd(::memfd_create("layer", MFD_CLOEXEC));
  while (input.size() >= 4) {
    const uint64_t offset = NumberAt(input, 0, 3);
    const std::string_view bytes = input.substr(4, NumberAt(input, 3, 1));
    if (!WriteAt(fd.get(), bytes, offset)) std::abort();
    input.remove_prefix(4 + bytes.size());
  }
  return fd;
}

void Require(bool condition) {
  if (!condition) std::abort();
}

// A merged layer must be good, and say the same.
void Compare(const Qcow2Reader& before, UniqueFd merged) {
  const auto after = Qcow2Reader::Open(std::move(merged));
  Require(after && after->Check() && after->tables() == before.tables() &&
          after->header().size_bytes == before.header().size_bytes &&
          after->header().backing == before.header().backing);
  std::vector<Cluster> a(kTableEntries);
  std::vector<Cluster> b(kTableEntries);
  for (size_t i = 0; i < before.tables(); ++i) {
    const auto first = before.ReadTable(i, std::span<Cluster, kTableEntries>(a));
    const auto second = after->ReadTable(i, std::span<Cluster, kTableEntries>(b));
    Require(first && second && *first == *second);
    for (size_t j = 0; *first && j < kTableEntries; ++j) {
      Require(IsData(a[j]) ? IsData(b[j]) : a[j] == b[j]);
    }
  }
}

void Run(std::string_view input) {
  auto reader = Qcow2Reader::Open(MakeFile(input));
  if (!reader || !reader->Check()) return;
  Readers layers;
  layers.push_back(std::move(*reader));
  UniqueFd merged(::memfd_create("merged", MFD_CLOEXEC));
  Require(MergeToQcow2(layers, merged.get()).has_value());
  Compare(layers.front(), std::move(merged));
  const UniqueFd raw(::memfd_create("raw", MFD_CLOEXEC));
  Require(MergeIntoRaw(layers, raw.get()).has_value());
}

}  // namespace
}  // namespace wrenn::disk

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  wrenn::disk::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
