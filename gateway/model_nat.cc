// SPDX-License-Identifier: Apache-2.0
//
// A domain's NAT. Rules and mappings are entered one by one, so that each sees those before it.
// What the body can be judged by alone the decoder has judged (api/nat.cc).
#include <algorithm>

#include "gateway/model_checks.h"
#include "gateway/model_draft.h"

namespace hnv {
namespace {

using Public = Prefix<Space::external>;

// A one-to-one mapping has its public address with all its ports.
constexpr uint16_t kLastPort = 65535;
PublicPorts whole(const StaticMappingSpec& mapping) {
  return {Public(mapping.public_address, mapping.public_address.bits()), 0, kLastPort};
}
PublicPort public_port(const StaticMappingSpec& mapping) {
  return {mapping.public_address, mapping.protocol, mapping.public_port};
}
InsidePort inside_port(const StaticMappingSpec& mapping) {
  return {mapping.inside_address, mapping.protocol, mapping.inside_port};
}

// The ports of the i-th address that a rule has for itself.
PublicPorts own_ports(const OutboundRuleSpec& rule, size_t i) {
  const PortRange range = rule.port_range.value_or(PortRange{});
  return {rule.public_addresses[i], range.first, range.last};
}

// The networks that a NAT names itself (not those of its pools).
std::vector<std::string> networks_of(const NatSpec& spec) {
  std::vector<std::string> names;
  for (const auto& rule : spec.outbound_rules) {
    if (rule.external_network) names.push_back(*rule.external_network);
  }
  for (const auto& mapping : spec.static_mappings) names.push_back(mapping.external_network);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

void check_routes(const NatSpec& spec, const DomainModel& domain, Faults& faults) {
  const Place body;
  const Place destinations(body, "destinationPrefixes");
  for (size_t i = 0; i < spec.destination_prefixes.size(); ++i) {
    check_destination(spec.destination_prefixes[i], Place(destinations, i), faults);
  }
  const size_t routes = spec.destination_prefixes.size() + spec.exclude_prefixes.size();
  if (domain.route_count + routes > domain.spec.limits.routes) {
    faults.add(
        ErrorCode::limit_reached, destinations,
        fmt::format("{} may have {} routes (limits.routes)",
                    resource_path(RoutingDomainKey{domain.name}), domain.spec.limits.routes));
  }
}

// A static mapping that has this port of the public address, or all of them, or (for one that wants
// all) any.
const std::pair<PublicPort, MappingName>* mapping_at(const DesiredState& state,
                                                     const PublicPort& wanted) {
  const auto& mappings = state.static_mappings;
  if (wanted.protocol != NatProtocol::any) {
    const auto at = mappings.lower_bound(wanted);
    if (at != mappings.end() && at->first == wanted) return &*at;
    const PublicPort all{wanted.address, NatProtocol::any, 0};
    const auto other = mappings.lower_bound(all);
    return other != mappings.end() && other->first == all ? &*other : nullptr;
  }
  const auto at = mappings.lower_bound(PublicPort{wanted.address, NatProtocol::tcp, 0});
  return at != mappings.end() && at->first.address == wanted.address ? &*at : nullptr;
}

}  // namespace

Outcome ModelDraft::put(const NatKey& key, NatSpec spec, Faults& faults) {
  const auto before = state_.domain(key.domain)->nat;
  if (before && before->spec == spec) return Outcome::replaced;

  DomainModel& domain = edit_domain(key.domain);
  if (before) withdraw_nat(domain);
  check_routes(spec, domain, faults);
  domain.route_count += spec.destination_prefixes.size() + spec.exclude_prefixes.size();
  const Place body;
  const Place rules(body, "outboundRules");
  for (size_t i = 0; i < spec.outbound_rules.size(); ++i) {
    enter_rule(key, spec.outbound_rules[i], Place(rules, i), faults);
  }
  const Place mappings(body, "staticMappings");
  for (size_t i = 0; i < spec.static_mappings.size(); ++i) {
    pause();
    enter_mapping(domain, spec.static_mappings[i], Place(mappings, i), faults);
  }
  for (auto& network : networks_of(spec)) {
    state_.nat_by_external_network.insert_or_assign(NatNetworkUse{std::move(network), key}, {});
  }
  domain.nat = std::make_shared<const NatModel>(NatModel{std::move(spec), etag_});
  return before ? Outcome::replaced : Outcome::created;
}

void ModelDraft::enter_rule(const NatKey& key, const OutboundRuleSpec& rule, const Place& place,
                            Faults& faults) {
  if (!rule.pool) {
    const auto* network = find_public_network(*rule.external_network, place, faults);
    if (network == nullptr) return;
    const Place list(place, "publicAddresses");
    for (size_t i = 0; i < rule.public_addresses.size(); ++i) {
      const Place here(list, i);
      check_public_address(*network, rule.public_addresses[i], here, faults);
      claim_public_ports(own_ports(rule, i), {key, rule.name}, &key.domain, here, faults);
    }
    return;
  }
  const auto* pool = state_.public_address_pool(*rule.pool);
  const std::string path = resource_path(PublicAddressPoolKey{*rule.pool});
  if (pool == nullptr) {
    faults.add(ErrorCode::unfit, Place(place, "pool"),
               fmt::format("{} does not exist: create it first", path));
    return;
  }
  if (pool->spec.routing_domain && *pool->spec.routing_domain != key.domain) {
    faults.add(ErrorCode::unfit, Place(place, "pool"),
               fmt::format("{} is for {} alone (routingDomain): use another one", path,
                           resource_path(RoutingDomainKey{*pool->spec.routing_domain})));
  }
  if (rule.port_range) {
    if (const auto why = unfit_port_range(*rule.port_range, pool->spec); !why.empty()) {
      faults.add(ErrorCode::unfit, Place(place, "portRange"), fmt::format("of {} {}", path, why));
    }
  }
  const PoolUse use{pool->name, key.domain};
  if (!state_.domains_by_pool.contains(use)) {
    state_.domains_by_pool.insert_or_assign(use, rule.name);
  }
}

void ModelDraft::enter_mapping(DomainModel& domain, const StaticMappingSpec& mapping,
                               const Place& place, Faults& faults) {
  if (const auto* network = find_public_network(mapping.external_network, place, faults)) {
    check_public_address(*network, whole(mapping).prefix, Place(place, "publicAddress"), faults);
  }
  if (const auto owner = domain.owner_of(mapping.inside_address)) {
    faults.add(ErrorCode::unfit, Place(place, "insideAddress"),
               fmt::format("{} is the gateway's own address in {}; it must be another host's",
                           mapping.inside_address.to_string(), resource_path(*owner)));
  }
  claim_mapping(domain, mapping, place, faults);
  domain.mappings_by_inside.insert_or_assign(inside_port(mapping), mapping.name);
}

void ModelDraft::claim_mapping(const DomainModel& domain, const StaticMappingSpec& mapping,
                               const Place& place, Faults& faults) {
  const Place address(place, "publicAddress");
  const PublicPort wanted = public_port(mapping);
  if (const auto* other = mapping_at(state_, wanted)) {
    faults.add(
        ErrorCode::conflict, address,
        fmt::format("{} belongs to {} ({}) with {}: choose another {}", wanted.address.to_string(),
                    resource_path(NatKey{other->second.domain}), other->second.name,
                    other->first.protocol == NatProtocol::any
                        ? "all its ports"
                        : fmt::format("port {}", other->first.port),
                    wanted.protocol == NatProtocol::any ? "address" : "address or port"));
    return;
  }
  PublicPorts ports = whole(mapping);
  if (mapping.protocol == NatProtocol::any) {
    claim_public_ports(ports, {NatKey{domain.name}, mapping.name}, nullptr, address, faults);
  } else {
    ports.first = ports.last = wanted.port;
    check_owner_of_port(domain.name, ports, address, faults);
  }
  state_.static_mappings.insert_or_assign(wanted, MappingName{domain.name, mapping.name});
}

// A port may lie in a pool that every domain may use, or in what is this domain's alone.
void ModelDraft::check_owner_of_port(const std::string& domain, const PublicPorts& port,
                                     const Place& place, Faults& faults) const {
  const auto* other = state_.public_ports_overlapping(port);
  if (other == nullptr) return;
  const ResourceKey& user = other->second.user;
  std::string owner = domain;
  if (const auto* pool = std::get_if<PublicAddressPoolKey>(&user)) {
    owner = state_.public_address_pool(pool->name)->spec.routing_domain.value_or(domain);
  } else {
    owner = std::get<NatKey>(user).domain;
  }
  if (owner == domain) return;
  faults.add(ErrorCode::conflict, place,
             fmt::format("{} port {} belongs to {}, which is for {} alone: choose another address "
                         "or port",
                         port.prefix.address().to_string(), port.first, resource_path(user),
                         resource_path(RoutingDomainKey{owner})));
}

void ModelDraft::withdraw_nat(DomainModel& domain) {
  const auto before = domain.nat;
  const NatSpec& spec = before->spec;
  for (const auto& rule : spec.outbound_rules) {
    if (rule.pool) {
      state_.domains_by_pool.erase(PoolUse{*rule.pool, domain.name});
    } else {
      for (size_t i = 0; i < rule.public_addresses.size(); ++i) {
        state_.public_ports.erase(own_ports(rule, i));
      }
    }
  }
  for (const auto& mapping : spec.static_mappings) {
    pause();
    if (mapping.protocol == NatProtocol::any) state_.public_ports.erase(whole(mapping));
    state_.static_mappings.erase(public_port(mapping));
  }
  for (auto& network : networks_of(spec)) {
    state_.nat_by_external_network.erase(NatNetworkUse{std::move(network), NatKey{domain.name}});
  }
  domain.mappings_by_inside = {};
  domain.route_count -= spec.destination_prefixes.size() + spec.exclude_prefixes.size();
  domain.nat = nullptr;
}

Result<Outcome> ModelDraft::erase(const NatKey& key) {
  if (state_.nat(key.domain) == nullptr) return Outcome::already_absent;
  withdraw_nat(edit_domain(key.domain));
  return Outcome::deleted;
}

void check_not_mapped(const DomainModel& domain, const IpAddress<Space::customer>& own,
                      const Place& place, Faults& faults) {
  const auto at = domain.mappings_by_inside.lower_bound(InsidePort{own, NatProtocol::tcp, 0});
  if (at == domain.mappings_by_inside.end() || at->first.address != own) return;
  faults.add(ErrorCode::conflict, place,
             fmt::format("{} is the insideAddress of static mapping {} of {}: it must be another "
                         "host's",
                         own.to_string(), at->second, resource_path(NatKey{domain.name})));
}

}  // namespace hnv
