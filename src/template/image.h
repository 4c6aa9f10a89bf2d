// Images: images/<hash>/{rootfs, manifest.json}, immutable root file systems by their content.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "os/paths.h"
#include "template/workspace.h"

namespace wrenn::template_ {

struct ImageManifest {
  std::string hash;         // SHA-256 of rootfs
  std::string kind;         // "minimal", "debian"
  std::string recipe;       // hash of what it was made from
  std::string recipe_text;  // the same for people
  uint64_t bytes = 0;       // length of rootfs
  std::chrono::system_clock::time_point created_at{};
};

// Where an image's root file system is.
std::string ImageFile(const os::Paths& paths, const std::string& hash);

// Whether the image is here and whole: its manifest is readable and rootfs has the length it says.
bool HasImage(const os::Paths& paths, const std::string& hash);

// Makes the workspace's file image/rootfs an image that can be published: computes its hash,
// flushes it, writes the manifest beside it. Sets hash and bytes in `manifest`.
Status FinishImage(const Workspace& workspace, ImageManifest& manifest);

// Writes the manifest of an image that lies in `folder`: the last step.
Status WriteImageManifest(const std::string& folder, const ImageManifest& manifest);

// The length of a file; 0 when absent.
uint64_t FileBytes(const std::string& path);

}  // namespace wrenn::template_
