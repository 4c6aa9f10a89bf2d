#include "net/slot_plan.h"

#include <array>
#include <charconv>
#include <cstring>

namespace wrenn::net {
namespace {

// The address `number` behind the beginning of a block.
os::IpAddress Within(const os::IpAddress& block, uint16_t number) {
  std::array<uint8_t, 16> bytes{};
  const std::string_view from = block.bytes();
  std::memcpy(bytes.data(), from.data(), from.size());
  bytes[from.size() - 2] = static_cast<uint8_t>(number >> 8);
  bytes[from.size() - 1] = static_cast<uint8_t>(number & 0xff);
  if (block.is_v6()) return os::IpAddress::V6(bytes);
  return os::IpAddress::V4(uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 |
                           uint32_t{bytes[2]} << 8 | bytes[3]);
}

os::MacAddress Mac(uint8_t end, uint16_t number) {
  return {
      0x02, 0xfc, end, 0, static_cast<uint8_t>(number >> 8), static_cast<uint8_t>(number & 0xff)};
}

}  // namespace

std::string SlotIp6Argument() {
  return fmt::format("{}/{},{}", kSlotGuestAddress6, kSlotPrefix6, kSlotGateway6);
}

os::IpAddress DefaultBlock() { return os::IpAddress::V4(0x0a0c0000); }

os::IpAddress Block6() { return os::IpAddress::V6({0xfd, 0x77, 0x72, 0x65, 0x6e, 0x6e, 0, 1}); }

SlotPlan SlotPlan::For(int index, const os::IpAddress& block) {
  const auto number = static_cast<uint16_t>(2 * index);
  const auto next = static_cast<uint16_t>(number + 1);
  SlotPlan plan;
  plan.index = index;
  plan.name = fmt::format("{}{}", kSlotMark, index);
  plan.host = Within(block, number);
  plan.inside = Within(block, next);
  plan.host6 = Within(Block6(), number);
  plan.inside6 = Within(Block6(), next);
  plan.host_mac = Mac(1, static_cast<uint16_t>(index));
  plan.inside_mac = Mac(2, static_cast<uint16_t>(index));
  return plan;
}

Result<int> SlotIndexOf(const std::string& name) {
  const std::string_view mark = kSlotMark;
  int index = -1;
  if (name.starts_with(mark)) {
    std::from_chars(name.data() + mark.size(), name.data() + name.size(), index);
  }
  // Back again, so that "wrenn-007" and "wrenn-7x" are nobody's.
  if (index < 0 || index >= kMaxSlots || SlotPlan::For(index).name != name) {
    return Fail(Code::kNotFound, "'{}' is no slot's name", name);
  }
  return index;
}

}  // namespace wrenn::net
