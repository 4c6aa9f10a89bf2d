// Network slots: what one takes to make, claim, change and remove, beside the same steps done with
// the programs ip, iptables and sysctl, one command each, and with as few commands as can be (ip
// -batch, nft -f). All in namespaces of its own: the machine's network is not touched. Needs root.
//
// Usage: slots [COUNT]     (default: 100)
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "base/io.h"
#include "net/slot_pool.h"
#include "os/files.h"
#include "os/test_network.h"

namespace {

namespace net = wrenn::net;
namespace os = wrenn::os;
using wrenn::Deadline;
using wrenn::Result;
using Clock = std::chrono::steady_clock;

template <typename T>
T Must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "slots: %s\n", result.error().ToString().c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

double Milliseconds(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

double Median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

double Report(const char* what, const std::vector<double>& values) {
  std::vector<double> sorted = values;
  std::ranges::sort(sorted);
  const double p99 = sorted[std::min(sorted.size() - 1, sorted.size() * 99 / 100)];
  std::printf("  %-52s p50 %8.2f   p99 %8.2f   (n=%zu)\n", what, Median(values), p99,
              values.size());
  return Median(values);
}

// A line of words, blanks between them.
double Run(const std::string& line, const std::string& input_file = {}) {
  std::istringstream words(line);
  os::CommandOptions options;
  for (std::string word; words >> word;) options.argv.push_back(word);
  if (!input_file.empty()) options.argv.push_back(input_file);
  const auto begin = Clock::now();
  (void)Must(os::RunCommandOrFail(options, Deadline::After(std::chrono::seconds(30))));
  return Milliseconds(begin);
}

// The lines that make slot `index`, as "ip ..." commands, for the namespace that is named so too.
std::vector<std::string> IpLines(const net::SlotPlan& plan) {
  const std::string& n = plan.name;
  const std::string in = "-n " + n + " ";
  const std::string host = plan.host.ToString(), inside = plan.inside.ToString();
  const std::string host6 = plan.host6.ToString(), inside6 = plan.inside6.ToString();
  return {
      "link add " + n + " type veth peer name veth0 netns " + n,
      "addr add " + host + "/31 dev " + n,
      "addr add " + host6 + "/127 dev " + n + " nodad",
      "link set " + n + " addrgenmode none up",
      in + "tuntap add tap0 mode tap",
      in + "link set tap0 address 02:fc:00:00:00:06 addrgenmode none up",
      in + "link set veth0 addrgenmode none up",
      in + "addr add 169.254.0.22/30 dev tap0",
      in + "addr add fd77:7265:6e6e::1/126 dev tap0 nodad",
      in + "neigh add 169.254.0.21 lladdr 02:fc:00:00:00:05 dev tap0",
      in + "neigh add fd77:7265:6e6e::2 lladdr 02:fc:00:00:00:05 dev tap0",
      in + "addr add " + inside + "/31 dev veth0",
      in + "addr add " + inside6 + "/127 dev veth0 nodad",
      in + "route add default via " + host,
      in + "route add default via " + host6,
  };
}

// What a policy of ours decides, in iptables' words.
std::vector<std::string> IptablesLines(const std::string& name) {
  const std::string exec = "ip netns exec " + name + " ";
  std::vector<std::string> lines;
  const auto both = [&](const std::string& rest) {
    lines.push_back(exec + "iptables -w " + rest);
    lines.push_back(exec + "ip6tables -w " + rest);
  };
  both("-P INPUT DROP");
  both("-P OUTPUT DROP");
  both("-P FORWARD DROP");
  both("-A OUTPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT");
  lines.push_back(
      exec +
      "iptables -w -A INPUT -i tap0 -s 169.254.0.21 -d 169.254.0.22 -p udp --dport 53 -j ACCEPT");
  lines.push_back(
      exec +
      "iptables -w -A INPUT -i tap0 -s 169.254.0.21 -d 169.254.0.22 -p tcp --dport 53 -j ACCEPT");
  lines.push_back(
      exec +
      "ip6tables -w -A INPUT -i tap0 -p icmpv6 --icmpv6-type neighbour-solicitation -j ACCEPT");
  lines.push_back(
      exec +
      "ip6tables -w -A OUTPUT -o tap0 -p icmpv6 --icmpv6-type neighbour-advertisement -j ACCEPT");
  lines.push_back(exec + "iptables -w -A FORWARD -i tap0 ! -s 169.254.0.21 -j DROP");
  lines.push_back(exec + "ip6tables -w -A FORWARD -i tap0 ! -s fd77:7265:6e6e::2 -j DROP");
  for (const auto& [first, last] : net::SpecialRanges()) {
    lines.push_back(exec + (first.is_v6() ? "ip6tables" : "iptables") +
                    " -w -A FORWARD -i tap0 -m iprange --dst-range " + first.ToString() + "-" +
                    last.ToString() + " -j REJECT");
  }
  both("-A FORWARD -i veth0 -o tap0 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT");
  both("-A FORWARD -i tap0 -o veth0 -j ACCEPT");
  both("-t nat -A POSTROUTING -o veth0 -j MASQUERADE");
  return lines;
}

std::vector<std::string> HostIptablesLines(const net::SlotPlan& plan) {
  return {
      "iptables -w -t raw -A PREROUTING -i " + plan.name + " ! -s " + plan.inside.ToString() +
          " -j DROP",
      "ip6tables -w -t raw -A PREROUTING -i " + plan.name + " ! -s " + plan.inside6.ToString() +
          " -j DROP",
      "iptables -w -A INPUT -i " + plan.name + " -j DROP",
      "ip6tables -w -A INPUT -i " + plan.name + " -j DROP",
      "iptables -w -t nat -A POSTROUTING -s " + plan.inside.ToString() + " -j MASQUERADE",
      "ip6tables -w -t nat -A POSTROUTING -s " + plan.inside6.ToString() + " -j MASQUERADE",
  };
}

double MakeByCommands(const net::SlotPlan& plan, size_t& commands) {
  const auto begin = Clock::now();
  std::vector<std::string> lines = {"ip netns add " + plan.name};
  for (const std::string& line : IpLines(plan)) lines.push_back("ip " + line);
  lines.push_back("ip netns exec " + plan.name +
                  " sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
  std::ranges::copy(IptablesLines(plan.name), std::back_inserter(lines));
  std::ranges::copy(HostIptablesLines(plan), std::back_inserter(lines));
  for (const std::string& line : lines) Run(line);
  commands = lines.size();
  return Milliseconds(begin);
}

// A namespace's rules as `nft list ruleset` prints ours.
double MakeByFewCommands(const net::SlotPlan& plan, const std::string& folder,
                         const std::string& rules) {
  std::string inside, outside;
  for (const std::string& line : IpLines(plan)) {
    const std::string in = "-n " + plan.name + " ";
    if (line.starts_with(in)) {
      inside += line.substr(in.size()) + "\n";
    } else {
      outside += line + "\n";
    }
  }
  Must(wrenn::ReplaceFile(folder + "/outside", outside));
  Must(wrenn::ReplaceFile(folder + "/inside", inside));
  Must(wrenn::ReplaceFile(folder + "/rules", rules));
  const auto begin = Clock::now();
  Run("ip netns add " + plan.name);
  Run("ip -batch", folder + "/outside");
  Run("ip -n " + plan.name + " -batch", folder + "/inside");
  Run("ip netns exec " + plan.name +
      " sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
  Run("ip netns exec " + plan.name + " nft -f", folder + "/rules");
  Run("nft add element inet wrenn slots4 { \"" + plan.name + "\" . " + plan.inside.ToString() +
      " }");
  return Milliseconds(begin);
}

void RemoveByCommands(const net::SlotPlan& plan) {
  Run("ip link del " + plan.name);
  Run("ip netns del " + plan.name);
}

std::string NamespaceRules(const net::Slot& slot) {
  std::string rules;
  Must(slot.net_namespace().Run([&rules] {
    rules = os::Output({"nft", "list", "ruleset"});
    return wrenn::Status();
  }));
  return rules;
}

void Compare(const std::string& folder, int count) {
  const auto host = Must(net::SlotHost::Claim(folder));
  Must(host->SetUp({}));
  std::vector<double> made, set, removed;
  std::string rules;
  std::vector<net::Slot> slots;
  for (int i = 0; i < count; ++i) {
    const auto plan = net::SlotPlan::For(i);
    auto begin = Clock::now();
    net::Slot slot = Must(net::Slot::Make(*host, plan));
    made.push_back(Milliseconds(begin));
    begin = Clock::now();
    Must(slot.SetPolicy({.internet = true}));
    set.push_back(Milliseconds(begin));
    if (i == 0) rules = NamespaceRules(slot);
    slots.push_back(std::move(slot));
  }
  slots.clear();
  for (int i = 0; i < count; ++i) {
    const auto begin = Clock::now();
    Must(net::Slot::Remove(*host, {net::SlotPlan::For(i)}));
    removed.push_back(Milliseconds(begin));
  }
  const int few = std::clamp(count / 10, 3, 20);
  std::vector<double> commands, batches;
  size_t lines = 0;
  for (int i = 0; i < few; ++i) {
    const auto plan = net::SlotPlan::For(10000 + i);
    batches.push_back(MakeByFewCommands(plan, folder, rules));
    RemoveByCommands(plan);
    commands.push_back(MakeByCommands(plan, lines));
    RemoveByCommands(plan);
  }
  Must(host->TearDown());

  std::printf("one after the other, milliseconds:\n");
  const double ours = Report("make a slot", made);
  Report("set a policy (live)", set);
  Report("remove a slot (in the background)", removed);
  const double theirs =
      Report(("make, with " + std::to_string(lines) + " commands of ip, iptables, sysctl").c_str(),
             commands);
  const double batched = Report("make, with 6 commands of ip -batch, nft -f, sysctl", batches);
  std::printf("  ratio: %.0f to one command a step, %.1f to as few as can be\n", theirs / ours,
              batched / ours);
}

void Pool(const std::string& folder, int count) {
  net::SlotPoolOptions options;
  options.folder = folder;
  options.ready = 4;
  options.limit = count + 10;
  const auto pool = Must(net::SlotPool::Start(options, {}));
  std::vector<double> claims, releases;
  std::vector<net::Slot> slots;
  for (int i = 0; i < count; ++i) {
    (void)pool->WaitIdle(Deadline::After(std::chrono::seconds(30)));
    const auto begin = Clock::now();
    slots.push_back(Must(pool->Claim({.internet = true})));
    claims.push_back(Milliseconds(begin));
  }
  for (net::Slot& slot : slots) {
    const auto begin = Clock::now();
    pool->Release(std::move(slot));
    releases.push_back(Milliseconds(begin));
  }
  std::printf("from the pool, milliseconds:\n");
  Report("claim with a policy", claims);
  Report("release", releases);
  (void)pool->WaitIdle(Deadline::After(std::chrono::seconds(100)));
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 100;
  os::OwnNetwork own;
  if (const std::string reason = own.Enter(); !reason.empty()) {
    std::fprintf(stderr, "slots: %s\n", reason.c_str());
    return 1;
  }
  // Where ip(8) has its namespaces and iptables(8) its lock: one's own.
  if (::mount("none", "/run", "tmpfs", 0, nullptr) < 0) return 1;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  Compare("/run/bench-slots", count);
  Pool("/run/bench-pool", count);
  return 0;
}
