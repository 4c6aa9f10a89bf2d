#include "disk/dm_table.h"

#include <sys/sysmacros.h>

#include <charconv>
#include <optional>

#include "disk/qcow2.h"

namespace wrenn::disk {
namespace {

constexpr std::string_view kSnapshot = "snapshot";
constexpr std::string_view kLinear = "linear";

std::string DeviceText(dev_t device) {
  return fmt::format("{}:{}", ::major(device), ::minor(device));
}

// Takes a decimal number and the character behind it, unless that is '\0' for the text's end.
std::optional<uint64_t> TakeNumber(std::string_view& text, char behind) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (behind == '\0') return text.empty() ? std::optional(value) : std::nullopt;
  if (text.empty() || text.front() != behind) return std::nullopt;
  text.remove_prefix(1);
  return value;
}

std::optional<dev_t> TakeDevice(std::string_view& text) {
  constexpr uint64_t kMaxNumber = 0xfffff;
  const auto high = TakeNumber(text, ':');
  const auto low = TakeNumber(text, ' ');
  if (!high || !low || *high > kMaxNumber || *low > kMaxNumber) return std::nullopt;
  return ::makedev(static_cast<unsigned>(*high), static_cast<unsigned>(*low));
}

}  // namespace

std::vector<os::DmTarget> SnapshotTable(const SnapshotDevices& devices, const CowHeader& header) {
  const std::string changes = DeviceText(devices.changes);
  const uint64_t base = header.base_bytes / kSector;
  std::vector<os::DmTarget> table{
      {0, base, std::string(kSnapshot),
       fmt::format("{} {} P {}", DeviceText(devices.origin), changes, kChunkSectors)}};
  if (header.TailBytes() > 0) {
    table.push_back({base, header.TailBytes() / kSector, std::string(kLinear),
                     fmt::format("{} {}", changes, header.TailOffset() / kSector)});
  }
  return table;
}

Result<SnapshotDevices> ParseSnapshotTable(const std::vector<os::DmTarget>& table) {
  if (!table.empty() && table.front().type == kSnapshot) {
    std::string_view text = table.front().text;
    const auto origin = TakeDevice(text);
    const auto changes = TakeDevice(text);
    if (origin && changes) return SnapshotDevices{*origin, *changes};
  }
  return Fail(Code::kDataLoss, "the device is no snapshot of a base image");
}

Result<SnapshotState> ParseSnapshotState(std::string_view text) {
  SnapshotState state;
  if (text == "Invalid") {
    state.failure =
        "the disk cannot be used any more: the host could not write its changes, which "
        "happens when the host's file system is full";
    return state;
  }
  if (text == "Overflow") {
    state.failure = "the disk cannot be used any more: there was no room for its changes";
    return state;
  }
  const auto allocated = TakeNumber(text, '/');
  const auto total = TakeNumber(text, ' ');
  const auto metadata = TakeNumber(text, '\0');
  constexpr uint64_t kMaxSectors = UINT64_MAX / kSector;
  if (!allocated || !total || !metadata || *total > kMaxSectors || *allocated > *total ||
      *metadata > *allocated) {
    return Fail(Code::kDataLoss, "the state of a snapshot device makes no sense");
  }
  state.allocated_bytes = *allocated * kSector;
  state.total_bytes = *total * kSector;
  state.metadata_bytes = *metadata * kSector;
  return state;
}

}  // namespace wrenn::disk
