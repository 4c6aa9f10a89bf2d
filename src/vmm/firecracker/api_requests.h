// The requests of Firecracker's API that set a microVM up, as pure functions.
//
// Source: src/firecracker/swagger/firecracker.yaml of Firecracker. Its server refuses a request
// with a field that it does not know: what is newer than kOldestFirecracker goes by its version.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/firecracker/vm_config.h"
#include "vmm/machine.h"

namespace wrenn::vmm {

struct FirecrackerVersion {
  int major = 0;
  int minor = 0;
  int patch = 0;
  auto operator<=>(const FirecrackerVersion&) const = default;
  std::string ToString() const { return fmt::format("{}.{}.{}", major, minor, patch); }
};

inline constexpr FirecrackerVersion kOldestFirecracker{1, 12, 0};
// The first with PUT /serial; before it the serial port is Firecracker's stdout.
inline constexpr FirecrackerVersion kSerialFile{1, 14, 0};

// "1.12.1", also with something behind it ("1.14.0-dev").
Result<FirecrackerVersion> ParseFirecrackerVersion(std::string_view text);

// kFailedPrecondition for a version that is too old, or of another API (2.0).
Status CheckFirecrackerVersion(const FirecrackerVersion& version);

// The longest body that the server takes.
inline constexpr size_t kMaxApiBody = 51'200;

struct ApiRequest {
  std::string method;
  std::string path;
  std::string body;  // JSON, or empty
  bool operator==(const ApiRequest&) const = default;
};

inline constexpr uint32_t kGuestCid = 3;  // within the machine only: the first one that is free

// What a boot needs beyond the VmConfig. Paths as Firecracker sees them.
struct BootOptions {
  std::string initramfs;
  KernelAdditions kernel;
  // The unix socket of vsock, which Firecracker makes; like the disk's path it is recorded in
  // snapshots.
  std::string vsock_path;
  DiskRate
      disk;  // the network's rates are its slot's (net::NetworkPolicy), which change while it runs
  // Files or pipes that exist; empty: Firecracker logs to its stdout, and writes no metrics.
  std::string log_path;
  std::string metrics_path;
  std::string serial_path;  // from kSerialFile on; empty: its stdout
};

ApiRequest PutLogger(const std::string& path);
ApiRequest PutMetrics(const std::string& path);
// kUnimplemented for a server that is too old.
Result<ApiRequest> PutSerial(const std::string& path, const FirecrackerVersion& server);
ApiRequest PutBootSource(const VmConfig& config, const BootOptions& options);
ApiRequest PutMachineConfig(const VmConfig& config);
ApiRequest PutRootDrive(const VmConfig& config, const DiskRate& rate);
ApiRequest PutNetworkInterface(const VmConfig& config);
ApiRequest PutVsock(const std::string& path);
ApiRequest PutEntropy();
ApiRequest StartInstance();
// Has the metrics written now instead of within a minute.
ApiRequest FlushMetrics();
ApiRequest GetVersion();

// All of it but StartInstance(), in order. The configuration is one WithDefaults().
Result<std::vector<ApiRequest>> SetUpRequests(const VmConfig& config, const BootOptions& options,
                                              const FirecrackerVersion& server);

}  // namespace wrenn::vmm
