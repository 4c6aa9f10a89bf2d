#include "os/netlink.h"

#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace wrenn::os {
namespace {

// The kernel's word on a message (NLMSG_ERROR): its errno, 0 for yes, and a text where it has one.
struct Verdict {
  int error = 0;
  std::string text;
};

Verdict ReadVerdict(const nlmsghdr& head, std::string_view payload) {
  const auto body = NumberFrom<nlmsgerr>(payload);
  Verdict verdict{-body.error, {}};
  if (!(head.nlmsg_flags & NLM_F_ACK_TLVS)) return verdict;
  // The attributes are behind the message that it is about, of which there is only the header when
  // NLM_F_CAPPED is set.
  size_t skip = sizeof body;
  if (!(head.nlmsg_flags & NLM_F_CAPPED)) skip += NLMSG_ALIGN(body.msg.nlmsg_len) - sizeof body.msg;
  const auto text =
      FindAttribute(payload.substr(std::min(skip, payload.size())), NLMSGERR_ATTR_MSG);
  if (text) verdict.text = text->substr(0, text->find('\0'));
  return verdict;
}

Error Refusal(const std::string& what, const Verdict& verdict) {
  Error error = ErrnoError("cannot " + what, verdict.error);
  error.detail = verdict.text;
  return error;
}

// Takes the first message off `bytes`; false when there is none.
bool Next(std::string_view& bytes, nlmsghdr& head, std::string_view& payload) {
  if (bytes.size() < sizeof head) return false;
  head = NumberFrom<nlmsghdr>(bytes);
  if (head.nlmsg_len < sizeof head || head.nlmsg_len > bytes.size()) return false;
  payload = bytes.substr(sizeof head, head.nlmsg_len - sizeof head);
  bytes.remove_prefix(std::min<size_t>(NLMSG_ALIGN(head.nlmsg_len), bytes.size()));
  return true;
}

}  // namespace

Result<NetlinkSocket> NetlinkSocket::Open(int protocol) {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd) return Fail(ErrnoError("cannot open a netlink socket"));
  const int on = 1;
  // Texts with refusals, and refusals without a copy of the message.
  ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  // Answers are there when send(2) returns; the limit is for a kernel that has none to give.
  const timeval limit{10, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  // A message must fit the send buffer, and one of many messages may not. Not an error: without
  // CAP_NET_ADMIN in the first user namespace it may not be had, and is seldom needed.
  const int size = 4 << 20;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
  // Connected to the kernel, the socket takes nothing from other processes.
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel) < 0) {
    return Fail(ErrnoError("cannot connect a netlink socket"));
  }
  return NetlinkSocket(std::move(fd));
}

Status NetlinkSocket::Transmit(std::string_view bytes) {
  const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), 0);
  if (sent < 0) return Fail(ErrnoError("cannot send a netlink message"));
  return {};
}

Result<std::string_view> NetlinkSocket::Receive() {
  buffer_.resize(64 << 10);
  for (;;) {
    const ssize_t got = ::recv(fd_.get(), buffer_.data(), buffer_.size(), MSG_TRUNC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(ErrnoError("cannot receive a netlink message"));
    if (static_cast<size_t>(got) > buffer_.size()) {
      return Fail(Code::kInternal, "a netlink message of {} bytes is too long", got);
    }
    return std::string_view(buffer_).substr(0, static_cast<size_t>(got));
  }
}

Status NetlinkSocket::Send(NetlinkRequest& request,
                           const std::function<void(std::string_view)>& part) {
  if (!request.acknowledged()) return {};
  const uint32_t first = sequence_;
  sequence_ += static_cast<uint32_t>(request.size());
  RETURN_IF_ERROR(Transmit(request.Finish(first)));
  for (bool done = false; !done;) {
    ASSIGN_OR_RETURN(std::string_view answers, Receive());
    nlmsghdr head;
    std::string_view payload;
    while (Next(answers, head, payload)) {
      const uint32_t message = head.nlmsg_seq - first;
      // What is left of an earlier request that was refused is older.
      if (message >= request.size()) continue;
      if (head.nlmsg_type != NLMSG_ERROR) {
        if (part) part(payload);
        continue;
      }
      const Verdict verdict = ReadVerdict(head, payload);
      if (verdict.error != 0) return Fail(Refusal(request.what(message), verdict));
      done = message == *request.acknowledged();
    }
  }
  return {};
}

Status NetlinkSocket::Dump(NetlinkRequest& request, const std::function<void()>& begin,
                           const std::function<void(std::string_view)>& part) {
  constexpr int kTries = 10;
  for (int i = 0; i < kTries; ++i) {
    begin();
    const uint32_t sequence = sequence_++;
    RETURN_IF_ERROR(Transmit(request.Finish(sequence)));
    bool whole = true;
    for (bool done = false; !done;) {
      ASSIGN_OR_RETURN(std::string_view answers, Receive());
      nlmsghdr head;
      std::string_view payload;
      while (Next(answers, head, payload)) {
        if (head.nlmsg_seq != sequence) continue;
        if (head.nlmsg_flags & NLM_F_DUMP_INTR) whole = false;
        if (head.nlmsg_type == NLMSG_DONE) {
          done = true;
        } else if (head.nlmsg_type == NLMSG_ERROR) {
          const Verdict verdict = ReadVerdict(head, payload);
          return Fail(Refusal(request.what(0), verdict));
        } else {
          part(payload);
        }
      }
    }
    if (whole) return {};
  }
  return Fail(Code::kUnavailable, "cannot {}: it changes all the time", request.what(0));
}

}  // namespace wrenn::os
