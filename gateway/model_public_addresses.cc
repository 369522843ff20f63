// SPDX-License-Identifier: Apache-2.0
//
// Public addresses and who has them: pools, and what they share with the rules and mappings of
// NATs.
//
// DesiredState::public_ports holds (prefix, ports) of pools, of outbound rules' own addresses and
// of one-to-one mappings; no two have an address and a port in common, whatever networks they are
// of. Static mappings of ports are kept apart (static_mappings): they may lie in a pool, or in what
// their own domain's rules have.
#include <algorithm>

#include "gateway/model_checks.h"
#include "gateway/model_draft.h"

namespace hnv {
namespace {

using Public = Prefix<Space::external>;

// The prefix of the network that holds all of `wanted`, or nullptr.
const Public* public_prefix_of(const ExternalNetworkSpec& network, const Public& wanted) {
  const auto& prefixes = network.public_address_prefixes;
  const auto found = std::find_if(prefixes.begin(), prefixes.end(), [&](const Public& prefix) {
    return prefix.length() <= wanted.length() && prefix.contains(wanted.address());
  });
  return found == prefixes.end() ? nullptr : &*found;
}

PublicPorts ports_of(const PublicAddressPoolSpec& pool, size_t i) {
  return {pool.addresses[i], pool.port_range.first, pool.port_range.last};
}

std::string text_of(const Public& prefix) {
  const bool single = prefix.length() == prefix.address().bits();
  return single ? prefix.address().to_string() : prefix.to_string();
}

std::string text_of(const PublicPortsUser& user) {
  std::string text = resource_path(user.user);
  if (!user.name.empty()) text += fmt::format(" ({})", user.name);
  return text;
}

// The first of these addresses that the network would no longer have.
const Public* first_lost(const std::vector<Public>& addresses, const ExternalNetworkSpec& after) {
  const auto lost = std::find_if(addresses.begin(), addresses.end(), [&](const Public& prefix) {
    return public_prefix_of(after, prefix) == nullptr;
  });
  return lost == addresses.end() ? nullptr : &*lost;
}

std::optional<Public> first_lost(const NatSpec& nat, const ExternalNetworkModel& after) {
  for (const auto& rule : nat.outbound_rules) {
    if (rule.external_network != after.name) continue;
    if (const auto* lost = first_lost(rule.public_addresses, after.spec)) return *lost;
  }
  for (const auto& mapping : nat.static_mappings) {
    if (mapping.external_network != after.name) continue;
    const Public address(mapping.public_address, mapping.public_address.bits());
    if (public_prefix_of(after.spec, address) == nullptr) return address;
  }
  return std::nullopt;
}

}  // namespace

void check_public_address(const ExternalNetworkModel& network, const Public& wanted,
                          const Place& place, Faults& faults) {
  if (public_prefix_of(network.spec, wanted) != nullptr) return;
  std::string prefixes;
  for (const auto& prefix : network.spec.public_address_prefixes) {
    prefixes += (prefixes.empty() ? "" : ", ") + prefix.to_string();
  }
  faults.add(ErrorCode::unfit, place,
             fmt::format("{} must lie in one of the publicAddressPrefixes of {}: {}",
                         text_of(wanted), resource_path(ExternalNetworkKey{network.name}),
                         prefixes.empty() ? "it has none" : prefixes));
}

const std::pair<PublicPorts, PublicPortsUser>* DesiredState::public_ports_overlapping(
    const PublicPorts& wanted) const {
  const Public& prefix = wanted.prefix;
  // Something as large or larger: of one prefix the ports are disjoint, so that only the last that
  // begins before ours end can overlap. (IPv6 addresses stand alone.)
  const uint8_t largest = prefix.family() == Family::ipv4 ? 0 : prefix.length();
  for (uint8_t length = largest; length <= prefix.length(); ++length) {
    const Public larger(prefix.address(), length);
    const auto* below = public_ports.floor(PublicPorts{larger, wanted.last, 65535});
    if (below != nullptr && below->first.prefix == larger && below->first.last >= wanted.first) {
      return below;
    }
  }
  // Something smaller.
  for (auto at = public_ports.lower_bound(PublicPorts{prefix, 0, 0});
       at != public_ports.end() && prefix.contains(at->first.prefix.address()); ++at) {
    if (at->first.first <= wanted.last && wanted.first <= at->first.last) return &*at;
  }
  return nullptr;
}

const ExternalNetworkModel* ModelDraft::find_public_network(const std::string& name,
                                                            const Place& place,
                                                            Faults& faults) const {
  const auto* network = state_.external_network(name);
  if (network == nullptr) {
    faults.add(
        ErrorCode::unfit, Place(place, "externalNetwork"),
        fmt::format("{} does not exist: create it first", resource_path(ExternalNetworkKey{name})));
  }
  return network;
}

void ModelDraft::claim_public_ports(const PublicPorts& wanted, const PublicPortsUser& user,
                                    const std::string* domain, const Place& place, Faults& faults) {
  if (const auto* other = state_.public_ports_overlapping(wanted)) {
    faults.add(
        ErrorCode::conflict, place,
        fmt::format("{} with ports {} to {} overlaps {} with ports {} to {} of {}: choose "
                    "other addresses or ports",
                    text_of(wanted.prefix), wanted.first, wanted.last, text_of(other->first.prefix),
                    other->first.first, other->first.last, text_of(other->second)));
    return;
  }
  if (domain != nullptr) check_foreign_mappings(wanted, *domain, place, faults);
  check_no_ike(wanted, place, faults);
  state_.public_ports.insert_or_assign(wanted, user);
}

// What belongs to one domain has no other domain's static mappings in it.
void ModelDraft::check_foreign_mappings(const PublicPorts& wanted, const std::string& domain,
                                        const Place& place, Faults& faults) const {
  const auto& mappings = state_.static_mappings;
  for (auto at = mappings.lower_bound(PublicPort{wanted.prefix.address(), NatProtocol::tcp, 0});
       at != mappings.end() && wanted.prefix.contains(at->first.address); ++at) {
    const auto& [key, name] = *at;
    if (name.domain == domain || key.port < wanted.first || key.port > wanted.last) continue;
    faults.add(ErrorCode::conflict, place,
               fmt::format("{} port {} belongs to {} ({}): this is for {} alone, choose other "
                           "addresses or ports",
                           key.address.to_string(), key.port, resource_path(NatKey{name.domain}),
                           name.name, resource_path(RoutingDomainKey{domain})));
    return;
  }
}

Outcome ModelDraft::put(const PublicAddressPoolKey& key, PublicAddressPoolSpec spec,
                        Faults& faults) {
  const auto* stored = state_.public_address_pools.find(key.name);
  const auto before = stored == nullptr ? nullptr : *stored;
  if (before && before->spec == spec) return Outcome::replaced;
  if (before) withdraw_pool(before->spec, key);

  const Place body;
  const Place list(body, "publicIPAddresses");
  if (const auto* network = find_public_network(spec.external_network, body, faults)) {
    for (size_t i = 0; i < spec.addresses.size(); ++i) {
      check_public_address(*network, spec.addresses[i], Place(list, i), faults);
    }
  }
  if (spec.routing_domain) {
    if (state_.domain(*spec.routing_domain) == nullptr) {
      faults.add(ErrorCode::unfit, Place(body, "routingDomain"),
                 fmt::format("{} does not exist: create it first",
                             resource_path(RoutingDomainKey{*spec.routing_domain})));
    }
    state_.pools_by_owner.insert_or_assign(PoolOwner{*spec.routing_domain, key.name}, {});
  }
  const std::string* owner = spec.routing_domain ? &*spec.routing_domain : nullptr;
  for (size_t i = 0; i < spec.addresses.size(); ++i) {
    claim_public_ports(ports_of(spec, i), {key, {}}, owner, Place(list, i), faults);
  }
  state_.nat_by_external_network.insert_or_assign(NatNetworkUse{spec.external_network, key}, {});

  auto after = std::make_shared<PublicAddressPoolModel>();
  after->name = key.name;
  after->etag = etag_;
  after->spec = std::move(spec);
  if (before) check_users_of(*after, faults);
  state_.public_address_pools.insert_or_assign(key.name, std::move(after));
  changed_ = true;
  return before ? Outcome::replaced : Outcome::created;
}

// The rules that take from a pool must still fit it.
void ModelDraft::check_users_of(const PublicAddressPoolModel& after, Faults& faults) const {
  const Place body;
  for (auto use = state_.domains_by_pool.lower_bound(PoolUse{after.name, {}});
       use != state_.domains_by_pool.end() && use->first.pool == after.name; ++use) {
    const std::string& domain = use->first.domain;
    const std::string path = resource_path(NatKey{domain});
    if (after.spec.routing_domain && *after.spec.routing_domain != domain) {
      faults.add(ErrorCode::conflict, Place(body, "routingDomain"),
                 fmt::format("{} ({}) uses this pool: change that first", path, use->second));
      return;
    }
    for (const auto& rule : state_.nat(domain)->spec.outbound_rules) {
      if (rule.pool != after.name || !rule.port_range) continue;
      if (const auto why = unfit_port_range(*rule.port_range, after.spec); !why.empty()) {
        faults.add(
            ErrorCode::conflict, Place(body, "portRange"),
            fmt::format("{} ({}) uses ports {} to {} of this pool, which {}: change that "
                        "first",
                        path, rule.name, rule.port_range->first, rule.port_range->last, why));
        return;
      }
    }
  }
}

std::string unfit_port_range(const PortRange& range, const PublicAddressPoolSpec& pool) {
  if (range.first < pool.port_range.first || range.last > pool.port_range.last) {
    return fmt::format("must lie in its portRange {} to {}", pool.port_range.first,
                       pool.port_range.last);
  }
  if (range.size() < port_block_size(pool)) {
    return fmt::format("must be at least its portBlockSize {}", port_block_size(pool));
  }
  return {};
}

void ModelDraft::withdraw_pool(const PublicAddressPoolSpec& spec, const PublicAddressPoolKey& key) {
  for (size_t i = 0; i < spec.addresses.size(); ++i) state_.public_ports.erase(ports_of(spec, i));
  state_.nat_by_external_network.erase(NatNetworkUse{spec.external_network, key});
  if (spec.routing_domain) state_.pools_by_owner.erase(PoolOwner{*spec.routing_domain, key.name});
}

Result<Outcome> ModelDraft::erase(const PublicAddressPoolKey& key) {
  const auto* stored = state_.public_address_pools.find(key.name);
  if (stored == nullptr) return Outcome::already_absent;
  const auto use = state_.domains_by_pool.lower_bound(PoolUse{key.name, {}});
  if (use != state_.domains_by_pool.end() && use->first.pool == key.name) {
    return fail(ErrorCode::conflict,
                fmt::format("{} ({}) uses this pool: change or delete that first",
                            resource_path(NatKey{use->first.domain}), use->second),
                resource_path(key));
  }
  const auto pool = *stored;
  withdraw_pool(pool->spec, key);
  state_.public_address_pools.erase(key.name);
  changed_ = true;
  return Outcome::deleted;
}

void ModelDraft::check_public_users(const ExternalNetworkModel& before,
                                    const ExternalNetworkModel& after, Faults& faults) const {
  if (first_lost(before.spec.public_address_prefixes, after.spec) == nullptr) return;
  const Place body;
  const auto& uses = state_.nat_by_external_network;
  for (auto use = uses.lower_bound(NatNetworkUse{before.name, {}});
       use != uses.end() && use->first.network == before.name; ++use) {
    const ResourceKey& user = use->first.user;
    std::optional<Public> lost;
    if (const auto* pool = std::get_if<PublicAddressPoolKey>(&user)) {
      const auto& addresses = state_.public_address_pool(pool->name)->spec.addresses;
      if (const auto* first = first_lost(addresses, after.spec)) lost = *first;
    } else {
      lost = first_lost(state_.nat(std::get<NatKey>(user).domain)->spec, after);
    }
    if (!lost) continue;
    faults.add(ErrorCode::conflict, Place(body, "publicAddressPrefixes"),
               fmt::format("{} has {}: keep the prefix around it, or change that first",
                           resource_path(user), text_of(*lost)));
    return;
  }
}

}  // namespace hnv
