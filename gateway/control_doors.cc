// SPDX-License-Identifier: Apache-2.0
//
// What the API hears of the control loop's doors, and asks of them: tunnels, BGP's peers, NAT.
#include <array>
#include <utility>

#include "gateway/control_loop.h"

namespace hnv {

ConnectionState ControlLoop::tunnel_state(const ConnectionView& view) const {
  ConnectionState state = ask([&] { return ipsec_->state(view.tunnel, now()); });
  const auto tunnel = compiled()->ipsec->views[view.tunnel.value()];
  if (tunnel == nullptr || !state.tunnel) return state;
  std::array<uint64_t, TunnelCounters::kLast - TunnelCounters::kFirst + 1> drops{};
  for (unsigned w = 0; w < workers(); ++w) {
    const TunnelCounters& counts = tunnel->drops[w];
    state.tunnel->rx_dropped += counts.in_dropped.value();
    state.tunnel->tx_dropped += counts.out_dropped.value();
    state.tunnel->rx_rate_limited += counts.in_rate_limited.value();
    state.tunnel->tx_rate_limited += counts.out_rate_limited.value();
    state.tunnel->rx_marked += counts.in_marked.value();
    state.tunnel->tx_marked += counts.out_marked.value();
    for (size_t i = 0; i < drops.size(); ++i) drops[i] += counts.drops[i].value();
  }
  const ShapedWay& in = tunnel->meters->inbound;
  const ShapedWay& out = tunnel->meters->outbound;
  const Instant at = now();
  state.tunnel->rx_queue_bytes = tunnel->inbound.bytes_in(in.delay(at));
  state.tunnel->tx_queue_bytes = tunnel->outbound.bytes_in(out.delay(at));
  state.tunnel->rx_queue_delay_seconds = in_seconds(in.delay(at));
  state.tunnel->tx_queue_delay_seconds = in_seconds(out.delay(at));
  for (size_t i = 0; i < drops.size(); ++i) {
    const auto reason = static_cast<DropReason>(TunnelCounters::kFirst + i);
    if (drops[i] != 0) state.tunnel->drops.push_back({std::string(to_string(reason)), drops[i]});
  }
  return state;
}

std::optional<BgpPeerStatus> ControlLoop::bgp_peer_state(const BgpPeerKey& key) const {
  return ask([&] { return bgp_->peer(key.domain, key.name); });
}

// Of a connection of type IPSec; on the control thread.
Result<TunnelId> ControlLoop::tunnel_of(const NetworkConnectionKey& key) const {
  const auto* found = compiled_->domains.find(key.domain);
  const ConnectionView* view = nullptr;
  if (found != nullptr) {
    const auto id = (*found)->connections.find(key.name);
    if (id != (*found)->connections.end()) view = &(*found)->view->connection(id->second);
  }
  if (view == nullptr) {
    return fail(ErrorCode::not_found, "this network connection does not exist", resource_path(key));
  }
  if (!view->tunnel.valid()) {
    return fail(ErrorCode::unfit, "only connections of type IPSec take this", resource_path(key));
  }
  return view->tunnel;
}

Result<void> ControlLoop::act_on_tunnel(const NetworkConnectionKey& key, TunnelAction action) {
  return ask([&]() -> Result<void> {
    const auto tunnel = tunnel_of(key);
    if (!tunnel) return tl::make_unexpected(tunnel.error());
    auto done = ipsec_->act(*tunnel, action, now());
    if (!done) done.error().target = resource_path(key);
    return done;
  });
}

Result<TunnelDoctorState> ControlLoop::tunnel_doctor(const NetworkConnectionKey& key) const {
  return ask([&]() -> Result<TunnelDoctorState> {
    const auto tunnel = tunnel_of(key);
    if (!tunnel) return tl::make_unexpected(tunnel.error());
    return ipsec_->doctor(*tunnel, now());
  });
}

std::vector<IkeFaultState> ControlLoop::ike_faults() const {
  return ask([&] { return ipsec_->ike_faults(now()); });
}

Result<CompartmentId> ControlLoop::nat_domain(std::string_view domain) const {
  const auto current = compiled();
  const auto* found = current->domains.find(std::string(domain));
  const NatRules* rules =
      found == nullptr ? nullptr : current->nat->plan->rules_of((*found)->view->id);
  if (rules == nullptr || !rules->enabled) {
    return fail(ErrorCode::not_found, "there is no such routing domain, or it has no NAT",
                resource_path(NatKey{std::string(domain)}));
  }
  return (*found)->view->id;
}

Result<NatSessionList> ControlLoop::nat_sessions(std::string_view domain,
                                                 const NatSessionFilter& filter,
                                                 const NatSessionPage& page) const {
  const auto id = nat_domain(domain);
  if (!id) return tl::make_unexpected(id.error());
  return nat_->sessions(filter_of(*id, filter), page);
}

Result<uint64_t> ControlLoop::end_nat_sessions(std::string_view domain,
                                               const NatSessionFilter& filter) {
  const auto id = nat_domain(domain);
  if (!id) return tl::make_unexpected(id.error());
  return nat_->end(filter_of(*id, filter));
}

std::optional<NatDomainState> ControlLoop::nat_state(std::string_view domain) const {
  const auto id = nat_domain(domain);
  if (!id) return std::nullopt;
  const auto current = compiled();
  const NatRules* rules = current->nat->plan->rules_of(*id);
  const CompartmentView* view = current->compartments[id->value()].get();
  if (rules == nullptr || view == nullptr) return std::nullopt;
  NatDomainState state;
  constexpr DropReason kRefusals[] = {DropReason::nat_no_rule,       DropReason::nat_no_port,
                                      DropReason::nat_domain_limit,  DropReason::nat_port_limit,
                                      DropReason::nat_address_limit, DropReason::nat_rate_limit,
                                      DropReason::nat_table_full};
  for (const DropReason reason : kRefusals) {
    uint64_t count = 0;
    for (unsigned w = 0; w < workers(); ++w) {
      count += view->counters[w].drops[static_cast<size_t>(reason)].value();
    }
    state.refused.push_back({std::string(to_string(reason)), count});
  }
  for (unsigned w = 0; w < workers(); ++w) {
    const NatCounters& counters = rules->counters[w];
    state.sessions += counters.sessions.value();
    state.mappings += counters.mappings.value();
    state.addresses += counters.addresses.value();
    state.port_blocks += counters.port_blocks.value();
    state.inbound_packets += counters.in_packets.value();
    state.inbound_bytes += counters.in_bytes.value();
    state.outbound_packets += counters.out_packets.value();
    state.outbound_bytes += counters.out_bytes.value();
  }
  return state;
}

std::optional<NatPoolState> ControlLoop::nat_pool_state(std::string_view name) const {
  return nat_->pool_state(*compiled()->nat->plan, "publicIPAddresses/" + std::string(name));
}

}  // namespace hnv
