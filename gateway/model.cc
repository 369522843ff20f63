// SPDX-License-Identifier: Apache-2.0
//
// Reading the desired state: lookups for the rest of the gateway, and the resources as the API
// shows them.
#include "gateway/model.h"

#include <algorithm>

namespace hnv {
namespace {

template <class Value>
const Value* pointee(const std::shared_ptr<const Value>* found) {
  return found == nullptr ? nullptr : found->get();
}

// A spec as it is shown: with what the server derived.
ProviderNetworkSpec shown(const ProviderNetworkModel& network) {
  auto spec = network.spec;
  spec.mtu = network.mtu;
  return spec;
}
ExternalNetworkSpec shown(const ExternalNetworkModel& network) {
  auto spec = network.spec;
  spec.mtu = network.mtu;
  return spec;
}
VirtualSubnetSpec shown(const SubnetModel& subnet, uint16_t mtu) {
  auto spec = subnet.spec;
  spec.gateway_addresses = subnet.gateway_addresses;
  spec.mtu = mtu;
  return spec;
}
LookupRecordSpec shown(const RecordId& id, const LookupRecord& record) {
  LookupRecordSpec spec{record.type, std::nullopt, record.provider_address, record.mac_address};
  if (const auto* ca = std::get_if<IpAddress<Space::customer>>(&id)) spec.customer_address = *ca;
  return spec;
}

// What of a domain's BGP has this key; nullptr: there is none.
const BgpModel<BgpRouterSpec>* bgp_resource(const DomainModel& domain, const BgpRouterKey&) {
  return domain.bgp_router.get();
}
const BgpModel<PolicyMapSpec>* bgp_resource(const DomainModel& domain, const PolicyMapKey& k) {
  return pointee(domain.policy_maps.find(k.name));
}
const BgpModel<BgpPeerSpec>* bgp_resource(const DomainModel& domain, const BgpPeerKey& k) {
  return pointee(domain.bgp_peers.find(k.name));
}
const BgpModel<BgpCustomRoutesSpec>* bgp_resource(const DomainModel& domain,
                                                  const BgpCustomRoutesKey&) {
  return domain.bgp_custom_routes.get();
}
const BgpModel<BgpAggregatesSpec>* bgp_resource(const DomainModel& domain,
                                                const BgpAggregatesKey&) {
  return domain.bgp_aggregates.get();
}

struct FindResource {
  const DesiredState& state;
  const ResourceKey& key;

  std::optional<Resource> operator()(const ProviderNetworkKey& k) const {
    const auto* found = state.provider_network(k.name);
    if (found == nullptr) return std::nullopt;
    return Resource{key, shown(*found), found->etag};
  }
  std::optional<Resource> operator()(const ExternalNetworkKey& k) const {
    const auto* found = state.external_network(k.name);
    if (found == nullptr) return std::nullopt;
    return Resource{key, shown(*found), found->etag};
  }
  std::optional<Resource> operator()(const RoutingDomainKey& k) const {
    const auto* found = state.domain(k.domain);
    if (found == nullptr) return std::nullopt;
    return Resource{key, found->spec, found->etag};
  }
  std::optional<Resource> operator()(const VirtualSubnetKey& k) const {
    const auto* found = state.subnet(k.domain, k.name);
    if (found == nullptr) return std::nullopt;
    return Resource{key, shown(*found, state.inner_mtu(*found)), found->etag};
  }
  std::optional<Resource> operator()(const LookupRecordKey& k) const {
    const auto* subnet = state.subnet(k.domain, k.subnet);
    const auto* found = subnet == nullptr ? nullptr : subnet->records.find(k.id);
    if (found == nullptr) return std::nullopt;
    return Resource{key, shown(k.id, *found), found->etag};
  }
  std::optional<Resource> operator()(const CustomerRouteKey& k) const {
    const auto* domain = state.domain(k.domain);
    const auto* found = domain == nullptr ? nullptr : domain->route(k.id);
    if (found == nullptr) return std::nullopt;
    return Resource{key, found->spec, found->etag};
  }
  std::optional<Resource> operator()(const NetworkConnectionKey& k) const {
    const auto* domain = state.domain(k.domain);
    const auto* found = domain == nullptr ? nullptr : domain->connection(k.name);
    if (found == nullptr) return std::nullopt;
    return Resource{key, found->spec, found->etag};
  }
  std::optional<Resource> operator()(const PublicAddressPoolKey& k) const {
    const auto* found = state.public_address_pool(k.name);
    if (found == nullptr) return std::nullopt;
    return Resource{key, found->spec, found->etag};
  }
  std::optional<Resource> operator()(const NatKey& k) const {
    const auto* found = state.nat(k.domain);
    if (found == nullptr) return std::nullopt;
    return Resource{key, found->spec, found->etag};
  }
  template <class BgpKey>
  std::optional<Resource> operator()(const BgpKey& k) const {
    const auto* domain = state.domain(k.domain);
    const auto* found = domain == nullptr ? nullptr : bgp_resource(*domain, k);
    if (found == nullptr) return std::nullopt;
    return Resource{key, found->spec, found->etag};
  }
};

struct FindEtag {
  const DesiredState& state;

  std::optional<uint64_t> operator()(const ProviderNetworkKey& k) const {
    return of(state.provider_network(k.name));
  }
  std::optional<uint64_t> operator()(const ExternalNetworkKey& k) const {
    return of(state.external_network(k.name));
  }
  std::optional<uint64_t> operator()(const RoutingDomainKey& k) const {
    return of(state.domain(k.domain));
  }
  std::optional<uint64_t> operator()(const VirtualSubnetKey& k) const {
    return of(state.subnet(k.domain, k.name));
  }
  std::optional<uint64_t> operator()(const LookupRecordKey& k) const {
    const auto* subnet = state.subnet(k.domain, k.subnet);
    return subnet == nullptr ? std::nullopt : of(subnet->records.find(k.id));
  }
  std::optional<uint64_t> operator()(const CustomerRouteKey& k) const {
    const auto* domain = state.domain(k.domain);
    return domain == nullptr ? std::nullopt : of(domain->route(k.id));
  }
  std::optional<uint64_t> operator()(const NetworkConnectionKey& k) const {
    const auto* domain = state.domain(k.domain);
    return domain == nullptr ? std::nullopt : of(domain->connection(k.name));
  }
  std::optional<uint64_t> operator()(const PublicAddressPoolKey& k) const {
    return of(state.public_address_pool(k.name));
  }
  std::optional<uint64_t> operator()(const NatKey& k) const { return of(state.nat(k.domain)); }
  template <class BgpKey>
  std::optional<uint64_t> operator()(const BgpKey& k) const {
    const auto* domain = state.domain(k.domain);
    return domain == nullptr ? std::nullopt : of(bgp_resource(*domain, k));
  }

  template <class Found>
  static std::optional<uint64_t> of(const Found* found) {
    return found == nullptr ? std::nullopt : std::optional<uint64_t>(found->etag);
  }
};

// Up to `limit` items behind the key `after` (absent: from the first) as resources.
template <class Map, class ToResource>
std::vector<Resource> page(const Map& map, const auto& after, size_t limit,
                           const ToResource& to_resource) {
  auto at = after ? map.lower_bound(*after) : map.begin();
  if (after && at != map.end() && !(*after < at->first)) ++at;
  std::vector<Resource> resources;
  resources.reserve(std::min(limit, map.size()));
  for (; at != map.end() && resources.size() < limit; ++at) resources.push_back(to_resource(*at));
  return resources;
}

}  // namespace

bool ProviderNetworkModel::reaches(const IpAddress<Space::provider>& pa) const {
  const auto behind = std::upper_bound(
      reachable.begin(), reachable.end(), pa,
      [](const auto& wanted, const auto& prefix) { return wanted < prefix.address(); });
  return behind != reachable.begin() && std::prev(behind)->contains(pa);
}

bool ProviderNetworkModel::owns(const IpAddress<Space::provider>& pa) const {
  return std::any_of(spec.provider_addresses.begin(), spec.provider_addresses.end(),
                     [&](const auto& own) { return own.address == pa; });
}

const Prefix<Space::customer>* SubnetModel::prefix_of(const IpAddress<Space::customer>& ca) const {
  const auto found = std::find_if(spec.address_prefixes.begin(), spec.address_prefixes.end(),
                                  [&](const auto& prefix) { return prefix.contains(ca); });
  return found == spec.address_prefixes.end() ? nullptr : &*found;
}

bool SubnetModel::has_ipv6() const {
  return std::any_of(spec.address_prefixes.begin(), spec.address_prefixes.end(),
                     [](const auto& prefix) { return prefix.family() == Family::ipv6; });
}

bool SubnetModel::owns(const IpAddress<Space::customer>& ca) const {
  return std::find(gateway_addresses.begin(), gateway_addresses.end(), ca) !=
         gateway_addresses.end();
}

const IpAddress<Space::customer>* ConnectionModel::peer_of(Family family) const {
  const auto& peers = spec.l3.peer_ip_addresses;
  const auto found = std::find_if(peers.begin(), peers.end(),
                                  [&](const auto& peer) { return peer.family() == family; });
  return found == peers.end() ? nullptr : &*found;
}

const SubnetModel* DomainModel::subnet(std::string_view subnet_name) const {
  return pointee(subnets.find(subnet_name));
}
const CustomerRouteModel* DomainModel::route(std::string_view id) const {
  return pointee(routes.find(id));
}
const ConnectionModel* DomainModel::connection(std::string_view connection_name) const {
  return pointee(connections.find(connection_name));
}

const OnLink* DomainModel::on_link_with(const IpAddress<Space::customer>& ca) const {
  const auto* below = on_link.floor(ca);
  return below != nullptr && below->second.prefix.contains(ca) ? &below->second : nullptr;
}

const OnLink* DomainModel::on_link_overlapping(const Prefix<Space::customer>& prefix) const {
  // Either a larger prefix begins at or before this one, or a smaller one begins inside it.
  if (const auto* larger = on_link_with(prefix.address())) return larger;
  const auto inside = on_link.lower_bound(prefix.address());
  return inside != on_link.end() && prefix.contains(inside->first) ? &inside->second : nullptr;
}

std::optional<ResourceKey> DomainModel::owner_of(const IpAddress<Space::customer>& ca) const {
  const OnLink* at = on_link_with(ca);
  if (at == nullptr) return std::nullopt;
  if (at->owner == OnLink::Owner::subnet) {
    if (!subnet(at->name)->owns(ca)) return std::nullopt;
    return VirtualSubnetKey{name, at->name};
  }
  const auto& own = connection(at->name)->spec.l3.ip_addresses;
  if (std::none_of(own.begin(), own.end(), [&](const auto& o) { return o.address == ca; })) {
    return std::nullopt;
  }
  return NetworkConnectionKey{name, at->name};
}

const ProviderNetworkModel* DesiredState::provider_network(std::string_view name) const {
  return pointee(provider_networks.find(name));
}
const ExternalNetworkModel* DesiredState::external_network(std::string_view name) const {
  return pointee(external_networks.find(name));
}
const DomainModel* DesiredState::domain(std::string_view name) const {
  return pointee(domains.find(name));
}
const SubnetModel* DesiredState::subnet(std::string_view domain_name, std::string_view name) const {
  const auto* found = domain(domain_name);
  return found == nullptr ? nullptr : found->subnet(name);
}
const PublicAddressPoolModel* DesiredState::public_address_pool(std::string_view name) const {
  return pointee(public_address_pools.find(name));
}
const NatModel* DesiredState::nat(std::string_view domain_name) const {
  const auto* found = domain(domain_name);
  return found == nullptr ? nullptr : found->nat.get();
}

uint16_t DesiredState::inner_mtu(const SubnetModel& subnet) const {
  if (subnet.spec.mtu) return *subnet.spec.mtu;
  const auto* network = provider_network(subnet.spec.provider_network);
  return static_cast<uint16_t>(network->mtu -
                               nvgre_overhead(subnet.spec.provider_address->family()));
}

std::optional<Resource> DesiredState::resource(const ResourceKey& key) const {
  return std::visit(FindResource{*this, key}, key);
}

std::optional<uint64_t> DesiredState::etag_of(const ResourceKey& key) const {
  return std::visit(FindEtag{*this}, key);
}

std::optional<std::vector<Resource>> Model::list(const CollectionKey& collection,
                                                 std::string_view after, size_t limit) const {
  const auto name_after = after.empty() ? std::nullopt : std::optional(after);
  const auto top = [&]<class Key>(const auto& map, Key /*type*/) {
    return page(map, name_after, limit, [&](const auto& item) { return *find(Key{item.first}); });
  };
  const auto in_domain = [&]<class Key>(const auto& map, Key /*type*/) {
    return page(map, name_after, limit, [&](const auto& item) {
      return *find(Key{collection.domain, item.first});
    });
  };
  if (collection.collection == Collection::provider_networks) {
    return top(provider_networks, ProviderNetworkKey{});
  }
  if (collection.collection == Collection::external_networks) {
    return top(external_networks, ExternalNetworkKey{});
  }
  if (collection.collection == Collection::public_address_pools) {
    return top(public_address_pools, PublicAddressPoolKey{});
  }
  if (collection.collection == Collection::routing_domains) return top(domains, RoutingDomainKey{});

  const DomainModel* owner = domain(collection.domain);
  if (owner == nullptr) return std::nullopt;
  if (collection.collection == Collection::virtual_subnets) {
    return in_domain(owner->subnets, VirtualSubnetKey{});
  }
  if (collection.collection == Collection::customer_routes) {
    return in_domain(owner->routes, CustomerRouteKey{});
  }
  if (collection.collection == Collection::network_connections) {
    return in_domain(owner->connections, NetworkConnectionKey{});
  }
  if (collection.collection == Collection::policy_maps) {
    return in_domain(owner->policy_maps, PolicyMapKey{});
  }
  if (collection.collection == Collection::bgp_peers) {
    return in_domain(owner->bgp_peers, BgpPeerKey{});
  }

  const SubnetModel* subnet = owner->subnet(collection.subnet);
  if (subnet == nullptr) return std::nullopt;
  const auto record_after = after.empty() ? std::nullopt : parse_record_id(after);
  return page(subnet->records, record_after, limit, [&](const auto& item) {
    return Resource{LookupRecordKey{collection.domain, collection.subnet, item.first},
                    shown(item.first, item.second), item.second.etag};
  });
}

std::optional<size_t> Model::count(const CollectionKey& collection) const {
  const DomainModel* owner = domain(collection.domain);
  const SubnetModel* subnet = owner == nullptr ? nullptr : owner->subnet(collection.subnet);
  switch (collection.collection) {
    case Collection::provider_networks:
      return provider_networks.size();
    case Collection::external_networks:
      return external_networks.size();
    case Collection::routing_domains:
      return domains.size();
    case Collection::virtual_subnets:
      return owner == nullptr ? std::nullopt : std::optional(owner->subnets.size());
    case Collection::lookup_records:
      return subnet == nullptr ? std::nullopt : std::optional(subnet->records.size());
    case Collection::customer_routes:
      return owner == nullptr ? std::nullopt : std::optional(owner->routes.size());
    case Collection::network_connections:
      return owner == nullptr ? std::nullopt : std::optional(owner->connections.size());
    case Collection::public_address_pools:
      return public_address_pools.size();
    case Collection::policy_maps:
      return owner == nullptr ? std::nullopt : std::optional(owner->policy_maps.size());
    case Collection::bgp_peers:
      return owner == nullptr ? std::nullopt : std::optional(owner->bgp_peers.size());
  }
  return std::nullopt;
}

}  // namespace hnv
