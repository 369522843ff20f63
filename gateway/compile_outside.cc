// SPDX-License-Identifier: Apache-2.0
//
// External networks, as what leaves under an address of ours has them: compiled anew whenever one
// of them changes.
#include <algorithm>
#include <map>
#include <utility>

#include "gateway/compiler.h"

namespace hnv {

namespace {

void set_tables(OutsideNetwork& network, const std::vector<Route4>& ipv4,
                const std::vector<Route6>& ipv6) {
  network.fib_owner = Fib4::build(ipv4);
  network.fib = network.fib_owner->root();
  network.fib6 = Fib6::build(ipv6);
}

// Leads nowhere.
OutsideNetwork gone() {
  OutsideNetwork network;
  set_tables(network, {}, {});
  return network;
}

}  // namespace

OutsideNetwork Compiler::outside_network(const ExternalNetworkModel& model,
                                         std::vector<NextHopId>& routers) {
  const ExternalNetworkSpec& spec = model.spec;
  const auto& port = context_.ports.at(spec.port);
  OutsideNetwork out;
  out.name = model.name;
  out.attachment = attachment_at(spec.port, spec.vlan_id);
  out.link = link_of(external_link_name(model.name));
  out.port = port.id;
  out.vlan = spec.vlan_id;
  out.mac = port.mac;
  out.mtu = model.mtu;
  // A prefix of our own addresses is on-link, whatever routes say.
  std::map<Prefix<Space::external>, OutsideHop> hops;
  for (const auto& own : spec.ip_addresses) hops[own.prefix()].on_link = true;
  std::vector<const RouteSpec<Space::external>*> routes;
  for (const auto& route : spec.routes) routes.push_back(&route);
  std::stable_sort(routes.begin(), routes.end(),
                   [](const auto* a, const auto* b) { return a->metric < b->metric; });
  for (const auto* route : routes) {
    OutsideHop& hop = hops[route->destination_prefix];
    const auto place = std::find_if(hop.routers.begin(), hop.routers.end(),
                                    [](NextHopId router) { return !router.valid(); });
    if (hop.on_link || place == hop.routers.end()) continue;
    *place = acquire(out.link, link_address(route->next_hop));
    routers.push_back(*place);
  }
  std::vector<Route4> table;
  std::vector<Route6> table6;
  for (const auto& [prefix, hop] : hops) {
    if (prefix.family() == Family::ipv6) {
      table6.push_back({CaAddress6(prefix.address().bytes()), prefix.length(),
                        HopId(static_cast<uint32_t>(out.hops6.size()))});
      out.hops6.push_back(hop);
      continue;
    }
    table.push_back({CaAddress(prefix.address().v4().value()), prefix.length(),
                     HopId(static_cast<uint32_t>(out.hops.size()))});
    out.hops.push_back(hop);
  }
  set_tables(out, table, table6);
  return out;
}

void Compiler::compile_outside() {
  if (!outside_touched_) return;
  CompiledOutside next{.networks = nullptr, .ids = before_.outside->ids, .next_hops = {}};
  for (const NextHopId id : before_.outside->next_hops) release(id);
  OutsideNetworks networks(before_.outside->networks->size(), gone());
  for (const auto& [name, model] : new_.external_networks) {
    const auto [at, fresh] =
        next.ids.try_emplace(name, OutsideNetworkId(static_cast<uint32_t>(next.ids.size())));
    if (networks.size() <= at->second.value()) networks.resize(at->second.value() + 1);
    networks[at->second.value()] = outside_network(*model, next.next_hops);
  }
  next.networks = std::make_shared<const OutsideNetworks>(std::move(networks));
  next_.outside = std::make_shared<const CompiledOutside>(std::move(next));
}

}  // namespace hnv
