// What one Firecracker has in its machine's runtime folder, which is "/run" in its root.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace wrenn::vmm {

inline constexpr const char* kRunInJail = "/run";

struct FirecrackerFiles {
  explicit FirecrackerFiles(std::string folder) : directory(std::move(folder)) {}

  std::string Api() const { return directory + "/api.sock"; }      // Firecracker makes it
  std::string Vsock() const { return directory + "/vsock.sock"; }  // and this
  // Named pipes (output_pipe.h): its stdout, which is the guest's serial port; its stderr and log;
  // its metrics.
  std::string Console() const { return directory + "/console"; }
  std::string Messages() const { return directory + "/messages"; }
  std::string Metrics() const { return directory + "/metrics"; }

  // Removes them all. Harmless when they are not there.
  void Remove() const;

  std::string directory;
};

// The ends of the pipes that the VMM inherits.
struct FirecrackerEnds {
  UniqueFd console;
  UniqueFd messages;
  UniqueFd metrics;
};

// Makes the folder (mode 0700) where it is missing, and the pipes anew; they and it belong to
// `user`.
Result<FirecrackerEnds> MakeFirecrackerFiles(const FirecrackerFiles& files, uint32_t user);

}  // namespace wrenn::vmm
