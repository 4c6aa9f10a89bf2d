// Running the programs that builds are made with: apt, dpkg-deb, mmdebstrap, mke2fs.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "template/workspace.h"

namespace wrenn::template_ {

// A program of a build. It ends with the build, holds the build's lock, speaks English (its
// messages are parsed), asks nothing, and finds the programs in sbin.
struct Tool {
  std::vector<std::string> argv;
  std::string directory = {};                          // to start in; empty: the workspace
  std::vector<std::string> environment = {};           // further "NAME=value"
  std::function<void(std::string_view)> on_line = {};  // each line of stdout and stderr as it comes
};

// Runs it and answers its stdout. kFailedPrecondition with the package to install when the program
// is missing; kResourceExhausted when the disk is full.
Result<std::string> RunTool(const Workspace& workspace, const Tool& tool);

// Whether a program of that name can be run here.
bool HasProgram(const std::string& name);

// The failure of a build step, told as a full disk when that is what it is.
Error ExplainFailure(const Workspace& workspace, Error error);

}  // namespace wrenn::template_
