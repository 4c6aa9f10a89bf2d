#include "vmm/qemu/jailed_qemu.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>

#include "base/io.h"
#include "os/files.h"
#include "vmm/qemu/engine.h"
#include "vmm/qemu/test_config.h"

namespace wrenn::vmm {
namespace {

using Bind = os::Jail::Bind;

constexpr uint32_t kUser = 0x70000007;

Deadline Soon() { return Deadline::After(std::chrono::seconds(30)); }

const Bind* Find(const std::vector<Bind>& binds, const std::string& to) {
  const auto found = std::ranges::find(binds, to, &Bind::to);
  return found == binds.end() ? nullptr : &*found;
}

TEST(JailedQemuTest, SeesItsMachinesFilesAndWritesToItsFolderAlone) {
  MachineConfig config = TestConfig();
  config.user = kUser;
  config.base_image = "/data/images/i/rootfs";
  const QemuFiles files{{{"/usr/bin/qemu", "/qemu", false, true}}, {"A=b"}};
  const os::Jail jail = QemuJail(config, files, true);
  EXPECT_EQ(jail.uid, kUser);
  EXPECT_EQ(jail.gid, kUser);
  EXPECT_EQ(jail.net_namespace, -1);
  for (const std::string& path : {config.kernel, config.initramfs, config.base_image}) {
    const Bind* bind = Find(jail.binds, path);
    ASSERT_TRUE(bind) << path;
    EXPECT_EQ(bind->from, path);
    EXPECT_FALSE(bind->writable || bind->executable);
  }
  for (const Bind& bind : jail.binds) EXPECT_EQ(bind.writable, bind.to == config.directory);
  EXPECT_TRUE(Find(jail.binds, "/qemu")->executable);
  const auto has_kvm = [](const os::Jail& one) {
    return std::ranges::count(one.devices, "/dev/kvm", &os::Jail::Device::path) == 1;
  };
  EXPECT_TRUE(has_kvm(jail));
  EXPECT_FALSE(has_kvm(QemuJail(config, files, false)));

  config.kernel.clear();  // restored
  config.initramfs.clear();
  EXPECT_EQ(QemuJail(config, files, true).binds.size(), jail.binds.size() - 2);
  config.memory = "/data/sandboxes/sb-abc/memory-x";
  EXPECT_EQ(QemuEnvironment(config, files),
            (std::vector<std::string>{"A=b", "WRENN_READONLY_MEMORY=" + config.memory}));
}

TEST(JailedQemuTest, SeesOfADiskThatIsADeviceNothingElse) {
  MachineConfig config = TestConfig();
  config.user = kUser;
  config.base_image = "/data/images/i/rootfs";
  config.disk = "/dev/mapper/wrenn-sb-abc";
  const os::Jail jail = QemuJail(config, {}, true, makedev(254, 3));
  EXPECT_FALSE(Find(jail.binds, config.base_image));
  const auto disk = std::ranges::find(jail.devices, config.disk, &os::Jail::Device::path);
  ASSERT_NE(disk, jail.devices.end());
  EXPECT_EQ(disk->device, makedev(254, 3));
  EXPECT_TRUE(disk->block);
}

TEST(JailedQemuTest, FindsWhatQemuLoads) {
  const auto folder = os::TemporaryDirectory::Make();
  ASSERT_TRUE(folder);
  const auto files = FindQemuFiles("qemu-system-x86_64", false, folder->path(), Soon());
  ASSERT_TRUE(files) << files.error().ToString();
  for (const char* path : {kJailedProgram, "/lib/libc.so.6", "/readonly-memory.so"}) {
    const Bind* bind = Find(files->binds, path);
    ASSERT_TRUE(bind) << path;
    EXPECT_TRUE(bind->executable);
    EXPECT_TRUE(os::Exists(bind->from));
  }
  for (const Bind& bind : files->binds) {
    EXPECT_FALSE(bind.writable);
    EXPECT_EQ(std::ranges::count(files->binds, bind.to, &Bind::to), 1) << bind.to;
  }
  const auto newer = FindQemuFiles("qemu-system-x86_64", true, folder->path(), Soon());
  ASSERT_TRUE(newer);
  EXPECT_FALSE(Find(newer->binds, "/readonly-memory.so"));
  EXPECT_EQ(newer->environment.size() + 1, files->environment.size());
}

TEST(JailedQemuTest, ROOT_GivesTheTopLayerAndSharesTheRest) {
  if (::geteuid() != 0) GTEST_SKIP() << "gives files to another user: needs root";
  const auto folder = os::TemporaryDirectory::Make();
  ASSERT_TRUE(folder);
  MachineConfig config;
  config.user = kUser;
  config.directory = folder->path();
  config.disk = folder->path() + "/disk-top.qcow2";
  config.memory = folder->path() + "/memory-base";
  const std::string below = folder->path() + "/disk-below.qcow2";
  const std::string log = folder->path() + "/console.log";
  for (const std::string& path : {config.disk, config.memory, below, log}) {
    ASSERT_TRUE(ReplaceFile(path, "", 0600));
  }
  ASSERT_EQ(::chown(below.c_str(), kUser + 1, kUser + 1), 0);  // of the machine that wrote it
  ASSERT_TRUE(GiveFiles(config));
  const auto of = [](const std::string& path) {
    struct stat info{};
    EXPECT_EQ(::stat(path.c_str(), &info), 0);
    return std::tuple(info.st_uid, info.st_gid, info.st_mode & 07777);
  };
  EXPECT_EQ(of(config.disk), std::tuple(kUser, kUser, 0600u));
  EXPECT_EQ(of(below), std::tuple(0u, 0u, 0644u));
  EXPECT_EQ(of(config.memory), std::tuple(0u, 0u, 0644u));
  EXPECT_EQ(of(log), std::tuple(0u, 0u, 0600u));
  EXPECT_EQ(of(config.directory), std::tuple(0u, 0u, 0711u));
  // What is below a block device stays as it is.
  MachineConfig other = config;
  other.disk = "/dev/mapper/wrenn-sb-abc";
  ASSERT_TRUE(GiveFiles(other));
  EXPECT_EQ(of(config.disk), std::tuple(kUser, kUser, 0600u));
  ASSERT_TRUE(ShareLayer(config.disk));
  EXPECT_EQ(of(config.disk), std::tuple(0u, 0u, 0644u));
}

TEST(JailedQemuTest, ROOT_StartsInAJail) {
  if (const auto able = os::CheckJail(); !able) GTEST_SKIP() << able.error().ToString();
  const auto folder = os::TemporaryDirectory::Make();
  ASSERT_TRUE(folder);
  QemuOptions options;
  options.acceleration = "tcg";
  options.jail = "on";
  options.probe_directory = folder->path();
  const auto engine = MakeQemuEngine(options);
  ASSERT_TRUE(engine) << engine.error().ToString();
  EXPECT_TRUE((*engine)->info().jailed);
  // Nothing is left but what every machine is given.
  EXPECT_EQ(*os::ListDirectory(folder->path()),
            std::vector<std::string>{"qemu-readonly-memory.so"});
  options.jail = "off";
  EXPECT_FALSE((*MakeQemuEngine(options))->info().jailed);
}

}  // namespace
}  // namespace wrenn::vmm
