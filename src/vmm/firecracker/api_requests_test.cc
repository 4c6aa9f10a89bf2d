#include "vmm/firecracker/api_requests.h"

#include <gtest/gtest.h>

#include "vmm/firecracker/test_vm_config.h"

namespace wrenn::vmm {
namespace {

constexpr FirecrackerVersion kOld{1, 12, 1};
constexpr FirecrackerVersion kNew{1, 16, 0};

VmConfig Config() { return WithDefaults(TestVmConfig()); }

TEST(FirecrackerVersionTest, IsThreeNumbers) {
  EXPECT_EQ(ParseFirecrackerVersion("1.12.1").value(), kOld);
  EXPECT_EQ(ParseFirecrackerVersion("1.16.0-dev").value(), kNew);
  for (const char* text : {"", "1", "1.12", "1.12.", "v1.12.1", "1.-2.1", "1.12.x", "1..1",
                           "99999999999.1.1", " 1.12.1"}) {
    EXPECT_FALSE(ParseFirecrackerVersion(text)) << text;
  }
}

TEST(FirecrackerVersionTest, ThoseWithOurApiCanBeUsed) {
  for (const FirecrackerVersion& version : {kOldestFirecracker, kOld, kNew}) {
    EXPECT_TRUE(CheckFirecrackerVersion(version));
  }
  const Status old = CheckFirecrackerVersion({1, 11, 9});
  ASSERT_FALSE(old);
  EXPECT_EQ(old.error().code, Code::kFailedPrecondition);
  EXPECT_EQ(old.error().message,
            "Firecracker 1.11.9 cannot be used: install a release from 1.12 on, below 2.0, or "
            "name one with --firecracker");
  EXPECT_FALSE(CheckFirecrackerVersion({2, 0, 0}));
}

TEST(ApiRequestsTest, BootSource) {
  BootOptions options;
  EXPECT_EQ(PutBootSource(Config(), options),
            (ApiRequest{"PUT", "/boot-source",
                        R"({"kernel_image_path":"/tmp/fc-vm/vmlinux",)"
                        R"("boot_args":"console=ttyS0 reboot=k panic=1 pci=off quiet loglevel=1 )"
                        R"(init=/usr/local/bin/wrenn-init )"
                        R"(ip=169.254.0.21::169.254.0.22:255.255.255.252:sandbox:eth0:off"})"}));
  options.initramfs = "/tmp/fc-vm/initramfs";
  EXPECT_TRUE(PutBootSource(Config(), options)
                  .body.ends_with(R"(eth0:off","initrd_path":"/tmp/fc-vm/initramfs"})"));
}

TEST(ApiRequestsTest, MachineConfig) {
  VmConfig config = Config();
  EXPECT_EQ(PutMachineConfig(config),
            (ApiRequest{"PUT", "/machine-config", R"({"vcpu_count":1,"mem_size_mib":512})"}));
  config.vcpus = 3;
  config.memory_mb = 1000;
  EXPECT_EQ(PutMachineConfig(config).body, R"({"vcpu_count":3,"mem_size_mib":1000})");
}

TEST(ApiRequestsTest, RootDrive) {
  const std::string body =
      R"({"drive_id":"rootfs","path_on_host":"/tmp/fc-vm/rootfs.ext4","is_root_device":true,)"
      R"("is_read_only":false,"cache_type":"Writeback")";
  EXPECT_EQ(PutRootDrive(Config(), {}), (ApiRequest{"PUT", "/drives/rootfs", body + "}"}));
  EXPECT_EQ(PutRootDrive(Config(), {100 << 20, 2000}).body,
            body + R"(,"rate_limiter":{"bandwidth":{"size":104857600,"refill_time":1000},)"
                   R"("ops":{"size":2000,"refill_time":1000}}})");
  EXPECT_EQ(PutRootDrive(Config(), {0, 50}).body,
            body + R"(,"rate_limiter":{"ops":{"size":50,"refill_time":1000}}})");
}

TEST(ApiRequestsTest, NetworkInterface) {
  EXPECT_EQ(PutNetworkInterface(Config()),
            (ApiRequest{
                "PUT", "/network-interfaces/eth0",
                R"({"iface_id":"eth0","host_dev_name":"tap0","guest_mac":"02:FC:00:00:00:05"})"}));
}

TEST(ApiRequestsTest, OtherDevicesAndActions) {
  EXPECT_EQ(PutVsock("/tmp/fc-vm/v.sock"),
            (ApiRequest{"PUT", "/vsock", R"({"guest_cid":3,"uds_path":"/tmp/fc-vm/v.sock"})"}));
  EXPECT_EQ(PutEntropy(), (ApiRequest{"PUT", "/entropy", "{}"}));
  EXPECT_EQ(
      PutLogger("/l"),
      (ApiRequest{"PUT", "/logger", R"({"log_path":"/l","level":"Warning","show_level":true})"}));
  EXPECT_EQ(PutMetrics("/m"), (ApiRequest{"PUT", "/metrics", R"({"metrics_path":"/m"})"}));
  EXPECT_EQ(StartInstance(), (ApiRequest{"PUT", "/actions", R"({"action_type":"InstanceStart"})"}));
  EXPECT_EQ(FlushMetrics(), (ApiRequest{"PUT", "/actions", R"({"action_type":"FlushMetrics"})"}));
  EXPECT_EQ(GetVersion(), (ApiRequest{"GET", "/version", ""}));
}

TEST(ApiRequestsTest, TheSerialPortHasAFileOnlyInNewServers) {
  EXPECT_EQ(PutSerial("/s", kNew).value(),
            (ApiRequest{"PUT", "/serial", R"({"serial_out_path":"/s"})"}));
  EXPECT_TRUE(PutSerial("/s", kSerialFile));
  const auto refused = PutSerial("/s", kOld);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kUnimplemented);
  EXPECT_EQ(refused.error().message,
            "Firecracker 1.12.1 writes its serial port to its stdout only: a file needs 1.14.0");
}

std::string PathsOf(const Result<std::vector<ApiRequest>>& requests) {
  std::string paths;
  if (!requests) return requests.error().message;
  for (const ApiRequest& request : *requests) paths += request.path + " ";
  return paths;
}

TEST(ApiRequestsTest, ASetUpIsTheseInThisOrder) {
  BootOptions options;
  options.vsock_path = "/v";
  const std::string always =
      "/boot-source /machine-config /drives/rootfs /network-interfaces/eth0 /vsock /entropy ";
  EXPECT_EQ(PathsOf(SetUpRequests(Config(), options, kOld)), always);
  options.log_path = "/l";
  options.metrics_path = "/m";
  EXPECT_EQ(PathsOf(SetUpRequests(Config(), options, kOld)), "/logger /metrics " + always);
  options.serial_path = "/s";
  EXPECT_EQ(PathsOf(SetUpRequests(Config(), options, kNew)), "/logger /metrics /serial " + always);
  EXPECT_FALSE(SetUpRequests(Config(), options, kOld));
}

}  // namespace
}  // namespace wrenn::vmm
