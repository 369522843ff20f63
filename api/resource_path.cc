// SPDX-License-Identifier: Apache-2.0
//
// Keys of resources as paths and back. Paths are canonical: one spelling a resource, so that the
// store can use them as primary keys ("l2-02:00:5e:00:00:01", never "l2-02005E000001").
#include <algorithm>

#include <fmt/format.h>

#include "api/control.h"

namespace hnv {
namespace {

bool letter_or_digit(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

struct PathOf {
  std::string operator()(const ProviderNetworkKey& k) const {
    return fmt::format("/v1/providerNetworks/{}", k.name);
  }
  std::string operator()(const ExternalNetworkKey& k) const {
    return fmt::format("/v1/externalNetworks/{}", k.name);
  }
  std::string operator()(const RoutingDomainKey& k) const {
    return fmt::format("/v1/routingDomains/{}", k.domain);
  }
  std::string operator()(const VirtualSubnetKey& k) const {
    return fmt::format("/v1/routingDomains/{}/virtualSubnets/{}", k.domain, k.name);
  }
  std::string operator()(const LookupRecordKey& k) const {
    return fmt::format("/v1/routingDomains/{}/virtualSubnets/{}/lookupRecords/{}", k.domain,
                       k.subnet, to_string(k.id));
  }
  std::string operator()(const CustomerRouteKey& k) const {
    return fmt::format("/v1/routingDomains/{}/customerRoutes/{}", k.domain, k.id);
  }
  std::string operator()(const NetworkConnectionKey& k) const {
    return fmt::format("/v1/routingDomains/{}/networkConnections/{}", k.domain, k.name);
  }
  std::string operator()(const PublicAddressPoolKey& k) const {
    return fmt::format("/v1/publicIPAddresses/{}", k.name);
  }
  std::string operator()(const NatKey& k) const {
    return fmt::format("/v1/routingDomains/{}/nat", k.domain);
  }
  std::string operator()(const BgpRouterKey& k) const {
    return fmt::format("/v1/routingDomains/{}/bgpRouter", k.domain);
  }
  std::string operator()(const PolicyMapKey& k) const {
    return fmt::format("/v1/routingDomains/{}/policyMaps/{}", k.domain, k.name);
  }
  std::string operator()(const BgpPeerKey& k) const {
    return fmt::format("/v1/routingDomains/{}/bgpPeers/{}", k.domain, k.name);
  }
  std::string operator()(const BgpCustomRoutesKey& k) const {
    return fmt::format("/v1/routingDomains/{}/bgpCustomRoutes", k.domain);
  }
  std::string operator()(const BgpAggregatesKey& k) const {
    return fmt::format("/v1/routingDomains/{}/bgpAggregates", k.domain);
  }
};

// The segments behind "/v1/"; empty when the path does not begin so or has an empty segment.
std::vector<std::string> segments_of(std::string_view path) {
  constexpr std::string_view kRoot = "/v1/";
  if (!path.starts_with(kRoot)) return {};
  path.remove_prefix(kRoot.size());
  std::vector<std::string> segments;
  while (true) {
    const size_t slash = path.find('/');
    segments.emplace_back(path.substr(0, slash));
    if (segments.back().empty()) return {};
    if (slash == std::string_view::npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

std::optional<ResourceKey> inside_domain(const std::vector<std::string>& s) {
  const std::string& domain = s[1];
  const std::string& kind = s[2];
  const std::string& name = s[3];
  if (!valid_resource_name(domain) || !valid_resource_name(name)) return std::nullopt;
  if (s.size() == 4) {
    if (kind == "virtualSubnets") return VirtualSubnetKey{domain, name};
    if (kind == "customerRoutes") return CustomerRouteKey{domain, name};
    if (kind == "networkConnections") return NetworkConnectionKey{domain, name};
    if (kind == "bgpPeers") return BgpPeerKey{domain, name};
    if (kind == "policyMaps") return PolicyMapKey{domain, name};
    return std::nullopt;
  }
  if (kind != "virtualSubnets" || s[4] != "lookupRecords") return std::nullopt;
  if (const auto id = parse_record_id(s[5])) return LookupRecordKey{domain, name, *id};
  return std::nullopt;
}

// What a domain has one of.
std::optional<ResourceKey> one_of_domain(const std::string& domain, const std::string& kind) {
  if (kind == "nat") return NatKey{domain};
  if (kind == "bgpRouter") return BgpRouterKey{domain};
  if (kind == "bgpCustomRoutes") return BgpCustomRoutesKey{domain};
  if (kind == "bgpAggregates") return BgpAggregatesKey{domain};
  return std::nullopt;
}

}  // namespace

bool valid_resource_name(std::string_view name) {
  constexpr size_t kLongest = 64;
  if (name.empty() || name.size() > kLongest || !letter_or_digit(name.front())) return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return letter_or_digit(c) || c == '.' || c == '_' || c == '-'; });
}

std::string resource_path(const ResourceKey& key) { return std::visit(PathOf{}, key); }

std::optional<ResourceKey> parse_resource_path(std::string_view path) {
  const auto segments = segments_of(path);
  if (segments.size() == 2 && valid_resource_name(segments[1])) {
    if (segments[0] == "providerNetworks") return ProviderNetworkKey{segments[1]};
    if (segments[0] == "externalNetworks") return ExternalNetworkKey{segments[1]};
    if (segments[0] == "routingDomains") return RoutingDomainKey{segments[1]};
    if (segments[0] == "publicIPAddresses") return PublicAddressPoolKey{segments[1]};
  }
  if (segments.size() == 3 && segments[0] == "routingDomains" && valid_resource_name(segments[1])) {
    return one_of_domain(segments[1], segments[2]);
  }
  if ((segments.size() == 4 || segments.size() == 6) && segments[0] == "routingDomains") {
    return inside_domain(segments);
  }
  return std::nullopt;
}

}  // namespace hnv
