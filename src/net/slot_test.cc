#include "net/slot.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "net/test_slot.h"

namespace wrenn::net {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(SlotTest, IsFoundOpenedAndRemoved) {
  EXPECT_THAT(*host_->FindSlots(), testing::ElementsAre(0));
  EXPECT_TRUE(Slot::Open(*host_, SlotPlan::For(0)));
  EXPECT_FALSE(Slot::Open(*host_, SlotPlan::For(1)));
  EXPECT_EQ(Slot::Make(*host_, SlotPlan::For(0)).error().code, Code::kAlreadyExists);
  EXPECT_TRUE(Slot::Open(*host_, SlotPlan::For(0)));  // still whole
  guest_.reset();
  ASSERT_TRUE(Slot::Remove(*host_, {SlotPlan::For(0)}));
  ASSERT_TRUE(Slot::Remove(*host_, {SlotPlan::For(0)}));
  EXPECT_THAT(*host_->FindSlots(), testing::IsEmpty());
  EXPECT_THAT(*os::ListDirectory(world_.folder()), testing::IsEmpty());
  EXPECT_THAT(os::Output({"ip", "link"}), Not(HasSubstr(kSlotMark)));
}

TEST_F(SlotTest, AHostWithoutIpv6HasSlotsToo) {
  ASSERT_TRUE(os::SetNetworkVariable("ipv6/conf/default/disable_ipv6", "1"));
  ClaimAnew();
  auto second = MakeSlot(1);
  ASSERT_TRUE(second);
  ASSERT_TRUE(second->SetPolicy({.internet = true}));
  const TestGuest other(*second);
  EXPECT_EQ(other.Try(kServer), Outcome::kConnected);
  EXPECT_NE(Connect(other.net(), kServer6, 80, 200).first, Outcome::kConnected);
}

// So that programs go on to IPv4 at once.
TEST_F(SlotTest, WhereTheHostDoesNotForwardIpv6GuestsAreTold) {
  ASSERT_TRUE(os::SetNetworkVariable("ipv6/conf/all/forwarding", "0"));
  ClaimAnew();
  auto second = MakeSlot(1);
  ASSERT_TRUE(second);
  ASSERT_TRUE(second->SetPolicy({.internet = true}));
  const TestGuest other(*second);
  EXPECT_EQ(other.Try(kServer), Outcome::kConnected);
  EXPECT_EQ(other.Try(kServer6), Outcome::kRefused);
  EXPECT_EQ(other.Try(kServer6), Outcome::kRefused);
}

TEST_F(SlotTest, TheTapIsTheVmmsUsers) {
  // As it is on most machines; here it is seen by this test only.
  const std::string tun = world_.folder() + "/tun";
  ASSERT_EQ(::mknod(tun.c_str(), S_IFCHR, makedev(10, 200)), 0);
  ASSERT_EQ(::chmod(tun.c_str(), 0666), 0);
  ASSERT_EQ(::mount(tun.c_str(), "/dev/net/tun", nullptr, MS_BIND, nullptr), 0);
  guest_.reset();
  ASSERT_TRUE(slot_->SetTapOwner(4711));
  const Status opened = slot_->net_namespace().Run([]() -> Status {
    if (::seteuid(4711) < 0) return Fail(ErrnoError("seteuid"));
    const auto tap = os::OpenTap(kTapName);
    if (::seteuid(0) < 0) return Fail(ErrnoError("seteuid"));
    return tap ? Status() : Fail(tap.error());
  });
  EXPECT_TRUE(opened) << opened.error().ToString();
}

TEST_F(SlotTest, TheHostIsOneServersOnly) {
  EXPECT_THAT(SlotHost::Claim(world_.folder()).error().message, HasSubstr("another wrenn server"));
  host_.reset();
  EXPECT_TRUE(SlotHost::Claim(world_.folder()));  // its own slots are in nobody's way
  EXPECT_EQ(SlotHost::Claim(world_.folder(), *IpAddress::Parse("5.5.0.0")).error().code,
            Code::kFailedPrecondition);
  EXPECT_EQ(SlotHost::Claim(world_.folder(), *IpAddress::Parse("10.12.1.0")).error().code,
            Code::kInvalidArgument);
}

// Others' tables are neither changed nor in the way, and nothing is left of ours.
TEST_F(SlotTest, LeavesOthersRulesAlone) {
  if (!os::FindProgram("nft")) GTEST_SKIP() << "needs the program nft (Debian package nftables)";
  const std::string others =
      "table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy "
      "accept;\n\t\tip daddr 9.9.9.9 drop\n\t}\n}\n";
  ASSERT_EQ(os::Output({"nft", others}), "");
  SetInternet();
  EXPECT_EQ(guest_->Try(kServer), Outcome::kConnected);
  EXPECT_EQ(guest_->Try(kOtherServer), Outcome::kSilence);
  guest_.reset();
  ASSERT_TRUE(Slot::Remove(*host_, {slot_->plan()}));
  ASSERT_TRUE(host_->TearDown());
  EXPECT_EQ(os::Output({"nft", "list", "ruleset"}), others);
}

TEST_F(SlotTest, TheHostsTableIsMadeAnewUnderTraffic) {
  SetInternet();
  auto [outcome, fd] = Connect(guest_->net(), kServer, 80);
  ASSERT_EQ(outcome, Outcome::kConnected);
  const UniqueFd accepted = server_->Accept();
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(host_->SetUp({slot_->plan()}));
    ASSERT_EQ(::send(fd.get(), "x", 1, MSG_NOSIGNAL), 1);
    char byte;
    ASSERT_TRUE(Ready(accepted, POLLIN, 2000));
    ASSERT_EQ(::recv(accepted.get(), &byte, 1, 0), 1);
  }
}

}  // namespace
}  // namespace wrenn::net
