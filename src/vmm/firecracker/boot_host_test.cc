// The real Firecracker, without a jail: its API, its faults, and a boot of Debian's kernel with the
// template `minimal`, whose agent is reached over vsock.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <optional>

#include "agent/client.h"
#include "agent/test_shell.h"
#include "base/id.h"
#include "os/command.h"
#include "os/files.h"
#include "vmm/firecracker/api_client.h"
#include "vmm/firecracker/test_vm_config.h"
#include "vmm/firecracker/vsock_channel.h"
#include "vmm/tsc.h"

namespace wrenn::vmm {
namespace {

namespace fs = std::filesystem;
using testing::AssertionFailure;
using testing::AssertionSuccess;

Deadline Patience() { return Deadline::After(std::chrono::seconds(60)); }

// The files of the template `minimal`, which tests/host/run has built beside the programs.
struct TemplateFiles {
  std::string kernel;
  std::string initramfs;
  std::string image;
};

// The newest folder below one of the templates' root.
std::string Newest(const std::string& name) {
  fs::path found;
  const fs::path folder =
      fs::read_symlink("/proc/self/exe").parent_path() / "host/templates" / name;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (found.empty() || entry.last_write_time() > fs::last_write_time(found)) found = entry.path();
  }
  return found;
}

TemplateFiles Minimal() {
  const std::string kernel = Newest("kernels");
  return {kernel + "/vmlinux", kernel + "/initramfs", Newest("images") + "/rootfs"};
}

// One Firecracker with a folder of its own, where the links are that a sandbox's directory holds.
class FirecrackerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto directory = os::TemporaryDirectory::Make("/host", "fc");
    ASSERT_TRUE(directory);
    directory_.emplace(std::move(*directory));
    config_ = TestVmConfig();
    config_.kernel_path = Minimal().kernel;
    config_.memory_mb = 256;
    config_.sandbox_dir = directory_->path();
    config_.socket_path = directory_->path() + "/api.sock";
    config_ = WithDefaults(config_);
    options_.kernel.emulated_tsc_khz = HostTscKhz();
    options_.initramfs = Minimal().initramfs;
    options_.vsock_path = directory_->path() + "/v.sock";
    ASSERT_EQ(::symlink(config_.kernel_path.c_str(), KernelLink(config_).c_str()), 0);
    Start();
  }

  void TearDown() override {
    if (process_) {
      EXPECT_TRUE(process_->Kill(Patience()));
    }
    if (!HasFailure()) return;
    std::fprintf(stderr, "console:\n%s\n", Console().c_str());
  }

  void Start() {
    const UniqueFd console(::open(ConsolePath().c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    os::SpawnOptions options;
    options.argv = {"firecracker", "--id", config_.sandbox_id, "--api-sock", config_.socket_path};
    options.stdout_fd = console.get();
    options.stderr_fd = console.get();
    options.die_with_parent = true;
    auto process = os::Process::Spawn(options);
    ASSERT_TRUE(process) << process.error().ToString();
    process_.emplace(std::move(*process));
    api_.emplace(config_.socket_path);
    const Deadline deadline = Patience();
    for (;;) {
      auto version = api_->Version(deadline);
      if (version) {
        version_ = *version;
        return;
      }
      ASSERT_EQ(version.error().code, Code::kUnavailable) << version.error().ToString();
      pollfd ended{process_->pidfd(), POLLIN, 0};
      ASSERT_EQ(::poll(&ended, 1, 10), 0) << "it ended: " << Console();
    }
  }

  // A copy of the image at the disk's place.
  void MakeDisk() {
    const std::string disk = directory_->path() + "/disk";
    os::CommandOptions copy;
    copy.argv = {"cp", "--sparse=always", Minimal().image, disk};
    ASSERT_TRUE(os::RunCommandOrFail(copy, Patience()));
    ASSERT_EQ(::symlink(disk.c_str(), RootfsLink(config_).c_str()), 0);
  }

  testing::AssertionResult Do(const ApiRequest& request) {
    const auto done = api_->Call(request, Patience());
    if (done) return AssertionSuccess();
    return AssertionFailure() << done.error().ToString();
  }
  // What it refuses a request with.
  std::string Refusal(const ApiRequest& request) {
    const auto done = api_->Call(request, Patience());
    if (done) return "it did";
    EXPECT_EQ(done.error().code, Code::kFailedPrecondition) << done.error().ToString();
    return done.error().message;
  }
  testing::AssertionResult SetUpMachine() {
    const auto requests = SetUpRequests(config_, options_, version_);
    if (!requests) return AssertionFailure() << requests.error().ToString();
    for (const ApiRequest& request : *requests) {
      if (auto done = Do(request); !done) return done;
    }
    return AssertionSuccess();
  }

  std::string ConsolePath() const { return directory_->path() + "/console"; }
  std::string Console() const { return ReadFile(ConsolePath()).value_or("none"); }

  std::optional<os::TemporaryDirectory> directory_;
  VmConfig config_;
  BootOptions options_;
  std::optional<os::Process> process_;
  std::optional<ApiClient> api_;
  FirecrackerVersion version_;
};

bool Contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}
#define EXPECT_CONTAINS(text, part) EXPECT_PRED2(Contains, (text), std::string_view(part))

TEST_F(FirecrackerTest, RefusesInItsOwnWords) {
  EXPECT_TRUE(CheckFirecrackerVersion(version_));

  std::string why =
      Refusal({"PUT", "/machine-config", R"({"vcpu_count":1,"mem_size_mib":128,"colour":"red"})"});
  EXPECT_CONTAINS(why, "Firecracker refused PUT /machine-config: ");
  EXPECT_CONTAINS(why, "unknown field `colour`");
  VmConfig wrong = config_;
  wrong.vcpus = 99;
  EXPECT_CONTAINS(Refusal(PutMachineConfig(wrong)), "The number of vCPUs");
  EXPECT_CONTAINS(Refusal(PutRootDrive(config_, {})), "No such file or directory");
  wrong.sandbox_dir = "/nowhere";
  EXPECT_CONTAINS(Refusal(PutBootSource(wrong, options_)), "The kernel file cannot be opened");
  BootOptions without = options_;
  without.initramfs = "/nowhere/initramfs";
  EXPECT_CONTAINS(Refusal(PutBootSource(config_, without)), "The initrd file cannot be opened");
  EXPECT_CONTAINS(Refusal(StartInstance()), "kernel");

  // The version decides what it knows.
  const bool has_serial = version_ >= kSerialFile;
  EXPECT_EQ(PutSerial("/s", version_).has_value(), has_serial);
  const ApiRequest serial{"PUT", "/serial", R"({"serial_out_path":null})"};
  if (has_serial) {
    EXPECT_TRUE(Do(serial));
  } else {
    EXPECT_CONTAINS(Refusal(serial), "serial");
  }

  // The longest body that it takes, and the first that it does not.
  ApiRequest longest = PutEntropy();
  longest.body.append(kMaxApiBody - longest.body.size(), ' ');
  EXPECT_TRUE(Do(longest));
  longest.body.push_back(' ');
  EXPECT_EQ(api_->Call(longest, Patience()).error().code, Code::kInvalidArgument);
}

TEST_F(FirecrackerTest, AKernelThatIsNoneDoesNotStart) {
  MakeDisk();
  fs::remove(KernelLink(config_));
  ASSERT_TRUE(ReplaceFile(KernelLink(config_), std::string(100'000, 'x')));
  ASSERT_TRUE(SetUpMachine());
  EXPECT_CONTAINS(Refusal(StartInstance()), "ernel");
  ASSERT_TRUE(process_->Kill(Patience()));
  const auto gone = api_->Version(Patience());
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, Code::kUnavailable);
  EXPECT_CONTAINS(gone.error().message, "it has ended");
}

std::string Shell(agent::Client& client, const std::string& script) {
  return agent::RunShell(client, script + " 2>&1", Patience());
}

// A file written and read back, over the other lane.
std::string ThereAndBack(agent::Client& client, const std::string& content) {
  auto upload = client.Write("/tmp/file", content.size(), {"root"}, Patience());
  if (!upload) return upload.error().ToString();
  if (auto sent = upload->Write(content, Patience()); !sent) return sent.error().ToString();
  if (auto done = upload->Finish(Patience()); !done) return done.error().ToString();
  auto download = client.Read("/tmp/file", "", {"root"}, Patience());
  if (!download) return download.error().ToString();
  return download->http->body().ReadAll(content.size(), Patience()).value_or("not read");
}

TEST_F(FirecrackerTest, BootsAndAnswersOverVsock) {
  MakeDisk();
  options_.metrics_path = directory_->path() + "/metrics";
  ASSERT_TRUE(ReplaceFile(options_.metrics_path, ""));
  options_.disk = {1 << 30, 10'000};
  ASSERT_TRUE(SetUpMachine());
  const auto begin = Deadline::Clock::now();
  ASSERT_TRUE(Do(StartInstance()));
  const std::shared_ptr<agent::Channel> channel = MakeVsockChannel(options_.vsock_path);
  agent::Client client(channel, "");
  wire::InitRequest init;
  init.timestamp = std::chrono::system_clock::now();
  const auto reply = client.Init(init, Patience());
  ASSERT_TRUE(reply) << reply.error().ToString();
  const std::chrono::duration<double> boot = Deadline::Clock::now() - begin;
  std::printf("start to the agent's answer: %.1f s\n", boot.count());

  EXPECT_CONTAINS(Shell(client, "cat /proc/cmdline"), KernelArguments(config_, options_.kernel));
  EXPECT_CONTAINS(Shell(client, "cat /proc/mounts"), "/dev/vda / ext4 rw");
  EXPECT_CONTAINS(Shell(client, "ip addr show eth0"), "inet 169.254.0.21/30");
  EXPECT_CONTAINS(Shell(client, "cat /sys/class/net/eth0/address"), "02:fc:00:00:00:05");
  EXPECT_CONTAINS(Shell(client, "cat /sys/class/misc/hw_random/rng_current"), "virtio_rng");
  EXPECT_CONTAINS(Shell(client, "cat /sys/devices/system/clocksource/*/current_clocksource"),
                  "kvm-clock");
  const std::string content = RandomBytes(4 << 20);
  EXPECT_TRUE(ThereAndBack(client, content) == content);
  const auto nobody = channel->Connect(9, agent::Lane::kInteractive, Patience());
  ASSERT_FALSE(nobody);
  EXPECT_CONTAINS(nobody.error().message, "nothing listens on port 9");
  EXPECT_EQ(ConnectVsock(options_.vsock_path, 9, Patience()).error().code, Code::kAborted);

  EXPECT_CONTAINS(Refusal(PutRootDrive(config_, {})), "after starting the microVM");
  ASSERT_TRUE(Do(FlushMetrics()));
  EXPECT_CONTAINS(ReadFile(options_.metrics_path).value_or(""), "\"vsock\"");

  ASSERT_TRUE(client.Shutdown(Patience()));
  const auto exit = process_->Wait(Patience());
  ASSERT_TRUE(exit) << exit.error().ToString();
  EXPECT_TRUE(exit->Success()) << exit->ToString();
}

}  // namespace
}  // namespace wrenn::vmm
