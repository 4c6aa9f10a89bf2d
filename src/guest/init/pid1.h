// PID 1 of a guest.
#pragma once

namespace wrenn::guest {

// Boots the guest from where the kernel left it (in the initramfs, or in the root), then is its
// init and its agent until it is shut down. A boot that fails says why on the console and powers
// off.
[[noreturn]] void RunPid1();

}  // namespace wrenn::guest
