// What wrenn and the device-mapper's snapshot target say to each other, in text
// (Documentation/admin-guide/device-mapper/snapshot.rst in the kernel's tree).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "disk/cow_file.h"
#include "os/device_mapper.h"

namespace wrenn::disk {

// The block devices that a disk is made of.
struct SnapshotDevices {
  dev_t origin = 0;   // the base image; only read
  dev_t changes = 0;  // the file of changes
  friend bool operator==(const SnapshotDevices&, const SnapshotDevices&) = default;
};

// A disk's table: the base with its changes, and what is behind the base's end.
std::vector<os::DmTarget> SnapshotTable(const SnapshotDevices& devices, const CowHeader& header);

// The devices of such a table as the kernel gives it back. kDataLoss for any other.
Result<SnapshotDevices> ParseSnapshotTable(const std::vector<os::DmTarget>& table);

struct SnapshotState {
  // Empty, or why all I/O of the disk fails from now on.
  std::string failure;
  // Of the store, when it has not failed.
  uint64_t allocated_bytes = 0;  // with metadata
  uint64_t total_bytes = 0;
  uint64_t metadata_bytes = 0;
};

// From the status of a snapshot target. kDataLoss for a text that none would say.
Result<SnapshotState> ParseSnapshotState(std::string_view text);

}  // namespace wrenn::disk
