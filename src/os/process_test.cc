#include "os/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "base/io.h"
#include "os/command.h"
#include "os/files.h"
#include "os/process_info.h"

namespace wrenn::os {
namespace {

Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }

SpawnOptions Shell(const std::string& script) {
  SpawnOptions options;
  options.argv = {"sh", "-c", script};
  return options;
}

TEST(ProcessTest, TellsExitCodeAndSignal) {
  auto process = Process::Spawn(Shell("exit 7"));
  ASSERT_TRUE(process) << process.error().ToString();
  auto status = process->Wait(Soon());
  ASSERT_TRUE(status);
  EXPECT_EQ(status->ToString(), "exit code 7");
  EXPECT_EQ(process->Wait(Soon())->code, 7);  // again

  auto killed = Process::Spawn(Shell("kill -TERM $$; sleep 60"));
  ASSERT_TRUE(killed);
  EXPECT_EQ(killed->Wait(Soon())->signal, SIGTERM);
}

TEST(ProcessTest, WaitHasADeadlineAndKillEnds) {
  auto process = Process::Spawn(Shell("exec sleep 60"));
  ASSERT_TRUE(process);
  auto waited = process->Wait(Deadline::After(std::chrono::milliseconds(10)));
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().code, Code::kDeadlineExceeded);
  auto status = process->Kill(Soon());
  ASSERT_TRUE(status);
  EXPECT_EQ(status->signal, SIGKILL);
  EXPECT_TRUE(process->Signal(SIGTERM));  // harmless
}

TEST(ProcessTest, MissingProgramIsAnErrorAndLeavesNoChild) {
  SpawnOptions options;
  options.argv = {"/nowhere/at-all"};
  EXPECT_EQ(Process::Spawn(options).error().code, Code::kNotFound);
  options.argv = {"no-such-program-anywhere"};
  EXPECT_EQ(Process::Spawn(options).error().code, Code::kNotFound);
  auto dir = TemporaryDirectory::Make();
  ASSERT_TRUE(WriteFileAtomically(dir->path() + "/x", "not a program", 0755));
  options.argv = {dir->path() + "/x"};
  auto failed = Process::Spawn(options);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().detail, "could not execute");
  options = Shell("exit 0");
  options.directory = "/nowhere";
  EXPECT_EQ(Process::Spawn(options).error().detail, "could not enter its folder");
}

TEST(ProcessTest, PassesOnlyTheNamedDescriptors) {
  auto first = SocketPair();
  auto second = SocketPair();
  // A descriptor that somebody forgot to mark, and numbers that collide with their targets.
  UniqueFd stray(::open("/dev/null", O_RDONLY));
  auto dir = TemporaryDirectory::Make();
  UniqueFd out(::open((dir->path() + "/out").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  SpawnOptions options = Shell("ls -l /proc/self/fd; echo one >&3; echo two >&4");
  options.stdout_fd = out.get();
  options.pass_fds = {second->second.get(), first->second.get()};
  auto process = Process::Spawn(options);
  ASSERT_TRUE(process);
  EXPECT_TRUE(process->Wait(Soon())->Success());
  char buffer[16];
  auto got = ReadSome(second->first.get(), buffer, Soon());
  EXPECT_EQ(std::string(buffer, *got), "one\n");
  got = ReadSome(first->first.get(), buffer, Soon());
  EXPECT_EQ(std::string(buffer, *got), "two\n");
  const std::string listing = *ReadFile(dir->path() + "/out");
  // 0 to 4, and ls's own descriptor of the folder.
  EXPECT_EQ(std::count(listing.begin(), listing.end(), '>'), 6) << listing;
}

TEST(ProcessTest, AppliesSessionLimitsUmaskAndPrivileges) {
  auto dir = TemporaryDirectory::Make();
  SpawnOptions options = Shell(
      "umask > o; ulimit -c >> o; pwd >> o; grep NoNewPrivs /proc/self/status >> o;"
      "cut -d' ' -f1,6 /proc/$$/stat >> o; env >> o");
  options.directory = dir->path();
  options.umask = 077;
  options.limits = {{RLIMIT_CORE, 0}, {RLIMIT_NOFILE, RLIM_INFINITY}};
  options.no_new_privileges = true;
  const std::string more = "AND=" + std::string(200, 'x');
  options.environment = std::vector<std::string>{"ONLY=this", more};
  auto process = Process::Spawn(options);
  ASSERT_TRUE(process) << process.error().ToString();
  EXPECT_TRUE(process->Wait(Soon())->Success());
  const std::string text = *ReadFile(dir->path() + "/o");
  EXPECT_EQ(text.find("0077\n0\n" + dir->path() + "\nNoNewPrivs:\t1\n"), 0u) << text;
  const std::string pid = std::to_string(process->pid());
  EXPECT_NE(text.find(pid + " " + pid + "\n"), std::string::npos) << text;
  EXPECT_NE(text.find("ONLY=this\n"), std::string::npos);
  EXPECT_NE(text.find(more + "\n"), std::string::npos);
  EXPECT_EQ(text.find("HOME="), std::string::npos);
}

TEST(ProcessTest, HugePagesAreForTheAsking) {
  for (const bool none : {false, true}) {
    auto dir = TemporaryDirectory::Make();
    SpawnOptions options = Shell("grep THP_enabled /proc/self/status > o");
    options.directory = dir->path();
    options.no_huge_pages = none;
    auto process = Process::Spawn(options);
    ASSERT_TRUE(process) << process.error().ToString();
    EXPECT_TRUE(process->Wait(Soon())->Success());
    EXPECT_EQ(*ReadFile(dir->path() + "/o"), none ? "THP_enabled:\t0\n" : "THP_enabled:\t1\n");
  }
}

TEST(ProcessTest, OpensByPidAndStartTimeOnly) {
  SpawnOptions options;
  options.argv = {"sleep", "60"};
  auto process = Process::Spawn(options);
  ASSERT_TRUE(process);
  auto again = Process::Open(process->pid(), process->start_time());
  ASSERT_TRUE(again) << again.error().ToString();
  auto other = Process::Open(process->pid(), process->start_time() + 1);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Code::kNotFound);
  EXPECT_GT(*ProportionalMemoryBytes(process->pid()), 0u);
  EXPECT_EQ(ReadCommandLine(process->pid())->at(1), "60");
  ASSERT_TRUE(process->Signal(SIGKILL));
  ASSERT_TRUE(WaitReady(process->pidfd(), 1, Soon()));
  // A zombie has ended.
  EXPECT_EQ(Process::Open(process->pid(), process->start_time()).error().code, Code::kNotFound);
  EXPECT_EQ(again->Wait(Soon())->signal, SIGKILL);  // it is our child whoever holds the object
  EXPECT_FALSE(process->Wait(Soon())->known);
  EXPECT_EQ(Process::Open(-1, 0).error().code, Code::kNotFound);
}

TEST(ProcessTest, ManyThreadsSpawnAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 10; ++n) {
        auto process = Process::Spawn(Shell("exit 0"));
        if (process && process->Wait(Soon())->Success()) ++good;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 40);
}

TEST(ProcessInfoTest, StatusSurvivesNamesWithParentheses) {
  auto stat = ParseProcessStat("12 (a) b) (c) S 7 12 12 0 -1 0 0 0 0 0 1 2 3 4 20 0 1 0 4711 8 9");
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->state, 'S');
  EXPECT_EQ(stat->parent, 7);
  EXPECT_EQ(stat->start_time, 4711u);
  EXPECT_FALSE(ParseProcessStat(""));
  EXPECT_FALSE(ParseProcessStat("12 (x) S 7"));
  EXPECT_EQ(BootId()->size(), 36u);
}

TEST(ProcessInfoTest, NotBeingAbleToLookIsNotAnEnd) {
  EXPECT_EQ(ReadProcessStat(0).error().code, Code::kNotFound);
  EXPECT_EQ(ReadCommandLine(0).error().code, Code::kNotFound);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto stat = ReadProcessStat(::getpid());
  const auto arguments = ReadCommandLine(::getpid());
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(stat.error().code, Code::kResourceExhausted);
  EXPECT_EQ(arguments.error().code, Code::kResourceExhausted);
}

TEST(CommandTest, TakesOutputAndStatus) {
  CommandOptions options;
  options.argv = {"sh", "-c", "head -c 200000 /dev/zero; echo oops >&2; exit 3"};
  auto result = RunCommand(options, Soon());
  ASSERT_TRUE(result) << result.error().ToString();
  EXPECT_EQ(result->stdout_text.size(), 200000u);
  EXPECT_EQ(result->stderr_text, "oops\n");
  EXPECT_EQ(result->exit.code, 3);

  auto failed = RunCommandOrFail(options, Soon());
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "sh failed: exit code 3: oops");
  options.output_limit = 1000;
  EXPECT_EQ(RunCommand(options, Soon()).error().code, Code::kOutOfRange);
}

TEST(CommandTest, KillsTheGroupAtTheDeadline) {
  auto dir = TemporaryDirectory::Make();
  CommandOptions options;
  options.argv = {"sh", "-c", "sleep 300 & echo $! > pid; wait"};
  options.directory = dir->path();
  auto result = RunCommand(options, Deadline::After(std::chrono::milliseconds(1000)));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kDeadlineExceeded);
  const pid_t pid = std::stoi(*ReadFile(dir->path() + "/pid"));
  // The signal may take a moment to act, and whoever adopts orphans here to collect what it left.
  const Deadline limit = Soon();
  auto stat = ReadProcessStat(pid);
  while (stat && stat->state != 'Z' && !limit.HasPassed()) stat = ReadProcessStat(pid);
  EXPECT_TRUE(!stat || stat->state == 'Z');
}

TEST(CommandTest, LastLineIsPrintable) {
  EXPECT_EQ(LastLine("a\nb\x01\r\n  \n"), "b");
  EXPECT_EQ(LastLine(""), "");
  EXPECT_EQ(LastLine("\n \n"), "");
  EXPECT_EQ(LastLine("a"), "a");
  EXPECT_EQ(LastLine(std::string(1000, 'x')).size(), 300u);
}

TEST(CommandTest, DoesNotWaitForWhatWasLeftBehind) {
  CommandOptions options;
  options.argv = {"sh", "-c", "sleep 300 & echo done"};
  auto result = RunCommand(options, Soon());
  ASSERT_TRUE(result) << result.error().ToString();
  EXPECT_EQ(result->stdout_text, "done\n");
}

TEST(CommandTest, EndlessOutputEndsAtTheDeadline) {
  CommandOptions options;
  options.argv = {"yes"};
  size_t bytes = 0;
  options.on_stdout = [&](std::string_view text) { bytes += text.size(); };
  EXPECT_EQ(RunCommand(options, Deadline::After(std::chrono::milliseconds(100))).error().code,
            Code::kDeadlineExceeded);
  EXPECT_GT(bytes, 0u);
}

}  // namespace
}  // namespace wrenn::os
