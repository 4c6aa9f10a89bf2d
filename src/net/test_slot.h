// For tests: a slot with a guest in it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/slot.h"
#include "net/test_world.h"

namespace wrenn::net {

// A guest in slot 0 whose policy the tests set.
class SlotTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = world_.SetUp(); !reason.empty()) GTEST_SKIP() << reason;
    ASSERT_NO_FATAL_FAILURE(ClaimAnew());
    const Status ready = host_->SetUp({});
    ASSERT_TRUE(ready) << ready.error().ToString();
    slot_ = MakeSlot(0);
    ASSERT_TRUE(slot_);
    guest_ = std::make_unique<TestGuest>(*slot_);
    server_ = std::make_unique<Listener>(world_.internet(), 80);
    ASSERT_TRUE(server_->good());
  }

  void ClaimAnew() {
    host_.reset();
    auto claimed = SlotHost::Claim(world_.folder());
    ASSERT_TRUE(claimed) << claimed.error().ToString();
    host_ = std::move(*claimed);
  }

  std::optional<Slot> MakeSlot(int index) {
    auto made = Slot::Make(*host_, SlotPlan::For(index));
    EXPECT_TRUE(made) << made.error().ToString();
    return made ? std::optional<Slot>(std::move(*made)) : std::nullopt;
  }

  void Set(const NetworkPolicy& policy) {
    const Status set = slot_->SetPolicy(policy);
    ASSERT_TRUE(set) << set.error().ToString();
  }
  void SetInternet() { Set({.internet = true}); }

  // Not only is it refused, but nothing has come there either.
  void ExpectDenied(const std::string& address, const Listener& there) {
    EXPECT_EQ(guest_->Try(address), Outcome::kRefused) << address;
    guest_->SendDatagram(address, 80);
    // Packets come in order: the datagram has been looked at once this is refused.
    EXPECT_EQ(guest_->Try(address), Outcome::kRefused) << address;
    EXPECT_TRUE(there.GotNothing()) << address;
  }

  TestWorld world_;
  std::unique_ptr<SlotHost> host_;
  std::optional<Slot> slot_;
  std::unique_ptr<TestGuest> guest_;
  std::unique_ptr<Listener> server_;
};

inline NetworkPolicy Lists(bool internet, const std::vector<std::string>& allow,
                           const std::vector<std::string>& deny) {
  return {
      .internet = internet, .allow = *ParseAllowedNetworks(allow), .deny = *ParseNetworks(deny)};
}

}  // namespace wrenn::net
