#include "sandbox/network.h"

namespace wrenn::sandbox {
namespace {

// Bounds that keep numbers sane: a terabit, and more connections than a host can track.
constexpr int64_t kMaxKbps = 1'000'000'000;
constexpr int64_t kMaxConnections = 100'000'000;
constexpr uint64_t kKilobit = 1000;

using OptionalStrings = std::optional<std::vector<std::string>>;

bool Has(const OptionalStrings& list) { return list && !list->empty(); }

OptionalStrings ReadList(JsonReader& reader, std::string_view name) {
  return reader.Has(name) ? OptionalStrings(reader.Strings(name)) : std::nullopt;
}

json::array ListJson(const std::vector<std::string>& list) {
  return json::array(list.begin(), list.end());
}

template <typename T>
void Replace(std::optional<T>& value, const std::optional<T>& by) {
  if (by) value = by;
}

using ParseList = Result<std::vector<net::AddressRange>>(const std::vector<std::string>&);

Status SetList(std::vector<net::AddressRange>& ranges, const OptionalStrings& list,
               ParseList* parse, const std::string& name) {
  if (!list) return {};
  auto parsed = parse(*list);
  if (!parsed) return Fail(parsed.error().WithContext(name));
  ranges = std::move(*parsed);
  return {};
}

Result<net::NetworkPolicy> MakePolicy(const Network& network, const std::string& prefix) {
  net::NetworkPolicy policy;
  policy.internet = network.allow_internet_access.value_or(false);
  RETURN_IF_ERROR(
      SetList(policy.allow, network.allow_out, net::ParseAllowedNetworks, prefix + "allow_out"));
  RETURN_IF_ERROR(SetList(policy.deny, network.deny_out, net::ParseNetworks, prefix + "deny_out"));
  policy.upload = static_cast<uint64_t>(network.upload_kbps.value_or(0)) * kKilobit;
  policy.download = static_cast<uint64_t>(network.download_kbps.value_or(0)) * kKilobit;
  if (network.max_connections) {
    policy.connections = static_cast<uint32_t>(*network.max_connections);
  }
  return policy;
}

}  // namespace

bool Network::IsOff() const { return !allow_internet_access.value_or(false) && !Has(allow_out); }

bool Network::NeedsSlot() const {
  return Has(allow_out) || Has(deny_out) || upload_kbps.value_or(0) > 0 ||
         download_kbps.value_or(0) > 0 || max_connections.value_or(0) > 0;
}

Result<Network> ParseNetwork(const json::object& object, const std::string& where) {
  JsonReader reader(object, where);
  Network network;
  if (reader.Has("allow_internet_access")) {
    network.allow_internet_access = reader.Bool("allow_internet_access");
  }
  network.allow_out = ReadList(reader, "allow_out");
  network.deny_out = ReadList(reader, "deny_out");
  network.upload_kbps = reader.OptionalInt("upload_kbps", 0, kMaxKbps);
  network.download_kbps = reader.OptionalInt("download_kbps", 0, kMaxKbps);
  network.max_connections = reader.OptionalInt("max_connections", 0, kMaxConnections);
  RETURN_IF_ERROR(reader.FinishStrict());
  RETURN_IF_ERROR(MakePolicy(network, where.empty() ? where : where + "."));
  return network;
}

json::object ToJson(const Network& network) {
  json::object object;
  if (network.allow_internet_access) {
    object["allow_internet_access"] = *network.allow_internet_access;
  }
  if (network.allow_out) object["allow_out"] = ListJson(*network.allow_out);
  if (network.deny_out) object["deny_out"] = ListJson(*network.deny_out);
  if (network.upload_kbps) object["upload_kbps"] = *network.upload_kbps;
  if (network.download_kbps) object["download_kbps"] = *network.download_kbps;
  if (network.max_connections) object["max_connections"] = *network.max_connections;
  return object;
}

Network Merge(const Network& base, const Network& change) {
  Network merged = base;
  Replace(merged.allow_internet_access, change.allow_internet_access);
  Replace(merged.allow_out, change.allow_out);
  Replace(merged.deny_out, change.deny_out);
  Replace(merged.upload_kbps, change.upload_kbps);
  Replace(merged.download_kbps, change.download_kbps);
  Replace(merged.max_connections, change.max_connections);
  return merged;
}

Result<net::NetworkPolicy> PolicyOf(const Network& network) { return MakePolicy(network, ""); }

Result<Network> NetworkOf(bool egress, const json::object& network) {
  ASSIGN_OR_RETURN(Network parsed, ParseNetwork(network, "network"));
  if (!parsed.allow_internet_access) parsed.allow_internet_access = egress && network.empty();
  return parsed;
}

}  // namespace wrenn::sandbox
