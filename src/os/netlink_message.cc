#include "os/netlink_message.h"

#include <endian.h>
#include <linux/netlink.h>

#include <cstring>
#include <utility>

namespace wrenn::os {

void NetlinkAttributes::Pad() { bytes_.resize(NLMSG_ALIGN(bytes_.size())); }

void NetlinkAttributes::Put(uint16_t type, std::string_view bytes) {
  const nlattr head{static_cast<uint16_t>(NLA_HDRLEN + bytes.size()), type};
  bytes_ += BytesOf(head);
  bytes_ += bytes;
  Pad();
}

void NetlinkAttributes::PutString(uint16_t type, const std::string& text) {
  Put(type, {text.c_str(), text.size() + 1});
}

void NetlinkAttributes::PutBig32(uint16_t type, uint32_t number) {
  PutNumber(type, htobe32(number));
}

void NetlinkAttributes::PutBig64(uint16_t type, uint64_t number) {
  PutNumber(type, htobe64(number));
}

size_t NetlinkAttributes::BeginNest(uint16_t type) {
  const size_t begin = bytes_.size();
  Put(static_cast<uint16_t>(type | NLA_F_NESTED), {});
  return begin;
}

void NetlinkAttributes::EndNest(size_t begin) {
  const auto length = static_cast<uint16_t>(bytes_.size() - begin);
  std::memcpy(bytes_.data() + begin + offsetof(nlattr, nla_len), &length, sizeof length);
}

void NetlinkRequest::Begin(std::string what, uint16_t type, uint16_t flags,
                           std::string_view fixed) {
  messages_.push_back({std::move(what), bytes_.size()});
  nlmsghdr head{};
  head.nlmsg_type = type;
  head.nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST);
  bytes_ += BytesOf(head);
  bytes_ += fixed;
  Pad();
  if (flags & NLM_F_ACK) acknowledged_ = messages_.size() - 1;
}

void NetlinkRequest::AcknowledgeLast() {
  acknowledged_ = messages_.size() - 1;
  const size_t begin = messages_.back().begin;
  auto head = NumberFrom<nlmsghdr>(std::string_view(bytes_).substr(begin));
  head.nlmsg_flags |= NLM_F_ACK;
  std::memcpy(bytes_.data() + begin, &head, sizeof head);
}

std::string_view NetlinkRequest::Finish(uint32_t sequence) {
  for (size_t i = 0; i < messages_.size(); ++i) {
    const size_t begin = messages_[i].begin;
    const size_t end = i + 1 < messages_.size() ? messages_[i + 1].begin : bytes_.size();
    auto head = NumberFrom<nlmsghdr>(std::string_view(bytes_).substr(begin));
    head.nlmsg_len = static_cast<uint32_t>(end - begin);
    head.nlmsg_seq = sequence + static_cast<uint32_t>(i);
    std::memcpy(bytes_.data() + begin, &head, sizeof head);
  }
  return bytes_;
}

std::vector<NetlinkAttribute> ReadAttributes(std::string_view bytes) {
  std::vector<NetlinkAttribute> found;
  while (bytes.size() >= NLA_HDRLEN) {
    const auto head = NumberFrom<nlattr>(bytes);
    if (head.nla_len < NLA_HDRLEN || head.nla_len > bytes.size()) break;
    found.push_back({static_cast<uint16_t>(head.nla_type & NLA_TYPE_MASK),
                     bytes.substr(NLA_HDRLEN, head.nla_len - NLA_HDRLEN)});
    bytes.remove_prefix(std::min<size_t>(NLA_ALIGN(head.nla_len), bytes.size()));
  }
  return found;
}

std::optional<std::string_view> FindAttribute(std::string_view bytes, uint16_t type) {
  for (const NetlinkAttribute& attribute : ReadAttributes(bytes)) {
    if (attribute.type == type) return attribute.value;
  }
  return std::nullopt;
}

}  // namespace wrenn::os
