#include "net/slot.h"

#include <sys/stat.h>

#include <optional>

#include "base/revert.h"
#include "net/slot_rules.h"
#include "os/tap.h"

namespace wrenn::net {
namespace {

using os::LinkChanges;
using os::Links;

constexpr int kPairPrefix = 31;
constexpr int kPairPrefix6 = 127;

IpAddress Address(const char* text) { return *IpAddress::Parse(text); }

void AddPairEnd(LinkChanges& changes, int link, const IpAddress& own, const IpAddress& other,
                const os::MacAddress& other_mac) {
  changes.AddAddress(link, own, own.is_v6() ? kPairPrefix6 : kPairPrefix);
  changes.AddNeighbour(link, other, other_mac);
}

// On a thread in the namespace.
Status PrepareInside(bool forward_ipv6) {
  if (forward_ipv6) RETURN_IF_ERROR(os::SetNetworkVariable("ipv6/conf/all/forwarding", "1"));
  return os::CreateTap(kTapName);
}

Status AddressInside(Links& links, const SlotPlan& plan, const SlotHost& host) {
  const bool ipv6 = host.ipv6();
  ASSIGN_OR_RETURN(const int tap, links.Find(kTapName));
  ASSIGN_OR_RETURN(const int uplink, links.Find(kUplinkName));
  LinkChanges changes;
  changes.SetMac(tap, kSlotTapMac);
  changes.SetUp(tap, ipv6);
  changes.SetUp(uplink, ipv6);
  // A guest that asked for the gateway in many names would otherwise fill the kernel's table of
  // neighbours, which all namespaces share; slot_rules.cc does the same for IPv6.
  changes.ForwardIpv4(tap);
  changes.ForwardIpv4(uplink);
  changes.AddAddress(tap, Address(kSlotGateway), kSlotPrefix);
  changes.AddNeighbour(tap, Address(kSlotGuestAddress), kSlotGuestMac);
  AddPairEnd(changes, uplink, plan.inside, plan.host, plan.host_mac);
  changes.AddDefaultRoute(plan.host, uplink);
  if (ipv6) {
    // Also without a way out: the gateway is what says that there is none.
    changes.AddAddress(tap, Address(kSlotGateway6), kSlotPrefix6);
    changes.AddNeighbour(tap, Address(kSlotGuestAddress6), kSlotGuestMac);
  }
  if (host.forwards_ipv6()) {
    AddPairEnd(changes, uplink, plan.inside6, plan.host6, plan.host_mac);
    changes.AddDefaultRoute(plan.host6, uplink);
  }
  return links.Apply(changes);
}

Status AddressHost(Links& links, const SlotPlan& plan, const SlotHost& host) {
  ASSIGN_OR_RETURN(const int link, links.Find(plan.name));
  LinkChanges changes;
  changes.SetUp(link, host.ipv6());
  AddPairEnd(changes, link, plan.host, plan.inside, plan.inside_mac);
  if (host.forwards_ipv6()) AddPairEnd(changes, link, plan.host6, plan.inside6, plan.inside_mac);
  return links.Apply(changes);
}

Status RemoveLinks(const std::vector<SlotPlan>& plans) {
  constexpr uint32_t kEnding = 0x77726e6e;  // a group that nobody else has by chance
  ASSIGN_OR_RETURN(Links links, Links::Open());
  LinkChanges changes;
  bool any = false;
  for (const SlotPlan& plan : plans) {
    const auto link = links.Find(plan.name);
    if (!link && link.error().code == Code::kNotFound) continue;
    if (!link) return Fail(link.error());
    changes.SetGroup(*link, kEnding);
    any = true;
  }
  if (!any) return {};
  changes.DeleteGroup(kEnding);
  return links.Apply(changes);
}

Status SetRate(Links& links, const char* name, uint64_t bits_per_second) {
  ASSIGN_OR_RETURN(const int link, links.Find(name));
  if (bits_per_second == 0) return links.RemoveRateLimit(link);
  LinkChanges changes;
  changes.LimitRate(link, bits_per_second);
  return links.Apply(changes);
}

}  // namespace

Result<Slot::Control> Slot::OpenControl(const os::NetNamespace& net_namespace,
                                        const std::function<Status()>& prepare) {
  std::optional<os::Nftables> rules;
  std::optional<Links> links;
  RETURN_IF_ERROR(net_namespace.Run([&]() -> Status {
    ASSIGN_OR_RETURN(rules, os::Nftables::Open());
    ASSIGN_OR_RETURN(links, Links::Open());
    return prepare ? prepare() : Status();
  }));
  return Control{std::move(*rules), std::move(*links)};
}

Result<Slot> Slot::Make(SlotHost& host, const SlotPlan& plan) {
  ASSIGN_OR_RETURN(os::NetNamespace made, os::NetNamespace::Create());
  ASSIGN_OR_RETURN(Control control,
                   OpenControl(made, [&host] { return PrepareInside(host.forwards_ipv6()); }));
  Slot slot(plan, host.MountOf(plan), std::move(made), std::move(control));
  RETURN_IF_ERROR(slot.namespace_.Keep(slot.path_));
  Revert revert;
  revert.Add([&] { (void)Remove(host, {plan}); });

  // The rules are there before a way for packets is.
  os::NftTransaction table = NamespaceTable();
  RETURN_IF_ERROR(slot.control_.rules.Commit(table));
  ASSIGN_OR_RETURN(Links links, Links::Open());
  LinkChanges pair;
  pair.AddVeth({plan.name, plan.host_mac}, {kUplinkName, plan.inside_mac}, slot.namespace_.fd());
  RETURN_IF_ERROR(links.Apply(pair));
  RETURN_IF_ERROR(AddressInside(slot.control_.links, plan, host));
  RETURN_IF_ERROR(AddressHost(links, plan, host));
  RETURN_IF_ERROR(host.AddRules(plan));
  revert.Disarm();
  return slot;
}

Result<Slot> Slot::Open(const SlotHost& host, const SlotPlan& plan) {
  const std::string path = host.MountOf(plan);
  ASSIGN_OR_RETURN(os::NetNamespace kept, os::NetNamespace::Open(path));
  ASSIGN_OR_RETURN(Control control, OpenControl(kept));
  Slot slot(plan, path, std::move(kept), std::move(control));
  const auto check = [&]() -> Status {
    ASSIGN_OR_RETURN(Links links, Links::Open());
    RETURN_IF_ERROR(links.Find(plan.name));
    RETURN_IF_ERROR(slot.control_.links.Find(kTapName));
    RETURN_IF_ERROR(slot.control_.links.Find(kUplinkName));
    RETURN_IF_ERROR(slot.control_.rules.Keys(kTable, "deny4"));
    return {};
  };
  if (const Status whole = check(); !whole) {
    return Fail(Code::kFailedPrecondition, "the network slot '{}' is not whole: {}", plan.name,
                whole.error().message);
  }
  return slot;
}

Status Slot::Remove(SlotHost& host, const std::vector<SlotPlan>& plans) {
  // Whatever of it fails, the rest is tried: it may be all that can be done.
  Status first = host.RemoveRules(plans);
  const auto note = [&first](Status status) {
    if (!status && first) first = std::move(status);
  };
  note(RemoveLinks(plans));
  for (const SlotPlan& plan : plans) note(os::NetNamespace::Drop(host.MountOf(plan)));
  return first;
}

Status Slot::Check() {
  const auto whole = [this]() -> Status {
    struct stat own{};
    struct stat mounted{};
    if (::stat(path_.c_str(), &mounted) < 0 || ::fstat(namespace_.fd(), &own) < 0) {
      return Fail(ErrnoError("cannot look at its namespace"));
    }
    if (own.st_dev != mounted.st_dev || own.st_ino != mounted.st_ino) {
      return Fail(Code::kNotFound, "its namespace is not mounted any more");
    }
    RETURN_IF_ERROR(control_.links.Find(kTapName));
    RETURN_IF_ERROR(control_.links.Find(kUplinkName));
    return {};
  }();
  if (whole) return {};
  return Fail(Code::kFailedPrecondition, "the network slot '{}' is not whole: {}", plan_.name,
              whole.error().message);
}

Status Slot::SetRates(const NetworkPolicy& policy) {
  RETURN_IF_ERROR(SetRate(control_.links, kTapName, policy.download));
  return SetRate(control_.links, kUplinkName, policy.upload);
}

Status Slot::SetPolicy(const NetworkPolicy& policy) {
  // The rules come last: they are refused or taken as a whole.
  Revert revert;
  revert.Add([this] {
    if (policy_) (void)SetRates(*policy_);
  });
  RETURN_IF_ERROR(SetRates(policy));
  const bool new_limit = !policy_ || policy_->connections != policy.connections;
  os::NftTransaction rules = net::SetPolicy(policy, new_limit);
  RETURN_IF_ERROR(control_.rules.Commit(rules));
  revert.Disarm();
  policy_ = policy;
  return {};
}

Status Slot::SetTapOwner(uid_t user) const {
  return namespace_.Run([user] { return os::SetTapOwner(kTapName, user); });
}

Result<UniqueFd> Slot::OpenTap() const {
  Result<UniqueFd> tap;
  RETURN_IF_ERROR(namespace_.Run([&tap] {
    tap = os::OpenTap(kTapName);
    return Status();
  }));
  return tap;
}

}  // namespace wrenn::net
