// DmRequest: one ioctl of the device-mapper, and what is in its buffer (<linux/dm-ioctl.h>).
#pragma once

#include <linux/dm-ioctl.h>
#include <sys/ioctl.h>  // for the requests' numbers

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/device_mapper.h"

namespace wrenn::os {

// A struct dm_ioctl and the data behind it.
class DmRequest {
 public:
  // `name` and `uuid` may be empty.
  explicit DmRequest(std::string_view name = {}, std::string_view uuid = {});

  dm_ioctl& head() { return *reinterpret_cast<dm_ioctl*>(buffer_.data()); }
  const dm_ioctl& head() const { return *reinterpret_cast<const dm_ioctl*>(buffer_.data()); }

  // What is sent behind the head, instead of room for an answer.
  void SetData(std::string_view data);

  // Sends it; again with a larger buffer as long as the answer does not fit. 0 or an errno:
  // ENAMETOOLONG when the name or uuid is too long or has a NUL.
  int Send(int control, unsigned long command);

  // What came back behind the head.
  std::string_view Answer() const;

 private:
  std::vector<char> buffer_;
  bool valid_ = true;
};

// The data of DM_TABLE_LOAD. kInvalidArgument for a target type that is too long.
Result<std::string> EncodeDmTable(const std::vector<DmTarget>& table);

// The answers of DM_TABLE_STATUS, for `count` targets, and of DM_LIST_DEVICES. kDataLoss for
// anything that does not fit together.
Result<std::vector<DmTarget>> ParseDmTargets(std::string_view answer, size_t count);
Result<std::vector<std::string>> ParseDmNames(std::string_view answer);

}  // namespace wrenn::os
