// SPDX-License-Identifier: Apache-2.0
//
// Network connections of type IPSec: a tunnel from one of the gateway's own addresses on an
// external network to a tenant's site. What the body can be judged by alone, check() of
// vpn/tunnel_spec.h has judged; secrets that it does not mention are the stored ones.
#include <algorithm>

#include "gateway/model_checks.h"
#include "gateway/model_draft.h"

namespace hnv {
namespace {

constexpr uint16_t kIkePorts[] = {500, 4500};  // RFC 7296 §2, RFC 3948

PublicPorts ike_port(const IpAddress<Space::external>& address, uint16_t port) {
  return {Prefix<Space::external>(address, address.bits()), port, port};
}

bool has_address(const ExternalNetworkSpec& network, const IpAddress<Space::external>& address) {
  return std::any_of(network.ip_addresses.begin(), network.ip_addresses.end(),
                     [&](const auto& own) { return own.address == address; });
}

}  // namespace

Outcome ModelDraft::put_tunnel(const NetworkConnectionKey& key, NetworkConnectionSpec spec,
                               const std::shared_ptr<const ConnectionModel>& before,
                               Faults& faults) {
  const TunnelSpec* stored =
      before != nullptr && before->spec.tunnel ? &*before->spec.tunnel : nullptr;
  spec.tunnel = with_stored_secrets(std::move(*spec.tunnel), stored);
  if (before != nullptr && before->spec == spec) return Outcome::replaced;

  DomainModel& domain = edit_domain(key.domain);
  if (before != nullptr) withdraw_connection(domain, *before);
  for (ErrorDetail& detail : check(*spec.tunnel)) faults.add(std::move(detail));
  check_connection_routes(domain, spec, faults);
  ConnectionModel after{key.name, std::move(spec), etag_};
  const TunnelSpec& tunnel = *after.spec.tunnel;
  after.tunnel = stored != nullptr ? before->tunnel : state_.next_tunnel++;
  if (auto unique = state_.tunnel_identities.add(after.tunnel, tunnel); !unique) {
    const Error& error = unique.error();
    faults.add({error.code, error.message, error.target});
  }
  const Place body;
  const Place configuration(body, "ipSecConfiguration");
  after.network =
      find_vpn_network(tunnel.source_ip_address, Place(configuration, "sourceIPAddress"), faults);
  state_.tunnels_by_source.insert_or_assign(
      TunnelSource{tunnel.source_ip_address, after.network, key}, {});

  domain.route_count += after.spec.routes.size();
  domain.connections.insert_or_assign(key.name,
                                      std::make_shared<const ConnectionModel>(std::move(after)));
  return before != nullptr ? Outcome::replaced : Outcome::created;
}

std::string ModelDraft::find_vpn_network(const IpAddress<Space::external>& source,
                                         const Place& place, Faults& faults) const {
  if (source.unspecified()) return {};  // said already
  std::vector<std::string> owners;
  for (const auto& [name, network] : state_.external_networks) {
    if (has_address(network->spec, source)) owners.push_back(name);
  }
  if (owners.size() != 1) {
    faults.add(ErrorCode::unfit, place,
               owners.empty()
                   ? fmt::format("{} must be one of the gateway's own addresses (ipAddresses) on "
                                 "an external network",
                                 source.to_string())
                   : fmt::format("{} is the gateway's on two external networks, {} and {}: it "
                                 "must be on one only",
                                 source.to_string(), owners[0], owners[1]));
    return {};
  }
  for (const uint16_t port : kIkePorts) {
    const auto* nat = state_.public_ports_overlapping(ike_port(source, port));
    if (nat == nullptr) continue;
    faults.add(ErrorCode::conflict, place,
               fmt::format("{} has port {} of {} for NAT, which IKE needs: take it out there, or "
                           "give the tunnel another address",
                           resource_path(nat->second.user), port, source.to_string()));
    break;
  }
  return owners.front();
}

void ModelDraft::withdraw_tunnel(const NetworkConnectionKey& key,
                                 const ConnectionModel& connection) {
  state_.tunnel_identities.remove(connection.tunnel);
  state_.tunnels_by_source.erase(
      TunnelSource{connection.spec.tunnel->source_ip_address, connection.network, key});
}

void ModelDraft::check_tunnels_on(const std::string& network, const ExternalNetworkSpec& before,
                                  const ExternalNetworkSpec* after, const Place& place,
                                  Faults& faults) const {
  for (const auto& own : before.ip_addresses) {
    if (after != nullptr && has_address(*after, own.address)) continue;
    const auto& uses = state_.tunnels_by_source;
    const auto use = uses.lower_bound(TunnelSource{own.address, network, {}});
    if (use == uses.end() || use->first.address != own.address || use->first.network != network) {
      continue;
    }
    faults.add(ErrorCode::conflict, place,
               fmt::format("{} is the sourceIPAddress of {}: delete or change that first",
                           own.address.to_string(), resource_path(use->first.connection)));
  }
}

void ModelDraft::check_no_ike(const PublicPorts& wanted, const Place& place, Faults& faults) const {
  if (std::none_of(std::begin(kIkePorts), std::end(kIkePorts),
                   [&](uint16_t port) { return wanted.first <= port && port <= wanted.last; })) {
    return;
  }
  const auto& uses = state_.tunnels_by_source;
  const auto use = uses.lower_bound(TunnelSource{wanted.prefix.address(), {}, {}});
  if (use == uses.end() || !wanted.prefix.contains(use->first.address)) return;
  faults.add(ErrorCode::conflict, place,
             fmt::format("{} is the address of VPN tunnels, which need its ports 500 and 4500: "
                         "leave them out, or give the tunnels another address",
                         use->first.address.to_string()));
}

}  // namespace hnv
