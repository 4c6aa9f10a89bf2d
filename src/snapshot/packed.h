// The packed form of a snapshot: one file that holds all that is needed to use it on another host.
//
// A tar stream, compressed with zstd; docs/snapshot-format.md describes it. This is its index, and
// the names that it may have.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace wrenn::snapshot {

// Raised when a reader of the earlier version would misread it.
inline constexpr int kPackedFormat = 1;

// The first file of the stream.
inline constexpr const char* kIndexFile = "wrenn-snapshot.json";
// The others that every one has, beside the disk's layers and files with RAM in them.
inline constexpr const char* kPackedManifest = "manifest.json";
inline constexpr const char* kPackedMap = "memory.map";
inline constexpr const char* kPackedState = "state";
inline constexpr const char* kPackedKernelManifest = "kernel/manifest.json";
inline constexpr const char* kPackedVmlinux = "kernel/vmlinux";
inline constexpr const char* kPackedInitramfs = "kernel/initramfs";
inline constexpr const char* kPackedImage = "image/rootfs";

// Gives the next bytes of a stream, at least one; 0 at its end.
using ByteSource = std::function<Result<size_t>(std::span<char>)>;
// Takes the next bytes; an error ends the stream.
using ByteSink = std::function<Status(std::string_view)>;

struct PackedFile {
  std::string name;
  uint64_t size = 0;  // bytes, holes included
  uint64_t data = 0;  // bytes that are in the stream: without the holes
  friend bool operator==(const PackedFile&, const PackedFile&) = default;
};

struct PackedIndex {
  std::string name;         // of the template
  std::string description;  // for people
  std::chrono::system_clock::time_point created_at{};
  std::vector<PackedFile> files;  // in the order of the stream, without the index itself

  uint64_t DataBytes() const;
  json::object ToJson() const;
};

// Whether it is "memory-<20 characters of [a-z0-9]>".
bool IsMemoryName(std::string_view name);
// Whether it is a name that the disk's layers have.
bool IsLayerName(std::string_view name);

// kInvalidArgument, naming what is wrong: a file that no snapshot has, one that is there twice, too
// large or missing, a name that is none. kUnimplemented for a newer format.
Result<PackedIndex> ParsePackedIndex(std::string_view text);

}  // namespace wrenn::snapshot
