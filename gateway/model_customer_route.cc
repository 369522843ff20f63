// SPDX-License-Identifier: Apache-2.0
//
// Customer routes: static routes in a domain, to a neighbour in a virtual subnet or out of a
// network connection.
#include <algorithm>

#include "gateway/model_checks.h"
#include "gateway/model_draft.h"

namespace hnv {
namespace {

RouteVia via_of(const CustomerRouteSpec& spec) {
  if (spec.next_hop) return {*spec.next_hop, spec.destination_prefix};
  return {*spec.network_connection, spec.destination_prefix};
}

// A next hop in no virtual subnet: on a connection's network, or behind other routes. Those may
// come and go, so that there is one now is not asked for.
void check_far_next_hop(const DomainModel& domain, const CustomerRouteSpec& spec,
                        const OnLink* on_link, Faults& faults) {
  const Place body;
  const Place place(body, "nextHop");
  const auto& next_hop = *spec.next_hop;
  const uint8_t length = on_link == nullptr ? next_hop.bits() : on_link->prefix.length();
  if (const auto why = unfit_for_host(next_hop, length); !why.empty()) {
    faults.add(ErrorCode::unfit, place,
               fmt::format("{} {}; it must be a host's address", next_hop.to_string(), why));
  } else if (on_link != nullptr) {
    const auto& own = domain.connection(on_link->name)->spec.l3.ip_addresses;
    if (std::any_of(own.begin(), own.end(), [&](const auto& o) { return o.address == next_hop; })) {
      faults.add(ErrorCode::unfit, place,
                 fmt::format("{} is the gateway's own address in {}; it must be another host's",
                             next_hop.to_string(),
                             resource_path(NetworkConnectionKey{domain.name, on_link->name})));
    }
  }
  if (spec.virtual_subnet) {
    faults.add(ErrorCode::unfit, Place(body, "virtualSubnet"),
               fmt::format("{} lies in no virtual subnet: leave this out", next_hop.to_string()));
  }
}

// Finds the subnet that holds the next hop, and fills it in.
void check_next_hop(const DomainModel& domain, CustomerRouteSpec& spec, Faults& faults) {
  const Place body;
  const Place place(body, "nextHop");
  const auto& next_hop = *spec.next_hop;
  check_family(spec.destination_prefix, next_hop, place, faults);
  const OnLink* on_link = domain.on_link_with(next_hop);
  if (on_link == nullptr || on_link->owner != OnLink::Owner::subnet) {
    return check_far_next_hop(domain, spec, on_link, faults);
  }
  const SubnetModel& subnet = *domain.subnet(on_link->name);
  const std::string path = resource_path(VirtualSubnetKey{domain.name, subnet.name});
  if (const auto why = unfit_for_host(next_hop, on_link->prefix.length()); !why.empty()) {
    faults.add(ErrorCode::unfit, place,
               fmt::format("{} {}; it must be a host's address", next_hop.to_string(), why));
  } else if (subnet.owns(next_hop)) {
    faults.add(ErrorCode::unfit, place,
               fmt::format("{} is the gateway's own address in {}; it must be another host's",
                           next_hop.to_string(), path));
  }
  if (spec.virtual_subnet && *spec.virtual_subnet != subnet.name) {
    faults.add(
        ErrorCode::unfit, Place(body, "virtualSubnet"),
        fmt::format("{} lies in {}: name that, or leave it out", next_hop.to_string(), path));
  }
  spec.virtual_subnet = subnet.name;
}

void check_via(const DomainModel& domain, CustomerRouteSpec& spec, Faults& faults) {
  const Place body;
  if (spec.next_hop.has_value() == spec.network_connection.has_value()) {
    faults.invalid(body, R"(needs exactly one of "nextHop" and "networkConnection")");
  } else if (spec.next_hop) {
    check_next_hop(domain, spec, faults);
  } else {
    const ConnectionModel* connection = domain.connection(*spec.network_connection);
    const std::string path =
        resource_path(NetworkConnectionKey{domain.name, *spec.network_connection});
    if (connection == nullptr) {
      faults.add(ErrorCode::unfit, Place(body, "networkConnection"),
                 fmt::format("{} does not exist: create it first", path));
    } else if (!connection->spec.tunnel &&
               connection->peer_of(spec.destination_prefix.family()) == nullptr) {
      faults.add(ErrorCode::unfit, Place(body, "networkConnection"),
                 fmt::format("{} has no router of this family: give it one in "
                             "l3Configuration.peerIPAddresses, or name a nextHop",
                             path));
    }
    if (spec.virtual_subnet) {
      faults.invalid(Place(body, "virtualSubnet"), "goes only with nextHop: leave it out");
    }
  }
}

}  // namespace

void check_next_hops_in(const DomainModel& domain, const Prefix<Space::customer>& prefix,
                        const std::function<bool(const IpAddress<Space::customer>&)>& is_own,
                        const Place& place, Faults& faults) {
  auto at = domain.routes_by_via.lower_bound(RouteVia{prefix.address(), {}});
  for (; at != domain.routes_by_via.end(); ++at) {
    const auto* next_hop = std::get_if<IpAddress<Space::customer>>(&at->first.via);
    if (next_hop == nullptr || !prefix.contains(*next_hop)) return;
    if (!is_own(*next_hop) && unfit_for_host(*next_hop, prefix.length()).empty()) {
      continue;
    }
    faults.add(
        ErrorCode::conflict, place,
        fmt::format("{} is the next hop of {}: it must be a host's address", next_hop->to_string(),
                    resource_path(CustomerRouteKey{domain.name, at->second})));
    return;
  }
}

Outcome ModelDraft::put(const CustomerRouteKey& key, CustomerRouteSpec spec, Faults& faults) {
  const DomainModel& current = *state_.domain(key.domain);
  const auto* stored = current.routes.find(key.id);
  const auto before = stored == nullptr ? nullptr : *stored;
  const Place body;
  check_destination(spec.destination_prefix, Place(body, "destinationPrefix"), faults);
  check_via(current, spec, faults);
  if (!faults.empty()) return Outcome::replaced;
  if (before && before->spec == spec) return Outcome::replaced;

  const RouteVia via = via_of(spec);
  const std::string* same = current.routes_by_via.find(via);
  if (same != nullptr && *same != key.id) {
    faults.add(ErrorCode::conflict, Place(body, "destinationPrefix"),
               fmt::format("{} already leads there the same way",
                           resource_path(CustomerRouteKey{key.domain, *same})));
  }
  if (!before && current.route_count >= current.spec.limits.routes) {
    faults.add(
        ErrorCode::limit_reached, body,
        fmt::format("{} may have {} routes (limits.routes)",
                    resource_path(RoutingDomainKey{key.domain}), current.spec.limits.routes));
  }
  if (!faults.empty()) return Outcome::replaced;

  DomainModel& domain = edit_domain(key.domain);
  if (before) {
    domain.routes_by_via.erase(via_of(before->spec));
  } else {
    ++domain.route_count;
  }
  domain.routes_by_via.insert_or_assign(via, key.id);
  domain.routes.insert_or_assign(key.id, std::make_shared<const CustomerRouteModel>(
                                             CustomerRouteModel{std::move(spec), etag_}));
  return before ? Outcome::replaced : Outcome::created;
}

Result<Outcome> ModelDraft::erase(const CustomerRouteKey& key) {
  const DomainModel* current = state_.domain(key.domain);
  const CustomerRouteModel* route = current == nullptr ? nullptr : current->route(key.id);
  if (route == nullptr) return Outcome::already_absent;
  const RouteVia via = via_of(route->spec);
  DomainModel& domain = edit_domain(key.domain);
  domain.routes_by_via.erase(via);
  domain.routes.erase(key.id);
  --domain.route_count;
  return Outcome::deleted;
}

}  // namespace hnv
