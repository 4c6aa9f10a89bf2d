// The manifest of a snapshot: what was frozen, and what its files must be.
//
// The format is in docs/snapshot-format.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace wrenn::snapshot {

// Raised when a reader of the earlier version would misread it; readers refuse what they do not
// know.
inline constexpr int kFormat = 1;

// Bytes that were allocated to its files when the snapshot was made: for people. 0: not known.
struct Sizes {
  uint64_t state = 0;
  uint64_t memory = 0;
  uint64_t disk = 0;  // without the image below it

  json::object ToJson() const;
};

struct Manifest {
  std::string id;       // sn-...
  std::string sandbox;  // whose machine it was
  // The snapshot that the machine was restored from, or that was taken of it before, whichever was
  // last; empty: none, it had booted. Nothing is read from there, and it may be gone.
  std::string parent;
  std::chrono::system_clock::time_point created_at{};

  // What the machine was.
  std::string engine;        // "qemu/tcg"
  json::object fingerprint;  // vmm::Engine::Fingerprint()
  int vcpus = 0;
  int memory_mb = 0;
  int disk_mb = 0;
  bool egress = false;
  json::object network;       // what it may reach by its network: sandbox::Network
  std::string kernel;         // hash of the kernel bundle that it was booted with
  std::string image;          // hash of the image below the lowest layer
  std::string template_name;  // that it began as
  std::string template_id;
  std::string agent_token;  // the secret that the frozen agent still asks for

  // What is in the folder beside this file: state, memory.map, and these.
  std::string state_digest;         // SHA-256, hex
  std::string memory_digest;        // of memory.map, which has the digests of the memory files
  std::vector<std::string> layers;  // of the disk, top first
  // Of the layers' content, by their names; those of large ones may come later (DigestLayer()).
  std::map<std::string, std::string> layer_digests;
  // Of the layers' files, by their names: one of another length is damaged.
  std::map<std::string, uint64_t> layer_bytes;
  Sizes sizes;

  json::object ToJson() const;
};

// kInvalidArgument for what is no manifest, naming the member; kUnimplemented for one of a newer
// format. What is taken is safe to make paths of.
Result<Manifest> ParseManifest(std::string_view text);

}  // namespace wrenn::snapshot
