// Machines of snapshots: what they have of the machine before, and what they do not share with it.
#include <gmock/gmock.h>

#include <chrono>

#include "memory/verify.h"
#include "net/slot_plan.h"
#include "net/user_network.h"
#include "os/process.h"
#include "tests/component/restore_fixture.h"

namespace wrenn::component {
namespace {

using testing::HasSubstr;

// The difference of the guest's wall clock to this host's, in seconds.
int64_t ClockError(Guest& guest) {
  using std::chrono::system_clock;
  const int64_t there = std::strtoll(guest.Shell("date +%s").c_str(), nullptr, 10);
  return std::abs(there - system_clock::to_time_t(system_clock::now()));
}

double Uptime(Guest& guest) {
  return std::strtod(guest.Shell("cat /proc/uptime").c_str(), nullptr);
}

// Fills RAM with what nobody can guess, and a file on the disk; what is in the page cache alone
// too. Answers the digests.
std::string Scatter(Guest& guest) {
  return guest.Shell(
      "mkdir -p /run/ram && mount -t tmpfs none /run/ram && "
      "head -c 6000000 /dev/urandom > /run/ram/random && "
      "head -c 1000000 /dev/urandom > /root/synced && sync && "
      "head -c 500000 /dev/urandom > /root/cached && "
      "cat /run/ram/random /root/synced /root/cached | sha256sum");
}

constexpr const char* kDigest = "cat /run/ram/random /root/synced /root/cached | sha256sum";
// The same with nothing of it in the page cache.
constexpr const char* kDigestFromDisk =
    "sync; echo 3 > /proc/sys/vm/drop_caches; cat /run/ram/random /root/synced /root/cached | "
    "sha256sum";

TEST_F(RestoreTest, ClonesGoOnWhereTheirParentWas) {
  auto parent = BootGuest();
  ASSERT_TRUE(parent) << parent.error().ToString();
  const std::string digest = Scatter(**parent);
  ASSERT_THAT(digest, testing::MatchesRegex("[0-9a-f]+  -\n"));
  (*parent)->Loop("count", "sleep 0.02");
  const std::string pid = (*parent)->Shell("cat /run/count.pid");
  (void)(*parent)->Shell("date -s @1577836800");  // 2020
  ASSERT_GT(ClockError(**parent), 1'000'000);
  const int64_t counted = (*parent)->WaitForRounds("count", 5);
  ASSERT_GE(counted, 5);
  const double uptime = Uptime(**parent);
  ASSERT_GT(uptime, 0);

  auto frozen = Take(**parent);
  ASSERT_TRUE(frozen) << frozen.error().ToString();
  const Status sound = memory::Verify((*frozen)->image, (*frozen)->folder.path());
  EXPECT_TRUE(sound) << sound.error().ToString();
  // What comes after it is the parent's alone.
  (void)(*parent)->Shell("echo parent | tee /run/ram/mine > /root/mine; sync");

  auto first = Restore(**frozen);
  ASSERT_TRUE(first) << first.error().ToString();
  EXPECT_LE(ClockError(**first), 2);
  auto second = Restore(**frozen);
  ASSERT_TRUE(second) << second.error().ToString();
  EXPECT_LE(ClockError(**second), 2);
  for (Guest* clone : {first->get(), second->get()}) {
    EXPECT_EQ(clone->Shell(kDigest), digest);
    EXPECT_EQ(clone->Shell("ls /root/mine /run/ram/mine 2> /dev/null"), "");
    // The same process, going on from where it was.
    EXPECT_EQ(clone->Shell("cat /run/count.pid"), pid);
    const int64_t now = clone->Rounds("count");
    EXPECT_GE(now, counted);
    EXPECT_GE(clone->WaitForRounds("count", now + 5), now + 5);
    // Its time stood still; it neither began again nor leapt.
    EXPECT_GE(Uptime(*clone), uptime);
    EXPECT_LT(Uptime(*clone), uptime + 120);
  }

  (void)(*first)->Shell("echo first | tee /run/ram/mine > /root/mine; rm /root/synced; sync");
  (void)(*second)->Shell("echo second | tee /run/ram/mine > /root/mine; sync");
  for (const auto& [guest, name] :
       {std::pair(parent->get(), "parent\nparent\n"), std::pair(first->get(), "first\nfirst\n"),
        std::pair(second->get(), "second\nsecond\n")}) {
    (void)guest->Shell("echo 3 > /proc/sys/vm/drop_caches");
    EXPECT_EQ(guest->Shell("cat /run/ram/mine /root/mine"), name);
  }
  EXPECT_EQ((*parent)->Shell(kDigestFromDisk), digest);
  EXPECT_EQ((*second)->Shell(kDigestFromDisk), digest);
  // Nobody has written to what they share.
  EXPECT_TRUE(memory::Verify((*frozen)->image, (*frozen)->folder.path()));
}

// A clone is frozen, and its clone: memory of more than one file, pages that became zero.
TEST_F(RestoreTest, GenerationsKeepWhatTheirAncestorsHad) {
  auto guest = BootGuest();
  ASSERT_TRUE(guest) << guest.error().ToString();
  std::string digest = Scatter(**guest);
  // Many pages that a later generation makes zero.
  (void)(*guest)->Shell("head -c 5000000 /dev/urandom > /run/ram/old");
  for (int generation = 1; generation <= 3; ++generation) {
    SCOPED_TRACE(generation);
    auto frozen = Take(**guest);
    ASSERT_TRUE(frozen) << frozen.error().ToString();
    EXPECT_TRUE(memory::Verify((*frozen)->image, (*frozen)->folder.path()));
    // The base stays, what differs is beside it.
    EXPECT_EQ((*frozen)->image.base, 0u);
    EXPECT_EQ((*frozen)->image.files.size(), static_cast<size_t>(generation));
    EXPECT_EQ((*frozen)->layers.size(), static_cast<size_t>(generation));
    guest = Restore(**frozen);
    ASSERT_TRUE(guest) << guest.error().ToString();
    EXPECT_EQ((*guest)->Shell(kDigestFromDisk), digest);
    EXPECT_EQ((*guest)->Shell("cat /root/generation /run/ram/generation 2> /dev/null | wc -l"),
              fmt::format("{}\n", 2 * (generation - 1)));
    (void)(*guest)->Shell(fmt::format(
        "for f in /root/generation /run/ram/generation; do echo {} >> $f; done; "
        "dd if=/dev/zero of=/run/ram/old bs=1M seek={} count=1 conv=notrunc 2> /dev/null; "
        "head -c 500000 /dev/urandom > /root/cached; sync",
        generation, generation));
    digest = (*guest)->Shell(kDigest);
  }
  EXPECT_EQ((*guest)->Shell("head -c 4194304 /run/ram/old | tail -c 3145728 | tr -d '\\0' | wc -c"),
            "0\n");
}

TEST_F(RestoreTest, BothOfTwoProcessorsGoOn) {
  config_.vcpus = 2;
  auto parent = BootGuest();
  ASSERT_TRUE(parent) << parent.error().ToString();
  (*parent)->Loop("zero", "taskset -p 1 $$; sleep 0.02");
  (*parent)->Loop("one", "taskset -p 2 $$; sleep 0.02");
  ASSERT_GT((*parent)->WaitForRounds("zero", 2), 0);
  ASSERT_GT((*parent)->WaitForRounds("one", 2), 0);
  auto frozen = Take(**parent);
  ASSERT_TRUE(frozen) << frozen.error().ToString();
  auto clone = Restore(**frozen);
  ASSERT_TRUE(clone) << clone.error().ToString();
  EXPECT_EQ((*clone)->Shell("nproc"), "2\n");
  for (const char* cpu : {"0", "1"}) {
    EXPECT_EQ((*clone)->Shell(fmt::format("taskset -c {} sh -c 'echo works'", cpu)), "works\n");
  }
  for (const char* loop : {"zero", "one"}) {
    const int64_t now = (*clone)->Rounds(loop);
    EXPECT_GE((*clone)->WaitForRounds(loop, now + 3), now + 3) << loop;
  }
  // A machine of another shape is refused before it is started.
  (*frozen)->config.vcpus = 1;
  const auto other = Restore(**frozen);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Code::kFailedPrecondition);
}

// The addresses are the same in all of them; the host's end is a new one.
TEST_F(RestoreTest, AClonesNetworkReachesItsOwnGateway) {
  if (auto usable = net::CheckUserNetwork(); !usable) GTEST_SKIP() << usable.error().message;
  config_.network = true;
  auto parent = BootGuest();
  ASSERT_TRUE(parent) << parent.error().ToString();
  const std::string ask = fmt::format(
      "ip neigh flush dev eth0; nc -w 2 {0} 9 < /dev/null > /dev/null 2>&1; "
      "ip neigh show {0} dev eth0",
      net::kSlotGateway);
  ASSERT_THAT((*parent)->Shell(ask), HasSubstr("lladdr"));
  auto frozen = Take(**parent);
  ASSERT_TRUE(frozen) << frozen.error().ToString();
  auto clone = Restore(**frozen);
  ASSERT_TRUE(clone) << clone.error().ToString();
  EXPECT_THAT((*clone)->Shell("ip addr show dev eth0"), HasSubstr(net::kSlotGuestAddress));
  EXPECT_THAT((*clone)->Shell(ask), HasSubstr("lladdr"));
  // Each has processes of its own, which end with it.
  const json::array helpers = (*clone)->machine->Record().at("helpers").as_array();
  ASSERT_EQ(helpers.size(), 2u);
  EXPECT_NE(helpers, (*parent)->machine->Record().at("helpers").as_array());
  clone->reset();
  for (const json::value& helper : helpers) {
    EXPECT_FALSE(os::Process::Open(static_cast<pid_t>(helper.at("pid").to_number<int64_t>()),
                                   helper.at("start_time").to_number<uint64_t>()));
  }
  EXPECT_THAT((*parent)->Shell(ask), HasSubstr("lladdr"));
}

}  // namespace
}  // namespace wrenn::component
