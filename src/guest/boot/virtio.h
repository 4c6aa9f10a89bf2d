// The virtio devices of the machine.
#pragma once

#include <cstdint>
#include <string>

namespace wrenn::guest {

// Device types of the virtio specification, section 5.
inline constexpr uint16_t kVirtioVsock = 19;

// Whether there is one of that type. `sysfs` is where the kernel lists them, once virtio and its
// transport are loaded.
bool HasVirtioDevice(uint16_t type, const std::string& sysfs = "/sys/bus/virtio/devices");

}  // namespace wrenn::guest
