// For tests: a host whose pool of slots the test starts, and what is left on it, counted.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "net/slot_pool.h"
#include "net/slot_rules.h"
#include "net/test_world.h"
#include "os/mounts.h"

namespace wrenn::net {

inline Deadline Soon() { return Deadline::After(std::chrono::seconds(60)); }

// What there is of slots on the host, counted.
struct Traces {
  size_t mounts = 0;
  size_t files = 0;
  size_t devices = 0;
  size_t rules = 0;
  size_t descriptors = 0;
  bool operator==(const Traces&) const = default;
};
inline void PrintTo(const Traces& traces, std::ostream* out) {
  *out << traces.mounts << " mounts, " << traces.files << " files, " << traces.devices
       << " devices, " << traces.rules << " set elements, " << traces.descriptors << " descriptors";
}

class SlotPoolTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = world_.SetUp(); !reason.empty()) GTEST_SKIP() << reason;
    options_.folder = world_.folder() + "/net";
    options_.resolv_conf = world_.folder() + "/resolv.conf";
    options_.ready = 2;
    options_.on_error = [](const Error& error) { ADD_FAILURE() << error.ToString(); };
  }

  std::unique_ptr<SlotPool> Start(const std::vector<int>& adopt = {}) {
    auto pool = SlotPool::Start(options_, adopt);
    EXPECT_TRUE(pool) << pool.error().ToString();
    return pool ? std::move(*pool) : nullptr;
  }

  Traces Count() const {
    Traces traces;
    traces.mounts = os::MountsBelow(*ReadFile("/proc/self/mountinfo"), options_.folder).size();
    const auto is_slot = [](const std::string& name) { return SlotIndexOf(name).has_value(); };
    const auto count = [&](const std::vector<std::string>& names) {
      return static_cast<size_t>(std::ranges::count_if(names, is_slot));
    };
    if (os::Exists(options_.folder)) traces.files = count(*os::ListDirectory(options_.folder));
    traces.devices = count(*os::Links::Open()->List());
    for (const char* set : {"slots4", "slots6"}) {
      if (const auto keys = os::Nftables::Open()->Keys(kTable, set)) traces.rules += keys->size();
    }
    traces.descriptors = os::ListDirectory("/proc/self/fd")->size();
    return traces;
  }

  TestWorld world_;
  SlotPoolOptions options_;
};

}  // namespace wrenn::net
