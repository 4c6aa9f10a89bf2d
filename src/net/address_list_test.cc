#include "net/address_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "net/slot_plan.h"

namespace wrenn::net {
namespace {

using testing::HasSubstr;

std::vector<std::string> Texts(const std::vector<AddressRange>& ranges) {
  std::vector<std::string> texts;
  for (const auto& [first, last] : ranges)
    texts.push_back(first.ToString() + "-" + last.ToString());
  return texts;
}

TEST(AddressListTest, TakesAddressesAndNetworks) {
  EXPECT_THAT(Texts(*ParseNetworks({"1.2.3.4", "2600::/16", "5.0.0.0/8", "0.0.0.0/0"})),
              testing::ElementsAre("0.0.0.0-255.255.255.255",
                                   "2600::-2600:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
  EXPECT_THAT(Texts(*ParseNetworks({"1.2.3.4/32", "::1"})),
              testing::ElementsAre("1.2.3.4-1.2.3.4", "::1-::1"));
  EXPECT_THAT(*ParseNetworks({}), testing::IsEmpty());
}

TEST(AddressListTest, SaysWhatIsWrong) {
  for (const char* bad :
       {"", "/", "1.2.3.4/", "/8", "1.2.3.4/33", "::/129", "1.2.3.4/-1", "1.2.3.4/+8", "1.2.3.4/08",
        "1.2.3.4/8 ", " 1.2.3.4", "1.2.3.0/24/24", "example.com", "1.2.3.4-1.2.3.9", "*",
        "1.2.3.4/0x8", "fe80::1%eth0", "010.0.0.1"}) {
    const auto parsed = ParseNetwork(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_EQ(parsed.error().code, Code::kInvalidArgument);
    EXPECT_THAT(parsed.error().message, HasSubstr("is neither an IP address nor a network"));
  }
  EXPECT_FALSE(ParseNetwork(std::string("1.2.3.4\0.5", 10)));
  EXPECT_EQ(ParseNetwork("1.2.3.4/24").error().message,
            "'1.2.3.4/24' has bits behind its prefix: write 1.2.3.0/24 for the network, or 1.2.3.4 "
            "for the address");
  EXPECT_LT(ParseNetwork(std::string(100000, '1')).error().message.size(), 300U);
  EXPECT_THAT(ParseNetwork(std::string(63, '1') + "\xc3\xbc").error().message, HasSubstr("11' is"));
  EXPECT_THAT(
      ParseNetworks(std::vector<std::string>(kMaxListEntries + 1, "1.1.1.1")).error().message,
      HasSubstr("too long"));
}

TEST(AddressListTest, MergesOverlapsAndNeighbours) {
  EXPECT_THAT(Texts(*ParseNetworks({"1.2.3.128/25", "1.2.3.0/25", "1.2.3.7", "1.2.5.0/24",
                                    "255.255.255.255", "255.255.255.254", "::", "::1"})),
              testing::ElementsAre("1.2.3.0-1.2.3.255", "1.2.5.0-1.2.5.255",
                                   "255.255.255.254-255.255.255.255", "::-::1"));
  EXPECT_THAT(Texts(OfFamily(*ParseNetworks({"1.1.1.1", "::1"}), AF_INET6)),
              testing::ElementsAre("::1-::1"));
}

TEST(AddressListTest, WhatIsNeverReachedCannotBeAllowed) {
  for (const char* special : {"10.0.0.0/8",
                              "10.1.2.3",
                              "192.168.0.0/16",
                              "169.254.169.254",
                              "127.0.0.1",
                              "168.63.129.16",
                              "224.0.0.1",
                              "fd00::/8",
                              "fe80::1",
                              "::1",
                              "::ffff:1.1.1.1",
                              "64:ff9b::/96",
                              "ff02::1",
                              "2001:db8::1",
                              "2002::/16",
                              "4000::/2",
                              "100.64.0.0/10",
                              "fe80::/10",
                              "fc00::/7",
                              "255.255.255.255",
                              "2001::/32",
                              "::/96",
                              "64:ff9b::169.254.169.254",
                              "64:ff9b:1::/48",
                              "ff00::/8"}) {
    EXPECT_TRUE(ParseNetworks({special})) << special;
    const auto allowed = ParseAllowedNetworks({"1.1.1.1", special});
    ASSERT_FALSE(allowed) << special;
    EXPECT_THAT(allowed.error().message, HasSubstr(std::string("'") + special + "' cannot be"));
  }
  EXPECT_TRUE(ParseAllowedNetworks({"0.0.0.0/0", "::/0", "8.8.8.8", "2606:4700::/32", "2000::/3"}));
}

TEST(SlotPlanTest, IsTheOneOfTheSheet) {
  const SlotPlan first = SlotPlan::For(0);
  EXPECT_EQ(first.name, "wrenn-0");
  EXPECT_EQ(first.host.ToString(), "10.12.0.0");
  EXPECT_EQ(first.inside.ToString(), "10.12.0.1");
  EXPECT_EQ(first.host6.ToString(), "fd77:7265:6e6e:1::");
  const SlotPlan other = SlotPlan::For(200);
  EXPECT_EQ(other.host.ToString(), "10.12.1.144");
  EXPECT_EQ(other.inside6.ToString(), "fd77:7265:6e6e:1::191");
  const SlotPlan last = SlotPlan::For(kMaxSlots - 1, *IpAddress::Parse("172.20.0.0"));
  EXPECT_EQ(last.host.ToString(), "172.20.255.254");
  EXPECT_EQ(last.inside.ToString(), "172.20.255.255");
  EXPECT_LT(last.name.size(), 16U);
  EXPECT_EQ(std::string(kSlotGuestAddress) + kSlotGateway + kSlotNetmask,
            "169.254.0.21169.254.0.22255.255.255.252");
}

TEST(SlotPlanTest, KnowsItsNames) {
  EXPECT_EQ(*SlotIndexOf("wrenn-0"), 0);
  EXPECT_EQ(*SlotIndexOf("wrenn-32767"), 32767);
  for (const char* other : {"", "wrenn", "wrenn-", "wrenn-32768", "wrenn-01", "wrenn--1",
                            "wrenn-1x", "wrenn-doctor", "eth0", "wrenn- 1", "xwrenn-1"}) {
    EXPECT_FALSE(SlotIndexOf(other)) << other;
  }
}

}  // namespace
}  // namespace wrenn::net
