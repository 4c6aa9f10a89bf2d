#include "os/nftables.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <net/if.h>

#include <algorithm>

namespace wrenn::os {
namespace {

nfgenmsg Header(uint16_t subsystem = 0) {
  nfgenmsg head{};
  head.nfgen_family = subsystem == 0 ? NFPROTO_INET : NFPROTO_UNSPEC;
  head.version = NFNETLINK_V0;
  head.res_id = htons(subsystem);
  return head;
}

uint16_t MessageType(int type) { return static_cast<uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type); }

// nft(8)'s own numbers for the types of keys, so that it can print them; the kernel does not look.
uint32_t KeyType(NftTransaction::Key key) {
  constexpr uint32_t kIpv4 = 7, kIpv6 = 8, kInterface = 41, kShift = 6;
  switch (key) {
    case NftTransaction::Key::kIpv4:
      return kIpv4;
    case NftTransaction::Key::kIpv6:
      return kIpv6;
    case NftTransaction::Key::kInterfaceIpv4:
      return kInterface << kShift | kIpv4;
    case NftTransaction::Key::kInterfaceIpv6:
      return kInterface << kShift | kIpv6;
  }
  return 0;
}

uint32_t KeyLength(NftTransaction::Key key) {
  constexpr uint32_t kIpv4 = 4, kIpv6 = 16;
  switch (key) {
    case NftTransaction::Key::kIpv4:
      return kIpv4;
    case NftTransaction::Key::kIpv6:
      return kIpv6;
    case NftTransaction::Key::kInterfaceIpv4:
      return IFNAMSIZ + kIpv4;
    case NftTransaction::Key::kInterfaceIpv6:
      return IFNAMSIZ + kIpv6;
  }
  return 0;
}

}  // namespace

std::string NftInterfaceKey(const std::string& interface, const IpAddress& address) {
  std::string key = interface;
  key.resize(IFNAMSIZ);
  return key.append(address.bytes());
}

NftTransaction::NftTransaction(std::string table) : table_(std::move(table)) {
  constexpr uint16_t kNoFlags = 0;
  request_.Begin("begin a transaction of nftables", NFNL_MSG_BATCH_BEGIN, kNoFlags,
                 BytesOf(Header(NFNL_SUBSYS_NFTABLES)));
}

void NftTransaction::Begin(std::string what, int type, uint16_t flags) {
  request_.Begin(std::move(what), MessageType(type), flags, BytesOf(Header()));
}

void NftTransaction::AddTable() {
  Begin("add the table '" + table_ + "'", NFT_MSG_NEWTABLE, NLM_F_CREATE);
  request_.PutString(NFTA_TABLE_NAME, table_);
}

void NftTransaction::DeleteTable() {
  Begin("delete the table '" + table_ + "'", NFT_MSG_DELTABLE, 0);
  request_.PutString(NFTA_TABLE_NAME, table_);
}

void NftTransaction::AddChain(const std::string& name) {
  Begin("add the chain '" + name + "'", NFT_MSG_NEWCHAIN, NLM_F_CREATE);
  request_.PutString(NFTA_CHAIN_TABLE, table_);
  request_.PutString(NFTA_CHAIN_NAME, name);
}

void NftTransaction::AddChain(const std::string& name, const Hook& hook) {
  AddChain(name);
  request_.Nest(NFTA_CHAIN_HOOK, [&] {
    request_.PutBig32(NFTA_HOOK_HOOKNUM, hook.number);
    request_.PutBig32(NFTA_HOOK_PRIORITY, static_cast<uint32_t>(hook.priority));
  });
  request_.PutBig32(NFTA_CHAIN_POLICY, hook.drop ? NF_DROP : NF_ACCEPT);
  request_.PutString(NFTA_CHAIN_TYPE, hook.type);
}

void NftTransaction::FlushChain(const std::string& name) {
  Begin("empty the chain '" + name + "'", NFT_MSG_DELRULE, 0);
  request_.PutString(NFTA_RULE_TABLE, table_);
  request_.PutString(NFTA_RULE_CHAIN, name);
}

void NftTransaction::AddRule(const std::string& chain, const NftRule& rule) {
  Begin("add a rule to the chain '" + chain + "'", NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
  request_.PutString(NFTA_RULE_TABLE, table_);
  request_.PutString(NFTA_RULE_CHAIN, chain);
  request_.Nest(NFTA_RULE_EXPRESSIONS, [&] { request_.Append(rule.expressions()); });
}

void NftTransaction::AddSet(const std::string& name, Key key) { AddSet(name, key, 0); }

void NftTransaction::AddRangeSet(const std::string& name, Key key) {
  AddSet(name, key, NFT_SET_INTERVAL);
}

void NftTransaction::AddSet(const std::string& name, Key key, uint32_t flags) {
  Begin("add the set '" + name + "'", NFT_MSG_NEWSET, NLM_F_CREATE);
  request_.PutString(NFTA_SET_TABLE, table_);
  request_.PutString(NFTA_SET_NAME, name);
  request_.PutBig32(NFTA_SET_FLAGS, flags);
  request_.PutBig32(NFTA_SET_KEY_TYPE, KeyType(key));
  request_.PutBig32(NFTA_SET_KEY_LEN, KeyLength(key));
  request_.PutBig32(NFTA_SET_ID, ++sets_);
}

void NftTransaction::FlushSet(const std::string& name) {
  Begin("empty the set '" + name + "'", NFT_MSG_DELSETELEM, 0);
  request_.PutString(NFTA_SET_ELEM_LIST_TABLE, table_);
  request_.PutString(NFTA_SET_ELEM_LIST_SET, name);
}

void NftTransaction::PutElements(int type, const std::string& set,
                                 const std::vector<Element>& elements) {
  constexpr size_t kAtOnce = 1000;  // an attribute holds 64 KiB
  for (size_t begin = 0; begin < elements.size(); begin += kAtOnce) {
    const size_t end = std::min(begin + kAtOnce, elements.size());
    Begin("change the set '" + set + "'", type, type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0);
    request_.PutString(NFTA_SET_ELEM_LIST_TABLE, table_);
    request_.PutString(NFTA_SET_ELEM_LIST_SET, set);
    request_.Nest(NFTA_SET_ELEM_LIST_ELEMENTS, [&] {
      for (size_t i = begin; i < end; ++i) {
        request_.Nest(NFTA_LIST_ELEM, [&] {
          request_.Nest(NFTA_SET_ELEM_KEY, [&] { request_.Put(NFTA_DATA_VALUE, elements[i].key); });
          if (elements[i].end) request_.PutBig32(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
        });
      }
    });
  }
}

void NftTransaction::AddKeys(const std::string& set, const std::vector<std::string>& keys) {
  std::vector<Element> elements;
  for (const std::string& key : keys) elements.push_back({key});
  PutElements(NFT_MSG_NEWSETELEM, set, elements);
}

void NftTransaction::DeleteKeys(const std::string& set, const std::vector<std::string>& keys) {
  std::vector<Element> elements;
  for (const std::string& key : keys) elements.push_back({key});
  PutElements(NFT_MSG_DELSETELEM, set, elements);
}

void NftTransaction::AddRanges(const std::string& set, const std::vector<AddressRange>& ranges) {
  std::vector<Element> elements;
  for (const AddressRange& range : ranges) {
    elements.push_back({std::string(range.first.bytes())});
    // One that goes to the last address has no end.
    if (const IpAddress next = range.last.Next(); next > range.last) {
      elements.push_back({std::string(next.bytes()), true});
    }
  }
  PutElements(NFT_MSG_NEWSETELEM, set, elements);
}

Result<Nftables> Nftables::Open() {
  ASSIGN_OR_RETURN(NetlinkSocket socket, NetlinkSocket::Open(NETLINK_NETFILTER));
  return Nftables(std::move(socket));
}

Status Nftables::Commit(NftTransaction& transaction) {
  if (transaction.request_.size() == 1) return {};  // nothing but its beginning
  // The last change brings the kernel's word on the whole; refusals come for any.
  transaction.request_.AcknowledgeLast();
  transaction.request_.Begin("commit a transaction of nftables", NFNL_MSG_BATCH_END, 0,
                             BytesOf(Header(NFNL_SUBSYS_NFTABLES)));
  return socket_.Send(transaction.request_);
}

Result<std::vector<std::string>> Nftables::Keys(const std::string& table, const std::string& set) {
  NetlinkRequest request;
  request.Begin("list the set '" + set + "'", MessageType(NFT_MSG_GETSETELEM), NLM_F_DUMP,
                BytesOf(Header()));
  request.PutString(NFTA_SET_ELEM_LIST_TABLE, table);
  request.PutString(NFTA_SET_ELEM_LIST_SET, set);
  std::vector<std::string> keys;
  const auto part = [&](std::string_view message) {
    message.remove_prefix(std::min(NLMSG_ALIGN(sizeof(nfgenmsg)), message.size()));
    const auto elements = FindAttribute(message, NFTA_SET_ELEM_LIST_ELEMENTS);
    if (!elements) return;
    for (const NetlinkAttribute& element : ReadAttributes(*elements)) {
      const auto key = FindAttribute(element.value, NFTA_SET_ELEM_KEY);
      const auto value = key ? FindAttribute(*key, NFTA_DATA_VALUE) : std::nullopt;
      if (value) keys.emplace_back(*value);
    }
  };
  RETURN_IF_ERROR(socket_.Dump(request, [&] { keys.clear(); }, part));
  return keys;
}

}  // namespace wrenn::os
