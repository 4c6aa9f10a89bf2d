// TAP devices: Ethernet interfaces whose other end is a descriptor
// (https://docs.kernel.org/networking/tuntap.html).
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace wrenn::os {

// These act in the network namespace of the calling thread (NetNamespace::Run).

// Makes a device that stays until it is deleted.
Status CreateTap(const std::string& name);
// The other end of an existing one, non-blocking; each read and write is one frame. Only one may
// be open at a time. kNotFound when there is no such device.
Result<UniqueFd> OpenTap(const std::string& name);
// Lets a process of this user open it without privileges.
Status SetTapOwner(const std::string& name, uid_t user);

}  // namespace wrenn::os
