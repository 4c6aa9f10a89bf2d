// Unpacking what Pack() wrote, or somebody who means harm.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "snapshot/packed.h"

namespace wrenn::snapshot {

class PackReader;

// Takes exactly what the stream's index announces: these files in this order, of these sizes, with
// no more data than that. Nothing else of the stream is followed: no path, link, owner or mode.
// Memory use is constant. What the files say is not looked at.
class Unpacker {
 public:
  // Reads the index. kInvalidArgument for a stream that is none, or damaged; kUnimplemented for a
  // newer format; the source's errors as they are.
  static Result<Unpacker> Open(ByteSource source);
  Unpacker(Unpacker&&) noexcept;
  Unpacker& operator=(Unpacker&&) = delete;
  ~Unpacker();

  const PackedIndex& index() const { return index_; }

  // The path of the new file that takes a file of the stream; empty: none, it is read over.
  using Place = std::function<std::string(const std::string& name)>;

  // Reads all the rest. The files are new, of mode 0600, with holes where there are zeros, and
  // synced; on failure some may be left. Errors as by Open(), naming the file;
  // kResourceExhausted: no room.
  Status Unpack(const Place& place);

 private:
  Unpacker(std::unique_ptr<PackReader> reader, PackedIndex index);

  std::unique_ptr<PackReader> reader_;
  PackedIndex index_;
};

}  // namespace wrenn::snapshot
