#include "net/address_list.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "net/special_ranges.h"

namespace wrenn::net {
namespace {

// What users send comes back to them; not at any length, and in whole characters of UTF-8.
std::string Beginning(const std::string& text) {
  size_t shown = std::min<size_t>(text.size(), 64);
  while (shown > 0 && shown < text.size() && (text[shown] & 0xc0) == 0x80) --shown;
  return text.substr(0, shown);
}

AddressRange Network(const IpAddress& address, int prefix) {
  return {address.First(prefix), address.Last(prefix)};
}

std::optional<int> ParsePrefix(std::string_view text, int bits) {
  int prefix = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), prefix);
  const bool zeros = text.size() > 1 && text[0] == '0';
  if (error != std::errc() || end != text.data() + text.size() || zeros) return std::nullopt;
  if (prefix < 0 || prefix > bits) return std::nullopt;
  return prefix;
}

bool IsSpecial(const AddressRange& range) {
  return std::ranges::any_of(SpecialRanges(), [&](const AddressRange& special) {
    return special.first <= range.first && range.last <= special.last &&
           special.first.family() == range.first.family();
  });
}

}  // namespace

Result<AddressRange> ParseNetwork(const std::string& text) {
  const auto wrong = [&] {
    return Fail(Code::kInvalidArgument,
                "'{}' is neither an IP address nor a network like 1.2.3.0/24 or 2600:1f00::/24",
                Beginning(text));
  };
  const size_t slash = text.find('/');
  const auto address = IpAddress::Parse(text.substr(0, slash));
  if (!address) return wrong();
  if (slash == std::string::npos) return AddressRange{*address, *address};
  const auto prefix = ParsePrefix(std::string_view(text).substr(slash + 1), address->bits());
  if (!prefix) return wrong();
  if (address->First(*prefix) != *address) {
    return Fail(
        Code::kInvalidArgument,
        "'{}' has bits behind its prefix: write {}/{} for the network, or {} for the address", text,
        address->First(*prefix).ToString(), *prefix, address->ToString());
  }
  return Network(*address, *prefix);
}

Result<std::vector<AddressRange>> ParseNetworks(const std::vector<std::string>& texts) {
  if (texts.size() > kMaxListEntries) {
    return Fail(Code::kInvalidArgument, "a list of {} networks is too long, {} is the most",
                texts.size(), kMaxListEntries);
  }
  std::vector<AddressRange> ranges;
  for (const std::string& text : texts) {
    ASSIGN_OR_RETURN(const AddressRange range, ParseNetwork(text));
    ranges.push_back(range);
  }
  return Merge(std::move(ranges));
}

Result<std::vector<AddressRange>> ParseAllowedNetworks(const std::vector<std::string>& texts) {
  ASSIGN_OR_RETURN(std::vector<AddressRange> merged, ParseNetworks(texts));
  for (const std::string& text : texts) {
    if (IsSpecial(*ParseNetwork(text))) {
      return Fail(Code::kInvalidArgument,
                  "'{}' cannot be allowed: sandboxes never reach private, link-local, metadata and "
                  "other special addresses",
                  text);
    }
  }
  return merged;
}

std::vector<AddressRange> Merge(std::vector<AddressRange> ranges) {
  std::ranges::sort(ranges);
  std::vector<AddressRange> merged;
  for (const AddressRange& range : ranges) {
    if (!merged.empty()) {
      AddressRange& last = merged.back();
      const IpAddress next = last.last.Next();
      const bool same = last.last.family() == range.first.family();
      // Behind the last address there is nothing to be a neighbour of.
      const bool touches = range.first <= last.last || (next > last.last && range.first == next);
      if (same && touches) {
        last.last = std::max(last.last, range.last);
        continue;
      }
    }
    merged.push_back(range);
  }
  return merged;
}

std::vector<AddressRange> OfFamily(const std::vector<AddressRange>& ranges, int family) {
  std::vector<AddressRange> found;
  std::ranges::copy_if(ranges, std::back_inserter(found), [family](const AddressRange& range) {
    return range.first.family() == family;
  });
  return found;
}

const std::vector<AddressRange>& SpecialRanges() {
  static const auto* const ranges = [] {
    auto* all = new std::vector<AddressRange>;
    for (const auto& [address, bits] : kSpecialRanges4) {
      all->push_back(Network(IpAddress::V4(address), bits));
    }
    for (const auto& [address, bits] : kSpecialRanges6) {
      all->push_back(Network(IpAddress::V6(address), bits));
    }
    *all = Merge(std::move(*all));
    return all;
  }();
  return *ranges;
}

const std::vector<AddressRange>& AllAddresses() {
  static const std::vector<AddressRange> all = {Network(IpAddress::V4(0), 0),
                                                Network(IpAddress::V6({}), 0)};
  return all;
}

}  // namespace wrenn::net
