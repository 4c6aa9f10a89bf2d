#include "net/dns_forwarder.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/id.h"
#include "base/io.h"
#include "net/dns_message.h"
#include "net/slot_plan.h"
#include "os/socket_address.h"

namespace wrenn::net {
namespace {

constexpr uint16_t kDomain = 53;
constexpr std::chrono::milliseconds kTryLimit{2000};       // for one name server's answer
constexpr std::chrono::milliseconds kStreamLimit{10'000};  // for a connection's whole life
constexpr int kTickMs = 250;

// What an event is about: in the lowest bits of its token, with a slot's or another number above.
enum Kind : uint64_t { kStop, kGuestUdp, kGuestTcp, kAnswer, kStreamGuest, kStreamServer };
constexpr int kKindBits = 3;
uint64_t Token(Kind kind, uint64_t number) { return number << kKindBits | kind; }

// A socket that is connected, or on its way; empty when it cannot be.
UniqueFd ConnectTo(const os::IpAddress& address, int type) {
  UniqueFd fd(::socket(address.family(), type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const os::SocketAddress name(address, kDomain);
  if (fd && ::connect(fd.get(), name.get(), name.size()) < 0 && errno != EINPROGRESS) fd.Reset();
  return fd;
}

// On a thread in a slot's namespace.
Result<UniqueFd> ListenInside(int type) {
  UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Fail(ErrnoError("cannot make a name server's socket"));
  // Connections of a forwarder before this one may linger.
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const os::SocketAddress name(*os::IpAddress::Parse(kSlotGateway), kDomain);
  if (::bind(fd.get(), name.get(), name.size()) < 0 ||
      (type == SOCK_STREAM && ::listen(fd.get(), DnsForwarder::kStreamsOfOne) < 0)) {
    return Fail(ErrnoError(fmt::format("cannot listen to {} in a network slot", kSlotGateway)));
  }
  return fd;
}

}  // namespace

DnsForwarder::DnsForwarder(std::string resolv_conf, UniqueFd epoll, UniqueFd stop)
    : resolvers_(std::move(resolv_conf)), epoll_(std::move(epoll)), stop_(std::move(stop)) {}

Result<std::unique_ptr<DnsForwarder>> DnsForwarder::Start(std::string resolv_conf) {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return Fail(ErrnoError("epoll_create1"));
  ASSIGN_OR_RETURN(UniqueFd stop, MakeEventFd());
  std::unique_ptr<DnsForwarder> forwarder(
      new DnsForwarder(std::move(resolv_conf), std::move(epoll), std::move(stop)));
  if (!forwarder->Watch(forwarder->stop_.get(), EPOLLIN, Token(kStop, 0))) {
    return Fail(ErrnoError("epoll_ctl"));
  }
  forwarder->thread_ = std::thread([self = forwarder.get()] { self->Run(); });
  return forwarder;
}

DnsForwarder::~DnsForwarder() {
  SignalEventFd(stop_.get());
  if (thread_.joinable()) thread_.join();
}

Status DnsForwarder::Add(int slot, const os::NetNamespace& net_namespace) {
  Result<UniqueFd> udp, tcp;
  RETURN_IF_ERROR(net_namespace.Run([&] {
    udp = ListenInside(SOCK_DGRAM);
    tcp = ListenInside(SOCK_STREAM);
    return Status();
  }));
  if (!udp) return Fail(udp.error());
  if (!tcp) return Fail(tcp.error());
  std::lock_guard lock(mutex_);
  const auto [place, fresh] = guests_.try_emplace(slot);
  if (!fresh) return Fail(Code::kAlreadyExists, "slot {} has its name server", slot);
  place->second.udp = std::move(*udp);
  place->second.tcp = std::move(*tcp);
  const auto number = static_cast<uint64_t>(slot);
  if (!Watch(place->second.udp.get(), EPOLLIN, Token(kGuestUdp, number)) ||
      !Watch(place->second.tcp.get(), EPOLLIN, Token(kGuestTcp, number))) {
    guests_.erase(place);
    return Fail(ErrnoError("epoll_ctl"));
  }
  return {};
}

void DnsForwarder::Remove(int slot) {
  std::lock_guard lock(mutex_);
  std::erase_if(questions_, [slot](const auto& entry) { return entry.second.slot == slot; });
  std::erase_if(streams_, [slot](const auto& entry) { return entry.second.slot == slot; });
  guests_.erase(slot);
}

bool DnsForwarder::Watch(int fd, unsigned events, uint64_t token) const {
  epoll_event event{};
  event.events = events;
  event.data.u64 = token;
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

void DnsForwarder::Run() {
  constexpr int kAtOnce = 64;
  epoll_event events[kAtOnce];
  auto tick = Deadline::After(std::chrono::milliseconds(kTickMs));
  for (bool idle = true;;) {
    const int count = ::epoll_wait(epoll_.get(), events, kAtOnce, idle ? -1 : kTickMs);
    std::lock_guard lock(mutex_);
    for (int i = 0; i < count; ++i) {
      if (events[i].data.u64 == Token(kStop, 0)) return;
      Handle(events[i].data.u64);
    }
    if (tick.HasPassed()) {
      LookAtTheClock();
      tick = Deadline::After(std::chrono::milliseconds(kTickMs));
    }
    idle = questions_.empty() && streams_.empty();
  }
}

// What it was about may have gone since.
void DnsForwarder::Handle(uint64_t token) {
  const uint64_t number = token >> kKindBits;
  const auto slot = static_cast<int>(number);
  switch (static_cast<Kind>(token & ((1 << kKindBits) - 1))) {
    case kGuestUdp:
      if (guests_.contains(slot)) TakeQuestions(slot);
      break;
    case kGuestTcp:
      if (guests_.contains(slot)) TakeStream(slot);
      break;
    case kAnswer:
      if (questions_.contains(number)) TakeAnswer(number);
      break;
    case kStreamGuest:
    case kStreamServer:
      if (streams_.contains(number)) Step(number);
      break;
    case kStop:
      break;
  }
}

void DnsForwarder::TakeQuestions(int slot) {
  constexpr int kAtOnce = 8;  // so that others get their turn
  Guest& guest = guests_.at(slot);
  for (int i = 0; i < kAtOnce; ++i) {
    char buffer[kMaxDnsQuestion + 1];
    sockaddr_in client{};
    socklen_t size = sizeof client;
    const ssize_t got = ::recvfrom(guest.udp.get(), buffer, sizeof buffer, MSG_DONTWAIT,
                                   reinterpret_cast<sockaddr*>(&client), &size);
    if (got < 0) return;
    std::string message(buffer, static_cast<size_t>(got));
    if (guest.questions >= kQuestionsOfOne || questions_.size() >= kQuestionsOfAll) continue;
    if (!IsDnsQuestion(message)) continue;
    const uint16_t id = DnsId(message);
    const uint64_t number = next_number_++;
    questions_.emplace(number,
                       Question{slot, client, id, std::move(message), first_resolver_, 0, {}});
    ++guest.questions;
    Ask(number);
  }
}

// Asks the next name server, or says that there is none left.
void DnsForwarder::Ask(uint64_t number) {
  Question& question = questions_.at(number);
  const auto& servers = resolvers_.Get();
  while (question.tries < servers.size()) {
    const size_t server = (question.first + question.tries++) % servers.size();
    // A port and an id of its own for each: who does not see the question cannot answer it.
    question.socket = ConnectTo(servers[server], SOCK_DGRAM);
    if (!question.socket) continue;
    const std::string random = RandomBytes(2);
    SetDnsId(question.message, DnsId(random));
    if (::send(question.socket.get(), question.message.data(), question.message.size(),
               MSG_NOSIGNAL) < 0 ||
        !Watch(question.socket.get(), EPOLLIN, Token(kAnswer, number))) {
      continue;
    }
    question.again = Deadline::After(kTryLimit);
    return;
  }
  Answer(question, DnsFailure(question.message));
  EndQuestion(number);
}

void DnsForwarder::TakeAnswer(uint64_t number) {
  Question& question = questions_.at(number);
  std::string message(64 << 10, '\0');
  const ssize_t got = ::recv(question.socket.get(), message.data(), message.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got < 0) return Ask(number);  // nobody listens there
  message.resize(static_cast<size_t>(got));
  if (!IsDnsAnswer(question.message, message)) return;
  Answer(question, std::move(message));
  EndQuestion(number);
}

void DnsForwarder::Answer(const Question& question, std::string message) {
  SetDnsId(message, question.id);
  (void)::sendto(guests_.at(question.slot).udp.get(), message.data(), message.size(),
                 MSG_DONTWAIT | MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&question.client),
                 sizeof question.client);
}

void DnsForwarder::TakeStream(int slot) {
  Guest& guest = guests_.at(slot);
  UniqueFd client(::accept4(guest.tcp.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!client || guest.streams >= kStreamsOfOne || streams_.size() >= kStreamsOfAll) return;
  const auto& servers = resolvers_.Get();
  UniqueFd server = ConnectTo(servers[first_resolver_ % servers.size()], SOCK_STREAM);
  if (!server) return;
  const uint64_t number = next_number_++;
  DnsStream relay(std::move(client), std::move(server), Deadline::After(kStreamLimit));
  streams_.emplace(number, Stream{slot, std::move(relay)});
  ++guest.streams;
  Step(number);
}

void DnsForwarder::Step(uint64_t number) {
  Stream& stream = streams_.at(number);
  if (!stream.relay.Step()) return EndStream(number);
  const auto update = [this](int fd, unsigned& now, unsigned wanted, uint64_t token) {
    if (now == wanted) return;
    // An end that is not waited for is taken out: it would report its peer's end again and again.
    if (now != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    now = wanted != 0 && Watch(fd, wanted, token) ? wanted : 0;
  };
  update(stream.relay.guest(), stream.guest_events, stream.relay.GuestEvents(),
         Token(kStreamGuest, number));
  update(stream.relay.server(), stream.server_events, stream.relay.ServerEvents(),
         Token(kStreamServer, number));
}

void DnsForwarder::EndQuestion(uint64_t number) {
  const auto question = questions_.find(number);
  --guests_.at(question->second.slot).questions;
  questions_.erase(question);
}

void DnsForwarder::EndStream(uint64_t number) {
  const auto stream = streams_.find(number);
  --guests_.at(stream->second.slot).streams;
  streams_.erase(stream);
}

void DnsForwarder::LookAtTheClock() {
  std::vector<uint64_t> late;
  for (const auto& [number, question] : questions_) {
    if (question.again.HasPassed()) late.push_back(number);
  }
  const size_t servers = resolvers_.Get().size();
  for (const uint64_t number : late) {
    const Question& question = questions_.at(number);
    // Others need not wait for it as well.
    const size_t silent = (question.first + question.tries - 1) % servers;
    if (silent == first_resolver_ % servers) first_resolver_ = (silent + 1) % servers;
    Ask(number);
  }
  late.clear();
  for (const auto& [number, stream] : streams_) {
    if (stream.relay.end().HasPassed()) late.push_back(number);
  }
  for (const uint64_t number : late) EndStream(number);
}

}  // namespace wrenn::net
