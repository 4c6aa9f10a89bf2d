// The sockets of one machine in its runtime folder.
#pragma once

#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace wrenn::vmm {

// Names in the runtime folder.
struct RuntimeFiles {
  explicit RuntimeFiles(const std::string& runtime_directory) : directory(runtime_directory) {}

  std::string Qmp() const { return directory + "/qmp"; }
  std::string Console() const { return directory + "/console"; }
  std::string Agent(int lane) const { return directory + (lane == 0 ? "/agent.0" : "/agent.1"); }
  // A named pipe (output_pipe.h).
  std::string Stderr() const { return directory + "/stderr"; }

  // Removes them all. Harmless when they are not there.
  void Remove() const;

  std::string directory;
};

// The ends that the VMM inherits, made before it starts: so its sockets can be connected to at
// once.
struct VmmEnds {
  UniqueFd qmp;       // listening
  UniqueFd console;   // listening
  UniqueFd agent[2];  // listening
  UniqueFd stderr_pipe;
};

// Makes the folder (mode 0700) where it is missing, and the files anew.
Result<VmmEnds> MakeRuntimeFiles(const RuntimeFiles& files);

// What is in a pipe now, at most `limit` bytes.
std::string ReadAvailable(int fd, size_t limit);

}  // namespace wrenn::vmm
