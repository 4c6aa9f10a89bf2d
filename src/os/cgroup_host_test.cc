#include "os/cgroup.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <fstream>
#include <functional>

#include "os/cgroup_tree.h"
#include "os/files.h"
#include "os/test_jail.h"

namespace wrenn::os {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kMiB = 1 << 20;
const std::string kTop = "/sys/fs/cgroup";

Deadline Soon() { return Deadline::After(milliseconds(60000)); }

class CgroupTest : public testing::Test {
 protected:
  void SetUp() override {
    auto tree = CgroupTree::Open("test");
    ASSERT_TRUE(tree) << tree.error().ToString();
    tree_.emplace(std::move(*tree));
    ASSERT_TRUE(tree_->missing().empty());
  }
  void TearDown() override {
    if (!tree_) return;
    EXPECT_TRUE(tree_->RemoveStale({}, Soon()));
    EXPECT_TRUE(tree_->Ids()->empty());
    EXPECT_EQ(::rmdir(tree_->path().c_str()), 0);
  }

  Cgroup Make(const std::string& id, const CgroupLimits& limits = {}) {
    auto cgroup = tree_->Make(id, limits);
    EXPECT_TRUE(cgroup) << cgroup.error().ToString();
    return std::move(*cgroup);
  }
  static Process Start(const Cgroup& cgroup, const std::string& what) {
    SpawnOptions options = ProbeOptions({what});
    options.cgroup_fd = cgroup.fd();
    auto process = Process::Spawn(options);
    EXPECT_TRUE(process) << process.error().ToString();
    return std::move(*process);
  }
  std::string Value(const std::string& id, const std::string& file) {
    std::string text = *ReadFile(tree_->path() + "/" + id + "/" + file);
    return text.substr(0, text.find('\n'));
  }

  // Whether it has no process any more, or has one, within a while.
  bool BecomesEmpty(const std::string& id, bool empty) {
    const Deadline deadline = Soon();
    while (Value(id, "cgroup.procs").empty() != empty) {
      if (deadline.HasPassed()) return false;
      ::usleep(1000);
    }
    return true;
  }

  std::optional<CgroupTree> tree_;
};

// In a child, whose failures are told and are this one's.
void InChild(const std::function<void()>& test) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    test();
    std::fflush(stdout);
    ::_exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

void Enter(const std::string& cgroup) {
  std::ofstream(cgroup + "/cgroup.procs") << ::getpid() << std::flush;
}

// Mounts of this process's own, so that cgroups can look as in a container.
void OwnMounts() {
  ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
  ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
}

TEST_F(CgroupTest, CGROUP_LivesUntilItIsRemoved) {
  EXPECT_EQ(tree_->path(), kTop + "/wrenn-test");
  EXPECT_TRUE(tree_->Ids()->empty());
  Make("sb-2");
  {
    const Cgroup cgroup = Make(
        "sb-1", {.memory_bytes = 64 * kMiB, .cpu_millis = 1500, .cpu_weight = 50, .processes = 10});
    EXPECT_EQ(cgroup.id(), "sb-1");
  }
  EXPECT_EQ(*tree_->Ids(), (std::vector<std::string>{"sb-1", "sb-2"}));
  EXPECT_EQ(Value("sb-1", "memory.max"), std::to_string(64 * kMiB));
  EXPECT_EQ(Value("sb-1", "memory.oom.group"), "1");
  EXPECT_EQ(Value("sb-1", "memory.swap.max"), "0");
  EXPECT_EQ(Value("sb-1", "cpu.max"), "150000 100000");
  EXPECT_EQ(Value("sb-1", "cpu.weight"), "50");
  EXPECT_EQ(Value("sb-1", "pids.max"), "10");
  EXPECT_EQ(Value("sb-2", "memory.max"), "max");

  auto again = CgroupTree::Open("test");  // another server, later
  ASSERT_TRUE(again);
  auto adopted = again->Adopt("sb-1");
  ASSERT_TRUE(adopted);
  EXPECT_TRUE(adopted->SetLimits({.processes = 5}));
  EXPECT_EQ(Value("sb-1", "pids.max"), "5");
  EXPECT_EQ(Value("sb-1", "cpu.max"), "max 100000");
  EXPECT_EQ(Value("sb-1", "cpu.weight"), "100");
  EXPECT_EQ(Value("sb-1", "memory.max"), "max");
  EXPECT_TRUE(adopted->Remove(Soon()));
  EXPECT_TRUE(adopted->Remove(Soon()));  // harmless
  EXPECT_TRUE(adopted->Kill(Soon()));
  EXPECT_EQ(*tree_->Ids(), std::vector<std::string>{"sb-2"});
}

// Killed between the child's birth and its program, a parent has left no record of it.
TEST_F(CgroupTest, CGROUP_AChildWhoseParentWasKilledDoesNotBegin) {
  const auto folder = TemporaryDirectory::Make();
  ASSERT_TRUE(folder);
  for (const bool killed : {true, false}) {
    const Cgroup cgroup = Make(killed ? "sb-1" : "sb-2");
    const std::string path = tree_->path() + "/" + cgroup.id();
    const std::string mark = folder->path() + "/" + cgroup.id();
    ASSERT_TRUE(std::ofstream(path + "/cgroup.freeze") << 1 << std::flush);
    const pid_t parent = ::fork();
    if (parent == 0) {
      SpawnOptions options;
      options.argv = {"touch", mark};
      options.cgroup_fd = cgroup.fd();
      ::_exit(Process::Spawn(options) ? 0 : 1);
    }
    ASSERT_TRUE(BecomesEmpty(cgroup.id(), false));
    pid_t ended = 0;
    if (killed) {
      ::kill(parent, SIGKILL);
      ended = ::waitpid(parent, nullptr, 0);
    }
    ASSERT_TRUE(std::ofstream(path + "/cgroup.freeze") << 0 << std::flush);
    if (!killed) ended = ::waitpid(parent, nullptr, 0);
    ASSERT_EQ(ended, parent);
    ASSERT_TRUE(BecomesEmpty(cgroup.id(), true));
    EXPECT_EQ(::access(mark.c_str(), F_OK) == 0, !killed);
  }
}

TEST_F(CgroupTest, CGROUP_RefusesWhatCannotBe) {
  Make("sb-1");
  EXPECT_EQ(tree_->Make("sb-1", {}).error().code, Code::kAlreadyExists);
  EXPECT_EQ(tree_->Adopt("sb-2").error().code, Code::kNotFound);
  for (const char* id : {"", "..", "a/b", "A", "cgroup.procs"}) {
    EXPECT_EQ(tree_->Make(id, {}).error().code, Code::kInvalidArgument) << id;
    EXPECT_EQ(tree_->Adopt(id).error().code, Code::kInvalidArgument) << id;
  }
  EXPECT_EQ(CgroupTree::Open("a/b").error().code, Code::kInvalidArgument);
  EXPECT_FALSE(tree_->Make("sb-2", {.cpu_weight = 0}));
  EXPECT_FALSE(tree_->Make("sb-3", {.io = {{.device = ::makedev(250, 250), .read_bytes = 1}}}));
  EXPECT_EQ(*tree_->Ids(), std::vector<std::string>{"sb-1"});
  SpawnOptions options = ProbeOptions({"wait"});
  const UniqueFd other(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  options.cgroup_fd = other.get();
  EXPECT_FALSE(Process::Spawn(options));
}

TEST_F(CgroupTest, CGROUP_HoldsAProcessFromItsFirstInstruction) {
  const Cgroup cgroup = Make("sb-1");
  SpawnOptions options;
  options.argv = {"cat", "/proc/self/cgroup"};
  options.cgroup_fd = cgroup.fd();
  EXPECT_EQ(Output(options), "0::/wrenn-test/sb-1\n");
  EXPECT_GT(cgroup.Usage()->cpu_microseconds, 0u);
  EXPECT_EQ(cgroup.Usage()->processes, 0u);

  Process jailed = Start(cgroup, "wait");
  const std::string proc = "/proc/" + std::to_string(jailed.pid());
  EXPECT_EQ(*ReadFile(proc + "/cgroup"), "0::/wrenn-test/sb-1\n");
  EXPECT_EQ(cgroup.Usage()->processes, 1u);
  EXPECT_GT(cgroup.Usage()->memory_bytes, 0u);
  auto adopted = tree_->Adopt("sb-1");
  EXPECT_EQ(adopted->Remove(Deadline::After(milliseconds(20))).error().code,
            Code::kDeadlineExceeded);
  EXPECT_TRUE(adopted->Kill(Soon()));
  EXPECT_EQ(jailed.Wait(Soon())->signal, SIGKILL);
  EXPECT_TRUE(adopted->Remove(Soon()));
}

TEST_F(CgroupTest, CGROUP_WhoEatsMemoryEndsWithAllOfIts) {
  const Cgroup cgroup = Make("sb-1", {.memory_bytes = 32 * kMiB});
  const Cgroup other = Make("sb-2", {.memory_bytes = 32 * kMiB});
  Process innocent = Start(cgroup, "wait");
  Process neighbour = Start(other, "wait");
  Process eater = Start(cgroup, "eat");
  EXPECT_EQ(eater.Wait(Soon())->signal, SIGKILL);
  EXPECT_EQ(innocent.Wait(Soon())->signal, SIGKILL);
  const auto events = cgroup.Events();
  ASSERT_TRUE(events);
  EXPECT_GE(events->memory_kills, 2u);
  EXPECT_GE(events->out_of_memory, 1u);
  EXPECT_GE(events->memory_limit, 1u);
  const auto usage = cgroup.Usage();
  EXPECT_GT(usage->memory_peak_bytes, 31 * kMiB);
  EXPECT_LE(usage->memory_peak_bytes, 32 * kMiB);
  EXPECT_EQ(other.Events()->memory_kills, 0u);
  EXPECT_EQ(neighbour.Wait(Deadline::After(milliseconds(0))).error().code, Code::kDeadlineExceeded);
  EXPECT_TRUE(neighbour.Kill(Soon()));
}

TEST_F(CgroupTest, CGROUP_WhoForksWithoutEndIsBounded) {
  Cgroup cgroup = Make("sb-1", {.processes = 8});
  SpawnOptions options = ProbeOptions({"fork"});
  options.cgroup_fd = cgroup.fd();
  auto running = StartWithOutput(options);
  ASSERT_TRUE(running) << running.error().ToString();
  EXPECT_EQ(running->Read("\n"), "made 7\n");
  EXPECT_EQ(cgroup.Usage()->processes, 8u);
  EXPECT_GE(cgroup.Events()->processes_refused, 1u);
  EXPECT_TRUE(cgroup.Kill(Soon()));
  EXPECT_EQ(running->process.Wait(Soon())->signal, SIGKILL);
  EXPECT_TRUE(cgroup.Remove(Soon()));
}

TEST_F(CgroupTest, CGROUP_ProcessorTimeIsBounded) {
  const Cgroup cgroup = Make("sb-1", {.cpu_millis = 200});
  Process spinner = Start(cgroup, "spin");
  // Of one processor, over two seconds.
  const auto share = [&] {
    const auto begin = Deadline::Clock::now();
    const uint64_t used = cgroup.Usage()->cpu_microseconds;
    EXPECT_FALSE(spinner.Wait(Deadline::After(milliseconds(2000))));
    const std::chrono::duration<double, std::micro> took = Deadline::Clock::now() - begin;
    return static_cast<double>(cgroup.Usage()->cpu_microseconds - used) / took.count();
  };
  const double bounded = share();
  EXPECT_GT(bounded, 0.05);
  EXPECT_LT(bounded, 0.3);
  EXPECT_TRUE(cgroup.SetLimits({}));
  EXPECT_GT(share(), 2 * bounded);
  EXPECT_TRUE(spinner.Kill(Soon()));
}

TEST_F(CgroupTest, CGROUP_InputAndOutputAreBounded) {
  auto dir = TemporaryDirectory::Make("/host");  // on a disk
  ASSERT_TRUE(dir) << dir.error().ToString();
  struct stat info;
  ASSERT_EQ(::stat(dir->path().c_str(), &info), 0);
  const Cgroup cgroup = Make("sb-1", {.io = {{.device = info.st_dev, .write_bytes = kMiB}}});
  const std::string device = fmt::format("{}:{}", ::major(info.st_dev), ::minor(info.st_dev));
  EXPECT_EQ(Value("sb-1", "io.max"), device + " rbps=max wbps=1048576 riops=max wiops=max");
  const auto write = [&] {
    const auto begin = Deadline::Clock::now();
    SpawnOptions options;
    options.argv = {"dd",      "if=/dev/zero", "of=" + dir->path() + "/file",
                    "bs=256k", "count=12",     "oflag=direct"};
    options.cgroup_fd = cgroup.fd();
    auto process = Process::Spawn(options);
    EXPECT_TRUE(process && process->Wait(Soon())->Success());
    return std::chrono::duration<double>(Deadline::Clock::now() - begin).count();
  };
  const double bounded = write();  // 3 MiB
  EXPECT_GT(bounded, 2.0);
  EXPECT_GE(cgroup.Usage()->write_bytes, 3 * kMiB);
  EXPECT_TRUE(cgroup.SetLimits({}));
  EXPECT_EQ(Value("sb-1", "io.max"), "");
  EXPECT_LT(write(), bounded);
}

TEST_F(CgroupTest, CGROUP_StaleOnesGoWithTheirProcesses) {
  const Cgroup kept = Make("sb-kept");
  Make("sb-empty");
  const Cgroup stale = Make("sb-stale");
  Process first = Start(kept, "wait");
  Process second = Start(stale, "wait");
  Process third = Start(stale, "fork");
  EXPECT_TRUE(tree_->RemoveStale({"sb-kept", "sb-unknown"}, Soon()));
  EXPECT_EQ(*tree_->Ids(), std::vector<std::string>{"sb-kept"});
  EXPECT_EQ(second.Wait(Soon())->signal, SIGKILL);
  EXPECT_EQ(third.Wait(Soon())->signal, SIGKILL);
  EXPECT_FALSE(first.Wait(Deadline::After(milliseconds(0))));
  EXPECT_TRUE(first.Kill(Soon()));
}

TEST(CgroupTreeTest, CGROUP_ManyLivesLeaveNothing) {
  auto tree = CgroupTree::Open("test");
  ASSERT_TRUE(tree);
  const auto cgroups = [] { return *ReadFile("/proc/cgroups"); };
  const std::string before = cgroups();
  const std::string mounts = *ReadFile("/proc/self/mountinfo");
  const size_t descriptors = ListDirectory("/proc/self/fd")->size();
  for (int i = 0; i < 50; ++i) {
    auto cgroup = tree->Make("sb-1", {.memory_bytes = 32 * kMiB, .processes = 4});
    ASSERT_TRUE(cgroup) << cgroup.error().ToString();
    SpawnOptions options = ProbeOptions({"fork"});
    options.cgroup_fd = cgroup->fd();
    auto process = Process::Spawn(options);
    ASSERT_TRUE(process) << process.error().ToString();
    EXPECT_TRUE(cgroup->Kill(Soon()));
    EXPECT_EQ(process->Wait(Soon())->signal, SIGKILL);
    EXPECT_TRUE(cgroup->Remove(Soon()));
  }
  EXPECT_TRUE(tree->Ids()->empty());
  EXPECT_EQ(*ReadFile("/proc/self/mountinfo"), mounts);
  EXPECT_EQ(ListDirectory("/proc/self/fd")->size(), descriptors);
  EXPECT_EQ(::rmdir(tree->path().c_str()), 0);
}

TEST(CgroupTreeTest, CGROUP_IsWhereSystemdAllows) {
  const std::string service = kTop + "/test.service";
  ASSERT_TRUE(MakeDirectory(service));
  ASSERT_TRUE(MakeDirectory(service + "/server"));
  ASSERT_EQ(::setxattr(service.c_str(), "trusted.delegate", "1", 1, 0), 0) << errno;
  InChild([&] {
    Enter(service + "/server");
    auto tree = CgroupTree::Open("test");
    ASSERT_TRUE(tree) << tree.error().ToString();
    EXPECT_EQ(tree->path(), service + "/wrenn-test");
    EXPECT_TRUE(tree->missing().empty());
    EXPECT_EQ(::rmdir(tree->path().c_str()), 0);
  });
  // Its own cgroup is no place: it would end with the service.
  ASSERT_EQ(::setxattr((service + "/server").c_str(), "trusted.delegate", "1", 1, 0), 0);
  ASSERT_EQ(::removexattr(service.c_str(), "trusted.delegate"), 0);
  InChild([&] {
    Enter(service + "/server");
    auto tree = CgroupTree::Open("test");
    ASSERT_TRUE(tree) << tree.error().ToString();
    EXPECT_EQ(tree->path(), kTop + "/wrenn-test");
    EXPECT_EQ(::rmdir(tree->path().c_str()), 0);
  });
  EXPECT_EQ(::rmdir((service + "/server").c_str()), 0);
  EXPECT_EQ(::rmdir(service.c_str()), 0);
}

TEST(CgroupTreeTest, CGROUP_WorksInAContainerThatMayWrite) {
  const std::string container = kTop + "/test-container";
  ASSERT_TRUE(MakeDirectory(container));
  InChild([&] {
    Enter(container);
    ASSERT_EQ(::unshare(CLONE_NEWCGROUP), 0);
    OwnMounts();
    ASSERT_EQ(::umount2(kTop.c_str(), MNT_DETACH), 0);
    ASSERT_EQ(::mount("none", kTop.c_str(), "cgroup2", 0, nullptr), 0) << errno;
    auto tree = CgroupTree::Open("test");
    ASSERT_TRUE(tree) << tree.error().ToString();
    EXPECT_EQ(tree->path(), kTop + "/wrenn-test");
    EXPECT_TRUE(tree->missing().empty());
    EXPECT_EQ(*ReadFile("/proc/self/cgroup"), "0::/wrenn-host\n");
    auto cgroup = tree->Make("sb-1", {.memory_bytes = kMiB});
    ASSERT_TRUE(cgroup) << cgroup.error().ToString();
    SpawnOptions options = ProbeOptions({"eat"});
    options.cgroup_fd = cgroup->fd();
    auto process = Process::Spawn(options);
    ASSERT_TRUE(process) << process.error().ToString();
    EXPECT_EQ(process->Wait(Soon())->signal, SIGKILL);
    EXPECT_TRUE(cgroup->Remove(Soon()));
    EXPECT_EQ(::rmdir(tree->path().c_str()), 0);
  });
  EXPECT_EQ(::rmdir((container + "/wrenn-host").c_str()), 0);
  EXPECT_EQ(::rmdir(container.c_str()), 0);
}

TEST(CgroupTreeTest, CGROUP_SaysWhatIsInTheWay) {
  // The own process, in a cgroup above that may have others: cpu alone is let through then.
  const std::string container = kTop + "/test-container";
  ASSERT_TRUE(MakeDirectory(container));
  InChild([&] {
    Enter(container);
    std::ofstream(container + "/cgroup.subtree_control") << "+cpu" << std::flush;
    ASSERT_EQ(::unshare(CLONE_NEWCGROUP), 0);
    OwnMounts();
    ASSERT_EQ(::umount2(kTop.c_str(), MNT_DETACH), 0);
    ASSERT_EQ(::mount("none", kTop.c_str(), "cgroup2", 0, nullptr), 0) << errno;
    const auto tree = CgroupTree::Open("test");
    ASSERT_FALSE(tree);
    EXPECT_EQ(tree.error().code, Code::kUnimplemented);
    EXPECT_NE(tree.error().message.find("Delegate=yes"), std::string::npos);
  });
  EXPECT_EQ(::rmdir(container.c_str()), 0);
}

TEST(CgroupTreeTest, CGROUP_SaysWhatIsMissing) {
  InChild([] {
    OwnMounts();
    ASSERT_EQ(::mount(nullptr, kTop.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr),
              0);
    const auto tree = CgroupTree::Open("test");
    ASSERT_FALSE(tree);
    EXPECT_EQ(tree.error().code, Code::kUnimplemented);
    EXPECT_NE(tree.error().message.find("only be read"), std::string::npos)
        << tree.error().ToString();
  });
  InChild([] {
    OwnMounts();
    ASSERT_EQ(::umount2(kTop.c_str(), MNT_DETACH), 0);
    const auto tree = CgroupTree::Open("test");
    ASSERT_FALSE(tree);
    EXPECT_EQ(tree.error().code, Code::kUnimplemented);
    EXPECT_NE(tree.error().message.find("mount -t cgroup2"), std::string::npos);
  });
  InChild([] {
    ASSERT_EQ(::setuid(kJailUid), 0);
    const auto tree = CgroupTree::Open("test");
    ASSERT_FALSE(tree);
    EXPECT_EQ(tree.error().code, Code::kPermissionDenied);
  });
}

}  // namespace
}  // namespace wrenn::os
