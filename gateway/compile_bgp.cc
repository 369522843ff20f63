// SPDX-License-Identifier: Apache-2.0
//
// One domain's BGP: what is asked of it, and the routes that it brings. Those stay in the table
// whatever else changes, until BGP itself withdraws them or the domain goes.
#include <algorithm>
#include <utility>

#include "compartments/terminated.h"
#include "gateway/compiler.h"

namespace hnv {
namespace {

// Peers whose packets are let through to bgpd, and to BFD.
std::vector<TerminatedPeer> enabled_peers(const BgpDomainSpec& spec) {
  std::vector<TerminatedPeer> out;
  for (const auto& [name, peer] : spec.peers) {
    if (peer.admin_status != BgpAdminStatus::enabled) continue;
    TerminatedPeer one{.peer = peer.peer_ip_address, .own = peer.local_ip_address};
    // RFC 5082 §3: a peer sends 255, and each hop takes one off it.
    if (peer.ttl_security) one.min_ttl = static_cast<uint8_t>(256 - *peer.ttl_security);
    out.push_back(one);
    if (!peer.bfd) continue;
    // Which of both it is, is bgpd's to say. Farther peers may begin with any TTL (RFC 5883 §5).
    one.min_ttl = 0;
    for (const auto service :
         {TerminatedService::bfd_single_hop, TerminatedService::bfd_multihop}) {
      one.service = service;
      out.push_back(one);
    }
  }
  return out;
}

}  // namespace

void DomainCompiler::bgp() {
  auto spec = bgp_of(model_);
  if (!spec) {
    next_.bgp = nullptr;
    view_->terminated = nullptr;
    return;
  }
  view_->terminated =
      make_terminated(enabled_peers(*spec), compiler_.context().workers, view_->terminated);
  CompiledBgp after{.spec = std::move(*spec), .addresses = {}, .mtu = 1500};
  for (const auto& [name, subnet] : model_.subnets) {
    for (const auto& own : subnet->gateway_addresses) {
      const auto* prefix = subnet->prefix_of(own);
      after.addresses.push_back({own, prefix != nullptr ? prefix->length() : own.bits()});
    }
    if (!subnet->gateway_addresses.empty()) {
      after.mtu = std::min(after.mtu, compiler_.new_model().inner_mtu(*subnet));
    }
  }
  for (const auto& [name, connection] : model_.connections) {
    const auto& own = connection->spec.l3.ip_addresses;
    after.addresses.insert(after.addresses.end(), own.begin(), own.end());
    after.mtu = std::min(after.mtu, view_->connection(next_.connections.at(name)).mtu);
  }
  if (next_.bgp != nullptr && *next_.bgp == after) return;
  next_.bgp = std::make_shared<const CompiledBgp>(std::move(after));
}

// Next hops of one route are numbered: candidates of one source that share the load.
void DomainCompiler::offer_learned(const std::vector<LearnedRoute>& learned, RouteTable& table,
                                   Prefixes& touched) {
  for (const LearnedRoute& route : learned) {
    compiler_.pause();
    touched.insert(touched.end(), route.prefix);  // they come in their order
    const size_t most = std::min(route.next_hops.size(), kMaxSharing);
    const auto offers = static_cast<uint32_t>(route.withdrawn ? 0 : std::max<size_t>(most, 1));
    for (const RouteSource source : {RouteSource::ebgp, RouteSource::ibgp}) {
      uint32_t origin = source == route.source ? offers : 0;
      while (table.find(route.prefix, source, RouteOrigin(origin)) != nullptr) {
        (void)table.remove(route.prefix, source, RouteOrigin(origin++));
      }
    }
    for (uint32_t i = 0; i < offers; ++i) {
      RouteHop hop = UnreachableHop{};
      if (!route.next_hops.empty()) hop = RecursiveHop{route.next_hops[i]};
      (void)table.put({.prefix = route.prefix,
                       .source = route.source,
                       .origin = RouteOrigin(i),
                       .metric = route.metric,
                       .hop = hop,
                       .installed_at = compiler_.now()});
    }
  }
}

Compilation Compiler::learn(const LearnedRoutes& learned) {
  for (const auto& [domain, routes] : learned) {
    if (before_.domains.find(domain) != nullptr) inside_[domain].learned = &routes;
  }
  for (const auto& [name, touched] : inside_) compile_domain(name, false, touched);
  out_.next = std::make_shared<const Compiled>(std::move(next_));
  return std::move(out_);
}

Compilation compile_learned(const std::shared_ptr<const Compiled>& before,
                            const DesiredState& model, const LearnedRoutes& learned,
                            const CompileContext& context, NextHops& next_hops, Instant now) {
  return Compiler(before, model, model, context, next_hops, now).learn(learned);
}

}  // namespace hnv
