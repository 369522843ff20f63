// SPDX-License-Identifier: Apache-2.0
//
// Provider networks. Different ones may use the same prefixes: they are separate fabrics. What is
// on one (subnets, and their records' PAs) must still fit when it is replaced.
#include "gateway/model_checks.h"
#include "gateway/model_draft.h"

namespace hnv {
namespace {

std::vector<Prefix<Space::provider>> reachable_prefixes(const ProviderNetworkSpec& spec) {
  std::vector<Prefix<Space::provider>> all;
  for (const auto& own : spec.provider_addresses) all.push_back(own.prefix());
  for (const auto& route : spec.routes) all.push_back(route.destination_prefix);
  std::sort(all.begin(), all.end());  // a prefix stands before what lies inside it
  std::vector<Prefix<Space::provider>> outermost;
  for (const auto& prefix : all) {
    if (outermost.empty() || !outermost.back().overlaps(prefix)) outermost.push_back(prefix);
  }
  return outermost;
}

void check_overrides(const ProviderNetworkSpec& spec, Faults& faults) {
  const Place body;
  const Place list(body, "providerAddressOverrides");
  std::vector<Prefix<Space::provider>> seen;
  for (const auto& entry : spec.provider_address_overrides) {
    seen.push_back(entry.provider_address_prefix);
  }
  std::sort(seen.begin(), seen.end());
  if (const auto twice = std::adjacent_find(seen.begin(), seen.end()); twice != seen.end()) {
    faults.add(ErrorCode::unfit, list, fmt::format("{} is listed twice", twice->to_string()));
  }
}

// Whether something that was fit on `before` could be unfit on `after`.
bool takes_away(const ProviderNetworkModel& before, const ProviderNetworkModel& after) {
  const bool less_mtu = after.mtu < before.mtu;
  const bool other_addresses =  // a record's PA may now be the gateway's own
      before.spec.provider_addresses != after.spec.provider_addresses;
  return less_mtu || other_addresses || before.reachable != after.reachable;
}

std::string record_path(const VirtualSubnetKey& subnet, const RecordId& id) {
  return resource_path(LookupRecordKey{subnet.domain, subnet.name, id});
}

// The first thing of a subnet that is unfit on `network`.
bool still_fits(const VirtualSubnetKey& key, const SubnetModel& subnet,
                const ProviderNetworkModel& network, Faults& faults) {
  const Place body;
  if (!network.owns(*subnet.spec.provider_address)) {
    faults.add(ErrorCode::conflict, Place(body, "providerAddresses"),
               fmt::format("{} is the providerAddress of {}: it must stay",
                           subnet.spec.provider_address->to_string(), resource_path(key)));
    return false;
  }
  const int room = network.mtu - nvgre_overhead(subnet.spec.provider_address->family());
  if (subnet.spec.mtu && *subnet.spec.mtu > room) {
    faults.add(ErrorCode::conflict, Place(body, "mtu"),
               fmt::format("{} has mtu {}: the fabric's must be at least {}", resource_path(key),
                           *subnet.spec.mtu, *subnet.spec.mtu + network.mtu - room));
    return false;
  }
  if (subnet.has_ipv6() && room < kMinMtu6) {
    faults.add(ErrorCode::conflict, Place(body, "mtu"),
               fmt::format("{} has an IPv6 prefix: the fabric's must be at least {}",
                           resource_path(key), kMinMtu6 + network.mtu - room));
    return false;
  }
  for (const auto& [id, record] : subnet.records) {
    const auto& pa = record.provider_address;
    if (network.owns(pa) && record.type != LookupRecordType::gateway_wildcard) {
      faults.add(ErrorCode::conflict, Place(body, "providerAddresses"),
                 fmt::format("{} is the host of {}: it cannot be the gateway's own", pa.to_string(),
                             record_path(key, id)));
      return false;
    }
    if (!network.reaches(pa)) {
      faults.add(ErrorCode::conflict, Place(body, "routes"),
                 fmt::format("{} of {} would be on-link and routed nowhere: keep a prefix that "
                             "holds it",
                             pa.to_string(), record_path(key, id)));
      return false;
    }
  }
  return true;
}

}  // namespace

Outcome ModelDraft::put(const ProviderNetworkKey& key, ProviderNetworkSpec spec, Faults& faults) {
  const auto* stored = state_.provider_networks.find(key.name);
  const auto before = stored == nullptr ? nullptr : *stored;
  if (before && before->spec == spec) return Outcome::replaced;
  if (before) state_.users_of_ports.erase(PortVlan{before->spec.port, before->spec.vlan_id});

  const Place body;
  const Place addresses(body, "providerAddresses");
  auto after = std::make_shared<ProviderNetworkModel>();
  if (const PortInfo* port = find_port(spec.port, body, faults)) {
    after->mtu = outside_mtu(spec.mtu, *port,
                             any_ipv6(spec.provider_addresses) ? kMinMtu6 : kMinFabricMtu, faults);
    claim_port({spec.port, spec.vlan_id}, key, body, faults);
  }
  if (spec.provider_addresses.empty()) faults.invalid(addresses, "needs at least one address");
  check_interface_addresses(spec.provider_addresses, addresses, faults);
  check_outside_routes(spec.routes, spec.provider_addresses, faults);
  check_overrides(spec, faults);

  after->name = key.name;
  after->etag = etag_;
  after->reachable = reachable_prefixes(spec);
  after->spec = std::move(spec);
  if (before && faults.empty()) check_subnets_on(*before, *after, faults);
  state_.provider_networks.insert_or_assign(key.name, std::move(after));
  changed_ = true;
  return before ? Outcome::replaced : Outcome::created;
}

void ModelDraft::check_subnets_on(const ProviderNetworkModel& before,
                                  const ProviderNetworkModel& after, Faults& faults) const {
  if (!takes_away(before, after)) return;
  const auto& uses = state_.subnets_by_provider_network;
  const ProviderNetworkUse first{before.name, *Vsid::from(Vsid::kMin)};
  for (auto use = uses.lower_bound(first); use != uses.end() && use->first.network == before.name;
       ++use) {
    const auto& key = use->second;
    if (!still_fits(key, *state_.subnet(key.domain, key.name), after, faults)) return;
  }
}

Result<Outcome> ModelDraft::erase(const ProviderNetworkKey& key) {
  const auto* network = state_.provider_network(key.name);
  if (network == nullptr) return Outcome::already_absent;
  const ProviderNetworkUse first{key.name, *Vsid::from(Vsid::kMin)};
  const auto use = state_.subnets_by_provider_network.lower_bound(first);
  if (use != state_.subnets_by_provider_network.end() && use->first.network == key.name) {
    return fail(ErrorCode::conflict,
                fmt::format("{} is on this provider network: delete or move what uses it first",
                            resource_path(use->second)),
                resource_path(key));
  }
  state_.users_of_ports.erase(PortVlan{network->spec.port, network->spec.vlan_id});
  state_.provider_networks.erase(key.name);
  changed_ = true;
  return Outcome::deleted;
}

}  // namespace hnv
