// The QEMU engine with a real guest: the template `minimal` on an overlay.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/io.h"
#include "net/frame_filter.h"
#include "net/slot_plan.h"
#include "net/user_network.h"
#include "os/process.h"
#include "tests/component/real_guest.h"
#include "vmm/bounded_log.h"
#include "vmm/qemu/engine.h"
#include "wire/sockets.h"

namespace wrenn::component {
namespace {

using std::chrono::milliseconds;

using testing::HasSubstr;

using QemuTest = RealGuestTest;

double OwnCpuSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

TEST_F(QemuTest, RunsAGuestAndShutsItDownInOrder) {
  config_.vcpus = 2;
  ASSERT_NO_FATAL_FAILURE(Boot());
  EXPECT_EQ(Shell("echo hello from $(nproc)"), "hello from 2\n");
  EXPECT_EQ(Shell("cat /sys/devices/system/clocksource/clocksource0/current_clocksource"),
            engine_->info().acceleration == "kvm" ? "kvm-clock\n" : "tsc\n");
  EXPECT_EQ(Shell("hostname"), "sandbox\n");  // its own comes with the after-restore step
  EXPECT_GT(machine_->HostMemoryBytes(), uint64_t{32} << 20);
  EXPECT_FALSE(machine_->exit());
  EXPECT_EQ(ProcessesOfMachine(), 1);

  (void)Shell("kill -TERM 1");
  const vmm::MachineExit exit = WaitForExit();
  EXPECT_EQ(exit.reason, "guest shut down");
  EXPECT_TRUE(exit.clean);
  EXPECT_EQ(machine_->HostMemoryBytes(), 0u);
  EXPECT_EQ(ProcessesOfMachine(), 0);
  EXPECT_TRUE(os::ListDirectory(config_.runtime_directory)->empty());
}

TEST_F(QemuTest, FreezesAndContinues) {
  ASSERT_NO_FATAL_FAILURE(Boot());
  ASSERT_TRUE(machine_->Freeze(Patience()));
  EXPECT_FALSE(client_->Health(Deadline::After(milliseconds(300))));
  ASSERT_TRUE(machine_->Continue(Patience()));
  EXPECT_TRUE(client_->Health(Patience()));
}

TEST_F(QemuTest, IsAdoptedByTheNextServerAndThenKilled) {
  ASSERT_NO_FATAL_FAILURE(Boot());
  (void)Shell("echo kept > /root/note; echo before > /dev/console");
  const json::object record = machine_->Record();
  client_.reset();
  machine_.reset();  // the server goes, the machine stays
  EXPECT_EQ(ProcessesOfMachine(), 1);

  // A record that fits no machine means that it is gone, and then its sockets are removed; so not
  // in the folder of the one that lives.
  vmm::MachineConfig elsewhere = config_;
  elsewhere.runtime_directory = config_.directory + "/elsewhere";
  json::object other_boot = record;
  other_boot["boot_id"] = "00000000-0000-0000-0000-000000000000";
  EXPECT_EQ(engine_->Adopt(elsewhere, other_boot).error().code, Code::kNotFound);
  json::object other_time = record;
  other_time["start_time"] = record.at("start_time").to_number<int64_t>() + 1;
  EXPECT_EQ(engine_->Adopt(elsewhere, other_time).error().code, Code::kNotFound);
  EXPECT_EQ(ProcessesOfMachine(), 1);

  auto adopted = engine_->Adopt(config_, record);
  ASSERT_TRUE(adopted) << adopted.error().ToString();
  machine_ = std::move(*adopted);
  EXPECT_EQ(machine_->Record().at("pid"), record.at("pid"));
  ASSERT_NO_FATAL_FAILURE(WaitForAgent());
  EXPECT_EQ(Shell("cat /root/note; echo after > /dev/console"), "kept\n");
  ASSERT_TRUE(machine_->Kill(Patience()));
  EXPECT_EQ(machine_->exit()->reason, "killed");
  EXPECT_THAT(Console(), HasSubstr("after"));
  client_.reset();
  machine_.reset();
  EXPECT_EQ(engine_->Adopt(config_, record).error().code, Code::kNotFound);
  EXPECT_TRUE(engine_->Reap(config_, record));
}

TEST_F(QemuTest, TellsThatItsProcessWasKilled) {
  ASSERT_NO_FATAL_FAILURE(Boot());
  ::kill(static_cast<pid_t>(machine_->Record().at("pid").to_number<int64_t>()), SIGKILL);
  const vmm::MachineExit exit = WaitForExit();
  EXPECT_THAT(exit.reason, HasSubstr("VMM killed by signal 9"));
  EXPECT_FALSE(exit.clean);
}

TEST_F(QemuTest, AFloodedConsoleIsCheapAndBounded) {
  ASSERT_NO_FATAL_FAILURE(Boot());
  const double before = OwnCpuSeconds();
  (void)Shell(
      "timeout 5 yes 'a line of nonsense' > /dev/console; echo flood is over > /dev/console");
  EXPECT_LT(OwnCpuSeconds() - before, 2.5);
  EXPECT_LE(Console().size(), vmm::BoundedLog::kLimit);
  EXPECT_EQ(Shell("echo well"), "well\n");
}

TEST_F(QemuTest, TellsThatTheGuestCrashed) {
  ASSERT_NO_FATAL_FAILURE(Boot());
  // The answer is lost with the guest.
  (void)Shell("echo c > /proc/sysrq-trigger");
  const vmm::MachineExit exit = WaitForExit();
  EXPECT_THAT(exit.reason, HasSubstr("guest crashed: Kernel panic"));
  EXPECT_FALSE(exit.clean);
}

TEST_F(QemuTest, AFailedStartSaysWhyAndLeavesNothing) {
  config_.kernel = "/nowhere/vmlinux";
  auto machine = engine_->Boot(config_, Patience());
  ASSERT_FALSE(machine);
  EXPECT_THAT(machine.error().message, HasSubstr("the VMM did not start"));
  EXPECT_THAT(machine.error().detail, HasSubstr("/nowhere/vmlinux"));
  EXPECT_EQ(ProcessesOfMachine(), 0);
  // None at all where it was the question of KVM that failed.
  const auto left = os::ListDirectory(config_.runtime_directory);
  EXPECT_TRUE(!left || left->empty());
}

TEST_F(QemuTest, HasNoNetworkUnlessAsked) {
  ASSERT_NO_FATAL_FAILURE(Boot());
  EXPECT_EQ(Shell("ls /sys/class/net"), "lo\n");
}

TEST_F(QemuTest, UserNetworkDoesNotReachTheHost) {
  if (auto usable = net::CheckUserNetwork(); !usable) GTEST_SKIP() << usable.error().message;
  auto listener = wire::ListenTcp("0.0.0.0", 0);
  ASSERT_TRUE(listener);
  const uint16_t port = *wire::LocalPort(listener->get());
  config_.network = true;
  ASSERT_NO_FATAL_FAILURE(Boot());
  EXPECT_THAT(Shell("cat /etc/resolv.conf"), HasSubstr(net::kSlotGateway));
  EXPECT_THAT(Shell("ip addr show dev eth0"), HasSubstr(net::kSlotGuestAddress));
  std::string addresses = net::kSlotGateway;
  const auto host = net::HostAddresses();
  ASSERT_TRUE(host) << host.error().ToString();
  for (const net::Address4 own : *host) {
    in_addr number{htonl(own)};
    char text[INET_ADDRSTRLEN];
    if (own >> 24 != 127) addresses += std::string(" ") + ::inet_ntop(AF_INET, &number, text, 16);
  }
  (void)Shell(fmt::format("for a in {}; do nc -w 2 $a {} < /dev/null; done", addresses, port));
  EXPECT_FALSE(WaitReady(listener->get(), POLLIN, Deadline::After(milliseconds(0))));

  // The network's processes are known, and gone with the machine.
  const json::array helpers = machine_->Record().at("helpers").as_array();
  ASSERT_EQ(helpers.size(), 2u);
  ASSERT_TRUE(machine_->Kill(Patience()));
  for (const json::value& helper : helpers) {
    const auto gone = os::Process::Open(static_cast<pid_t>(helper.at("pid").to_number<int64_t>()),
                                        helper.at("start_time").to_number<uint64_t>());
    EXPECT_FALSE(gone);
  }
}

TEST_F(QemuTest, EndsWithItsNetworkAndSaysSo) {
  if (auto usable = net::CheckUserNetwork(); !usable) GTEST_SKIP() << usable.error().message;
  config_.network = true;
  ASSERT_NO_FATAL_FAILURE(Boot());
  const json::array helpers = machine_->Record().at("helpers").as_array();
  ASSERT_EQ(helpers.size(), 2u);
  ::kill(static_cast<pid_t>(helpers.at(1).at("pid").to_number<int64_t>()), SIGKILL);
  const vmm::MachineExit exit = WaitForExit();
  EXPECT_THAT(exit.reason, HasSubstr("its network ended: killed by signal 9"));
  EXPECT_THAT(*ReadFile(config_.directory + "/vmm.log"), HasSubstr("its network ended"));
  EXPECT_EQ(ProcessesOfMachine(), 0);
}

TEST_F(QemuTest, EndsWhenItsNetworkEndedWhileNobodyWatched) {
  if (auto usable = net::CheckUserNetwork(); !usable) GTEST_SKIP() << usable.error().message;
  config_.network = true;
  ASSERT_NO_FATAL_FAILURE(Boot());
  const json::object record = machine_->Record();
  const json::array& helpers = record.at("helpers").as_array();
  machine_.reset();
  ::kill(static_cast<pid_t>(helpers.at(0).at("pid").to_number<int64_t>()), SIGKILL);
  ::waitpid(static_cast<pid_t>(helpers.at(0).at("pid").to_number<int64_t>()), nullptr, 0);
  auto adopted = engine_->Adopt(config_, record);
  ASSERT_TRUE(adopted) << adopted.error().ToString();
  machine_ = std::move(*adopted);
  EXPECT_THAT(WaitForExit().reason, HasSubstr("its network ended: while no server watched it"));
}

// The record was never written: only name and folder tell whose a VMM is.
TEST_F(QemuTest, ReapsItsUnrecordedVmmAndNotAnothersOfTheName) {
  ASSERT_NO_FATAL_FAILURE(Boot());
  vmm::MachineConfig another = config_;
  another.directory = config_.directory + "-of-another-root";
  another.runtime_directory = another.directory;
  ASSERT_TRUE(engine_->Reap(another, {}));
  EXPECT_FALSE(machine_->exit());
  EXPECT_EQ(ProcessesOfMachine(), 1);
  ASSERT_TRUE(engine_->Reap(config_, {}));
  (void)WaitForExit();
  EXPECT_TRUE(machine_->exit());
  EXPECT_EQ(ProcessesOfMachine(), 0);
}

// On every machine: the probe comes to an answer, keeps it and leaves nothing else.
TEST_F(QemuTest, TheQuestionOfKvmIsSettledOnceAndKept) {
  vmm::QemuOptions options;
  options.probe_cache = config_.directory + "/kvm.json";
  options.probe_kernel = config_.kernel;
  options.probe_initramfs = config_.initramfs;
  options.probe_directory = config_.directory;
  const auto before = os::ListDirectory(config_.directory);
  auto engine = vmm::MakeQemuEngine(options);
  ASSERT_TRUE(engine) << engine.error().ToString();
  const vmm::EngineInfo& info = (*engine)->info();
  EXPECT_EQ(info.security_boundary, info.acceleration == "kvm");
  EXPECT_FALSE(info.explanation.empty());
  std::printf("%s: %s\n", info.acceleration.c_str(), info.explanation.c_str());
  EXPECT_TRUE(os::RemoveTree(options.probe_cache));
  EXPECT_EQ(*os::ListDirectory(config_.directory), *before);
}

TEST(QemuEngineTest, SaysWhatIsMissing) {
  vmm::QemuOptions options;
  options.binary = "qemu-system-of-nowhere";
  auto engine = vmm::MakeQemuEngine(options);
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, Code::kFailedPrecondition);
  EXPECT_THAT(engine.error().message, HasSubstr("qemu-system-x86"));
  options = {};
  options.acceleration = "hvf";
  EXPECT_FALSE(vmm::MakeQemuEngine(options));
}

}  // namespace
}  // namespace wrenn::component
