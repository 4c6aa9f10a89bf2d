#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <cstring>

#include "cli/doctor/in_namespaces.h"
#include "cli/doctor/probes.h"
#include "cli/doctor/run_tool.h"
#include "net/slot_rules.h"
#include "net/user_network.h"
#include "os/nftables.h"

namespace wrenn::cli::doctor {
namespace {

Status MakeTap() {
  UniqueFd tun(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!tun) return Fail(ErrnoError("cannot open /dev/net/tun"));
  ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  std::strncpy(request.ifr_name, "wrenn-doctor", IFNAMSIZ - 1);
  if (::ioctl(tun.get(), TUNSETIFF, &request) < 0)
    return Fail(ErrnoError("cannot make a TAP device"));
  return {};
}

// The rules of a network slot.
Status MakeRules() {
  ASSIGN_OR_RETURN(os::Nftables nft, os::Nftables::Open());
  os::NftTransaction rules = net::NamespaceTable();
  return nft.Commit(rules);
}

Check CheckNamespaces() {
  Check check("network namespaces");
  if (const Status made = InNamespaces([] { return Status(); }); made) {
    check.finding = ::geteuid() == 0 ? "can be made" : "can be made, inside a user namespace";
    check.consequence = "each VMM can be cut off from this machine's network";
  } else {
    check.verdict = Verdict::kLimited;
    check.finding = made.error().message;
    check.consequence = "no TAP networks; sandboxes without network are not affected";
    check.remedy =
        "run as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1)";
  }
  return check;
}

Check CheckTun() {
  Check check("tun");
  if (const Status made = InNamespaces(MakeTap); made) {
    check.finding = "a TAP device was made";
    check.consequence = "sandboxes can have a network device of their own";
  } else {
    check.verdict = Verdict::kLimited;
    check.finding = made.error().message;
    check.consequence = "egress goes through a user-mode network, which is slower";
    check.remedy = "modprobe tun; in a container give it /dev/net/tun";
  }
  return check;
}

Check CheckNftables() {
  Check check("nftables");
  if (const Status made = InNamespaces(MakeRules); made) {
    check.finding = "a table with sets, rules and masquerading was made";
    check.consequence = "the egress of sandboxes can be filtered in the kernel";
  } else {
    check.verdict = Verdict::kLimited;
    check.finding = made.error().message;
    check.consequence = "no filtering of TAP networks; the user-mode network filters for itself";
    check.remedy = "modprobe -a nf_tables nft_masq nft_ct nft_reject_inet nft_limit";
  }
  return check;
}

Check CheckPasst() {
  Check check("passt");
  if (const auto version = RunTool({"passt", "--version"})) {
    check.finding = version->substr(0, version->find('\n'));
    // What Debian 12's says of itself.
    if (check.finding == "passt unknown version") check.finding = "installed, of unknown version";
    check.consequence = "sandboxes can reach the internet without root (--egress)";
    if (const Status usable = net::CheckUserNetwork(); !usable) {
      check.verdict = Verdict::kLimited;
      check.consequence = "no --egress";
      check.remedy = usable.error().message;
    }
  } else {
    check.verdict = Verdict::kLimited;
    check.finding = version.error().message;
    check.consequence = "no --egress";
    check.remedy = "apt install passt";
  }
  return check;
}

}  // namespace

std::vector<Check> ProbeNetwork() {
  return {CheckNamespaces(), CheckTun(), CheckNftables(), CheckPasst()};
}

}  // namespace wrenn::cli::doctor
