#include <gmock/gmock.h>

#include <algorithm>

#include "net/slot_rules.h"
#include "net/test_frames.h"
#include "net/test_packet_tap.h"
#include "net/test_slot.h"

namespace wrenn::net {
namespace {

class SlotIsolationTest : public SlotTest {};

TEST_F(SlotIsolationTest, SpecialAddressesAreDeniedWhateverIsAllowed) {
  // All of these answer: the internet's namespace has them, and the host would route there.
  Set(Lists(true, {"0.0.0.0/0", "::/0"}, {}));
  for (const char* address :
       {"10.0.0.9", "172.16.0.9", "192.168.7.1", "100.64.0.9", "169.254.169.254", "168.63.129.16",
        "fd00:ec2::254", "2002:a00:9::1", "64:ff9b::a00:9", "2001:0:a00:9::1"}) {
    EXPECT_EQ(Connect(world_.host(), address, 80).first, Outcome::kConnected) << address;
    EXPECT_TRUE(server_->Accept()) << address;
    ExpectDenied(address, *server_);
  }
  EXPECT_EQ(guest_->Try(kServer), Outcome::kConnected);
  EXPECT_EQ(guest_->Try(kServer6), Outcome::kConnected);
}

TEST_F(SlotIsolationTest, TheHostIsDeniedByAnyOfItsAddresses) {
  Set(Lists(true, {"0.0.0.0/0", "::/0"}, {}));
  const Listener host(world_.host(), 80);
  ASSERT_TRUE(host.good());
  for (const char* address :
       {kHost, kHost6, "192.168.7.2", "169.254.8.8", "10.12.0.0", "10.12.0.1",
        "fd77:7265:6e6e:1::", "fd77:7265:6e6e:1::1", kSlotGateway, kSlotGateway6}) {
    EXPECT_NE(guest_->Try(address), Outcome::kConnected) << address;
    guest_->SendDatagram(address, 80);
    EXPECT_TRUE(host.GotNothing()) << address;
  }
  Set(Lists(false, {kHost, kHost6}, {}));
  for (const char* address : {kHost, kHost6}) {
    EXPECT_NE(guest_->Try(address), Outcome::kConnected) << address;
    EXPECT_TRUE(host.GotNothing()) << address;
  }
  // The host is there for others.
  EXPECT_EQ(Connect(world_.internet(), kHost, 80).first, Outcome::kConnected);
  EXPECT_EQ(Connect(world_.internet(), kHost6, 80).first, Outcome::kConnected);
}

TEST_F(SlotIsolationTest, OtherSandboxesAreDenied) {
  auto second = MakeSlot(1);
  ASSERT_TRUE(second);
  ASSERT_TRUE(second->SetPolicy({.internet = true}));
  const TestGuest other(*second);
  SetInternet();
  const Listener in_guest(other.net(), 80);
  const Listener in_namespace(second->net_namespace(), 80);
  ASSERT_TRUE(in_guest.good() && in_namespace.good());
  for (const SlotPlan& plan : {second->plan()}) {
    for (const IpAddress& address : {plan.host, plan.inside, plan.host6, plan.inside6}) {
      ExpectDenied(address.ToString(), in_guest);
      EXPECT_TRUE(in_namespace.GotNothing());
    }
  }
  // Both have the same address, and each is alone with it.
  const Listener own(guest_->net(), 83);
  EXPECT_NE(other.Try(kSlotGuestAddress, 83), Outcome::kConnected);
  EXPECT_TRUE(own.GotNothing());
  EXPECT_EQ(other.Try(kServer), Outcome::kConnected);
}

TEST_F(SlotIsolationTest, NobodyReachesAGuest) {
  SetInternet();
  const Listener in_guest(guest_->net(), 80);
  const Listener in_namespace(slot_->net_namespace(), 80);
  ASSERT_TRUE(in_guest.good() && in_namespace.good());
  const SlotPlan& plan = slot_->plan();
  for (const os::NetNamespace* from : {&world_.host(), &world_.internet()}) {
    for (const std::string& address :
         {plan.inside.ToString(), plan.inside6.ToString(), std::string(kSlotGuestAddress6)}) {
      EXPECT_NE(Connect(*from, address, 80, 200).first, Outcome::kConnected) << address;
    }
  }
  EXPECT_TRUE(in_guest.GotNothing() && in_namespace.GotNothing());
}

// What a guest may write into its frames.
TEST_F(SlotIsolationTest, SpoofedSourcesAreDropped) {
  SetInternet();
  const auto datagram = [](const std::string& source) {
    return Udp(source, kServer, 80, "spoofed").replace(0, 6, os::BytesOf(kSlotTapMac));
  };
  guest_->SendFrame(datagram(kSlotGuestAddress));
  char bytes[64];
  ASSERT_TRUE(Ready(server_->udp(), POLLIN, 2000));
  ASSERT_EQ(::recv(server_->udp().get(), bytes, sizeof bytes, 0), 7);
  for (const char* source : {"169.254.0.22", "169.254.0.20", "10.12.0.1", "10.12.0.0", "10.12.0.3",
                             kHost, "8.8.8.8", "127.0.0.1", "0.0.0.0", kServer}) {
    guest_->SendFrame(datagram(source));
  }
  guest_->SendFrame(datagram(kSlotGuestAddress));
  ASSERT_TRUE(Ready(server_->udp(), POLLIN, 2000));
  ASSERT_EQ(::recv(server_->udp().get(), bytes, sizeof bytes, 0), 7);
  EXPECT_TRUE(server_->GotNothing());
}

TEST_F(SlotIsolationTest, SpoofedSourcesAreDroppedInIpv6) {
  SetInternet();
  const Status added = guest_->net().Run([]() -> Status {
    ASSIGN_OR_RETURN(os::Links links, os::Links::Open());
    ASSIGN_OR_RETURN(const int link, links.Find("eth0"));
    os::LinkChanges changes;
    changes.AddAddress(link, *IpAddress::Parse("2a00:dead::1"), 128);
    changes.AddAddress(link, *IpAddress::Parse("fe80::1"), 128);
    return links.Apply(changes);
  });
  ASSERT_TRUE(added) << added.error().ToString();
  for (const char* source : {"2a00:dead::1", kSlotGuestAddress6}) {
    const UniqueFd fd = NewSocket(guest_->net(), AF_INET6, SOCK_DGRAM);
    const os::SocketAddress from = SocketName(source, 0);
    const os::SocketAddress to = SocketName(kServer6, 80);
    ASSERT_EQ(::bind(fd.get(), from.get(), from.size()), 0);
    ASSERT_EQ(::sendto(fd.get(), source, 5, 0, to.get(), to.size()), 5);
  }
  char bytes[64];
  ASSERT_TRUE(Ready(server_->udp(), POLLIN, 2000));
  ASSERT_EQ(::recv(server_->udp().get(), bytes, sizeof bytes, 0), 5);
  EXPECT_EQ(std::string(bytes, 5), std::string(kSlotGuestAddress6).substr(0, 5));
  EXPECT_TRUE(server_->GotNothing());
}

// Where no socket would send to, or nobody answers: what counts is that nothing leaves the
// namespace.
TEST_F(SlotIsolationTest, FramesToSpecialAddressesLeaveNothing) {
  Set(Lists(true, {"0.0.0.0/0", "::/0"}, {}));
  ASSERT_EQ(guest_->Try(kServer), Outcome::kConnected);
  ASSERT_TRUE(server_->Accept());
  const auto send = [this](std::string frame) {
    guest_->SendFrame(frame.replace(0, 6, os::BytesOf(kSlotTapMac)));
  };
  // Not by the link's counter: what ends the connection goes through as well, whenever it likes.
  const PacketTap tap(world_.host(), slot_->plan().name);
  ASSERT_TRUE(tap.good());
  uint64_t datagrams = 0;
  const auto left = [&] { return datagrams += tap.TakeDatagrams(); };
  const auto fence = [&] {
    send(Udp6(kSlotGuestAddress6, kServer6, 80, "x"));
    char byte;
    EXPECT_TRUE(Ready(server_->udp(), POLLIN, 2000));
    EXPECT_EQ(::recv(server_->udp().get(), &byte, 1, 0), 1);
    return left();
  };
  const uint64_t before = fence();
  int frames = 0;
  for (const char* to :
       {"0.0.0.1", "10.12.0.2", "10.12.0.3", "10.255.0.1", "100.64.0.1", "100.127.255.255",
        "127.0.0.1", "127.1.2.3", "169.254.0.1", "169.254.169.254", "172.31.0.1", "192.0.0.192",
        "192.168.0.1", "198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
        "255.255.255.255"}) {
    send(Udp(kSlotGuestAddress, to, 80, "x"));
    ++frames;
  }
  for (const char* to : {"::",
                         "::1",
                         "::10.0.0.9",
                         "::ffff:10.0.0.9",
                         "::ffff:1.1.1.1",
                         "64:ff9b::1.1.1.1",
                         "64:ff9b:1::1",
                         "100::1",
                         "2001:0:a00:9::1",
                         "2001:db8::1",
                         "2002:a00:9::1",
                         "2002:101:101::1",
                         "3fff::1",
                         "4000::1",
                         "fc00::1",
                         "fd00:ec2::254",
                         "fd12:3456::1",
                         "fd77:7265:6e6e:1::2",
                         "fe80::1",
                         "fec0::1",
                         "ff02::1",
                         "ff0e::1"}) {
    send(Udp6(kSlotGuestAddress6, to, 80, "x"));
    ++frames;
  }
  EXPECT_EQ(frames, 40);
  EXPECT_EQ(fence(), before + 1);
  EXPECT_TRUE(server_->GotNothing());
}

// All namespaces share one table of neighbours, of so many entries.
TEST_F(SlotIsolationTest, AGuestIsOneNeighbourByWhateverNameItAsks) {
  SetInternet();
  ASSERT_EQ(guest_->Try(kServer), Outcome::kConnected);
  for (int i = 1; i <= 30; ++i) {
    const std::string last = std::to_string(i);
    guest_->SendFrame(ArpQuestion("6.6.6." + last, kSlotGateway));
    guest_->SendFrame(ArpQuestion("10.12.0." + last, kSlotGateway));
    guest_->SendFrame(NeighbourQuestion("2a00:6::" + last, kSlotGateway6)
                          .replace(0, 6, os::BytesOf(kSlotTapMac)));
    guest_->SendFrame(
        NeighbourQuestion("fe80::" + last, kSlotGateway6).replace(0, 6, os::BytesOf(kSlotTapMac)));
  }
  // Frames come in order: those before this connection's have been looked at.
  ASSERT_EQ(guest_->Try(kServer), Outcome::kConnected);
  std::string neighbours;
  ASSERT_TRUE(slot_->net_namespace().Run([&neighbours]() -> Status {
    neighbours = os::Output({"ip", "neigh", "show", "dev", kTapName});
    return {};
  }));
  EXPECT_EQ(std::ranges::count(neighbours, '\n'), 2) << neighbours;
  EXPECT_THAT(neighbours, testing::Not(testing::HasSubstr("6.6.6.")));
}

// Whatever happens in a namespace, its host lets nothing through but the slot's address.
TEST_F(SlotIsolationTest, TheHostDoesNotTrustTheNamespace) {
  SetInternet();
  const Listener host(world_.host(), 80);
  auto second = MakeSlot(1);
  const Listener other(second->net_namespace(), 80);
  const auto open_wide = [](const Slot& slot) {
    return slot.net_namespace().Run([]() -> Status {
      ASSIGN_OR_RETURN(os::Nftables nft, os::Nftables::Open());
      os::NftTransaction remove(kTable);
      remove.DeleteTable();
      RETURN_IF_ERROR(nft.Commit(remove));
      ASSIGN_OR_RETURN(os::Links links, os::Links::Open());
      ASSIGN_OR_RETURN(const int link, links.Find(kUplinkName));
      os::LinkChanges changes;
      changes.AddAddress(link, *IpAddress::Parse("6.6.6.6"), 32);
      changes.AddAddress(link, *IpAddress::Parse("2a00:6::6"), 128);
      return links.Apply(changes);
    });
  };
  ASSERT_TRUE(open_wide(*slot_));
  ASSERT_TRUE(open_wide(*second));
  const auto send = [&](const std::string& source, const std::string& destination) {
    const os::SocketAddress from = SocketName(source, 0);
    const os::SocketAddress to = SocketName(destination, 80);
    const UniqueFd fd = NewSocket(slot_->net_namespace(), from.get()->sa_family, SOCK_DGRAM);
    EXPECT_EQ(::bind(fd.get(), from.get(), from.size()), 0);
    EXPECT_EQ(::sendto(fd.get(), "x", 1, 0, to.get(), to.size()), 1) << destination;
  };
  const SlotPlan& plan = slot_->plan();
  send("6.6.6.6", kServer);
  send("2a00:6::6", kServer6);
  for (const std::string& destination :
       {std::string(kHost), plan.host.ToString(), std::string("10.0.0.9"),
        std::string("169.254.169.254"), second->plan().inside.ToString()}) {
    send(plan.inside.ToString(), destination);
  }
  for (const std::string& destination :
       {std::string(kHost6), plan.host6.ToString(), std::string("fd00:ec2::254"),
        second->plan().inside6.ToString()}) {
    send(plan.inside6.ToString(), destination);
  }
  // Packets of one device come in order: what is behind the others has come, so they have not.
  EXPECT_TRUE(server_->GotNothing());
  send(plan.inside.ToString(), kServer);
  char byte;
  ASSERT_TRUE(Ready(server_->udp(), POLLIN, 2000));
  ASSERT_EQ(::recv(server_->udp().get(), &byte, 1, 0), 1);
  send(plan.inside6.ToString(), kServer6);
  ASSERT_TRUE(Ready(server_->udp(), POLLIN, 2000));
  ASSERT_EQ(::recv(server_->udp().get(), &byte, 1, 0), 1);
  EXPECT_TRUE(server_->GotNothing() && host.GotNothing() && other.GotNothing());
}

// A VMM that has been taken over has the namespace's sockets, but not its way out.
TEST_F(SlotIsolationTest, ProcessesInTheNamespaceReachNothing) {
  Set(Lists(true, {"0.0.0.0/0", "::/0"}, {}));
  const Listener host(world_.host(), 80);
  const SlotPlan& plan = slot_->plan();
  for (const std::string& address :
       {std::string(kServer), std::string(kServer6), std::string(kHost), std::string(kHost6),
        plan.host.ToString(), plan.host6.ToString(), std::string(kSlotGuestAddress),
        std::string(kSlotGuestAddress6)}) {
    EXPECT_NE(Connect(slot_->net_namespace(), address, 80, 100).first, Outcome::kConnected);
  }
  EXPECT_TRUE(server_->GotNothing() && host.GotNothing());
}

}  // namespace
}  // namespace wrenn::net
