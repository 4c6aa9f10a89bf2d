// The steps of a jailed child between clone and execve. As it may have been cloned from a program
// with threads, they are system calls and nothing else: no allocation, no lock, and none of the C
// library's set*id functions, which would signal threads that are not there.
#pragma once

#include <cstdint>
#include <string_view>

#include "os/jail_setup.h"

namespace wrenn::os {

// What clone3(2) has to make for a child that calls the functions below.
uint64_t JailCloneFlags(const JailSetup& jail);

// Steps that fail with EINVAL where the parent's root is no mount of its own.
inline constexpr std::string_view kMakePrivateStep = "make its mounts private";
inline constexpr std::string_view kChangeRootStep = "change its root";

// These answer nullptr, or what could not be done ("enter the root"), with errno.

// Makes the jail's root the only mounts there are, and takes the jail's place in the network.
const char* EnterJail(const JailSetup& jail);

// Becomes the jail's user, for good. Before the filter, which it needs no_new_privs for.
const char* DropPrivileges(const JailSetup& jail);

// The last step before execve(2).
const char* InstallFilter(const JailSetup& jail);

}  // namespace wrenn::os
