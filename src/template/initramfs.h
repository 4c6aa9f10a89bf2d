// The initramfs: what the guest's kernel starts with. It is made of the guest program and modules.
//
//   /init              the guest program
//   /modules/order     file names of the modules, one a line, in loading order
//   /modules/*.ko
//   /dev/console       so that init has its descriptors before it mounts devtmpfs
//   /dev /proc /sys /newroot   where init mounts
//
// Format: cpio "newc" (Documentation/driver-api/early-userspace/buffer-format.rst), uncompressed:
// unpacking costs an emulated guest more than reading.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "template/kernel_modules.h"

namespace wrenn::template_ {

// Writes it to a new file. The same input gives the same bytes.
Status WriteInitramfs(const std::string& path, const std::string& guest_program,
                      const std::vector<KernelModule>& modules);

// The modules of an initramfs written so, in loading order: a new guest program is put to the same
// kernel without its package.
Result<std::vector<KernelModule>> ReadInitramfsModules(const std::string& path);

}  // namespace wrenn::template_
