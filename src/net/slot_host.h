// SlotHost: what slots need of their host: a lock, packet forwarding, our table of rules.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "net/slot_plan.h"
#include "os/nftables.h"

namespace wrenn::net {

// Thread-safe.
class SlotHost {
 public:
  // Claims this host for the caller: one process at a time makes slots in a network namespace. What
  // another has left stays as it is. Slots' namespaces are mounted in `folder`, which is made when
  // it is not there. kFailedPrecondition when somebody else holds the host, or when the network of
  // `block` is in use here; kPermissionDenied without the privileges.
  static Result<std::unique_ptr<SlotHost>> Claim(const std::string& folder,
                                                 const os::IpAddress& block = DefaultBlock());

  // Makes our table anew, with these slots in it, in one transaction: what they carry goes on.
  // Switches net.ipv4.ip_forward on where it is off, which stays: others may have come to rely on
  // it. net.ipv6.conf.all.forwarding is left alone, since it would end the host's own
  // autoconfiguration; where it is off, slots are told that IPv6 has no route.
  Status SetUp(const std::vector<SlotPlan>& slots);
  // Takes the table away.
  Status TearDown();
  // Takes a slot into it, or out; harmless for those that are not in it.
  Status AddRules(const SlotPlan& slot);
  Status RemoveRules(const std::vector<SlotPlan>& slots);

  // The numbers of all slots of which anything is there: mounts, devices, rules.
  Result<std::set<int>> FindSlots();

  // Whether slots have IPv6, which many hosts have switched off, and whether it leads anywhere. As
  // it was at Claim().
  bool ipv6() const { return ipv6_; }
  bool forwards_ipv6() const { return forwards_ipv6_; }
  const std::string& folder() const { return folder_; }
  std::string MountOf(const SlotPlan& plan) const { return folder_ + "/" + plan.name; }
  SlotPlan Plan(int index) const { return SlotPlan::For(index, block_); }

 private:
  SlotHost(std::string folder, const os::IpAddress& block, UniqueFd lock, os::Nftables rules)
      : ipv6_(Ipv6Variable("default/disable_ipv6") == "0\n"),
        forwards_ipv6_(ipv6_ && Ipv6Variable("all/forwarding") == "1\n"),
        folder_(std::move(folder)),
        block_(block),
        lock_(std::move(lock)),
        rules_(std::move(rules)) {}

  // Empty where the kernel has no IPv6.
  static std::string Ipv6Variable(const std::string& name);
  Status Commit(os::NftTransaction transaction);
  Result<std::set<int>> FindRules();

  const bool ipv6_, forwards_ipv6_;
  const std::string folder_;
  const os::IpAddress block_;
  const UniqueFd lock_;
  std::mutex mutex_;
  os::Nftables rules_;
};

}  // namespace wrenn::net
