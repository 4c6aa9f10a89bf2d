// What a file of a disk's changes, from wherever it comes, may say.
//
// The input's first two bytes are the base's size in chunks; it goes on with pieces of an offset (3
// bytes, big endian), a length (1 byte) and that many bytes, which are written into an empty file
// of changes over such a base.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "disk/cow_file.h"
#include "disk/qcow2.h"
#include "disk/sparse_copy.h"

namespace wrenn::disk {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void Run(std::string_view input) {
  if (input.size() < 2) return;
  const uint64_t base = (NumberAt(input, 0, 2) + 1) * kChunk;
  input.remove_prefix(2);
  const UniqueFd file(::memfd_create("changes", MFD_CLOEXEC));
  Require(WriteEmptyCow(file.get(), {"base", base, base + 3 * kSector}).has_value());
  while (input.size() >= 4) {
    const uint64_t offset = NumberAt(input, 0, 3);
    const std::string_view bytes = input.substr(4, NumberAt(input, 3, 1));
    Require(WriteAt(file.get(), bytes, offset).has_value());
    input.remove_prefix(4 + bytes.size());
  }
  const auto header = ReadCowHeader(file.get());
  if (!header) return;
  const auto exceptions = ReadCowExceptions(file.get(), *header);
  if (!exceptions) return;
  for (const CowException& exception : *exceptions) {
    Require(exception.base_chunk * kChunk < header->base_bytes);
    Require(exception.file_chunk * kChunk < header->TailOffset());
  }
  const UniqueFd flat(::memfd_create("flat", MFD_CLOEXEC));
  Require(MergeCow(file.get(), *header, flat.get()).has_value());
  Require(::lseek(flat.get(), 0, SEEK_END) == static_cast<off_t>(header->disk_bytes));
}

}  // namespace
}  // namespace wrenn::disk

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  wrenn::disk::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
