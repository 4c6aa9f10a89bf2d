#include "os/jail.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <algorithm>
#include <thread>

#include "os/files.h"
#include "os/process_info.h"
#include "os/test_jail.h"

namespace wrenn::os {
namespace {

Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }

std::string LinkTarget(const std::string& path) {
  char buffer[256];
  const ssize_t length = ::readlink(path.c_str(), buffer, sizeof buffer);
  return length < 0 ? "" : std::string(buffer, static_cast<size_t>(length));
}

// What must be as before when nothing was leaked.
struct Traces {
  std::string mounts = *ReadFile("/proc/self/mountinfo");
  size_t descriptors = ListDirectory("/proc/self/fd")->size();
  bool no_children = ::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD;
  friend bool operator==(const Traces&, const Traces&) = default;
};

class JailTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto able = CheckJail();
    if (!able) GTEST_SKIP() << able.error().ToString();
    dir_ = TemporaryDirectory::Make();
    ASSERT_TRUE(dir_);
    ASSERT_EQ(::chmod(dir_->path().c_str(), 0755), 0);
  }

  // A folder of the host, open to all, so that it is the jail alone that keeps it.
  std::string Folder(const std::string& name) {
    std::string path = dir_->path() + "/" + name;
    EXPECT_TRUE(MakeDirectory(path));
    EXPECT_EQ(::chmod(path.c_str(), 0777), 0);
    return path;
  }
  static void File(const std::string& path, mode_t mode = 0666) {
    EXPECT_TRUE(ReplaceFile(path, "content"));
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
  }
  static void CopyProbe(const std::string& to, mode_t mode) {
    EXPECT_TRUE(ReplaceFile(to, *ReadFile(WRENN_JAIL_PROBE, 64 << 20)));
    EXPECT_EQ(::chmod(to.c_str(), mode), 0);
  }

  Result<TemporaryDirectory> dir_ = Fail(Code::kUnknown, "not made");
};

TEST_F(JailTest, ROOT_IsNobodyAndHasNothing) {
  SpawnOptions options = ProbeOptions({"self"});
  auto pair = SocketPair();
  options.pass_fds = {pair->second.get()};
  options.die_with_parent = true;
  const UniqueFd stray(::open("/", O_RDONLY | O_DIRECTORY));  // not close-on-exec
  auto is = Lines(Output(options));
  const std::string id = std::to_string(kJailUid);
  EXPECT_EQ(is["pid"], "1");
  EXPECT_EQ(is["parent"], "0");
  EXPECT_EQ(is["session"], "1");
  EXPECT_EQ(is["uid"], id + " " + id + " " + id);
  EXPECT_EQ(is["gid"], id + " " + id + " " + id);
  for (const char* none : {"groups", "capget", "effective", "permitted", "inheritable", "bounding",
                           "ambient", "blocked"}) {
    EXPECT_EQ(is[none], "0") << none;
  }
  EXPECT_EQ(is["securebits"], std::to_string(0x1 | 0x2 | 0x8 | 0x20 | 0x40 | 0x80));
  EXPECT_EQ(is["no_new_privs"], "1");
  EXPECT_EQ(is["seccomp"], "2");
  EXPECT_EQ(is["parent_signal"], std::to_string(SIGKILL));
  EXPECT_LE(std::stol(is["core"]), 1);
  EXPECT_EQ(is["descriptor"], "0 1 2 3");
  EXPECT_EQ(is["host"], "jail");
  EXPECT_EQ(is["directory"], "/");
  EXPECT_EQ(is.count("environment"), 0u);
}

TEST_F(JailTest, ROOT_HoldsWhatItIsGivenAndNothingElse) {
  const std::string inner = Folder("inner");
  File(inner + "/file");
  SpawnOptions options = ProbeOptions({"list", "/"});
  Jail& jail = *options.jail;
  jail.binds.push_back({.from = inner, .to = "/a/b"});
  jail.binds.push_back({.from = inner + "/file", .to = "/a/file"});
  jail.devices = {{"/dev/null", ::makedev(1, 3)}};
  jail.folders = {"/run"};
  jail.links = {{"/lib", "a/b"}};
  const auto list = [&](const std::string& folder) {
    options.argv.back() = folder;
    std::string sorted;
    for (const auto& [name, unused] : Lines(Output(options))) sorted += name + " ";
    return sorted;
  };
  EXPECT_EQ(list("/"), ". .. a dev lib probe run ");
  EXPECT_EQ(list("/.."), ". .. a dev lib probe run ");
  EXPECT_EQ(list("/a"), ". .. b file ");
  EXPECT_EQ(list("/lib"), ". .. file ");
  EXPECT_EQ(list("/dev"), ". .. null ");
  EXPECT_EQ(list("/run"), ". .. ");

  // The same from outside.
  options.argv = {"/probe", "wait"};
  auto running = StartWithOutput(options);
  ASSERT_TRUE(running) << running.error().ToString();
  running->Read("ready");
  const std::string proc = "/proc/" + std::to_string(running->process.pid());
  const std::string mounts = *ReadFile(proc + "/mountinfo");
  EXPECT_EQ(std::count(mounts.begin(), mounts.end(), '\n'), 4) << mounts;
  for (const char* name : {"mnt", "pid", "ipc", "uts", "net", "cgroup"}) {
    EXPECT_NE(LinkTarget(proc + "/ns/" + name), LinkTarget(std::string("/proc/self/ns/") + name))
        << name;
  }
  struct stat info;
  ASSERT_EQ(::stat((proc + "/root/dev/null").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, kJailUid);
  EXPECT_EQ(info.st_mode, S_IFCHR | 0600u);
  ASSERT_EQ(::stat((proc + "/root/a").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 0u);
  EXPECT_EQ(info.st_mode, S_IFDIR | 0755u);
  EXPECT_EQ(running->process.Kill(Soon())->signal, SIGKILL);
}

TEST_F(JailTest, ROOT_NothingLeadsOut) {
  const std::string readable = Folder("ro");
  const std::string writable = Folder("rw");
  const std::string programs = Folder("bin");
  File(readable + "/file");
  File(readable + "/own");
  ASSERT_EQ(::chown((readable + "/own").c_str(), kJailUid, kJailUid), 0);
  ASSERT_TRUE(MakeDirectory(readable + "/mounted"));
  ASSERT_EQ(::mount("none", (readable + "/mounted").c_str(), "tmpfs", 0, "mode=777"), 0);
  File(readable + "/mounted/file");
  ASSERT_EQ(::mknod((writable + "/device").c_str(), S_IFCHR | 0666, ::makedev(1, 3)), 0);
  ASSERT_EQ(::chmod((writable + "/device").c_str(), 0666), 0);
  ASSERT_EQ(::symlink("/etc", (writable + "/link").c_str()), 0);
  CopyProbe(writable + "/probe", 0755);
  CopyProbe(programs + "/set-uid", 04755);

  const std::string name = "wrenn-jail-test-" + std::to_string(::getpid());
  const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy(name.begin(), name.end(), address.sun_path + 1);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size())),
            0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);

  SpawnOptions options = ProbeOptions({"escape", std::to_string(::getpid()), name});
  Jail& jail = *options.jail;
  jail.binds.push_back({.from = readable, .to = "/ro"});
  jail.binds.push_back({.from = writable, .to = "/rw", .writable = true});
  jail.binds.push_back({.from = programs, .to = "/bin", .executable = true});
  jail.devices = {{"/dev/null", ::makedev(1, 3)}};
  jail.folders = {"/run/own"};
  jail.links = {{"/link", "/etc"}};
  const auto got = Lines(Output(options));
  const std::map<std::string, int> expected = {
      {"write_read_only", EROFS},
      {"create_read_only", EROFS},
      {"chmod_read_only", EROFS},
      {"write_below_read_only", EROFS},
      {"device_in_bind", EACCES},
      {"write_writable", 0},
      {"create_in_root", EACCES},
      {"replace_in_root", EACCES},
      {"write_own_folder", 0},
      {"null", 0},
      {"execute_not_executable", EACCES},
      {"execute_own", ENOENT},
      {"set_uid_program", 77},  // it ran, and not as root
      {"remount", EPERM},
      {"unmount", EPERM},
      {"mknod", EPERM},
      {"open:/proc", ENOENT},
      {"open:/sys", ENOENT},
      {"open:/etc", ENOENT},
      {"open:/../../etc", ENOENT},
      {"open:/link/passwd", ENOENT},
      {"open:/dev/mem", ENOENT},
      {"open:/rw/../../etc", ENOENT},
      {"open:/rw/link", ENOENT},
      {"open:/ro/../..", 0},  // the jail's own root
      {"kill_all", ESRCH},
      {"kill_outside", ESRCH},
      {"pidfd_outside", ESRCH},
      {"ptrace_outside", EPERM},
      {"priority_outside", ESRCH},
      {"setuid", EPERM},
      {"setgid", EPERM},
      {"setgroups", EPERM},
      {"securebits", EPERM},
      {"nice", EACCES},
      {"raise_limit", EPERM},
      {"abstract_socket", ECONNREFUSED},
      {"loopback", ENETUNREACH},
      {"raw_socket", EPERM},
      {"packet_socket", EPERM},
  };
  for (const auto& [what, error] : expected) {
    ASSERT_TRUE(got.contains(what)) << what;
    EXPECT_EQ(got.at(what), std::to_string(error)) << what;
  }
  EXPECT_EQ(got.size(), expected.size());
  EXPECT_EQ(::umount2((readable + "/mounted").c_str(), MNT_DETACH), 0);
}

TEST_F(JailTest, ROOT_RefusesSystemCalls) {
  const auto calls = Lines(Output(ProbeOptions({"calls"})));
  EXPECT_GE(calls.size(), 55u);
  for (const auto& [name, error] : calls) {
    const std::string all = name == "clone" ? "1 1 1 1 1 1 1" : "1";
    EXPECT_EQ(error, all) << name;  // EPERM is 1
  }
}

TEST_F(JailTest, ROOT_AProgramsOwnFilterComesOnTop) {
  auto got = Lines(Output(ProbeOptions({"filter"})));
  EXPECT_EQ(got["own_filter"], "0");
  EXPECT_EQ(got["own_filter_works"], std::to_string(EDOM));
}

TEST_F(JailTest, ROOT_JoinsANetworkNamespace) {
  UniqueFd net;
  std::string name;
  std::thread([&] {
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    net.Reset(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    name = LinkTarget("/proc/thread-self/ns/net");
  }).join();
  SpawnOptions options = ProbeOptions({"wait"});
  options.jail->net_namespace = net.get();
  auto process = Process::Spawn(options);
  ASSERT_TRUE(process) << process.error().ToString();
  EXPECT_EQ(LinkTarget("/proc/" + std::to_string(process->pid()) + "/ns/net"), name);
  EXPECT_TRUE(process->Kill(Soon()));
}

TEST_F(JailTest, ROOT_EndsLikeAnyProcess) {
  auto running = StartWithOutput(ProbeOptions({"wait"}));
  ASSERT_TRUE(running) << running.error().ToString();
  running->Read("ready");
  EXPECT_TRUE(Process::Open(running->process.pid(), running->process.start_time()));
  // PID 1 of its namespace: what it has no handler for does not reach it.
  EXPECT_TRUE(running->process.Signal(SIGTERM));
  const auto waited = running->process.Wait(Deadline::After(std::chrono::milliseconds(50)));
  EXPECT_EQ(waited.error().code, Code::kDeadlineExceeded);
  EXPECT_TRUE(running->process.SignalGroup(SIGKILL));
  EXPECT_EQ(running->process.Wait(Soon())->signal, SIGKILL);

  // With the thread that started it, and with all that it has started.
  SpawnOptions options = ProbeOptions({"fork"});
  options.die_with_parent = true;
  options.limits = {{RLIMIT_NPROC, 20}};
  std::optional<Running> other;
  std::thread([&] {
    other = std::move(*StartWithOutput(options));
    // The kernel may still count one of this user that has just ended.
    EXPECT_GE(std::stol(Lines(other->Read("\n"))["made"]), 10);
  }).join();
  EXPECT_EQ(other->process.Wait(Soon())->signal, SIGKILL);
  EXPECT_EQ(other->Read(), "");  // nobody has its output open any more
}

TEST_F(JailTest, ROOT_TheRootHasALimit) {
  SpawnOptions options = ProbeOptions({"wait"});
  options.jail->root_bytes = 64 << 10;
  options.jail->folders = {"/run"};
  auto process = Process::Spawn(options);
  ASSERT_TRUE(process);
  const std::string file = "/proc/" + std::to_string(process->pid()) + "/root/run/file";
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const std::string bytes(128 << 10, 'x');
  EXPECT_EQ(::write(fd.get(), bytes.data(), bytes.size()), 64 << 10);
  EXPECT_LT(::write(fd.get(), bytes.data(), bytes.size()), 0);
  EXPECT_TRUE(process->Kill(Soon()));
}

TEST_F(JailTest, ROOT_AFailedStepIsToldAndLeavesNothing) {
  const Traces before;
  const auto failure = [](SpawnOptions options) {
    auto process = Process::Spawn(options);
    EXPECT_FALSE(process);
    return process ? Error{} : process.error();
  };
  SpawnOptions options = ProbeOptions({"wait"});
  options.jail->binds.push_back({.from = "/nowhere/at-all", .to = "/x"});
  Error error = failure(options);
  EXPECT_EQ(error.code, Code::kNotFound);
  EXPECT_EQ(error.message,
            "cannot give the jail what it needs of the host: No such file or directory");
  EXPECT_EQ(error.detail, "/nowhere/at-all");

  options = ProbeOptions({"wait"});
  UniqueFd no_namespace(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  options.jail->net_namespace = no_namespace.get();
  error = failure(options);
  EXPECT_EQ(error.code, Code::kInvalidArgument);
  EXPECT_EQ(error.detail, "could not join its network namespace");
  no_namespace.Reset();

  options = ProbeOptions({"wait"});
  options.argv[0] = "/other";
  error = failure(options);
  EXPECT_EQ(error.code, Code::kNotFound);
  EXPECT_EQ(error.message,
            "cannot start '/other': it, or a library loader that it needs, is not in its jail");
  options.argv[0] = "other";
  EXPECT_EQ(failure(options).code, Code::kInvalidArgument);

  options = ProbeOptions({"wait"});
  options.directory = "/nowhere";
  EXPECT_EQ(failure(options).detail, "could not enter its folder");

  // Within a bind there must be what it is mounted on.
  options = ProbeOptions({"wait"});
  options.jail->binds.push_back({.from = dir_->path(), .to = "/a"});
  options.jail->binds.push_back({.from = WRENN_JAIL_PROBE, .to = "/a/none"});
  error = failure(options);
  EXPECT_EQ(error.code, Code::kNotFound);
  EXPECT_EQ(error.detail, "could not mount what it is given");

  for (const char* path : {"", "/", "relative", "/a/", "/a//b", "/a/../b", "/.", "/a/.."}) {
    options = ProbeOptions({"wait"});
    options.jail->folders = {path};
    error = failure(options);
    EXPECT_EQ(error.code, Code::kInvalidArgument) << path;
    EXPECT_EQ(error.detail, path);
  }
  options = ProbeOptions({"wait"});
  options.jail->folders = {"/a", "/a"};
  EXPECT_EQ(failure(options).detail, "/a");
  options = ProbeOptions({"wait"});
  options.jail->links = {{"/l", dir_->path()}, {"/l/x", "/etc"}};
  EXPECT_EQ(failure(options).detail, "/l");
  EXPECT_TRUE(ListDirectory(dir_->path())->empty());  // it was not followed
  options = ProbeOptions({"wait"});
  options.jail->uid = 0;
  EXPECT_EQ(failure(options).code, Code::kInvalidArgument);
  EXPECT_TRUE(Traces() == before);
}

TEST_F(JailTest, ROOT_IsNotToBeHadInAChroot) {
  Folder("dev");
  ASSERT_EQ(::mknod((dir_->path() + "/dev/null").c_str(), S_IFCHR | 0666, ::makedev(1, 3)), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    EXPECT_EQ(::chroot(dir_->path().c_str()), 0);
    EXPECT_EQ(::chdir("/"), 0);
    const auto able = CheckJail();
    EXPECT_TRUE(!able && able.error().code == Code::kUnimplemented);
    EXPECT_NE(able.error().message.find("in a chroot"), std::string::npos)
        << able.error().ToString();
    std::fflush(stdout);
    ::_exit(HasFailure() ? 1 : 0);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

TEST_F(JailTest, ROOT_ManyLeaveNothing) {
  const Traces before;
  EXPECT_TRUE(before.no_children);
  SpawnOptions options = ProbeOptions({"uid"});
  options.jail->folders = {"/run"};
  options.jail->devices = {{"/dev/null", ::makedev(1, 3)}};
  for (int i = 0; i < 200; ++i) {
    auto process = Process::Spawn(options);
    ASSERT_TRUE(process) << process.error().ToString();
    EXPECT_EQ(process->Wait(Soon())->code, 77);
  }
  EXPECT_TRUE(Traces() == before);
}

}  // namespace
}  // namespace wrenn::os
