// Slots after the end of the process that made them, at whatever step.
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <functional>

#include "net/test_slot_pool.h"

namespace wrenn::net {
namespace {

class SlotRecoveryTest : public SlotPoolTest {};

// Runs `work` in a child and kills it as it enters the `point`th system call that could change
// something, in whichever thread. False when there are fewer.
bool KillAt(int point, const std::function<void()>& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    work();
    ::_exit(0);
  }
  const auto changes = [](long call) {
    for (const long one : {SYS_sendto, SYS_mount, SYS_umount2, SYS_unlink, SYS_openat, SYS_ioctl,
                           SYS_unshare, SYS_setns, SYS_write, SYS_pwrite64}) {
      if (call == one) return true;
    }
    return false;
  };
  int status = 0;
  ::waitpid(child, &status, 0);
  constexpr long kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
  ::ptrace(PTRACE_SETOPTIONS, child, nullptr, kOptions);
  ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
  int seen = 0;
  bool killed = false;
  for (;;) {
    const pid_t thread = ::waitpid(-1, &status, __WALL);
    if (thread < 0) break;
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      if (thread == child) break;
      continue;
    }
    if (WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80) && !killed) {
      __ptrace_syscall_info info{};
      ::ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info);
      if (info.op == PTRACE_SYSCALL_INFO_ENTRY && changes(static_cast<long>(info.entry.nr)) &&
          ++seen == point) {
        killed = true;
        ::kill(child, SIGKILL);
      }
    }
    ::ptrace(PTRACE_SYSCALL, thread, nullptr, nullptr);
  }
  return killed;
}

TEST_F(SlotRecoveryTest, KilledAtAnyStepNothingIsLeft) {
  options_.ready = 0;
  Start().reset();
  const Traces before = Count();
  int points = 0;
  int leftovers = 0;
  for (;; ++points) {
    const bool killed = KillAt(points + 1, [&] {
      const SlotPlan plan = SlotPlan::For(7);
      const auto host = SlotHost::Claim(options_.folder);
      if (!host || !(*host)->SetUp({})) ::_exit(1);
      auto slot = Slot::Make(**host, plan);
      if (!slot || !slot->SetPolicy({.internet = true, .upload = 1'000'000}) ||
          !Slot::Remove(**host, {plan})) {
        ::_exit(1);
      }
    });
    if (!killed) break;
    if (Traces left = Count(); left.files + left.devices + left.rules > 0) ++leftovers;
    const auto pool = Start();
    ASSERT_TRUE(pool->WaitIdle(Soon()));
    Traces after = Count();
    after.descriptors = before.descriptors;  // the pool's own are open
    EXPECT_EQ(after, before) << "killed at " << points + 1;
  }
  std::printf("killed at %d points, something was left at %d of them and removed\n", points,
              leftovers);
  EXPECT_GT(points, 20);
  EXPECT_GT(leftovers, 10);
  EXPECT_EQ(Count(), before);
}

TEST_F(SlotRecoveryTest, KilledWithManyInUseNothingIsLeft) {
  options_.ready = 2;
  Start().reset();
  const Traces before = Count();
  int ready[2];
  ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto pool = SlotPool::Start(options_, {});
    std::vector<Slot> slots;
    for (int i = 0; i < 10; ++i) slots.push_back(std::move(*(*pool)->Claim({.internet = true})));
    for (int i = 0; i < 5; ++i) (*pool)->Release(std::move(slots[i]));
    (void)WriteQuietly(ready[1], "x");
    for (;;) ::pause();
  }
  char byte;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
  EXPECT_GT(Count().devices, 4U);
  options_.ready = 0;
  {
    const auto pool = Start();
    ASSERT_TRUE(pool->WaitIdle(Soon()));
  }
  EXPECT_EQ(Count(), before);
}

}  // namespace
}  // namespace wrenn::net
