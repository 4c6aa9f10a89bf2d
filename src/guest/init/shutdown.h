// The orderly end of a guest.
#pragma once

#include <functional>

namespace wrenn::guest {

// Asks all processes to end, then makes them; calls `before_sync`; writes everything to the disk;
// unmounts; powers off. Only for PID 1. Does not return.
[[noreturn]] void ShutDownMachine(const std::function<void()>& before_sync);

// The end without the order: for a boot that failed.
[[noreturn]] void PowerOff();

}  // namespace wrenn::guest
