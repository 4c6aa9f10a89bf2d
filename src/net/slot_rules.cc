#include "net/slot_rules.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
// Behind <netinet/in.h>, which it gives way to.
#include <linux/netfilter_ipv4.h>

namespace wrenn::net {
namespace {

using Rule = os::NftRule;
using Key = os::NftTransaction::Key;
using Transaction = os::NftTransaction;

constexpr uint16_t kDomain = 53;

// Questions to the name server: what one guest can put upon the forwarder that serves all.
constexpr uint64_t kQuestionsPerSecond = 200;
constexpr uint32_t kQuestionBurst = 400;

IpAddress Address(const char* text) { return *IpAddress::Parse(text); }

void AddRangeSets(Transaction& t, const std::string& name,
                  const std::vector<AddressRange>& ranges) {
  t.AddRangeSet(name + "4", Key::kIpv4);
  t.AddRangeSet(name + "6", Key::kIpv6);
  t.AddRanges(name + "4", OfFamily(ranges, AF_INET));
  t.AddRanges(name + "6", OfFamily(ranges, AF_INET6));
}

void ReplaceRanges(Transaction& t, const std::string& name,
                   const std::vector<AddressRange>& ranges) {
  t.FlushSet(name + "4");
  t.FlushSet(name + "6");
  t.AddRanges(name + "4", OfFamily(ranges, AF_INET));
  t.AddRanges(name + "6", OfFamily(ranges, AF_INET6));
}

// What is answered at once, so that a program in the guest does not wait for its time limit.
void AddRejection(Transaction& t, const std::string& chain) {
  t.AddRule(chain, Rule().RejectConnection());
  t.AddRule(chain, Rule().Reject());
}

std::vector<std::string> Keys(const std::vector<SlotPlan>& slots, bool v6) {
  std::vector<std::string> keys;
  for (const SlotPlan& slot : slots) {
    keys.push_back(os::NftInterfaceKey(slot.name, v6 ? slot.inside6 : slot.inside));
  }
  return keys;
}

// From the guest to the namespace itself: questions to the name server and for the gateway's MAC
// address.
void AddInputRules(Transaction& t) {
  t.AddChain("input", {"filter", NF_INET_LOCAL_IN, NF_IP_PRI_FILTER, true});
  t.AddChain("questions");  // the policy's
  // From its own addresses only: whoever asks gets an entry in the kernel's table of neighbours,
  // and all namespaces share that one.
  for (const char* source : {kSlotGuestAddress6, kSlotGuestLinkLocal6}) {
    t.AddRule(
        "input",
        Rule().From(kTapName).Source(Address(source)).Icmp6Type(ND_NEIGHBOR_SOLICIT).Accept());
  }
  t.AddRule("input", Rule().From(kTapName).Source(Address(kSlotGuestAddress)).Jump("questions"));
  t.AddRule("input", Rule().From(kTapName).Source(Address(kSlotGuestAddress6)).Goto("refused"));

  // What a process in the namespace sends: the VMM, which has no reason to.
  t.AddChain("output", {"filter", NF_INET_LOCAL_OUT, NF_IP_PRI_FILTER, true});
  t.AddRule("output", Rule().Connection(Rule::kEstablished | Rule::kRelated).Accept());
  t.AddRule("output", Rule().To(kTapName).Icmp6Type(ND_NEIGHBOR_ADVERT).Accept());
}

void AddForwardRules(Transaction& t) {
  t.AddChain("forward", {"filter", NF_INET_FORWARD, NF_IP_PRI_FILTER, true});
  t.AddChain("out");
  t.AddChain("in");
  t.AddChain("new");  // the policy's
  t.AddRule("forward", Rule().From(kTapName).To(kUplinkName).Jump("out"));
  t.AddRule("forward", Rule().From(kUplinkName).To(kTapName).Jump("in"));

  t.AddChain("checked");
  t.AddRule("out", Rule().Source(Address(kSlotGuestAddress)).Goto("checked"));
  t.AddRule("out", Rule().Source(Address(kSlotGuestAddress6)).Goto("checked"));
  t.AddRule("out", Rule().Drop());
  for (const int family : {AF_INET, AF_INET6}) {
    const std::string digit = family == AF_INET ? "4" : "6";
    t.AddRule("checked", Rule().DestinationIn(family, "special" + digit).Goto("refused"));
    t.AddRule("checked", Rule().DestinationIn(family, "allow" + digit).Goto("new"));
    t.AddRule("checked", Rule().DestinationIn(family, "deny" + digit).Goto("refused"));
  }
  t.AddRule("checked", Rule().Goto("new"));

  // Answers, as long as the question would be allowed: so a new policy holds for what is open too.
  // Errors come from anywhere on the way.
  t.AddRule("in", Rule().Connection(Rule::kRelated).Accept());
  t.AddChain("answer");
  t.AddRule("answer", Rule().Connection(Rule::kEstablished).Accept());
  t.AddRule("answer", Rule().Drop());
  for (const int family : {AF_INET, AF_INET6}) {
    const std::string digit = family == AF_INET ? "4" : "6";
    t.AddRule("in", Rule().SourceIn(family, "allow" + digit).Goto("answer"));
    t.AddRule("in", Rule().SourceIn(family, "deny" + digit).Drop());
  }
  t.AddRule("in", Rule().Goto("answer"));
}

}  // namespace

Transaction HostTable(const std::vector<SlotPlan>& slots, const IpAddress& block) {
  Transaction t(kTable);
  // Added first, so that there is one to delete.
  t.AddTable();
  t.DeleteTable();
  t.AddTable();
  t.AddSet(kSlotSet, Key::kInterfaceIpv4);
  t.AddSet(kSlotSet6, Key::kInterfaceIpv6);
  t.AddKeys(kSlotSet, Keys(slots, false));
  t.AddKeys(kSlotSet6, Keys(slots, true));
  AddRangeSets(t, "special", SpecialRanges());

  // A slot's device carries that slot's address and nothing else, before anybody acts on it.
  t.AddChain("arrive", {"filter", NF_INET_PRE_ROUTING, NF_IP_PRI_RAW});
  t.AddRule("arrive", Rule().NotFromPrefix(kSlotMark).Accept());
  t.AddRule("arrive", Rule().InterfaceAndSourceIn(AF_INET, kSlotSet).Accept());
  t.AddRule("arrive", Rule().InterfaceAndSourceIn(AF_INET6, kSlotSet6).Accept());
  t.AddRule("arrive", Rule().Drop());

  // This host, by any of its addresses.
  t.AddChain("input", {"filter", NF_INET_LOCAL_IN, NF_IP_PRI_FILTER});
  t.AddRule("input", Rule().FromPrefix(kSlotMark).Drop());
  t.AddChain("output", {"filter", NF_INET_LOCAL_OUT, NF_IP_PRI_FILTER});
  t.AddRule("output", Rule().NotToPrefix(kSlotMark).Accept());
  t.AddRule("output", Rule().Connection(Rule::kRelated).Accept());
  t.AddRule("output", Rule().Drop());

  t.AddChain("forward", {"filter", NF_INET_FORWARD, NF_IP_PRI_FILTER});
  t.AddChain("from_slot");
  t.AddChain("to_slot");
  t.AddRule("forward", Rule().FromPrefix(kSlotMark).Jump("from_slot"));
  t.AddRule("forward", Rule().ToPrefix(kSlotMark).Jump("to_slot"));
  // Checked again here: a namespace's own rules are nearer to who might break them. Destinations
  // are those after other tables have rewritten them, e.g. for a container's published port.
  t.AddRule("from_slot", Rule().ToPrefix(kSlotMark).Drop());
  t.AddRule("from_slot", Rule().DestinationIn(AF_INET, "special4").Drop());
  t.AddRule("from_slot", Rule().DestinationIn(AF_INET6, "special6").Drop());
  t.AddRule("to_slot", Rule().Connection(Rule::kEstablished | Rule::kRelated).Accept());
  t.AddRule("to_slot", Rule().Drop());

  t.AddChain("leave", {"nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC});
  t.AddRule("leave", Rule().SourceWithin(block, kBlockPrefix).NotToPrefix(kSlotMark).Masquerade());
  t.AddRule("leave",
            Rule().SourceWithin(Block6(), kBlockPrefix6).NotToPrefix(kSlotMark).Masquerade());
  return t;
}

Transaction AddSlot(const SlotPlan& slot) {
  Transaction t(kTable);
  t.AddKeys(kSlotSet, Keys({slot}, false));
  t.AddKeys(kSlotSet6, Keys({slot}, true));
  return t;
}

Transaction RemoveSlots(const std::vector<SlotPlan>& slots) {
  Transaction t(kTable);
  t.DeleteKeys(kSlotSet, Keys(slots, false));
  t.DeleteKeys(kSlotSet6, Keys(slots, true));
  return t;
}

Transaction NamespaceTable() {
  Transaction t(kTable);
  t.AddTable();
  AddRangeSets(t, "special", SpecialRanges());
  AddRangeSets(t, "allow", {});
  AddRangeSets(t, "deny", AllAddresses());
  t.AddChain("refused");
  AddRejection(t, "refused");
  AddInputRules(t);
  AddForwardRules(t);
  t.AddChain("leave", {"nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC});
  t.AddRule("leave", Rule().To(kUplinkName).Masquerade());
  return t;
}

Transaction SetPolicy(const NetworkPolicy& policy, bool new_limit) {
  Transaction t(kTable);
  ReplaceRanges(t, "allow", policy.allow);
  ReplaceRanges(t, "deny", policy.internet ? policy.deny : AllAddresses());

  t.FlushChain("questions");
  if (policy.internet) {
    const auto question = [](uint8_t protocol) {
      return Rule().Destination(Address(kSlotGateway)).Protocol(protocol).DestinationPort(kDomain);
    };
    t.AddRule("questions",
              question(IPPROTO_UDP).FasterThan(kQuestionsPerSecond, kQuestionBurst).Drop());
    t.AddRule("questions", question(IPPROTO_UDP).Accept());
    t.AddRule("questions",
              question(IPPROTO_TCP).FasterThan(kQuestionsPerSecond, kQuestionBurst).Drop());
    t.AddRule("questions", question(IPPROTO_TCP).Accept());
  }
  t.AddRule("questions", Rule().Goto("refused"));

  // The rule has the count: without it, every change of a list would allow as many again.
  if (!new_limit) return t;
  t.FlushChain("new");
  t.AddRule("new", Rule().Connection(Rule::kEstablished | Rule::kRelated).Accept());
  t.AddRule("new", Rule().Connection(Rule::kInvalid).Drop());
  if (policy.connections != 0) {
    t.AddRule("new", Rule().MoreConnectionsThan(policy.connections).Goto("refused"));
  }
  t.AddRule("new", Rule().Accept());
  return t;
}

}  // namespace wrenn::net
