// What makes one machine itself and not its sibling: clock, entropy, names.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace wrenn::guest {

// RFC 1123: labels of letters, digits and '-', at most 64 bytes (Linux's limit) in all.
bool IsHostname(std::string_view name);

// Sets the host name, /etc/hostname and its line in /etc/hosts. Nothing when the kernel has that
// name already.
Status SetHostname(const std::string& name);

// `hosts` with a line for this host name instead of the last one that was made so, and with
// localhost. Without it sudo waits for DNS.
std::string HostsFor(std::string_view hosts, std::string_view name);

// Writes /etc/machine-id; kInvalidArgument unless it is 32 hex digits.
Status SetMachineId(const std::string& id);

// Sets the wall clock. Leaves it when it is right within a tenth of a second: the request took its
// time, and a clock should not jump back for nothing.
Status SetClock(std::chrono::system_clock::time_point time);

// Mixes the bytes into the kernel's pool, counts them as entropy and reseeds its generator
// (random(4)), so that clones of one memory image go separate ways.
Status AddEntropy(std::string_view bytes);

// Makes /etc/resolv.conf name these servers, comma-separated. None: name lookups fail at once.
Status SetResolvers(std::string_view addresses);

}  // namespace wrenn::guest
