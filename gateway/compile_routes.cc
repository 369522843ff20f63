// SPDX-License-Identifier: Apache-2.0
//
// One domain's routes: the candidates that the configuration offers, the route table that chooses
// among them, and the two FIBs made of its choices.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "gateway/compiler.h"

namespace hnv {
namespace {

using Candidates = std::vector<RouteCandidate>;

Prefix<Space::customer> host_prefix(const IpAddress<Space::customer>& address) {
  return {address, address.bits()};
}

CompiledDomain::CandidateKey key_of(const RouteCandidate& candidate) {
  return {candidate.prefix, candidate.source, candidate.origin};
}

// RouteOrigin of a customer route: a number of its own for as long as it exists.
RouteOrigin origin_of(const std::string& id, const std::map<std::string, RouteOrigin>& before,
                      std::map<std::string, RouteOrigin>& now, uint32_t& next) {
  const auto old = before.find(id);
  const RouteOrigin origin = old != before.end() ? old->second : RouteOrigin(next++);
  now.emplace(id, origin);
  return origin;
}

}  // namespace

// A prefix on an interface: itself, and of IPv4 the two addresses that are nobody's (RFC 1812
// §5.3.5; a /31 has none, RFC 3021).
void DomainCompiler::on_link_candidates(const Prefix<Space::customer>& prefix, const RouteHop& hop,
                                        Candidates& out) const {
  RouteCandidate candidate{.prefix = prefix,
                           .source = RouteSource::connected,
                           .hop = hop,
                           .installed_at = compiler_.now()};
  out.push_back(candidate);
  if (prefix.family() == Family::ipv6 || prefix.length() > 30) return;
  const uint32_t first = prefix.address().v4().value();
  const uint32_t last =
      first | (prefix.length() == 0 ? 0xffffffffU : 0xffffffffU >> prefix.length());
  for (const uint32_t address : {first, last}) {
    candidate.prefix = host_prefix(CaAddress(address));
    candidate.hop = BroadcastHop{};
    out.push_back(candidate);
  }
}

Candidates DomainCompiler::candidates() {
  Candidates out;
  const Instant now = compiler_.now();
  const auto local = [&](const IpAddress<Space::customer>& address) {
    out.push_back({.prefix = host_prefix(address),
                   .source = RouteSource::local,
                   .hop = LocalHop{},
                   .installed_at = now});
  };
  for (const auto& [name, subnet] : model_.subnets) {
    for (const auto& prefix : subnet->spec.address_prefixes) {
      on_link_candidates(prefix, SubnetHop{next_.subnets.at(name)}, out);
    }
    for (const auto& address : subnet->gateway_addresses) local(address);
  }
  for (const auto& [name, connection] : model_.connections) {
    const ConnectionId id = next_.connections.at(name);
    for (const auto& own : connection->spec.l3.ip_addresses) {
      on_link_candidates(own.prefix(), ConnectionHop{id}, out);
      local(own.address);
    }
    for (const auto& route : connection->spec.routes) {
      out.push_back(
          {.prefix = route.destination_prefix,
           .source = RouteSource::network_connection,
           .origin = RouteOrigin(id.value()),
           .metric = route.metric,
           .hop = ConnectionViaHop{*connection->peer_of(route.destination_prefix.family()), id},
           .installed_at = now});
    }
  }
  std::map<std::string, RouteOrigin> origins;
  uint32_t next_origin = 0;
  for (const auto& [id, origin] : next_.origins) {
    next_origin = std::max(next_origin, origin.value() + 1);
  }
  for (const auto& [id, route] : model_.routes) {
    const CustomerRouteSpec& spec = route->spec;
    RouteCandidate candidate{.prefix = spec.destination_prefix,
                             .source = RouteSource::static_route,
                             .origin = origin_of(id, next_.origins, origins, next_origin),
                             .metric = spec.metric,
                             .installed_at = now};
    if (spec.network_connection) {
      const ConnectionModel& connection = *model_.connection(*spec.network_connection);
      candidate.hop = ConnectionViaHop{*connection.peer_of(spec.destination_prefix.family()),
                                       next_.connections.at(*spec.network_connection)};
    } else {
      candidate.hop = SubnetViaHop{*spec.next_hop, next_.subnets.at(*spec.virtual_subnet)};
    }
    out.push_back(std::move(candidate));
  }
  next_.origins = std::move(origins);
  return out;
}

void DomainCompiler::routes() {
  auto table = std::make_shared<RouteTable>(*next_.routes);
  (void)table->set_preferences(model_.spec.route_preferences);
  std::vector<CompiledDomain::CandidateKey> keys;
  const Candidates offered = candidates();
  for (const RouteCandidate& candidate : offered) keys.push_back(key_of(candidate));
  std::sort(keys.begin(), keys.end());
  for (const auto& old : next_.candidates) {
    if (!std::binary_search(keys.begin(), keys.end(), old)) {
      (void)table->remove(old.prefix, old.source, old.origin);
    }
  }
  // An offer that changes nothing keeps its age.
  for (const RouteCandidate& candidate : offered) (void)table->put(candidate);
  next_.candidates = std::move(keys);
  fib(*table);
  next_.routes = std::move(table);
}

Hop DomainCompiler::hop_of(const RouteHop& hop) {
  struct Make {
    DomainCompiler& self;
    Hop operator()(const LocalHop&) const { return {.kind = HopKind::local}; }
    Hop operator()(const SubnetHop& h) const {
      return {.kind = HopKind::subnet, .subnet = h.subnet};
    }
    Hop operator()(const ConnectionHop& h) const {
      return {.kind = HopKind::connection, .connection = h.connection};
    }
    Hop operator()(const SubnetViaHop& h) const {
      return {.kind = HopKind::subnet_via, .subnet = h.subnet, .via = HopVia(h.via)};
    }
    Hop operator()(const ConnectionViaHop& h) const {
      const LinkId link = self.view_->connection(h.connection).link;
      const NextHopId next_hop = self.compiler_.acquire(link, link_address(h.via));
      self.next_.peers.push_back(next_hop);
      return {.kind = HopKind::connection_via,
              .connection = h.connection,
              .next_hop = next_hop,
              .via = HopVia(h.via)};
    }
    Hop operator()(const BroadcastHop&) const { return {.kind = HopKind::directed_broadcast}; }
    Hop operator()(const UnreachableHop&) const { return {.kind = HopKind::unreachable}; }
  };
  return std::visit(Make{*this}, hop);
}

void DomainCompiler::fib(const RouteTable& table) {
  for (const NextHopId peer : next_.peers) compiler_.release(peer);
  next_.peers.clear();
  std::vector<Route4> entries;
  std::vector<Route6> entries6;
  auto hops = std::make_shared<std::vector<Hop>>();
  std::map<RouteHop, HopId> numbers;
  table.for_each_best([&](const RouteCandidate& best) {
    const auto [at, fresh] = numbers.try_emplace(best.hop);
    if (fresh) {
      at->second = HopId(static_cast<uint32_t>(hops->size()));
      hops->push_back(hop_of(best.hop));
    }
    const auto& [address, length] = std::pair(best.prefix.address(), best.prefix.length());
    if (address.is_v4()) {
      entries.push_back({address.v4(), length, at->second});
    } else {
      entries6.push_back({address.v6(), length, at->second});
    }
  });
  view_->fib_owner = Fib4::build(entries);
  view_->fib = view_->fib_owner.get();
  view_->fib6_owner = Fib6::build(entries6);
  view_->fib6 = view_->fib6_owner.get();
  view_->hops_owner = hops;
  view_->hops = hops->data();
}

}  // namespace hnv
