#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "guest/agent/metrics.h"
#include "guest/agent/test_agent.h"
#include "guest/boot/command_line.h"
#include "guest/boot/virtio.h"
#include "guest/init/cgroups.h"
#include "guest/init/identity.h"
#include "guest/init/network.h"
#include "guest/process/environment.h"
#include "guest/process/kill.h"
#include "guest/process/spawn.h"
#include "guest/process/utf8_tail.h"

namespace wrenn::guest {
namespace {

TEST(CommandLine, TheLastValueCounts) {
  const CommandLine line("quiet root=/dev/vda ip=1:2=3 root=/dev/vdb rootfstype= noroot=x\n");
  EXPECT_EQ(line.Value("root"), "/dev/vdb");
  EXPECT_EQ(line.Value("ip"), "1:2=3");
  EXPECT_EQ(line.Value("rootfstype"), "");
  EXPECT_FALSE(line.Value("quiet"));
  EXPECT_EQ(line.Value("none", "x"), "x");
}

TEST(Virtio, DevicesAreKnownByTheirType) {
  char pattern[] = "/tmp/wrenn-virtio-XXXXXX";
  ASSERT_NE(::mkdtemp(pattern), nullptr);
  const std::string sysfs = pattern;
  EXPECT_FALSE(HasVirtioDevice(kVirtioVsock, sysfs + "/none"));
  for (const char* device : {"virtio0", "virtio1"}) {
    std::filesystem::create_directory(sysfs + "/" + device);
  }
  ASSERT_TRUE(ReplaceFile(sysfs + "/virtio0/device", "0x0002\n"));
  EXPECT_FALSE(HasVirtioDevice(kVirtioVsock, sysfs));
  ASSERT_TRUE(ReplaceFile(sysfs + "/virtio1/device", "0x0013\n"));
  EXPECT_TRUE(HasVirtioDevice(kVirtioVsock, sysfs));
  std::filesystem::remove_all(sysfs);
}

TEST(Network, IpArgumentIsRead) {
  auto ip = ParseIpArgument("10.0.2.15::10.0.2.2:255.255.255.0:sandbox:eth0:off");
  ASSERT_TRUE(ip) << ip.error().message;
  EXPECT_EQ(ip->client, "10.0.2.15");
  EXPECT_EQ(ip->gateway, "10.0.2.2");
  EXPECT_EQ(ip->netmask, "255.255.255.0");
  EXPECT_EQ(ip->hostname, "sandbox");
  EXPECT_EQ(ip->device, "eth0");
  EXPECT_EQ(ParseIpArgument("10.0.0.2:::255.0.0.0::")->device, "eth0");
}

TEST(Network, WrongIpArgumentsAreRefused) {
  for (const char* text : {"", "dhcp", "10.0.2.15", "10.0.2.15::x:255.0.0.0::eth0:off",
                           "10.0.2.15::10.0.2.2:255.255.255.0:s:eth0:dhcp"}) {
    EXPECT_FALSE(ParseIpArgument(text)) << text;
  }
}

TEST(Network, Ip6ArgumentIsRead) {
  const auto ip = ParseIp6Argument("fd77:7265:6e6e::2/126,fd77:7265:6e6e::1");
  ASSERT_TRUE(ip) << ip.error().message;
  EXPECT_EQ(ip->client, "fd77:7265:6e6e::2");
  EXPECT_EQ(ip->prefix, 126u);
  EXPECT_EQ(ip->gateway, "fd77:7265:6e6e::1");
  for (const char* text : {"", "f::2", "f::2/126", "f::2,f::1", "f::2/,f::1", "f::2/129,f::1",
                           "f::2/1x,f::1", "1.2.3.4/30,f::1", "f::2/126,", "f::2/126,f::1,f::3"}) {
    EXPECT_FALSE(ParseIp6Argument(text)) << text;
  }
}

TEST(Identity, HostNamesAreChecked) {
  EXPECT_TRUE(IsHostname("sb-0f3k9"));
  EXPECT_TRUE(IsHostname("a.b"));
  for (const char* name : {"", "-a", "a-", "a..b", "a b", "a\nb", "a_b"}) {
    EXPECT_FALSE(IsHostname(name)) << name;
  }
  EXPECT_FALSE(IsHostname(std::string(65, 'a')));
}

TEST(Identity, HostsGetOneLineForTheName) {
  const std::string first = HostsFor("", "one");
  EXPECT_EQ(first, "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 one # this sandbox\n");
  EXPECT_EQ(HostsFor(first, "two"),
            "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 two # this sandbox\n");
  EXPECT_EQ(HostsFor("127.0.0.1\tlocalhost\n1.2.3.4 db", "x"),
            "127.0.0.1\tlocalhost\n1.2.3.4 db\n127.0.1.1 x # this sandbox\n");
}

TEST(Cgroups, LimitsLeaveRoomForTheAgent) {
  constexpr uint64_t kMiB = 1 << 20;
  EXPECT_EQ(LimitsFor(256 * kMiB, 2000).user_memory_max, 232 * kMiB);
  EXPECT_EQ(LimitsFor(8192 * kMiB, 60000).user_memory_max, 8064 * kMiB);
  EXPECT_EQ(LimitsFor(32 * kMiB, 100).user_memory_max, 16 * kMiB);
  EXPECT_EQ(LimitsFor(256 * kMiB, 2000).user_pids_max, 1800u);
}

// A cgroup as the agent sees it: a folder, with the file that kills its processes, of which there
// are none.
TEST(Cgroups, AProcessThatLeftItsGroupIsKilledAllTheSame) {
  TempFolder folder;
  WriteText(folder / "cgroup.kill", "");
  UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  SpawnRequest request;
  request.command = "sleep";
  request.paths = {"/bin/sleep"};
  request.arguments = {"1000"};
  request.cwd = "/";
  for (int& fd : request.stdio) fd = null.get();
  auto child = Spawn(request);
  ASSERT_TRUE(child) << child.error().message;
  const ProcessCgroup group(folder.path(), {});
  KillTree(**child, &group);
  pollfd entry{(*child)->exit_event(), POLLIN, 0};
  EXPECT_EQ(::poll(&entry, 1, 60'000), 1);
  EXPECT_EQ(FileText(folder / "cgroup.kill"), "1");
  [[maybe_unused]] auto killed = Reaper::Get().Signal(**child, SIGKILL, false);
}

TEST(Cgroups, GroupsGoWithTheGroupsInThem) {
  TempFolder folder;
  const std::string path = folder / "group";
  std::filesystem::create_directories(path + "/a/b");
  std::filesystem::create_directories(path + "/c");
  {
    const ProcessCgroup group(path, {});
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Environment, LaterOnesWin) {
  const User user{"u", 1, 1, "/home/u", "/bin/bash"};
  const Environment made = MakeEnvironment(user, true, {{"A", "1"}, {"HOME", "/x"}}, {{"A", "2"}});
  EXPECT_EQ(made.at("A"), "2");
  EXPECT_EQ(made.at("HOME"), "/x");
  EXPECT_EQ(made.at("USER"), "u");
  EXPECT_EQ(made.at("LOGNAME"), "u");
  EXPECT_EQ(made.at("SHELL"), "/bin/bash");
  EXPECT_EQ(made.at("TERM"), "xterm-256color");
  EXPECT_FALSE(MakeEnvironment(user, false, {}, {}).contains("TERM"));
}

TEST(Environment, PathsAreResolvedForTheUser) {
  const User user{"u", 1, 1, "/home/u", "/bin/sh"};
  EXPECT_EQ(ResolvePath("", user), "/home/u");
  EXPECT_EQ(ResolvePath("a", user), "/home/u/a");
  EXPECT_EQ(ResolvePath("a", user, "/work"), "/work/a");
  EXPECT_EQ(ResolvePath("~", user, "/work"), "/home/u");
  EXPECT_EQ(ResolvePath("~/x", user), "/home/u/x");
  EXPECT_EQ(ResolvePath("~x", user), "/home/u/~x");
  EXPECT_EQ(ResolvePath("/a//b/./../c/", user), "/a/c");
  EXPECT_EQ(ResolvePath("/../..", user), "/");
}

TEST(Spawn, CommandsAreSearchedInPath) {
  const auto paths = CommandPaths("ls", "/bin::/usr/bin");
  ASSERT_EQ(paths.size(), 2u);
  EXPECT_EQ(paths[1], "/usr/bin/ls");
  EXPECT_EQ(CommandPaths("./ls", "/bin").at(0), "./ls");
}

TEST(Spawn, TheReaperHearsOfEveryEnd) {
  UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int i = 0; i < 100; ++i) {
    SpawnRequest request;
    request.command = "/bin/sh";
    request.paths = {"/bin/sh"};
    request.arguments = {"-c", "exit " + std::to_string(i)};
    request.cwd = "/";
    for (int& fd : request.stdio) fd = null.get();
    auto child = Spawn(request);
    ASSERT_TRUE(child) << child.error().message;
    pollfd entry{(*child)->exit_event(), POLLIN, 0};
    ASSERT_EQ(::poll(&entry, 1, 60'000), 1);
    const auto exit = Reaper::Get().ExitOf(**child);
    ASSERT_TRUE(exit);
    EXPECT_FALSE(exit->signaled);
    EXPECT_EQ(exit->value, i);
    EXPECT_FALSE(Reaper::Get().Signal(**child, SIGTERM, false));
  }
  EXPECT_TRUE(Reaper::Get().WaitForNoChildren(Deadline::After(std::chrono::seconds(60))));
}

TEST(Utf8Tail, CutsBetweenCharacters) {
  EXPECT_EQ(IncompleteUtf8Tail(""), 0u);
  EXPECT_EQ(IncompleteUtf8Tail("abc"), 0u);
  EXPECT_EQ(IncompleteUtf8Tail("a\xC3"), 1u);
  EXPECT_EQ(IncompleteUtf8Tail("a\xC3\xA9"), 0u);
  EXPECT_EQ(IncompleteUtf8Tail("a\xE2\x82"), 2u);
  EXPECT_EQ(IncompleteUtf8Tail("a\xE2\x82\xAC"), 0u);
  EXPECT_EQ(IncompleteUtf8Tail("\xF0\x9F\x98"), 3u);
  EXPECT_EQ(IncompleteUtf8Tail("\xF0\x9F\x98\x80"), 0u);
  EXPECT_EQ(IncompleteUtf8Tail("\x80\x80\x80\x80"), 0u);  // not text at all
}

TEST(Metrics, FilesOfProcAreRead) {
  const CpuTimes times = ParseCpuTimes("cpu  10 1 20 100 5 2 3 4 9 9\ncpu0 1 1 1 1\n");
  EXPECT_EQ(times.total, 145u);
  EXPECT_EQ(times.busy, 40u);
  const MemoryUse use = ParseMemory(
      "MemTotal: 1000 kB\nMemFree: 200 kB\nBuffers: 50 kB\nCached: 300 kB\nSwapCached: 9 kB\n"
      "SReclaimable: 10 kB\n");
  EXPECT_EQ(use.total, 1000 * 1024);
  EXPECT_EQ(use.cache, 310 * 1024);
  EXPECT_EQ(use.used, 440 * 1024);
}

}  // namespace
}  // namespace wrenn::guest
