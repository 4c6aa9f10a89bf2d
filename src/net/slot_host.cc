#include "net/slot_host.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include "base/io.h"
#include "net/slot_rules.h"
#include "os/files.h"
#include "os/net_namespace.h"

namespace wrenn::net {
namespace {

// A name among the abstract sockets, which each network namespace has of its own: it is gone with
// its holder, however that ends.
Result<UniqueFd> TakeLock() {
  constexpr std::string_view kName("\0wrenn-slots", 12);
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return Fail(ErrnoError("socket"));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  kName.copy(address.sun_path, kName.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + kName.size());
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0) return fd;
  if (errno == EADDRINUSE) {
    return Fail(
        Code::kFailedPrecondition,
        "another wrenn server has this machine's network slots: stop it, or run this one in "
        "a network namespace of its own");
  }
  return Fail(ErrnoError("cannot take the lock of the network slots"));
}

Status CheckFree(const IpAddress& block) {
  ASSIGN_OR_RETURN(os::Links links, os::Links::Open());
  ASSIGN_OR_RETURN(const auto routes, links.ListRoutes());
  ASSIGN_OR_RETURN(const auto names, links.List());
  std::vector<int> ours;
  for (const std::string& name : names) {
    const auto link = SlotIndexOf(name) ? links.Find(name) : Result<int>(0);
    if (link && *link != 0) ours.push_back(*link);
  }
  for (const os::Links::Route& route : routes) {
    if (route.prefix < kBlockPrefix || route.address.is_v6()) continue;
    if (route.address.First(kBlockPrefix) != block) continue;
    if (std::ranges::find(ours, route.link) != ours.end()) continue;
    return Fail(Code::kFailedPrecondition,
                "this machine already has a route to {}/{}, and network slots would use {}/{}: "
                "remove the route, or run the server in a network namespace of its own",
                route.address.ToString(), route.prefix, block.ToString(), kBlockPrefix);
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<SlotHost>> SlotHost::Claim(const std::string& folder,
                                                  const IpAddress& block) {
  if (block.is_v6() || block.First(kBlockPrefix) != block) {
    return Fail(Code::kInvalidArgument, "'{}' is no IPv4 network of {} bits", block.ToString(),
                kBlockPrefix);
  }
  ASSIGN_OR_RETURN(UniqueFd lock, TakeLock());
  RETURN_IF_ERROR(CheckFree(block));
  RETURN_IF_ERROR(os::MakeDirectories(folder));
  ASSIGN_OR_RETURN(os::Nftables rules, os::Nftables::Open());
  return std::unique_ptr<SlotHost>(new SlotHost(folder, block, std::move(lock), std::move(rules)));
}

std::string SlotHost::Ipv6Variable(const std::string& name) {
  return ReadFile("/proc/sys/net/ipv6/conf/" + name).value_or("");
}

Status SlotHost::SetUp(const std::vector<SlotPlan>& slots) {
  RETURN_IF_ERROR(Commit(HostTable(slots, block_)));
  return os::SetNetworkVariable("ipv4/ip_forward", "1");
}

Status SlotHost::TearDown() {
  os::NftTransaction remove(kTable);
  remove.AddTable();  // so that there is one to delete
  remove.DeleteTable();
  return Commit(std::move(remove));
}

Status SlotHost::Commit(os::NftTransaction transaction) {
  std::lock_guard lock(mutex_);
  return rules_.Commit(transaction);
}

Status SlotHost::AddRules(const SlotPlan& slot) { return Commit(AddSlot(slot)); }

Status SlotHost::RemoveRules(const std::vector<SlotPlan>& slots) {
  ASSIGN_OR_RETURN(const std::set<int> present, FindRules());
  std::vector<SlotPlan> remove;
  std::ranges::copy_if(slots, std::back_inserter(remove),
                       [&present](const SlotPlan& slot) { return present.contains(slot.index); });
  return remove.empty() ? Status() : Commit(RemoveSlots(remove));
}

Result<std::set<int>> SlotHost::FindRules() {
  std::lock_guard lock(mutex_);
  const auto keys = rules_.Keys(kTable, kSlotSet);
  if (!keys && keys.error().code == Code::kNotFound) return std::set<int>();
  if (!keys) return Fail(keys.error());
  std::set<int> found;
  for (const std::string& key : *keys) {
    // The name is padded with zeros.
    if (const auto index = SlotIndexOf(key.c_str())) found.insert(*index);
  }
  return found;
}

Result<std::set<int>> SlotHost::FindSlots() {
  ASSIGN_OR_RETURN(std::set<int> found, FindRules());
  const auto take = [&found](const std::string& name) {
    if (const auto index = SlotIndexOf(name)) found.insert(*index);
  };
  ASSIGN_OR_RETURN(const auto files, os::ListDirectory(folder_));
  std::ranges::for_each(files, take);
  ASSIGN_OR_RETURN(os::Links links, os::Links::Open());
  ASSIGN_OR_RETURN(const auto names, links.List());
  std::ranges::for_each(names, take);
  return found;
}

}  // namespace wrenn::net
