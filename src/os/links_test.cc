#include "os/links.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/io.h"
#include "os/files.h"
#include "os/socket_address.h"
#include "os/tap.h"
#include "os/test_network.h"

namespace wrenn::os {
namespace {

using testing::HasSubstr;
using testing::Not;

class LinksTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = own_.Enter(); !reason.empty()) GTEST_SKIP() << reason;
  }

 private:
  OwnNetwork own_;
};

IpAddress Address(const std::string& text) { return *IpAddress::Parse(text); }

// Whether a datagram from here arrives there.
bool Reaches(const NetNamespace& there, const std::string& address) {
  const IpAddress ip = Address(address);
  const SocketAddress name(ip, 4711);
  UniqueFd receiver;
  const Status bound = there.Run([&]() -> Status {
    receiver.Reset(::socket(ip.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (::bind(receiver.get(), name.get(), name.size()) < 0) return Fail(ErrnoError("bind"));
    return {};
  });
  const UniqueFd sender(::socket(ip.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return bound && ::sendto(sender.get(), "x", 1, 0, name.get(), name.size()) == 1 &&
         WaitReady(receiver.get(), POLLIN, Deadline::After(std::chrono::seconds(5))).has_value();
}

TEST(IpAddressTest, IsStrict) {
  for (const char* bad : {"", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.256", " 1.2.3.4",
                          "1.2.3.4/8", "localhost", "::g", "fe80::1%lo", ":::", "1.2.3.4 "}) {
    EXPECT_FALSE(IpAddress::Parse(bad)) << bad;
  }
  EXPECT_EQ(Address("10.1.2.3").ToString(), "10.1.2.3");
  EXPECT_EQ(Address("2001:DB8::0001").ToString(), "2001:db8::1");
  EXPECT_EQ(IpAddress::V4(0x7f000001), Address("127.0.0.1"));
}

TEST(IpAddressTest, KnowsItsNetworkAndNeighbour) {
  EXPECT_EQ(Address("10.1.2.3").First(12).ToString(), "10.0.0.0");
  EXPECT_EQ(Address("10.1.2.3").Last(12).ToString(), "10.15.255.255");
  EXPECT_EQ(Address("10.1.2.3").First(0).ToString(), "0.0.0.0");
  EXPECT_EQ(Address("10.1.255.255").Next().ToString(), "10.2.0.0");
  EXPECT_EQ(Address("255.255.255.255").Next().ToString(), "0.0.0.0");
  EXPECT_EQ(Address("fd00::").Last(8).ToString(), "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
  EXPECT_LT(Address("255.255.255.255"), Address("::"));
}

TEST_F(LinksTest, APairBetweenTwoNamespaces) {
  auto there = NetNamespace::Create();
  ASSERT_TRUE(there) << there.error().ToString();
  auto links = Links::Open();
  ASSERT_TRUE(links);
  LinkChanges make;
  make.AddVeth({"here", {2, 0, 0, 0, 0, 1}}, {"there", {2, 0, 0, 0, 0, 2}}, there->fd());
  Status made = links->Apply(make);
  ASSERT_TRUE(made) << made.error().ToString();
  const auto here = links->Find("here");
  ASSERT_TRUE(here);
  LinkChanges addresses;
  addresses.SetUp(*here, true);
  addresses.AddAddress(*here, Address("10.12.0.0"), 31);
  addresses.AddNeighbour(*here, Address("10.12.0.1"), {2, 0, 0, 0, 0, 2});
  addresses.AddAddress(*here, Address("fd00::"), 127);
  made = links->Apply(addresses);
  ASSERT_TRUE(made) << made.error().ToString();

  Status inside = there->Run([&]() -> Status {
    ASSIGN_OR_RETURN(Links own, Links::Open());
    ASSIGN_OR_RETURN(const int link, own.Find("there"));
    LinkChanges changes;
    changes.SetUp(link, true);
    changes.AddAddress(link, Address("10.12.0.1"), 31);
    changes.AddAddress(link, Address("fd00::1"), 127);
    changes.AddDefaultRoute(Address("10.12.0.0"), link);
    changes.AddDefaultRoute(Address("fd00::"), link);
    changes.ForwardIpv4(link);
    changes.LimitRate(link, 8'000'000);
    RETURN_IF_ERROR(own.Apply(changes));
    EXPECT_THAT(Output({"ip", "route"}), HasSubstr("default via 10.12.0.0 dev there"));
    EXPECT_THAT(Output({"ip", "-6", "route"}), HasSubstr("default via fd00:: dev there"));
    EXPECT_EQ(*ReadFile("/proc/sys/net/ipv4/conf/there/forwarding"), "1\n");
    EXPECT_EQ(*ReadFile("/proc/sys/net/ipv4/conf/there/rp_filter"), "1\n");
    EXPECT_THAT(Output({"tc", "qdisc", "show", "dev", "there"}),
                testing::AllOf(HasSubstr("tbf"), HasSubstr("rate 8Mbit burst 16Kb lat 50ms")));
    RETURN_IF_ERROR(own.RemoveRateLimit(link));
    RETURN_IF_ERROR(own.RemoveRateLimit(link));
    EXPECT_THAT(Output({"tc", "qdisc", "show", "dev", "there"}), Not(HasSubstr("tbf")));
    return {};
  });
  ASSERT_TRUE(inside) << inside.error().ToString();

  EXPECT_THAT(Output({"ip", "neigh"}),
              HasSubstr("10.12.0.1 dev here lladdr 02:00:00:00:00:02 PERM"));
  // Nothing but what was asked for: no address of the kernel's own making.
  EXPECT_THAT(Output({"ip", "-6", "addr", "show", "dev", "here"}), Not(HasSubstr("fe80")));
  EXPECT_TRUE(Reaches(*there, "10.12.0.1"));
  EXPECT_TRUE(Reaches(*there, "fd00::1"));
  const auto counters = links->Counters("here");
  ASSERT_TRUE(counters);
  EXPECT_GE(counters->sent_packets, 2U);
  EXPECT_GE(counters->sent_bytes, 80U);
  const auto routes = links->ListRoutes();
  ASSERT_TRUE(routes);
  const auto is_ours = [&](const Links::Route& route) {
    return route.address == Address("10.12.0.0") && route.prefix == 31 && route.link == *here;
  };
  EXPECT_TRUE(std::ranges::any_of(*routes, is_ours));

  LinkChanges remove;
  remove.Delete(*here);
  ASSERT_TRUE(links->Apply(remove));
  EXPECT_EQ(links->Find("here").error().code, Code::kNotFound);
  const auto left = links->List();
  ASSERT_TRUE(left);
  EXPECT_THAT(*left, Not(testing::Contains("here")));
}

TEST_F(LinksTest, ATapIsMadeOpenedAndOwned) {
  EXPECT_EQ(OpenTap("tap0").error().code, Code::kNotFound);
  const Status made = CreateTap("tap0");
  ASSERT_TRUE(made) << made.error().ToString();
  {
    const auto tap = OpenTap("tap0");
    ASSERT_TRUE(tap) << tap.error().ToString();
    EXPECT_FALSE(OpenTap("tap0"));  // busy
  }
  ASSERT_TRUE(SetTapOwner("tap0", 4711));
  EXPECT_EQ(*ReadFile("/sys/class/net/tap0/owner"), "4711\n");
  EXPECT_FALSE(CreateTap(std::string(16, 'x')));
}

TEST_F(LinksTest, NamespacesAreKeptByAMount) {
  auto folder = TemporaryDirectory::Make();
  ASSERT_TRUE(folder);
  const std::string path = folder->path() + "/ns";
  ino_t inode = 0;
  {
    auto created = NetNamespace::Create();
    ASSERT_TRUE(created);
    ASSERT_TRUE(created->Keep(path));
    EXPECT_EQ(created->Keep(path).error().code, Code::kAlreadyExists);
    struct stat info{};
    ASSERT_EQ(::fstat(created->fd(), &info), 0);
    inode = info.st_ino;
    ASSERT_TRUE(created->Run([] { return CreateTap("kept"); }));
  }
  auto opened = NetNamespace::Open(path);
  ASSERT_TRUE(opened) << opened.error().ToString();
  struct stat info{};
  ASSERT_EQ(::fstat(opened->fd(), &info), 0);
  EXPECT_EQ(info.st_ino, inode);
  EXPECT_FALSE(Exists("/sys/class/net/kept"));  // this thread is where it was
  const auto outside = ReadFile("/proc/sys/net/ipv4/ip_forward");
  ASSERT_TRUE(outside);
  const char* other = *outside == "0\n" ? "1" : "0";
  ASSERT_TRUE(opened->Run([&] { return SetNetworkVariable("ipv4/ip_forward", other); }));
  EXPECT_EQ(*ReadFile("/proc/sys/net/ipv4/ip_forward"), *outside);

  ASSERT_TRUE(NetNamespace::Drop(path));
  ASSERT_TRUE(NetNamespace::Drop(path));
  EXPECT_FALSE(Exists(path));
  ASSERT_TRUE(ReplaceFile(path, ""));
  EXPECT_EQ(NetNamespace::Open(path).error().code, Code::kFailedPrecondition);
  ASSERT_TRUE(NetNamespace::Drop(path));
}

}  // namespace
}  // namespace wrenn::os
