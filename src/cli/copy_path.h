// The two ends of `wrenn cp`.
#pragma once

#include <string>

#include "base/result.h"

namespace wrenn::cli {

struct CopyPath {
  std::string sandbox;  // as the user named it; empty: this machine
  std::string path;     // "-": stdin or stdout
  bool is_local() const { return sandbox.empty(); }
  bool is_stream() const { return is_local() && path == "-"; }
};

// "ID:PATH" is a path in a sandbox, where ID is letters, digits and dashes; everything else is a
// local path. A local name with such a beginning is written with "./" before it. kInvalidArgument
// when empty.
Result<CopyPath> ParseCopyPath(const std::string& text);

// The last part of a path, without slashes at its end; empty for "/", "." and "..".
std::string BaseName(std::string path);

// `folder`/`name` with one slash between.
std::string JoinPath(const std::string& folder, const std::string& name);

}  // namespace wrenn::cli
