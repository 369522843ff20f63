// SPDX-License-Identifier: Apache-2.0
//
// Network connections of type L3 (those of type IPSec are in model_ipsec.cc): an interface of the
// domain on a shared external network or on a (port, VLAN) of its own. Two domains may use the same
// addresses, even on one shared network: there the MAC address tells them apart.
#include "gateway/model_checks.h"
#include "gateway/model_draft.h"

namespace hnv {
namespace {

using Ca = IpAddress<Space::customer>;

void check_addresses(const DomainModel& domain, const L3ConnectionSpec& l3, const Place& place,
                     Faults& faults) {
  const Place own(place, "ipAddresses");
  if (l3.ip_addresses.empty()) faults.invalid(own, "needs at least one address");
  check_interface_addresses(l3.ip_addresses, own, faults);
  for (size_t i = 0; i < l3.ip_addresses.size(); ++i) {
    const auto prefix = l3.ip_addresses[i].prefix();
    const OnLink* other = domain.on_link_overlapping(prefix);
    if (other == nullptr) continue;
    const ResourceKey owner = other->owner == OnLink::Owner::subnet
                                  ? ResourceKey(VirtualSubnetKey{domain.name, other->name})
                                  : ResourceKey(NetworkConnectionKey{domain.name, other->name});
    faults.add(ErrorCode::conflict, Place(own, i),
               fmt::format("{} overlaps {} of {}: a domain's prefixes must be disjoint",
                           prefix.to_string(), other->prefix.to_string(), resource_path(owner)));
  }
  const Place peers(place, "peerIPAddresses");
  for (size_t i = 0; i < l3.peer_ip_addresses.size(); ++i) {
    const auto end = l3.peer_ip_addresses.begin() + static_cast<std::ptrdiff_t>(i);
    check_on_link(l3.peer_ip_addresses[i], l3.ip_addresses, Place(peers, i), faults);
    if (std::find(l3.peer_ip_addresses.begin(), end, *end) != end) {
      faults.invalid(Place(peers, i), fmt::format("{} is listed twice", end->to_string()));
    }
  }
}

// A customer route that leads through the connection and finds no router of its family there.
const std::string* route_without_router(const DomainModel& domain, const ConnectionModel& after) {
  for (auto at = domain.routes_by_via.lower_bound(RouteVia{after.name, {}});
       at != domain.routes_by_via.end(); ++at) {
    const auto* via = std::get_if<std::string>(&at->first.via);
    if (via == nullptr || *via != after.name) break;
    if (after.peer_of(at->first.prefix.family()) == nullptr) return &at->second;
  }
  return nullptr;
}

// The customer route that leads through a connection, if any: the first of its index.
const std::string* route_through(const DomainModel& domain, const std::string& connection) {
  const auto at = domain.routes_by_via.lower_bound(RouteVia{connection, {}});
  if (at == domain.routes_by_via.end()) return nullptr;
  const auto* via = std::get_if<std::string>(&at->first.via);
  return via != nullptr && *via == connection ? &at->second : nullptr;
}

}  // namespace

void ModelDraft::check_connection_routes(const DomainModel& domain,
                                         const NetworkConnectionSpec& spec, Faults& faults) const {
  const Place body;
  const Place list(body, "routes");
  std::vector<Prefix<Space::customer>> seen;
  seen.reserve(spec.routes.size());
  for (size_t i = 0; i < spec.routes.size(); ++i) {
    const auto& prefix = spec.routes[i].destination_prefix;
    const Place place(list, i);
    check_destination(prefix, Place(place, "destinationPrefix"), faults);
    const auto& peers = spec.l3.peer_ip_addresses;
    if (!spec.tunnel && std::none_of(peers.begin(), peers.end(), [&](const Ca& peer) {
          return peer.family() == prefix.family();
        })) {
      faults.add(ErrorCode::unfit, place,
                 "needs a router of its family in l3Configuration.peerIPAddresses");
    }
    seen.push_back(prefix);
  }
  std::sort(seen.begin(), seen.end());
  if (const auto twice = std::adjacent_find(seen.begin(), seen.end()); twice != seen.end()) {
    faults.add(ErrorCode::unfit, list, fmt::format("{} is listed twice", twice->to_string()));
  }
  if (domain.route_count + spec.routes.size() > domain.spec.limits.routes) {
    faults.add(
        ErrorCode::limit_reached, list,
        fmt::format("{} may have {} routes (limits.routes)",
                    resource_path(RoutingDomainKey{domain.name}), domain.spec.limits.routes));
  }
}

Outcome ModelDraft::put(const NetworkConnectionKey& key, NetworkConnectionSpec spec,
                        Faults& faults) {
  const auto* stored = state_.domain(key.domain)->connections.find(key.name);
  const auto before = stored == nullptr ? nullptr : *stored;
  if (spec.tunnel) return put_tunnel(key, std::move(spec), before, faults);
  if (!spec.l3.mac_address && before) spec.l3.mac_address = before->spec.l3.mac_address;
  if (before && before->spec == spec) return Outcome::replaced;

  DomainModel& domain = edit_domain(key.domain);
  if (before) withdraw_connection(domain, *before);
  const Place body;
  const Place l3(body, "l3Configuration");
  check_addresses(domain, spec.l3, l3, faults);
  check_connection_routes(domain, spec, faults);
  const ConnectionModel after{key.name, spec, etag_};
  if (const std::string* route = route_without_router(domain, after)) {
    faults.add(ErrorCode::conflict, Place(l3, "peerIPAddresses"),
               fmt::format("{} leads through this connection and needs a router of its family: "
                           "delete it first",
                           resource_path(CustomerRouteKey{key.domain, *route})));
  }
  attach_connection(key, spec.l3, l3, faults);
  const auto& addresses = spec.l3.ip_addresses;
  for (const auto& own : addresses) {
    const auto is_own = [&](const Ca& a) {
      return std::any_of(addresses.begin(), addresses.end(),
                         [&](const auto& other) { return other.address == a; });
    };
    check_next_hops_in(domain, own.prefix(), is_own, Place(l3, "ipAddresses"), faults);
    check_not_mapped(domain, own.address, Place(l3, "ipAddresses"), faults);
  }

  domain.route_count += spec.routes.size();
  for (const auto& own : spec.l3.ip_addresses) {
    domain.on_link.insert_or_assign(own.prefix().address(),
                                    OnLink{own.prefix(), OnLink::Owner::connection, key.name});
  }
  domain.connections.insert_or_assign(
      key.name,
      std::make_shared<const ConnectionModel>(ConnectionModel{key.name, std::move(spec), etag_}));
  return before ? Outcome::replaced : Outcome::created;
}

// Claims the connection's place outside, and chooses its MAC when nobody did.
void ModelDraft::attach_connection(const NetworkConnectionKey& key, L3ConnectionSpec& l3,
                                   const Place& place, Faults& faults) {
  if (l3.external_network.has_value() == l3.port.has_value()) {
    faults.invalid(place, R"(needs exactly one of "externalNetwork" and "port")");
    return;
  }
  const ExternalNetworkModel* shared = nullptr;
  if (l3.external_network) {
    shared = state_.external_network(*l3.external_network);
    if (shared == nullptr) {
      faults.add(ErrorCode::unfit, Place(place, "externalNetwork"),
                 fmt::format("{} does not exist: create it first",
                             resource_path(ExternalNetworkKey{*l3.external_network})));
      return;
    }
    if (l3.vlan_id.tagged()) {
      faults.invalid(Place(place, "vlanId"),
                     "goes with port: an external network has its own VLAN");
    }
  }
  const PortInfo* port = find_port(shared != nullptr ? shared->spec.port : *l3.port, place, faults);
  if (port == nullptr) return;
  const uint16_t mtu = shared != nullptr ? shared->mtu : port->mtu;
  if (any_ipv6(l3.ip_addresses) && mtu < kMinMtu6) {
    faults.add(ErrorCode::unfit, Place(place, "ipAddresses"),
               fmt::format("IPv6 needs an MTU of at least {} there; it is {}", kMinMtu6, mtu));
  }
  if (shared == nullptr) claim_port({*l3.port, l3.vlan_id}, key, place, faults);

  // Random addresses of 46 bits: a second clash in a row would be a broken generator.
  constexpr int kTries = 8;
  const auto taken = [&](const MacAddress& mac) -> std::optional<std::string> {
    if (port->mac_address == mac) return "port " + port->name;
    const auto* other =
        shared == nullptr
            ? nullptr
            : state_.connections_by_external_network.find(ExternalNetworkUse{shared->name, mac});
    return other == nullptr ? std::nullopt : std::optional(resource_path(*other));
  };
  for (int i = 0; !l3.mac_address && i < kTries; ++i) {
    const MacAddress mac = choices_.mac_address();
    if (!taken(mac)) l3.mac_address = mac;
  }
  const Place mac_place(place, "macAddress");
  if (!l3.mac_address) {
    faults.add(ErrorCode::internal, mac_place, "no free address was found: give one");
    return;
  }
  check_station_mac(*l3.mac_address, mac_place, faults);
  if (const auto other = taken(*l3.mac_address)) {
    faults.add(ErrorCode::conflict, mac_place,
               fmt::format("{} belongs to {} on the same network: choose another one",
                           l3.mac_address->to_string(), *other));
  } else if (shared != nullptr) {
    state_.connections_by_external_network.insert_or_assign(
        ExternalNetworkUse{shared->name, *l3.mac_address}, key);
  }
}

void ModelDraft::withdraw_connection(DomainModel& domain, const ConnectionModel& connection) {
  const auto& l3 = connection.spec.l3;
  if (connection.spec.tunnel) {
    withdraw_tunnel({domain.name, connection.name}, connection);
  } else if (l3.external_network) {
    state_.connections_by_external_network.erase(
        ExternalNetworkUse{*l3.external_network, *l3.mac_address});
  } else {
    state_.users_of_ports.erase(PortVlan{*l3.port, l3.vlan_id});
  }
  for (const auto& own : l3.ip_addresses) domain.on_link.erase(own.prefix().address());
  domain.route_count -= connection.spec.routes.size();
  domain.connections.erase(connection.name);
}

Result<Outcome> ModelDraft::erase(const NetworkConnectionKey& key) {
  const auto* current = state_.domain(key.domain);
  const auto* stored = current == nullptr ? nullptr : current->connections.find(key.name);
  if (stored == nullptr) return Outcome::already_absent;
  if (const std::string* route = route_through(*current, key.name)) {
    return fail(ErrorCode::conflict,
                fmt::format("{} leads through this connection: delete it first",
                            resource_path(CustomerRouteKey{key.domain, *route})),
                resource_path(key));
  }
  const auto connection = *stored;
  withdraw_connection(edit_domain(key.domain), *connection);
  return Outcome::deleted;
}

}  // namespace hnv
