#include "net/slot_pool.h"

#include <gmock/gmock.h>
#include <sys/mount.h>

#include "net/test_slot_pool.h"

namespace wrenn::net {
namespace {

TEST_F(SlotPoolTest, ClaimsComeFromWhatIsReady) {
  const auto pool = Start();
  ASSERT_TRUE(pool->WaitIdle(Soon()));
  EXPECT_EQ(Count().devices, 2U);
  auto slot = pool->Claim({.internet = true});
  ASSERT_TRUE(slot) << slot.error().ToString();
  EXPECT_EQ(slot->plan().name, "wrenn-0");
  {
    const Listener server(world_.internet(), 80);
    const TestGuest guest(*slot);
    EXPECT_EQ(guest.Try(kServer), Outcome::kConnected);
    EXPECT_EQ(guest.Try(kServer6), Outcome::kConnected);
  }
  const auto counters = pool->Counters(*slot);
  ASSERT_TRUE(counters);
  EXPECT_GE(counters->received_packets, 4U);
  EXPECT_GE(counters->sent_packets, 2U);
  ASSERT_TRUE(pool->WaitIdle(Soon()));
  EXPECT_EQ(Count().devices, 3U);
  pool->Release(std::move(*slot));
  ASSERT_TRUE(pool->WaitIdle(Soon()));
  EXPECT_EQ(Count().devices, 2U);
}

TEST_F(SlotPoolTest, SlotsThatWereBrokenAreNotGivenOut) {
  std::vector<std::string> errors;
  options_.ready = 3;
  options_.on_error = [&](const Error& error) { errors.push_back(error.message); };
  const auto pool = Start();
  ASSERT_TRUE(pool->WaitIdle(Soon()));
  ASSERT_EQ(::umount2((options_.folder + "/wrenn-0").c_str(), MNT_DETACH), 0);
  const auto second = os::NetNamespace::Open(options_.folder + "/wrenn-1");
  ASSERT_TRUE(second) << second.error().ToString();
  ASSERT_TRUE(second->Run([]() -> Status {
    ASSIGN_OR_RETURN(os::Links links, os::Links::Open());
    ASSIGN_OR_RETURN(const int tap, links.Find(kTapName));
    os::LinkChanges changes;
    changes.SetGroup(tap, 9);
    changes.DeleteGroup(9);
    return links.Apply(changes);
  }));
  auto slot = pool->Claim({.internet = true});
  ASSERT_TRUE(slot) << slot.error().ToString();
  EXPECT_EQ(slot->plan().name, "wrenn-2");
  EXPECT_THAT(errors, testing::ElementsAre(testing::HasSubstr("not mounted any more"),
                                           testing::HasSubstr("wrenn-1")));
  pool->Release(std::move(*slot));
  ASSERT_TRUE(pool->WaitIdle(Soon()));
  EXPECT_EQ(Count().devices, 3U);
  EXPECT_EQ(Count().mounts, 3U);
}

TEST_F(SlotPoolTest, AddressesRestBeforeTheyAreUsedAgain) {
  options_.ready = 0;
  options_.limit = 3;
  std::set<int> seen;
  for (int run = 0; run < 2; ++run) {
    const auto pool = Start();  // a restart goes on where the last one was
    for (int i = 0; i < 4; ++i) {
      auto slot = pool->Claim({});
      ASSERT_TRUE(slot) << slot.error().ToString();
      EXPECT_TRUE(seen.insert(slot->plan().index).second);
      pool->Release(std::move(*slot));
      ASSERT_TRUE(pool->WaitIdle(Soon()));
    }
  }
}

TEST_F(SlotPoolTest, TheLimitHoldsAndIsSaid) {
  options_.limit = 3;
  const auto pool = Start();
  std::vector<Slot> claimed;
  for (int i = 0; i < 3; ++i) {
    auto slot = pool->Claim({});
    if (!slot) break;  // the background has one in the making
    claimed.push_back(std::move(*slot));
    ASSERT_TRUE(pool->WaitIdle(Soon()));
  }
  ASSERT_EQ(claimed.size(), 3U);
  const auto refused = pool->Claim({});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kResourceExhausted);
  EXPECT_EQ(refused.error().message, "all 3 network slots of this machine are in use");
  pool->Release(std::move(claimed.back()));
  ASSERT_TRUE(pool->WaitIdle(Soon()));
  EXPECT_TRUE(pool->Claim({}));
}

TEST_F(SlotPoolTest, ARestartAdoptsWhatItIsToldAndRemovesTheRest) {
  options_.ready = 1;
  const Listener server(world_.internet(), 80);
  std::vector<Slot> claimed;
  {
    const auto pool = Start();
    for (int i = 0; i < 3; ++i) claimed.push_back(std::move(*pool->Claim({.internet = true})));
  }
  EXPECT_EQ(Count().devices, 3U);
  const int kept = claimed[1].plan().index;
  const TestGuest guest(claimed[1]);
  auto [outcome, fd] = Connect(guest.net(), kServer, 80);
  ASSERT_EQ(outcome, Outcome::kConnected);
  const UniqueFd accepted = server.Accept();
  claimed.clear();

  options_.ready = 0;
  const auto pool = Start({kept, 12345});
  ASSERT_TRUE(pool->WaitIdle(Soon()));
  EXPECT_EQ(Count().devices, 1U);
  EXPECT_EQ(Count().rules, 2U);
  auto slot = pool->Adopt(kept);
  ASSERT_TRUE(slot) << slot.error().ToString();
  EXPECT_EQ(pool->Adopt(kept).error().code, Code::kNotFound);
  EXPECT_EQ(pool->Adopt(12345).error().code, Code::kNotFound);
  ASSERT_EQ(::send(fd.get(), "x", 1, MSG_NOSIGNAL), 1);
  EXPECT_TRUE(Ready(accepted, POLLIN, 2000));
  EXPECT_EQ(guest.Try(kServer), Outcome::kConnected);
  ASSERT_TRUE(slot->SetPolicy({}));
  EXPECT_EQ(guest.Try(kServer), Outcome::kRefused);
}

TEST_F(SlotPoolTest, WhatIsToBeAdoptedAndIsBrokenIsRemoved) {
  options_.ready = 0;
  {
    ASSERT_TRUE(Start()->Claim({}));
  }
  os::Links links = *os::Links::Open();
  os::LinkChanges remove;
  remove.Delete(*links.Find("wrenn-0"));
  ASSERT_TRUE(links.Apply(remove));
  const auto pool = Start({0});
  EXPECT_THAT(pool->Adopt(0).error().message, testing::HasSubstr("'wrenn-0' is not whole"));
  ASSERT_TRUE(pool->WaitIdle(Soon()));
  EXPECT_EQ(Count().files + Count().mounts + Count().rules, 0U);
}

TEST_F(SlotPoolTest, WrongOptionsAreRefused) {
  options_.limit = 0;
  EXPECT_EQ(SlotPool::Start(options_, {}).error().code, Code::kInvalidArgument);
  options_.limit = kMaxSlots;
  EXPECT_EQ(SlotPool::Start(options_, {}).error().code, Code::kInvalidArgument);
  options_.limit = 10;
  const auto pool = Start();
  EXPECT_THAT(SlotPool::Start(options_, {}).error().message,
              testing::HasSubstr("another wrenn server"));
}

}  // namespace
}  // namespace wrenn::net
