// The packet filter's rules for slots: one table on the host for all of them, and one in each
// slot's namespace. docs/networking.md has them in nft's words.
#pragma once

#include <vector>

#include "net/network_policy.h"
#include "net/slot_plan.h"
#include "os/nftables.h"

namespace wrenn::net {

inline constexpr const char* kTable = "wrenn";
// The sets with the slots' interfaces and addresses. A slot is in both or in neither.
inline constexpr const char* kSlotSet = "slots4";
inline constexpr const char* kSlotSet6 = "slots6";

// Makes the host's table, in place of one that is there, with these slots in it.
os::NftTransaction HostTable(const std::vector<SlotPlan>& slots, const os::IpAddress& block);
// Takes a slot in, or slots out. The cost does not depend on how many there are.
os::NftTransaction AddSlot(const SlotPlan& slot);
os::NftTransaction RemoveSlots(const std::vector<SlotPlan>& slots);

// Makes a namespace's table. Nothing goes through until a policy is set.
os::NftTransaction NamespaceTable();
// Sets it, in place of the one before. Connections that it does not allow come to a stop. The limit
// of connections is set when `new_limit`; those that are open do not count towards a new one.
os::NftTransaction SetPolicy(const NetworkPolicy& policy, bool new_limit);

}  // namespace wrenn::net
