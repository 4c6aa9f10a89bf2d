// Trying something in namespaces that vanish with the try.
#pragma once

#include <functional>

#include "base/result.h"

namespace wrenn::cli::doctor {

// Runs `probe` in a child process with a network namespace of its own (and, without root, a user
// namespace in which it is root), and answers what it answered. So a probe may make devices and
// rules: they end with the child. kPermissionDenied when namespaces cannot be made.
Status InNamespaces(const std::function<Status()>& probe);

}  // namespace wrenn::cli::doctor
