// SPDX-License-Identifier: Apache-2.0
//
// Tunnels as the workers read them. A tunnel keeps its number, its meters and its counters as long
// as its connection is there, whatever of it changes. SAs are added when the plan is published.
#include <algorithm>
#include <utility>

#include "gateway/compiler.h"

namespace hnv {
namespace {

// How long the number of a tunnel that is gone rests: what charon may have had under way for it by
// then (an exchange is retransmitted for 42 s) is over.
constexpr Duration kRest = std::chrono::minutes(10);

}  // namespace

std::shared_ptr<const IpsecPlan> plan_of(const CompiledIpsec& ipsec, const SaTable& sas) {
  if (ipsec.serial == 0) return IpsecPlan::nothing();
  auto plan = std::make_shared<IpsecPlan>();
  plan->serial = ipsec.serial + sas.generation;
  plan->addresses = ipsec.addresses;
  plan->tunnels = ipsec.views;
  plan->sas = sas;
  return plan;
}

TunnelId Compiler::new_tunnel() {
  if (!resting_tunnels_.empty() && now_ - resting_tunnels_.front().second >= kRest) {
    const TunnelId id = resting_tunnels_.front().first;
    resting_tunnels_.pop_front();
    return id;
  }
  return TunnelId(tunnel_count_++);
}

bool Compiler::is_up(TunnelId tunnel) const {
  const CompiledTunnel* known = next_.ipsec->tunnels.find(tunnel);
  return known != nullptr && known->up;
}

std::shared_ptr<const TunnelView> Compiler::tunnel_view(const std::string& domain,
                                                        const CompiledDomain& compiled,
                                                        const ConnectionModel& model) const {
  const TunnelSpec& spec = *model.spec.tunnel;
  const ConnectionId connection = compiled.connections.at(model.name);
  const ConnectionView& in_domain = compiled.view->connection(connection);
  const TunnelView* before = before_.ipsec->views[in_domain.tunnel.value()].get();
  auto view = std::make_shared<TunnelView>();
  if (before != nullptr) {
    view->meters_owner = before->meters_owner;
    view->drops_owner = before->drops_owner;
    view->uid = before->uid;
  } else {
    view->meters_owner = std::make_shared<TunnelMeters>();
    view->drops_owner.reset(new TunnelCounters[context_.workers]());
    view->uid = model.tunnel;
  }
  view->traffic_owner = in_domain.counters;
  view->meters = view->meters_owner.get();
  view->traffic = view->traffic_owner.get();
  view->drops = view->drops_owner.get();
  view->id = in_domain.tunnel;
  view->compartment = compiled.view->id;
  view->compartment_uid = compiled.view->uid;
  view->connection = connection;
  view->network = next_.outside->ids.at(model.network);
  view->worker = in_domain.tunnel.value() % context_.workers;
  view->source_validation = in_domain.source_validation;
  view->on_demand =
      spec.initiation == Initiation::on_demand && spec.admin_status == AdminStatus::enabled;
  view->outbound = {spec.outbound_kilobits_per_second,
                    burst_bytes(spec.outbound_burst_bytes, spec.outbound_kilobits_per_second)};
  view->inbound = {spec.inbound_kilobits_per_second,
                   burst_bytes(spec.inbound_burst_bytes, spec.inbound_kilobits_per_second)};
  view->name = domain + "/networkConnections/" + model.name;
  return view;
}

void Compiler::compile_tunnels_of(const std::string& domain, CompiledIpsec& next) {
  const auto* found = next_.domains.find(domain);
  const CompiledDomain* after = found == nullptr ? nullptr : found->get();
  const auto* old = before_.domains.find(domain);
  if (old != nullptr) {
    for (const auto& [name, id] : (*old)->connections) {
      const TunnelId tunnel = (*old)->view->connection(id).tunnel;
      if (!tunnel.valid()) continue;
      if (after != nullptr) {
        const auto stays = after->connections.find(name);
        if (stays != after->connections.end() &&
            after->view->connection(stays->second).tunnel == tunnel) {
          continue;
        }
      }
      next.views = next.views.with(tunnel.value(), nullptr);
      next.tunnels.erase(tunnel);
      next.resting.emplace_back(tunnel, now_);
    }
  }
  if (after == nullptr) return;
  const DomainModel& model = *new_.domain(domain);
  for (const auto& [name, connection] : model.connections) {
    if (!connection->spec.tunnel) continue;
    const TunnelId id = after->view->connection(after->connections.at(name)).tunnel;
    const CompiledTunnel* known = before_.ipsec->tunnels.find(id);
    next.views = next.views.with(id.value(), tunnel_view(domain, *after, *connection));
    next.tunnels.insert_or_assign(
        id, CompiledTunnel{domain, name, connection, known != nullptr && known->up});
  }
}

// Where tunnels end: their source addresses, each once.
void Compiler::compile_vpn_addresses(CompiledIpsec& next) const {
  std::vector<VpnAddress> all;
  next.own.clear();
  for (const auto& [use, nothing] : new_.tunnels_by_source) {
    const OutsideNetworkId network = next_.outside->ids.at(use.network);
    if (!next.own.emplace(use.address, network).second) continue;
    all.push_back({(*next_.outside->networks)[network.value()].attachment, use.address});
  }
  next.addresses = VpnAddresses(all);
}

void Compiler::compile_ipsec() {
  const auto has_tunnels = [&](const std::string& name) {
    for (const DesiredState* model : {&old_, &new_}) {
      const DomainModel* domain = model->domain(name);
      if (domain == nullptr) continue;
      for (const auto& [connection, value] : domain->connections) {
        if (value->spec.tunnel) return true;
      }
    }
    return false;
  };
  std::vector<std::string> domains;
  std::copy_if(structural_.begin(), structural_.end(), std::back_inserter(domains), has_tunnels);
  if (domains.empty() && (!outside_touched_ || before_.ipsec->serial == 0)) return;
  auto next = std::make_shared<CompiledIpsec>(*before_.ipsec);
  next->resting = std::move(resting_tunnels_);
  next->count = tunnel_count_;
  ++next->serial;
  for (const std::string& domain : domains) compile_tunnels_of(domain, *next);
  compile_vpn_addresses(*next);
  next_.ipsec = std::move(next);
}

}  // namespace hnv
