// Slot: one network slot of this host, in the kernel: a namespace with a TAP device in it, and the
// way out of it. See slot_plan.h for the picture.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "net/network_policy.h"
#include "net/slot_host.h"
#include "net/slot_plan.h"
#include "os/net_namespace.h"

namespace wrenn::net {

// What is there of a slot outlives this object and this process: it ends by Remove(). All of it
// bears our mark, so that SlotHost::FindSlots() finds whatever a killed process has left. For one
// thread at a time.
class Slot {
 public:
  // Makes it; nothing goes through until SetPolicy(). On failure nothing is left.
  static Result<Slot> Make(SlotHost& host, const SlotPlan& plan);
  // One that was made earlier; kFailedPrecondition when it is not whole.
  static Result<Slot> Open(const SlotHost& host, const SlotPlan& plan);
  // Removes what is there of slots, whole or in part; the VMs in them should have ended, and their
  // Slot objects too. Nothing passes any more once this begins. Takes the kernel tens of
  // milliseconds, and for many hardly more than for one.
  static Status Remove(SlotHost& host, const std::vector<SlotPlan>& plans);

  const SlotPlan& plan() const { return plan_; }
  // The namespace, for setns(2) or NetNamespace::Run(), and where it is mounted.
  const os::NetNamespace& net_namespace() const { return namespace_; }
  const std::string& path() const { return path_; }

  // kFailedPrecondition when its mount, its TAP device or its way out has gone since.
  Status Check();
  // Puts a policy in place of the one before. When a part of it is refused, the one before stays.
  // Connections are counted anew when their limit changes.
  Status SetPolicy(const NetworkPolicy& policy);
  // Lets a process of this user open the TAP device without privileges.
  Status SetTapOwner(uid_t user) const;
  // The TAP device's other end, for a VMM that takes a descriptor. One at a time.
  Result<UniqueFd> OpenTap() const;

 private:
  // Sockets of the namespace. They are kept: to close one waits for the kernel to have cleaned up
  // behind earlier changes, 10 ms and more.
  struct Control {
    os::Nftables rules;
    os::Links links;
  };
  // Opens them, and does what is to be done on a thread in the namespace.
  static Result<Control> OpenControl(const os::NetNamespace& net_namespace,
                                     const std::function<Status()>& prepare = {});

  Slot(const SlotPlan& plan, std::string path, os::NetNamespace net_namespace, Control control)
      : plan_(plan),
        path_(std::move(path)),
        namespace_(std::move(net_namespace)),
        control_(std::move(control)) {}
  Status SetRates(const NetworkPolicy& policy);

  SlotPlan plan_;
  std::string path_;
  os::NetNamespace namespace_;
  Control control_;
  std::optional<NetworkPolicy> policy_;  // where we have set it
};

}  // namespace wrenn::net
