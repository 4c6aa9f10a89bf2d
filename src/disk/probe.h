// Which backends can be used here.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace wrenn::disk {

struct BackendProbe {
  std::string name;  // for MakeBackend()
  bool available = false;
  std::string explanation;  // for people: what it gives, or what is missing and how to get it
};

// All backends, each tried out in `folder`, which is on the file system of images and sandboxes.
std::vector<BackendProbe> ProbeBackends(const std::string& folder);

// The first of `wanted` that is available. kFailedPrecondition when none is, with the reasons.
Result<std::string> ChooseBackend(std::span<const BackendProbe> probes,
                                  std::span<const std::string_view> wanted);

}  // namespace wrenn::disk
