// SPDX-License-Identifier: Apache-2.0
//
// External networks: physical networks that several domains may share. On one, the destination MAC
// tells the domains' L3 connections apart.
#include "gateway/model_checks.h"
#include "gateway/model_draft.h"

namespace hnv {
namespace {

void check_public_prefixes(const ExternalNetworkSpec& spec, Faults& faults) {
  const Place body;
  const Place list(body, "publicAddressPrefixes");
  const auto& prefixes = spec.public_address_prefixes;
  for (size_t i = 0; i < prefixes.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (!prefixes[i].overlaps(prefixes[j])) continue;
      faults.add(ErrorCode::unfit, Place(list, i),
                 fmt::format("{} overlaps {}: they must be disjoint", prefixes[i].to_string(),
                             prefixes[j].to_string()));
    }
  }
}

}  // namespace

Outcome ModelDraft::put(const ExternalNetworkKey& key, ExternalNetworkSpec spec, Faults& faults) {
  const auto* stored = state_.external_networks.find(key.name);
  const auto before = stored == nullptr ? nullptr : *stored;
  if (before && before->spec == spec) return Outcome::replaced;
  if (before) state_.users_of_ports.erase(PortVlan{before->spec.port, before->spec.vlan_id});

  const Place body;
  auto after = std::make_shared<ExternalNetworkModel>();
  if (const PortInfo* port = find_port(spec.port, body, faults)) {
    after->mtu =
        outside_mtu(spec.mtu, *port, any_ipv6(spec.ip_addresses) ? kMinMtu6 : kMinMtu, faults);
    claim_port({spec.port, spec.vlan_id}, key, body, faults);
    const auto* taken = port->mac_address ? state_.connections_by_external_network.find(
                                                ExternalNetworkUse{key.name, *port->mac_address})
                                          : nullptr;
    if (taken != nullptr) {
      faults.add(ErrorCode::conflict, Place(body, "port"),
                 fmt::format("{} has the MAC address of port {}: give it another one first",
                             resource_path(*taken), port->name));
    }
  }
  check_interface_addresses(spec.ip_addresses, Place(body, "ipAddresses"), faults);
  check_outside_routes(spec.routes, spec.ip_addresses, faults);
  check_public_prefixes(spec, faults);

  after->name = key.name;
  after->etag = etag_;
  after->spec = std::move(spec);
  if (before) {
    check_public_users(*before, *after, faults);
    check_tunnels_on(key.name, before->spec, &after->spec, Place(body, "ipAddresses"), faults);
  }
  state_.external_networks.insert_or_assign(key.name, std::move(after));
  changed_ = true;
  return before ? Outcome::replaced : Outcome::created;
}

Result<Outcome> ModelDraft::erase(const ExternalNetworkKey& key) {
  const auto* network = state_.external_network(key.name);
  if (network == nullptr) return Outcome::already_absent;
  const auto& uses = state_.connections_by_external_network;
  const auto use = uses.lower_bound(ExternalNetworkUse{key.name, MacAddress{}});
  if (use != uses.end() && use->first.network == key.name) {
    return fail(ErrorCode::conflict,
                fmt::format("{} is on this external network: delete or move what uses it first",
                            resource_path(use->second)),
                resource_path(key));
  }
  const auto nat = state_.nat_by_external_network.lower_bound(NatNetworkUse{key.name, {}});
  if (nat != state_.nat_by_external_network.end() && nat->first.network == key.name) {
    return fail(ErrorCode::conflict,
                fmt::format("{} has public addresses of this external network: delete or change "
                            "what uses it first",
                            resource_path(nat->first.user)),
                resource_path(key));
  }
  Faults tunnels;
  check_tunnels_on(key.name, network->spec, nullptr, Place(), tunnels);
  if (!tunnels.empty()) {
    Error error = std::move(tunnels).to_error();
    return fail(error.code, error.message, resource_path(key));
  }
  state_.users_of_ports.erase(PortVlan{network->spec.port, network->spec.vlan_id});
  state_.external_networks.erase(key.name);
  changed_ = true;
  return Outcome::deleted;
}

}  // namespace hnv
