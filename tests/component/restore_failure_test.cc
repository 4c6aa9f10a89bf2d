// Restores that cannot be, machines whose server went away in the middle.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "base/io.h"
#include "os/process_info.h"
#include "tests/component/restore_fixture.h"

namespace wrenn::component {
namespace {

// For restores that fail before RAM matters.
Status NoFill(const memory::ProcessMemory&) { return {}; }

using std::chrono::milliseconds;
using testing::HasSubstr;

// The pid of a machine's VMM as soon as it runs; 0 when it does not come.
pid_t WaitForVmm(const std::string& id) {
  const Deadline deadline = Patience();
  while (!deadline.HasPassed()) {
    const auto names = os::ListDirectory("/proc");
    for (const std::string& name : *names) {
      const pid_t pid = static_cast<pid_t>(std::strtol(name.c_str(), nullptr, 10));
      if (pid <= 0) continue;
      const auto arguments = os::ReadCommandLine(pid);
      if (!arguments) continue;
      for (const std::string& argument : *arguments) {
        if (argument == "wrenn-" + id) return pid;
      }
    }
    ::usleep(5'000);  // a process that another one starts has no event
  }
  return 0;
}

// Neither a process nor a socket.
void ExpectNothingLeft(const Guest& guest) {
  EXPECT_EQ(ProcessesOf(guest.config.id), 0);
  const auto left = os::ListDirectory(guest.config.runtime_directory);
  EXPECT_TRUE(!left || left->empty());
}

class RestoreFailureTest : public RestoreTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(RestoreTest::SetUp());
    if (IsSkipped()) return;
    auto parent = BootGuest();
    ASSERT_TRUE(parent) << parent.error().ToString();
    parent_ = std::move(*parent);
    auto frozen = Take(*parent_);
    ASSERT_TRUE(frozen) << frozen.error().ToString();
    frozen_ = std::move(*frozen);
  }
  void TearDown() override {
    parent_.reset();
    RestoreTest::TearDown();
  }

  std::unique_ptr<Guest> parent_;
  std::unique_ptr<Frozen> frozen_;
};

TEST_F(RestoreFailureTest, AStateThatCannotBeLoadedSaysSoAndLeavesNothing) {
  const std::string state = *ReadFile(frozen_->State());
  ASSERT_GT(state.size(), 10'000u);
  struct stat info{};
  ASSERT_EQ(::stat(frozen_->State().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);  // the guest's secrets may be in its registers

  auto guest = Prepare(*frozen_);
  ASSERT_TRUE(guest) << guest.error().ToString();
  const std::string path = (*guest)->Path("bad-state");
  std::string flipped = state;
  for (size_t i = 0; i < 64; ++i) flipped[i] ^= 0x55;
  for (const std::string& bad : {std::string(), std::string(100'000, 'x'), flipped,
                                 state.substr(0, state.size() / 2), state.substr(0, 8)}) {
    SCOPED_TRACE(bad.size());
    ASSERT_TRUE(WriteFileAtomically(path, bad));
    const auto restored = engine_->Restore((*guest)->config, path, NoFill, Patience());
    ASSERT_FALSE(restored);
    EXPECT_THAT(restored.error().message, HasSubstr("the machine's state"));
    EXPECT_FALSE(restored.error().detail.empty());
    std::printf("%s\n", restored.error().ToString().c_str());
    ExpectNothingLeft(**guest);
  }
  const auto missing = engine_->Restore((*guest)->config, path + "-absent", NoFill, Patience());
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().ToString(), HasSubstr("machine state"));
  ExpectNothingLeft(**guest);

  // Nor does a base that is missing or another.
  vmm::MachineConfig baseless = (*guest)->config;
  baseless.memory += "-absent";
  const auto empty = engine_->Restore(baseless, frozen_->State(), NoFill, Patience());
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().code, Code::kDataLoss);
  EXPECT_THAT(empty.error().message, HasSubstr("missing"));
  EXPECT_FALSE(os::Exists(baseless.memory));
  ASSERT_TRUE(WriteFileAtomically(baseless.memory, ""));
  EXPECT_THAT(engine_->Restore(baseless, frozen_->State(), NoFill, Patience()).error().message,
              HasSubstr("of another size"));
  ExpectNothingLeft(**guest);
  // So is memory that cannot be filled.
  const auto refuse = [](const memory::ProcessMemory&) { return Fail(Code::kDataLoss, "no more"); };
  EXPECT_EQ(
      engine_->Restore((*guest)->config, frozen_->State(), refuse, Patience()).error().message,
      "no more");
  ExpectNothingLeft(**guest);

  // None of that has harmed what it begins with.
  const Status started = Start(**guest, *frozen_);
  ASSERT_TRUE(started) << started.error().ToString();
  EXPECT_EQ((*guest)->Shell("echo well"), "well\n");
}

// A state that does not come to an end: a pipe that nobody writes to.
TEST_F(RestoreFailureTest, AVmmThatHangsOrDiesWhileItLoadsLeavesNothing) {
  auto guest = Prepare(*frozen_);
  ASSERT_TRUE(guest) << guest.error().ToString();
  const std::string pipe = (*guest)->Path("endless-state");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const UniqueFd writer(::open(pipe.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(writer);

  const auto late =
      engine_->Restore((*guest)->config, pipe, NoFill, Deadline::After(milliseconds(3'000)));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Code::kDeadlineExceeded) << late.error().ToString();
  ExpectNothingLeft(**guest);

  // What is written is taken out by the VMM alone: so it is loading when the pipe is empty again.
  const std::string begin = ReadFile(frozen_->State())->substr(0, 4'000);
  ASSERT_TRUE(WriteAll(writer.get(), begin, Patience()));
  std::thread killer([&] {
    const pid_t vmm = WaitForVmm((*guest)->config.id);
    ASSERT_GT(vmm, 0);
    for (const Deadline deadline = Patience(); !deadline.HasPassed(); ::usleep(5'000)) {
      if (!WaitReady(writer.get(), POLLIN, Deadline::After(milliseconds(0)))) break;
    }
    ::kill(vmm, SIGKILL);
  });
  const auto killed = engine_->Restore((*guest)->config, pipe, NoFill, Patience());
  killer.join();
  ASSERT_FALSE(killed);
  EXPECT_THAT(killed.error().message, HasSubstr("the VMM ended while it loaded"));
  EXPECT_THAT(killed.error().detail, HasSubstr("signal 9"));
  ExpectNothingLeft(**guest);

  const Status started = Start(**guest, *frozen_);
  ASSERT_TRUE(started) << started.error().ToString();
}

TEST_F(RestoreFailureTest, ARestoredMachineIsAdoptedLikeAnother) {
  auto restored = Restore(*frozen_);
  ASSERT_TRUE(restored) << restored.error().ToString();
  Guest& guest = **restored;
  guest.Loop("count", "sleep 0.02");
  const int64_t counted = guest.WaitForRounds("count", 2);
  const json::object record = guest.machine->Record();
  guest.client.reset();
  guest.machine.reset();
  auto adopted = engine_->Adopt(guest.config, record);
  ASSERT_TRUE(adopted) << adopted.error().ToString();
  guest.machine = std::move(*adopted);
  ASSERT_TRUE(guest.Init());
  EXPECT_GE(guest.WaitForRounds("count", counted + 2), counted + 2);
  EXPECT_EQ(guest.machine->Disk(Patience()).value_or(""), guest.config.disk);
  // And can be frozen again.
  auto frozen = Take(guest);
  ASSERT_TRUE(frozen) << frozen.error().ToString();
  auto next = Restore(**frozen);
  ASSERT_TRUE(next) << next.error().ToString();
  EXPECT_GE((*next)->Rounds("count"), counted);
}

// The server was killed between the freeze and the end of it.
TEST_F(RestoreFailureTest, AMachineThatWasLeftFrozenRunsAgainWhenAdopted) {
  Guest& guest = *parent_;
  guest.Loop("count", "sleep 0.02");
  const int64_t counted = guest.WaitForRounds("count", 2);
  const json::object record = guest.machine->Record();
  const auto leave = [&] {
    guest.client.reset();
    guest.machine.reset();
  };
  const auto adopt = [&] {
    auto adopted = engine_->Adopt(guest.config, record);
    ASSERT_TRUE(adopted) << adopted.error().ToString();
    guest.machine = std::move(*adopted);
    ASSERT_TRUE(guest.Init());
    const int64_t now = guest.Rounds("count");
    EXPECT_GE(now, counted);
    EXPECT_GE(guest.WaitForRounds("count", now + 2), now + 2);
  };
  ASSERT_TRUE(guest.machine->Freeze(Patience()));
  leave();
  ASSERT_NO_FATAL_FAILURE(adopt());

  // Later: the state is saved, and the disk has its new layer.
  const auto next = PrepareLayer(guest);
  ASSERT_TRUE(next) << next.error().ToString();
  ASSERT_TRUE(guest.machine->Freeze(Patience()));
  ASSERT_TRUE(guest.machine->SaveState(guest.Path("state"), Patience()));
  ASSERT_TRUE(guest.machine->SwitchDisk(*next, Patience()));
  leave();
  ASSERT_NO_FATAL_FAILURE(adopt());
  EXPECT_EQ(guest.machine->Disk(Patience()).value_or(""), *next);
  EXPECT_EQ(guest.Shell("echo text > /root/file; sync; cat /root/file"), "text\n");

  // One without a base cannot be frozen for good, and says so.
  vmm::MachineConfig baseless = guest.config;
  baseless.memory.clear();
  leave();
  auto adopted = engine_->Adopt(baseless, record);
  ASSERT_TRUE(adopted) << adopted.error().ToString();
  guest.machine = std::move(*adopted);
  const auto memory = guest.machine->Memory();
  ASSERT_FALSE(memory);
  EXPECT_EQ(memory.error().code, Code::kFailedPrecondition);
}

}  // namespace
}  // namespace wrenn::component
