// SPDX-License-Identifier: Apache-2.0
//
// Routing domains, and what a draft does with domains and ports in general.
#include "gateway/model_checks.h"
#include "gateway/model_draft.h"

namespace hnv {
namespace {

void check_limit(uint32_t limit, size_t used, std::string_view property, Faults& faults) {
  if (used <= limit) return;
  const Place body;
  const Place limits(body, "limits");
  faults.add(ErrorCode::conflict, Place(limits, property),
             fmt::format("{} is less than the {} that the domain has", limit, used));
}

// A resource in the domain, if there is any.
std::optional<ResourceKey> first_child(const DomainModel& domain) {
  if (!domain.subnets.empty()) {
    return VirtualSubnetKey{domain.name, domain.subnets.begin()->first};
  }
  if (!domain.routes.empty()) return CustomerRouteKey{domain.name, domain.routes.begin()->first};
  if (!domain.connections.empty()) {
    return NetworkConnectionKey{domain.name, domain.connections.begin()->first};
  }
  if (domain.nat) return NatKey{domain.name};
  if (!domain.bgp_peers.empty()) return BgpPeerKey{domain.name, domain.bgp_peers.begin()->first};
  if (domain.bgp_custom_routes) return BgpCustomRoutesKey{domain.name};
  if (domain.bgp_aggregates) return BgpAggregatesKey{domain.name};
  if (!domain.policy_maps.empty()) {
    return PolicyMapKey{domain.name, domain.policy_maps.begin()->first};
  }
  if (domain.bgp_router) return BgpRouterKey{domain.name};
  return std::nullopt;
}

}  // namespace

Outcome ModelDraft::put(const RoutingDomainKey& key, RoutingDomainSpec spec, Faults& faults) {
  const DomainModel* before = state_.domain(key.domain);
  const Place body;
  const Place id_place(body, "routingDomainId");
  if (!spec.routing_domain_id) {
    spec.routing_domain_id = before != nullptr ? before->spec.routing_domain_id : choices_.guid();
  } else if (before != nullptr && spec.routing_domain_id != before->spec.routing_domain_id) {
    faults.add(ErrorCode::immutable, id_place,
               fmt::format("cannot change; it is {}, or leave it out",
                           before->spec.routing_domain_id->to_string()));
  }
  if (before != nullptr && before->spec == spec) return Outcome::replaced;

  const std::string* owner = state_.domains_by_id.find(*spec.routing_domain_id);
  if (owner != nullptr && *owner != key.domain) {
    faults.add(
        ErrorCode::conflict, id_place,
        fmt::format("{} belongs to {}: ids are unique, leave it out to get a new one",
                    spec.routing_domain_id->to_string(), resource_path(RoutingDomainKey{*owner})));
  }
  if (before != nullptr) {
    check_limit(spec.limits.routes, before->route_count, "routes", faults);
    check_limit(spec.limits.lookup_records, before->record_count, "lookupRecords", faults);
  }
  if (!faults.empty()) return Outcome::replaced;

  if (before == nullptr) {
    auto created = std::make_shared<DomainModel>();
    created->name = key.domain;
    state_.domains.insert_or_assign(key.domain, created);
    own_domains_[key.domain] = std::move(created);
    state_.domains_by_id.insert_or_assign(*spec.routing_domain_id, key.domain);
  }
  const bool created = before == nullptr;
  DomainModel& domain = edit_domain(key.domain);
  domain.spec = std::move(spec);
  domain.etag = etag_;
  return created ? Outcome::created : Outcome::replaced;
}

Result<Outcome> ModelDraft::erase(const RoutingDomainKey& key) {
  const DomainModel* domain = state_.domain(key.domain);
  if (domain == nullptr) return Outcome::already_absent;
  if (const auto child = first_child(*domain)) {
    return fail(
        ErrorCode::conflict,
        fmt::format("{} is in this domain: delete what it holds first", resource_path(*child)),
        resource_path(key));
  }
  const auto own = state_.pools_by_owner.lower_bound(PoolOwner{key.domain, {}});
  if (own != state_.pools_by_owner.end() && own->first.domain == key.domain) {
    return fail(ErrorCode::conflict,
                fmt::format("{} is for this domain alone: delete or change that first",
                            resource_path(PublicAddressPoolKey{own->first.pool})),
                resource_path(key));
  }
  state_.domains_by_id.erase(*domain->spec.routing_domain_id);
  state_.domains.erase(key.domain);
  own_domains_.erase(key.domain);
  changed_ = true;
  return Outcome::deleted;
}

DomainModel& ModelDraft::edit_domain(const std::string& name) {
  changed_ = true;
  auto& own = own_domains_[name];
  if (!own) {
    own = std::make_shared<DomainModel>(*state_.domain(name));
    state_.domains.insert_or_assign(name, own);
  }
  return *own;
}

SubnetModel& ModelDraft::edit_subnet(const std::string& domain, const std::string& name) {
  auto& own = own_subnets_[{domain, name}];
  if (!own) {
    own = std::make_shared<SubnetModel>(*state_.subnet(domain, name));
    edit_domain(domain).subnets.insert_or_assign(name, own);
  }
  return *own;
}

const PortInfo* ModelDraft::find_port(const std::string& name, const Place& place,
                                      Faults& faults) const {
  std::string names;
  for (const auto& port : ports_) {
    if (port.name == name) return &port;
    names += (names.empty() ? "" : ", ") + port.name;
  }
  faults.add(ErrorCode::unfit, Place(place, "port"),
             fmt::format("there is no port {}; the ports are: {}", name, names));
  return nullptr;
}

void ModelDraft::claim_port(const PortVlan& port, const ResourceKey& user, const Place& place,
                            Faults& faults) {
  const ResourceKey* other = state_.users_of_ports.find(port);
  if (other != nullptr && *other != user) {
    faults.add(ErrorCode::conflict, Place(place, "vlanId"),
               fmt::format("port {} with VLAN {} belongs to {}: choose another VLAN or port",
                           port.port, port.vlan_id.value(), resource_path(*other)));
    return;
  }
  state_.users_of_ports.insert_or_assign(port, user);
}

DesiredState ModelDraft::seal(uint64_t generation) && {
  state_.generation = generation;
  return std::move(state_);
}

}  // namespace hnv
