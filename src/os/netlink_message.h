// Netlink messages: writing requests, reading answers. A message is a header, a fixed part of its
// protocol, and attributes, which may hold attributes
// (https://docs.kernel.org/userspace-api/netlink/intro.html).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace wrenn::os {

// The bytes of a value as they lie in memory.
template <typename T>
std::string_view BytesOf(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

// Writes attributes one behind the other.
class NetlinkAttributes {
 public:
  void Put(uint16_t type, std::string_view bytes);
  // With the terminating zero that the kernel wants.
  void PutString(uint16_t type, const std::string& text);
  template <typename T>
  void PutNumber(uint16_t type, T number) {
    Put(type, BytesOf(number));
  }
  // Big-endian, as nftables has its numbers.
  void PutBig32(uint16_t type, uint32_t number);
  void PutBig64(uint16_t type, uint64_t number);
  // An attribute that holds those that `fill` puts. It may hold at most 64 KiB.
  template <typename Fill>
  void Nest(uint16_t type, const Fill& fill) {
    const size_t begin = BeginNest(type);
    fill();
    EndNest(begin);
  }
  // Attributes that were written elsewhere.
  void Append(const NetlinkAttributes& other) { bytes_ += other.bytes_; }

  const std::string& bytes() const { return bytes_; }

 protected:
  size_t BeginNest(uint16_t type);
  void EndNest(size_t begin);
  void Pad();

  std::string bytes_;
};

// Messages that are sent together, in one system call.
class NetlinkRequest : public NetlinkAttributes {
 public:
  // Begins a message; attributes put from now on are its own. `what` completes the sentence "cannot
  // ..." when it is refused. NLM_F_REQUEST is added to the flags.
  void Begin(std::string what, uint16_t type, uint16_t flags, std::string_view fixed);

  // Has the kernel acknowledge the last message (NLM_F_ACK).
  void AcknowledgeLast();

  size_t size() const { return messages_.size(); }
  // The last message that is to be acknowledged; none of them otherwise.
  std::optional<size_t> acknowledged() const { return acknowledged_; }
  const std::string& what(size_t message) const { return messages_[message].what; }
  // Writes lengths and sequence numbers, the first message's being `sequence`, and answers the
  // whole.
  std::string_view Finish(uint32_t sequence);

 private:
  struct Message {
    std::string what;
    size_t begin;
  };
  std::vector<Message> messages_;
  std::optional<size_t> acknowledged_;
};

// The attributes in `bytes`, in order; what does not fit ends them.
struct NetlinkAttribute {
  uint16_t type = 0;  // without the flag bits
  std::string_view value;
};
std::vector<NetlinkAttribute> ReadAttributes(std::string_view bytes);
// The value of the first one of a type, if any.
std::optional<std::string_view> FindAttribute(std::string_view bytes, uint16_t type);

// A number from the beginning of `bytes`; zero when there are too few.
template <typename T>
T NumberFrom(std::string_view bytes) {
  static_assert(std::is_trivially_copyable_v<T>);
  T number{};
  if (bytes.size() >= sizeof number) bytes.copy(reinterpret_cast<char*>(&number), sizeof number);
  return number;
}

}  // namespace wrenn::os
