#include "vmm/firecracker/api_requests.h"

#include <charconv>

#include "base/json.h"

namespace wrenn::vmm {
namespace {

ApiRequest Put(std::string path, const json::object& body) {
  return {"PUT", std::move(path), json::serialize(body)};
}

// A bucket of tokens (bytes or operations) that holds those of a second, and fills up in one.
json::object TokenBucket(int64_t a_second) { return {{"size", a_second}, {"refill_time", 1000}}; }

json::object RateLimiter(const DiskRate& rate) {
  json::object limiter;
  if (rate.bytes != 0) limiter["bandwidth"] = TokenBucket(rate.bytes);
  if (rate.operations != 0) limiter["ops"] = TokenBucket(rate.operations);
  return limiter;
}

ApiRequest Action(std::string_view type) { return Put("/actions", {{"action_type", type}}); }

}  // namespace

Result<FirecrackerVersion> ParseFirecrackerVersion(std::string_view text) {
  std::string_view rest = text;
  const auto number = [&rest](int& value) {
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    return error == std::errc() && value >= 0;
  };
  const auto dot = [&rest] {
    const bool there = rest.starts_with('.');
    if (there) rest.remove_prefix(1);
    return there;
  };
  FirecrackerVersion version;
  if (number(version.major) && dot() && number(version.minor) && dot() && number(version.patch)) {
    return version;
  }
  return Fail(Code::kInvalidArgument, "what answers as Firecracker gives no version");
}

Status CheckFirecrackerVersion(const FirecrackerVersion& version) {
  if (version.major == kOldestFirecracker.major && version >= kOldestFirecracker) return {};
  return Fail(Code::kFailedPrecondition,
              "Firecracker {} cannot be used: install a release from {}.{} on, below {}.0, or name "
              "one with --firecracker",
              version.ToString(), kOldestFirecracker.major, kOldestFirecracker.minor,
              kOldestFirecracker.major + 1);
}

ApiRequest PutLogger(const std::string& path) {
  return Put("/logger", {{"log_path", path}, {"level", "Warning"}, {"show_level", true}});
}

ApiRequest PutMetrics(const std::string& path) { return Put("/metrics", {{"metrics_path", path}}); }

Result<ApiRequest> PutSerial(const std::string& path, const FirecrackerVersion& server) {
  if (server >= kSerialFile) return Put("/serial", {{"serial_out_path", path}});
  return Fail(Code::kUnimplemented,
              "Firecracker {} writes its serial port to its stdout only: a file needs {}",
              server.ToString(), kSerialFile.ToString());
}

ApiRequest PutBootSource(const VmConfig& config, const BootOptions& options) {
  json::object body{{"kernel_image_path", KernelLink(config)},
                    {"boot_args", KernelArguments(config, options.kernel)}};
  if (!options.initramfs.empty()) body["initrd_path"] = options.initramfs;
  return Put("/boot-source", body);
}

ApiRequest PutMachineConfig(const VmConfig& config) {
  return Put("/machine-config", {{"vcpu_count", config.vcpus}, {"mem_size_mib", config.memory_mb}});
}

ApiRequest PutRootDrive(const VmConfig& config, const DiskRate& rate) {
  // Writeback: what the guest flushes is flushed; by default that is ignored.
  json::object body{{"drive_id", "rootfs"},
                    {"path_on_host", RootfsLink(config)},
                    {"is_root_device", true},
                    {"is_read_only", false},
                    {"cache_type", "Writeback"}};
  if (!rate.empty()) body["rate_limiter"] = RateLimiter(rate);
  return Put("/drives/rootfs", body);
}

ApiRequest PutNetworkInterface(const VmConfig& config) {
  return Put(
      "/network-interfaces/eth0",
      {{"iface_id", "eth0"}, {"host_dev_name", config.tap_device}, {"guest_mac", config.tap_mac}});
}

ApiRequest PutVsock(const std::string& path) {
  return Put("/vsock", {{"guest_cid", kGuestCid}, {"uds_path", path}});
}

ApiRequest PutEntropy() { return Put("/entropy", {}); }

ApiRequest StartInstance() { return Action("InstanceStart"); }

ApiRequest FlushMetrics() { return Action("FlushMetrics"); }

ApiRequest GetVersion() { return {"GET", "/version", ""}; }

Result<std::vector<ApiRequest>> SetUpRequests(const VmConfig& config, const BootOptions& options,
                                              const FirecrackerVersion& server) {
  std::vector<ApiRequest> requests;
  if (!options.log_path.empty()) requests.push_back(PutLogger(options.log_path));
  if (!options.metrics_path.empty()) requests.push_back(PutMetrics(options.metrics_path));
  if (!options.serial_path.empty()) {
    ASSIGN_OR_RETURN(ApiRequest serial, PutSerial(options.serial_path, server));
    requests.push_back(std::move(serial));
  }
  requests.push_back(PutBootSource(config, options));
  requests.push_back(PutMachineConfig(config));
  requests.push_back(PutRootDrive(config, options.disk));
  requests.push_back(PutNetworkInterface(config));
  requests.push_back(PutVsock(options.vsock_path));
  requests.push_back(PutEntropy());
  return requests;
}

}  // namespace wrenn::vmm
