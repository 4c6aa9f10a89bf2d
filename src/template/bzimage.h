// bzImage: the Linux kernel as distributions ship it, and the ELF file inside.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace wrenn::template_ {

// The kernel proper (an ELF file, "vmlinux") out of an x86 bzImage. The payload is where the set-up
// header says (Documentation/arch/x86/boot.rst: payload_offset, payload_length, since
// protocol 2.08); with an older or unreadable header it is searched for. LZ4, XZ, zstd, gzip and no
// compression are known. kInvalidArgument when there is no kernel (of at most 1 GiB) in it.
Result<std::string> ExtractVmlinux(std::string_view bzimage);

}  // namespace wrenn::template_
