#include "guest/agent/serial_ports.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "guest/init/console.h"
#include "wire/mux.h"
#include "wire/sockets.h"

namespace wrenn::guest {
namespace {

// On loopback a connection is there at once, unless the listener's queue is full. It is waited for
// on the session's own thread: meanwhile all its streams stand still.
constexpr std::chrono::milliseconds kConnectLimit{100};
// Should an event ever be lost, a host that came back is noticed after this time.
constexpr std::chrono::seconds kFallback{10};
// How long a host may be away within a session. The kernel works through all news of a port at
// once, so it is back at once if at all.
constexpr std::chrono::milliseconds kAway{50};
constexpr int kRetryMs = 1'000;

// Waits for the host to open its side of a port. poll(2) cannot: while the other side is closed it
// returns at once with POLLHUP. An edge-triggered epoll returns at changes only, and the driver
// wakes its waiters when the host opens or closes the port (drivers/char/virtio_console.c).
class PeerWatch {
 public:
  static Result<PeerWatch> Make(int port) {
    PeerWatch watch;
    watch.epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
    watch.port_ = port;
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    if (!watch.epoll_ || ::epoll_ctl(watch.epoll_.get(), EPOLL_CTL_ADD, port, &event) < 0) {
      return Fail(ErrnoError("cannot watch a serial port"));
    }
    return watch;
  }

  // False when the time was up first.
  bool Wait(Deadline deadline) const {
    for (;;) {
      pollfd now{port_, POLLIN, 0};
      ::poll(&now, 1, 0);
      // (POLLIN is set beside POLLHUP: a read would not wait, it would find the end.)
      if (!(now.revents & POLLHUP)) return true;
      if (deadline.HasPassed()) return false;
      epoll_event event;
      const Deadline next = Deadline::Earlier(deadline, Deadline::After(kFallback));
      ::epoll_wait(epoll_.get(), &event, 1, next.PollTimeout());
    }
  }

 private:
  UniqueFd epoll_;
  int port_ = -1;
};

Status ServePort(const std::string& device, const SerialPorts::Accept& accept) {
  UniqueFd port(::open(device.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (!port) return Fail(ErrnoError("cannot open " + device));
  ASSIGN_OR_RETURN(const PeerWatch peer, PeerWatch::Make(port.get()));
  wire::MuxServerOptions options;
  options.accept = accept;
  options.peer_is_back = [&peer] { return peer.Wait(Deadline::After(kAway)); };
  options.wait_for_peer = [&peer] { return peer.Wait(Deadline::Never()); };
  return wire::ServeMux(port.get(), options);
}

}  // namespace

std::vector<std::string> FindSerialPorts(const std::string& sysfs) {
  std::vector<std::string> devices;
  DIR* folder = ::opendir(sysfs.c_str());
  if (!folder) return devices;
  while (const dirent* entry = ::readdir(folder)) {
    auto name = ReadFile(fmt::format("{}/{}/name", sysfs, entry->d_name), 4096);
    if (name && name->starts_with(kPortPrefix)) {
      devices.push_back(fmt::format("/dev/{}", entry->d_name));
    }
  }
  ::closedir(folder);
  return devices;
}

void SerialPorts::Scan() {
  for (const std::string& device : FindSerialPorts("/sys/class/virtio-ports")) {
    if (!served_.insert(device).second) continue;
    std::thread([this, device] { Serve(device); }).detach();
  }
}

void SerialPorts::Serve(const std::string& device) {
  for (;;) {
    auto served = ServePort(device, accept_);
    if (!served) Console("{}: {}", device, served.error().ToString());
    ::poll(nullptr, 0, kRetryMs);
  }
}

Result<UniqueFd> ConnectLocal(uint16_t port) {
  auto v4 = wire::ConnectTcp("127.0.0.1", port, Deadline::After(kConnectLimit));
  if (v4) return v4;
  if (v4.error().code == Code::kDeadlineExceeded) {
    return Fail(Code::kUnavailable, "what listens on port {} accepts no connections now", port);
  }
  auto v6 = wire::ConnectTcp("::1", port, Deadline::After(kConnectLimit));
  if (v6) return v6;
  return Fail(Code::kUnavailable, "nothing listens on port {}", port);
}

}  // namespace wrenn::guest
