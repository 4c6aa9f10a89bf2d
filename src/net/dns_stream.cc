#include "net/dns_stream.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

#include "net/dns_message.h"

namespace wrenn::net {

bool DnsStream::Receive(int from, int to, Way& way, std::string& into) {
  if (!way.bytes.empty() || way.ended) return true;
  char buffer[16 << 10];
  const ssize_t got = ::recv(from, buffer, sizeof buffer, MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  into.append(buffer, static_cast<size_t>(got));
  if (got == 0) {
    way.ended = true;
    ::shutdown(to, SHUT_WR);
  }
  return true;
}

bool DnsStream::Send(int to, Way& way) {
  if (way.bytes.empty()) return true;
  const ssize_t put = ::send(to, way.bytes.data(), way.bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (put < 0) return errno == EAGAIN || errno == EINTR;
  way.bytes.erase(0, static_cast<size_t>(put));
  return true;
}

bool DnsStream::TakeQuestions() {
  const auto whole = WholeDnsQuestions(asked_);
  if (!whole) return false;
  out_.bytes.append(asked_, 0, *whole);
  asked_.erase(0, *whole);
  return true;
}

bool DnsStream::Step() {
  if (end_.HasPassed()) return false;
  if (!Receive(guest(), server(), out_, asked_) || !TakeQuestions() || !Send(server(), out_)) {
    return false;
  }
  if (!Receive(server(), guest(), back_, back_.bytes) || !Send(guest(), back_)) return false;
  // Once the server has said all, there is nothing more to come of it.
  return !(back_.ended && back_.bytes.empty());
}

unsigned DnsStream::Events(const Way& from_here, const Way& to_here) {
  unsigned events = 0;
  if (from_here.bytes.empty() && !from_here.ended) events |= EPOLLIN;
  if (!to_here.bytes.empty()) events |= EPOLLOUT;
  return events;
}

}  // namespace wrenn::net
