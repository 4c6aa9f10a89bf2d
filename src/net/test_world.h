// For tests: a host with slots, an internet beyond it, and guests, all in namespaces of their own.
//
//   guest's namespace          slot's namespace        the test's own             internet's
//   eth0 (TAP) ═ frames ═ tap0 (TAP)  veth0 ────── wrenn-0  eth0 ────────────── eth0, lo
//
// A guest is a whole kernel's network stack behind a TAP device, as in a VM.
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/io.h"
#include "net/slot.h"
#include "os/files.h"
#include "os/socket_address.h"
#include "os/tap.h"
#include "os/test_network.h"

namespace wrenn::net {

// Of the internet: what may be reached and what not. It has them all.
inline constexpr const char* kServer = "1.1.1.1";
inline constexpr const char* kOtherServer = "9.9.9.9";
inline constexpr const char* kServer6 = "2606:4700::1111";
inline constexpr const char* kOtherServer6 = "2606:4700::2222";
// The host's.
inline constexpr const char* kHost = "5.5.5.2";
inline constexpr const char* kHost6 = "2a00:5::2";

// A socket address from text.
inline os::SocketAddress SocketName(const std::string& text, uint16_t port) {
  return {*IpAddress::Parse(text), port};
}

inline UniqueFd NewSocket(const os::NetNamespace& where, int family, int type) {
  UniqueFd fd;
  (void)where.Run([&]() -> Status {
    fd.Reset(::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    return {};
  });
  return fd;
}

inline bool Ready(const UniqueFd& fd, short events, int milliseconds) {
  const auto limit = std::chrono::milliseconds(milliseconds);
  return WaitReady(fd.get(), events, Deadline::After(limit)).has_value();
}

// Listens to TCP and UDP on all addresses of both families of a namespace.
class Listener {
 public:
  Listener(const os::NetNamespace& where, uint16_t port) {
    tcp_ = NewSocket(where, AF_INET6, SOCK_STREAM);
    udp_ = NewSocket(where, AF_INET6, SOCK_DGRAM);
    const os::SocketAddress any = SocketName("::", port);
    const int on = 1;
    ::setsockopt(tcp_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    good_ = ::bind(tcp_.get(), any.get(), any.size()) == 0 && ::listen(tcp_.get(), 1000) == 0 &&
            ::bind(udp_.get(), any.get(), any.size()) == 0;
  }
  bool good() const { return good_; }
  bool GotNothing() const { return !Ready(tcp_, POLLIN, 0) && !Ready(udp_, POLLIN, 0); }
  UniqueFd Accept() const {
    if (!Ready(tcp_, POLLIN, 10'000)) return UniqueFd();
    return UniqueFd(::accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  }
  const UniqueFd& udp() const { return udp_; }

 private:
  UniqueFd tcp_, udp_;
  bool good_ = false;
};

// How an attempt to connect ended.
enum class Outcome { kConnected, kRefused, kSilence };

inline std::pair<Outcome, UniqueFd> Connect(const os::NetNamespace& from,
                                            const std::string& address, uint16_t port,
                                            int milliseconds = 1000) {
  const os::SocketAddress name = SocketName(address, port);
  UniqueFd fd = NewSocket(from, name.get()->sa_family, SOCK_STREAM);
  if (::connect(fd.get(), name.get(), name.size()) < 0 && errno != EINPROGRESS) {
    return {Outcome::kRefused, UniqueFd()};
  }
  if (!Ready(fd, POLLOUT, milliseconds)) return {Outcome::kSilence, UniqueFd()};
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return {Outcome::kRefused, UniqueFd()};
  return {Outcome::kConnected, std::move(fd)};
}

// A guest with the addresses that all guests have.
class TestGuest {
 public:
  explicit TestGuest(const Slot& slot) : namespace_(*os::NetNamespace::Create()) {
    auto outer = slot.OpenTap();
    if (!outer) throw std::runtime_error(outer.error().ToString());
    outer_ = std::move(*outer);
    for (const Status& done : {namespace_.Run([this] { return SetUp(); }),
                               namespace_.Run([] { return AwaitCarrier("eth0"); }),
                               slot.net_namespace().Run([] { return AwaitCarrier(kTapName); })}) {
      if (!done) throw std::runtime_error(done.error().ToString());
    }
    stop_ = *MakeEventFd();
    pump_ = std::thread([this] { Pump(); });
  }
  ~TestGuest() {
    SignalEventFd(stop_.get());
    pump_.join();
  }

  const os::NetNamespace& net() const { return namespace_; }
  Outcome Try(const std::string& address, uint16_t port = 80) const {
    return Connect(namespace_, address, port).first;
  }
  void SendDatagram(const std::string& address, uint16_t port) const {
    const os::SocketAddress name = SocketName(address, port);
    const UniqueFd fd = NewSocket(namespace_, name.get()->sa_family, SOCK_DGRAM);
    (void)::sendto(fd.get(), "x", 1, 0, name.get(), name.size());
  }
  // A frame of the test's own making, as if the guest had sent it.
  void SendFrame(const std::string& frame) const { (void)WriteQuietly(outer_.get(), frame); }

 private:
  Status SetUp() {
    const auto address = [](const char* text) { return *IpAddress::Parse(text); };
    RETURN_IF_ERROR(os::CreateTap("eth0"));
    ASSIGN_OR_RETURN(inner_, os::OpenTap("eth0"));
    ASSIGN_OR_RETURN(os::Links links, os::Links::Open());
    ASSIGN_OR_RETURN(const int link, links.Find("eth0"));
    os::LinkChanges changes;
    changes.SetMac(link, kSlotGuestMac);
    changes.SetUp(link, true);
    changes.AddAddress(link, address(kSlotGuestAddress), kSlotPrefix);
    changes.AddAddress(link, address(kSlotGuestAddress6), kSlotPrefix6);
    changes.AddDefaultRoute(address(kSlotGateway), link);
    changes.AddDefaultRoute(address(kSlotGateway6), link);
    return links.Apply(changes);
  }

  // A device whose other end has just been opened drops packets until the kernel has noticed, which
  // it does in the background, or when it is asked about the device (rtnl_getlink).
  static Status AwaitCarrier(const char* name) {
    ASSIGN_OR_RETURN(os::Links links, os::Links::Open());
    RETURN_IF_ERROR(links.Counters(name));
    return {};
  }

  void Pump() const {
    std::string frame(70000, '\0');
    const auto move = [&frame](int from, int to) {
      const ssize_t got = ::read(from, frame.data(), frame.size());
      if (got > 0) (void)WriteQuietly(to, {frame.data(), static_cast<size_t>(got)});
    };
    for (;;) {
      pollfd wait[] = {
          {outer_.get(), POLLIN, 0}, {inner_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      ::poll(wait, 3, -1);
      if (wait[2].revents) return;
      if (wait[0].revents) move(outer_.get(), inner_.get());
      if (wait[1].revents) move(inner_.get(), outer_.get());
    }
  }

  os::NetNamespace namespace_;
  UniqueFd outer_, inner_, stop_;
  std::thread pump_;
};

// The host and the internet. The host forwards IPv6 too, as one does whose administrator has chosen
// that.
class TestWorld {
 public:
  // Answers why it cannot be had, or nothing.
  std::string SetUp() {
    if (std::string reason = own_.Enter(); !reason.empty()) return reason;
    if (::access("/dev/net/tun", R_OK | W_OK) != 0) return "needs /dev/net/tun";
    auto created = os::NetNamespace::Create();
    if (!created) return created.error().ToString();
    internet_.emplace(std::move(*created));
    auto current = os::NetNamespace::Current();
    if (!current) return current.error().ToString();
    host_.emplace(std::move(*current));
    if (Status made = MakeHost(); !made) return made.error().ToString();
    if (Status made = internet_->Run([] { return MakeInternet(); }); !made) {
      return made.error().ToString();
    }
    auto folder = os::TemporaryDirectory::Make();
    if (!folder) return folder.error().ToString();
    folder_.emplace(std::move(*folder));
    return "";
  }

  const os::NetNamespace& host() const { return *host_; }
  const os::NetNamespace& internet() const { return *internet_; }
  const std::string& folder() const { return folder_->path(); }

 private:
  static IpAddress Address(const char* text) { return *IpAddress::Parse(text); }

  Status MakeHost() {
    ASSIGN_OR_RETURN(os::Links links, os::Links::Open());
    os::LinkChanges pair;
    pair.AddVeth({"eth0", {2, 0, 0, 0, 1, 2}}, {"eth0", {2, 0, 0, 0, 1, 1}}, internet_->fd());
    RETURN_IF_ERROR(links.Apply(pair));
    ASSIGN_OR_RETURN(const int link, links.Find("eth0"));
    ASSIGN_OR_RETURN(const int loopback, links.Find("lo"));
    os::LinkChanges changes;
    changes.SetUp(loopback, false);
    changes.SetUp(link, true);
    changes.AddAddress(link, Address(kHost), 24);
    changes.AddAddress(link, Address(kHost6), 64);
    changes.AddAddress(link, Address("192.168.7.2"), 24);
    // On the same wire as the cloud's metadata service.
    changes.AddAddress(link, Address("169.254.8.8"), 16);
    RETURN_IF_ERROR(links.Apply(changes));
    RETURN_IF_ERROR(internet_->Run([] { return SetUpLink(); }));
    os::LinkChanges routes;
    routes.AddDefaultRoute(Address("5.5.5.1"), link);
    routes.AddDefaultRoute(Address("2a00:5::1"), link);
    RETURN_IF_ERROR(links.Apply(routes));
    return os::SetNetworkVariable("ipv6/conf/all/forwarding", "1");
  }

  static Status SetUpLink() {
    ASSIGN_OR_RETURN(os::Links links, os::Links::Open());
    ASSIGN_OR_RETURN(const int link, links.Find("eth0"));
    os::LinkChanges changes;
    changes.SetUp(link, true);
    changes.AddAddress(link, Address("5.5.5.1"), 24);
    changes.AddAddress(link, Address("2a00:5::1"), 64);
    changes.AddAddress(link, Address("169.254.169.254"), 16);
    changes.AddAddress(link, Address("192.168.7.1"), 24);
    return links.Apply(changes);
  }

  // It would route what comes to it, to anybody: also back to the slots' own addresses.
  static Status MakeInternet() {
    ASSIGN_OR_RETURN(os::Links links, os::Links::Open());
    ASSIGN_OR_RETURN(const int loopback, links.Find("lo"));
    ASSIGN_OR_RETURN(const int link, links.Find("eth0"));
    os::LinkChanges changes;
    changes.SetUp(loopback, false);
    for (const char* address :
         {kServer, kOtherServer, "10.0.0.9", "172.16.0.9", "100.64.0.9", "168.63.129.16"}) {
      changes.AddAddress(loopback, Address(address), 32);
    }
    for (const char* address : {kServer6, kOtherServer6, "fd00:ec2::254", "2002:a00:9::1",
                                "64:ff9b::a00:9", "2001:0:a00:9::1"}) {
      changes.AddAddress(loopback, Address(address), 128);
    }
    changes.AddDefaultRoute(Address(kHost), link);
    changes.AddDefaultRoute(Address(kHost6), link);
    return links.Apply(changes);
  }

  os::OwnNetwork own_;
  std::optional<os::NetNamespace> host_;
  std::optional<os::NetNamespace> internet_;
  std::optional<os::TemporaryDirectory> folder_;
};

}  // namespace wrenn::net
