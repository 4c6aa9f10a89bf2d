#include "os/nftables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
// Behind <netinet/in.h>, which it gives way to.
#include <linux/netfilter_ipv4.h>

#include "os/test_network.h"

namespace wrenn::os {
namespace {

using testing::HasSubstr;

IpAddress Address(const std::string& text) { return *IpAddress::Parse(text); }

class NftablesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = own_.Enter(); !reason.empty()) GTEST_SKIP() << reason;
    auto opened = Nftables::Open();
    ASSERT_TRUE(opened) << opened.error().ToString();
    nft_.emplace(std::move(*opened));
  }
  Status Commit(NftTransaction& transaction) { return nft_->Commit(transaction); }

  OwnNetwork own_;
  std::optional<Nftables> nft_;
};

// The kernel's rules in nft's own words are what we meant.
TEST_F(NftablesTest, RulesAreWhatNftWouldMakeOfTheirText) {
  if (!FindProgram("nft")) GTEST_SKIP() << "needs the program nft (Debian package nftables)";
  NftTransaction t("wrenn");
  t.AddTable();
  t.AddSet("one4", NftTransaction::Key::kInterfaceIpv4);
  t.AddKeys("one4", {NftInterfaceKey("wrenn-7", Address("10.12.0.15"))});
  t.AddSet("one6", NftTransaction::Key::kInterfaceIpv6);
  t.AddRangeSet("some4", NftTransaction::Key::kIpv4);
  t.AddRanges("some4", {{Address("1.2.3.4"), Address("1.2.3.4")},
                        {Address("10.0.0.0"), Address("10.255.255.255")},
                        {Address("240.0.0.0"), Address("255.255.255.255")}});
  t.AddRangeSet("some6", NftTransaction::Key::kIpv6);
  t.AddRanges("some6", {{Address("::"), Address("1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")}});
  t.AddChain("in", {"filter", NF_INET_LOCAL_IN, NF_IP_PRI_FILTER, true});
  t.AddChain("leave", {"nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC});
  t.AddChain("rest");
  using R = NftRule;
  const IpAddress guest = Address("169.254.0.21");
  t.AddRule("in", R().NotFromPrefix("wrenn-").Accept());
  t.AddRule("in", R().InterfaceAndSourceIn(AF_INET, "one4").Accept());
  t.AddRule("in", R().InterfaceAndSourceIn(AF_INET6, "one6").Jump("rest"));
  t.AddRule("in", R().From("tap0").NotSource(guest).Drop());
  t.AddRule("in", R().Source(guest)
                      .Destination(Address("169.254.0.22"))
                      .Protocol(IPPROTO_UDP)
                      .DestinationPort(53)
                      .FasterThan(10, 20)
                      .Drop());
  t.AddRule("in", R().Icmp6Type(135).Accept());
  t.AddRule("in", R().DestinationIn(AF_INET, "some4").Goto("rest"));
  t.AddRule("in", R().SourceIn(AF_INET6, "some6").Drop());
  t.AddRule("rest", R().Connection(R::kEstablished | R::kRelated).Accept());
  t.AddRule("rest", R().MoreConnectionsThan(100).Drop());
  t.AddRule("rest", R().RejectConnection());
  t.AddRule("rest", R().FromPrefix("wrenn-").To("eth0").Reject());
  t.AddRule("leave", R().SourceWithin(Address("10.12.0.0"), 16).NotToPrefix("wrenn-").Masquerade());
  t.AddRule("leave", R().ToPrefix("wrenn-").Accept());
  const Status committed = Commit(t);
  ASSERT_TRUE(committed) << committed.error().ToString();
  EXPECT_EQ(Output({"nft", "list", "ruleset"}), R"(table inet wrenn {
	set one4 {
		type ifname . ipv4_addr
		elements = { "wrenn-7" . 10.12.0.15 }
	}

	set one6 {
		type ifname . ipv6_addr
	}

	set some4 {
		type ipv4_addr
		flags interval
		elements = { 1.2.3.4, 10.0.0.0/8,
			     240.0.0.0/4 }
	}

	set some6 {
		type ipv6_addr
		flags interval
		elements = { ::/3 }
	}

	chain in {
		type filter hook input priority filter; policy drop;
		iifname != "wrenn-*" accept
		iifname . ip saddr @one4 accept
		iifname . ip6 saddr @one6 jump rest
		iifname "tap0" ip saddr != 169.254.0.21 drop
		ip saddr 169.254.0.21 ip daddr 169.254.0.22 udp dport 53 limit rate over 10/second burst 20 packets drop
		icmpv6 type nd-neighbor-solicit accept
		ip daddr @some4 goto rest
		ip6 saddr @some6 drop
	}

	chain leave {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 10.12.0.0/16 oifname != "wrenn-*" masquerade
		oifname "wrenn-*" accept
	}

	chain rest {
		ct state established,related accept
		ct count over 100 drop
		meta l4proto tcp reject with tcp reset
		iifname "wrenn-*" oifname "eth0" reject with icmpx admin-prohibited
	}
}
)");
}

TEST_F(NftablesTest, ATransactionIsAllOrNothing) {
  NftTransaction make("wrenn");
  make.AddTable();
  make.AddSet("keys", NftTransaction::Key::kInterfaceIpv4);
  ASSERT_TRUE(Commit(make));

  const std::string first = NftInterfaceKey("a", Address("1.1.1.1"));
  const std::string second = NftInterfaceKey("b", Address("1.1.1.1"));
  NftTransaction broken("wrenn");
  broken.AddKeys("keys", {first});
  broken.AddRule("nowhere", NftRule().Drop());
  broken.AddKeys("keys", {second});
  const Status refused = Commit(broken);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message,
            "cannot add a rule to the chain 'nowhere': No such file or directory");
  EXPECT_THAT(*nft_->Keys("wrenn", "keys"), testing::IsEmpty());

  NftTransaction good("wrenn");
  good.AddKeys("keys", {first, second});
  ASSERT_TRUE(Commit(good));
  EXPECT_THAT(*nft_->Keys("wrenn", "keys"), testing::UnorderedElementsAre(first, second));
  NftTransaction remove("wrenn");
  remove.DeleteKeys("keys", {first});
  ASSERT_TRUE(Commit(remove));
  EXPECT_THAT(*nft_->Keys("wrenn", "keys"), testing::ElementsAre(second));
  EXPECT_EQ(Commit(remove).error().code, Code::kNotFound);
  EXPECT_EQ(nft_->Keys("other", "keys").error().code, Code::kNotFound);
}

// Lists are replaced while packets are looked at.
TEST_F(NftablesTest, ASetIsReplacedInOneTransaction) {
  NftTransaction make("wrenn");
  make.AddTable();
  make.AddRangeSet("set", NftTransaction::Key::kIpv4);
  ASSERT_TRUE(Commit(make));
  std::vector<AddressRange> many;
  for (uint32_t i = 0; i < 5000; ++i) {
    many.push_back({IpAddress::V4(i << 12), IpAddress::V4((i << 12) + 99)});
  }
  const std::vector<AddressRange> everything = {{IpAddress::V4(0), IpAddress::V4(UINT32_MAX)}};
  for (const auto& ranges : {many, everything, many, {}, everything}) {
    NftTransaction replace("wrenn");
    replace.FlushSet("set");
    replace.AddRanges("set", ranges);
    const Status replaced = Commit(replace);
    ASSERT_TRUE(replaced) << replaced.error().ToString();
    const size_t bounds = ranges.size() == 1 ? 1 : 2 * ranges.size();
    EXPECT_THAT(*nft_->Keys("wrenn", "set"), testing::SizeIs(bounds));
  }
}

}  // namespace
}  // namespace wrenn::os
