// wrenn-egress GUEST GATEWAY: relays frames between a machine (descriptor 3) and its passt
// (descriptor 4) and holds back what may not leave. Ends when either of them does.
#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>

#include "base/io.h"
#include "net/frame_relay.h"

namespace wrenn::net {
namespace {

constexpr int kMachineFd = 3;
constexpr int kNetworkFd = 4;

// It reads what a guest sends: so with as few rights as can be had.
Status GiveUpRights() {
  constexpr unsigned kNobody = 65534;
  if (::geteuid() == 0) {
    if (::setgroups(0, nullptr) < 0 || ::setresgid(kNobody, kNobody, kNobody) < 0 ||
        ::setresuid(kNobody, kNobody, kNobody) < 0) {
      return Fail(ErrnoError("cannot give up root"));
    }
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return Fail(ErrnoError("prctl"));
  return {};
}

Status Run(int argc, char** argv) {
  if (argc != 3) return Fail(Code::kInvalidArgument, "usage: wrenn-egress GUEST GATEWAY");
  EgressPolicy policy;
  ASSIGN_OR_RETURN(policy.guest, ParseAddress4(argv[1]));
  ASSIGN_OR_RETURN(policy.gateway, ParseAddress4(argv[2]));
  RETURN_IF_ERROR(GiveUpRights());
  return RelayFrames(kMachineFd, kNetworkFd, std::move(policy));
}

}  // namespace
}  // namespace wrenn::net

int main(int argc, char** argv) {
  const wrenn::Status status = wrenn::net::Run(argc, argv);
  if (status) return 0;
  std::fprintf(stderr, "wrenn-egress: %s\n", status.error().message.c_str());
  return 1;
}
