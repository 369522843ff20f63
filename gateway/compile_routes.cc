// SPDX-License-Identifier: Apache-2.0
//
// One domain's routes: the candidates that the configuration offers, the route table that chooses
// among them, and the two FIBs made of its choices.
#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "gateway/compiler.h"

namespace hnv {
namespace {

using Candidates = std::vector<RouteCandidate>;

Prefix<Space::customer> host_prefix(const IpAddress<Space::customer>& address) {
  return {address, address.bits()};
}

RouteKey key_of(const RouteCandidate& candidate) {
  return {candidate.prefix, candidate.source, candidate.origin};
}

template <class Route>
Route route_of(const Prefix<Space::customer>& prefix, HopId hop);
template <>
Route4 route_of<Route4>(const Prefix<Space::customer>& prefix, HopId hop) {
  return {prefix.address().v4(), prefix.length(), hop};
}
template <>
Route6 route_of<Route6>(const Prefix<Space::customer>& prefix, HopId hop) {
  return {prefix.address().v6(), prefix.length(), hop};
}

const Prefix<Space::customer> kAll4{CaAddress(0), 0};
const Prefix<Space::customer> kAll6{CaAddress6(), 0};

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

// Whether packets that are sent there get anywhere, or at least start it.
bool DomainCompiler::leads_somewhere(const TunnelHop& hop) const {
  const TunnelId tunnel = view_->connection(hop.connection).tunnel;
  if (compiler_.is_up(tunnel)) return true;
  for (const auto& [name, id] : next_.connections) {
    if (id != hop.connection) continue;
    const auto& spec = model_.connection(name)->spec.tunnel;
    return spec && spec->initiation == Initiation::on_demand &&
           spec->admin_status == AdminStatus::enabled;
  }
  return false;
}

// A tunnel's routes are there while it is up, or when a packet may start it, or when they are
// persistent.
void DomainCompiler::offer_connection(const ConnectionModel& connection, ConnectionId id,
                                      Candidates& out) const {
  const auto& tunnel = connection.spec.tunnel;
  const bool there = tunnel && leads_somewhere(TunnelHop{id});
  for (const auto& route : connection.spec.routes) {
    if (tunnel && !there && !route.persistent) continue;
    RouteHop hop = TunnelHop{id};
    if (!tunnel) hop = ConnectionViaHop{*connection.peer_of(route.destination_prefix.family()), id};
    out.push_back({.prefix = route.destination_prefix,
                   .source = RouteSource::network_connection,
                   .origin = RouteOrigin(id.value()),
                   .metric = route.metric,
                   .hop = hop,
                   .installed_at = compiler_.now()});
  }
}

Candidates DomainCompiler::interface_candidates() const {
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
    offer_connection(*connection, id, out);
  }
  return out;
}

// A number of the route's own for as long as it exists.
RouteOrigin DomainCompiler::origin_of(const std::string& id) {
  if (const RouteOrigin* known = next_.origins.find(id); known != nullptr) return *known;
  const RouteOrigin fresh(next_.next_origin++);
  next_.origins.insert_or_assign(id, fresh);
  return fresh;
}

RouteCandidate DomainCompiler::customer_route(const CustomerRouteModel& route, RouteOrigin origin) {
  const CustomerRouteSpec& spec = route.spec;
  RouteCandidate candidate{.prefix = spec.destination_prefix,
                           .source = RouteSource::static_route,
                           .origin = origin,
                           .metric = spec.metric,
                           .installed_at = compiler_.now()};
  if (spec.network_connection) {
    const ConnectionModel& connection = *model_.connection(*spec.network_connection);
    const ConnectionId id = next_.connections.at(*spec.network_connection);
    if (connection.spec.tunnel) {
      candidate.hop = TunnelHop{id};
    } else {
      candidate.hop = ConnectionViaHop{*connection.peer_of(spec.destination_prefix.family()), id};
    }
  } else if (spec.virtual_subnet) {
    candidate.hop = SubnetViaHop{*spec.next_hop, next_.subnets.at(*spec.virtual_subnet)};
  } else {
    candidate.hop = RecursiveHop{*spec.next_hop};
  }
  return candidate;
}

// Subnets and connections are few: what they offer is offered anew, where an offer that changes
// nothing keeps its age, and what is not offered any more goes.
void DomainCompiler::offer_interfaces(RouteTable& table, Prefixes& touched) {
  const Candidates offered = interface_candidates();
  std::vector<RouteKey> keys;
  keys.reserve(offered.size());
  for (const RouteCandidate& candidate : offered) keys.push_back(key_of(candidate));
  std::sort(keys.begin(), keys.end());
  for (const RouteKey& old : next_.of_interfaces) {
    if (std::binary_search(keys.begin(), keys.end(), old)) continue;
    (void)table.remove(old.prefix, old.source, old.origin);
    touched.insert(old.prefix);
  }
  for (const RouteCandidate& candidate : offered) {
    (void)table.put(candidate);
    touched.insert(candidate.prefix);
  }
  next_.of_interfaces = std::move(keys);
}

// NAT's destinations, and what is taken out of them.
void DomainCompiler::offer_nat(RouteTable& table, Prefixes& touched) {
  constexpr uint32_t kMetric = 256;
  Candidates offered;
  const auto offer = [&](const Prefix<Space::customer>& prefix, const RouteHop& hop,
                         RouteOrigin origin) {
    offered.push_back({.prefix = prefix,
                       .source = RouteSource::nat,
                       .origin = origin,
                       .metric = kMetric,
                       .hop = hop,
                       .installed_at = compiler_.now()});
  };
  if (model_.nat != nullptr) {
    const NatSpec& spec = model_.nat->spec;
    for (const auto& prefix : spec.destination_prefixes) offer(prefix, NatHop{}, RouteOrigin(0));
    const auto& mappings = spec.static_mappings;
    if (std::any_of(mappings.begin(), mappings.end(),
                    [](const auto& mapping) { return !mapping.inside_address.is_v4(); })) {
      offer(kAll6, NatHop{}, RouteOrigin(0));
    }
    for (const auto& prefix : spec.exclude_prefixes) {
      offer(prefix, ExceptNatHop{prefix}, RouteOrigin(1));
    }
  }
  for (const RouteKey& old : next_.of_nat) {
    const bool stays =
        std::any_of(offered.begin(), offered.end(),
                    [&](const RouteCandidate& candidate) { return key_of(candidate) == old; });
    if (stays) continue;
    (void)table.remove(old.prefix, old.source, old.origin);
    touched.insert(old.prefix);
  }
  next_.of_nat.clear();
  for (const RouteCandidate& candidate : offered) {
    (void)table.put(candidate);
    touched.insert(candidate.prefix);
    next_.of_nat.push_back(key_of(candidate));
  }
}

// Customer routes that say what they said, but lead through a connection that has changed.
std::vector<std::string> DomainCompiler::rerouted() const {
  std::vector<std::string> ids;
  const DomainModel* old_domain = compiler_.old_model().domain(name_);
  for (const auto& [name, connection] : model_.connections) {
    const ConnectionModel* old = old_domain == nullptr ? nullptr : old_domain->connection(name);
    if (old == connection.get()) continue;
    for (auto at = model_.routes_by_via.lower_bound(RouteVia{name, {}});
         at != model_.routes_by_via.end(); ++at) {
      const auto* via = std::get_if<std::string>(&at->first.via);
      if (via == nullptr || *via != name) break;
      ids.push_back(at->second);
    }
  }
  return ids;
}

void DomainCompiler::offer_routes(const std::vector<std::string>& ids, RouteTable& table,
                                  Prefixes& touched) {
  const DomainModel* old_domain = compiler_.old_model().domain(name_);
  for (const std::string& id : ids) {
    compiler_.pause();
    const RouteOrigin origin = origin_of(id);
    const CustomerRouteModel* old = old_domain == nullptr ? nullptr : old_domain->route(id);
    const CustomerRouteModel* now = model_.route(id);
    if (old != nullptr) {
      const auto& prefix = old->spec.destination_prefix;
      touched.insert(prefix);
      if (now == nullptr || now->spec.destination_prefix != prefix) {
        (void)table.remove(prefix, RouteSource::static_route, origin);
      }
    }
    if (now != nullptr) {
      touched.insert(now->spec.destination_prefix);
      (void)table.put(customer_route(*now, origin));
    } else {
      next_.origins.erase(id);
    }
  }
}

void DomainCompiler::routes(const TouchedInDomain& touched_inside) {
  tunnels_turned_ = touched_inside.tunnels;
  const bool interfaces = structural_ || tunnels_turned_;
  if (!interfaces && touched_inside.routes.empty() && !touched_inside.nat &&
      touched_inside.learned == nullptr) {
    return;
  }
  auto table = std::make_shared<RouteTable>(*next_.routes);
  Prefixes touched;
  if (interfaces) offer_interfaces(*table, touched);
  if (structural_) offer_routes(rerouted(), *table, touched);
  offer_routes(touched_inside.routes, *table, touched);
  if (touched_inside.nat) offer_nat(*table, touched);
  if (touched_inside.learned != nullptr) offer_learned(*touched_inside.learned, *table, touched);
  const bool weighed_anew = table->preferences() != model_.spec.route_preferences;
  if (weighed_anew) (void)table->set_preferences(model_.spec.route_preferences);
  if (before_ == nullptr || weighed_anew) {
    fibs(*table);
  } else {
    change_fibs(*next_.routes, *table, touched);
  }
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
      return {.kind = HopKind::connection_via,
              .connection = h.connection,
              .next_hop = next_hop,
              .via = HopVia(h.via)};
    }
    Hop operator()(const RecursiveHop&) const { return {.kind = HopKind::unreachable}; }
    Hop operator()(const ExceptNatHop&) const { return {.kind = HopKind::unreachable}; }
    Hop operator()(const TunnelHop& h) const {
      return {.kind = HopKind::ipsec, .connection = h.connection};
    }
    Hop operator()(const NatHop&) const { return {.kind = HopKind::nat}; }
    Hop operator()(const BroadcastHop&) const { return {.kind = HopKind::directed_broadcast}; }
    Hop operator()(const UnreachableHop&) const { return {.kind = HopKind::unreachable}; }
  };
  return std::visit(Make{*this}, hop);
}

HopTable::Editor DomainCompiler::edit_hops(HopTable base, RouteTable& table) {
  return {std::move(base),
          {.make =
               [this, &table](const RouteHop& hop) {
                 const Hop made = hop_of(hop);
                 const auto* tunnel = std::get_if<TunnelHop>(&hop);
                 if (tunnel != nullptr ? !leads_somewhere(*tunnel)
                                       : made.kind == HopKind::connection_via &&
                                             compiler_.has_failed(made.next_hop)) {
                   table.fail(hop);
                 }
                 return made;
               },
           .give_back =
               [this, &table](const RouteHop& hop, const Hop& made) {
                 table.recover(hop);
                 if (made.kind == HopKind::connection_via) compiler_.release(made.next_hop);
               },
           .resolve = [&table](const RouteWays& ways) { return table.resolve(ways); }}};
}

// The table and next_.hops agree, and live as long as what this answers.
template <class Route>
RoutesIn<Route> DomainCompiler::routes_in(const RouteTable& table) {
  return [this, &table](const Prefix<Space::customer>& block) {
    std::vector<Route> inside;
    table.for_each_choice_in(block, [&](const auto& prefix, const RouteChoice& choice) {
      compiler_.pause();
      inside.push_back(route_of<Route>(prefix, next_.hops.find(choice.ways)));
    });
    return inside;
  };
}

// Both FIBs from the whole table, which may be large: every route may have another choice now.
void DomainCompiler::fibs(RouteTable& table) {
  next_.hops.for_each_next_hop([this](NextHopId id) { compiler_.release(id); });
  table.recover_all();  // those that are taken again are looked at
  HopTable::Editor hops = edit_hops(HopTable(), table);
  const auto number = [&](const auto&, const RouteChoice& choice) {
    compiler_.pause();
    hops.acquire(choice.ways);
  };
  table.for_each_choice_in(kAll4, number);
  table.for_each_choice_in(kAll6, number);
  next_.hops = std::move(hops).finish();
  view_->set_fib(Fib4::build(routes_in<Route4>(table)(kAll4)));
  view_->set_fib6(Fib6::build(routes_in<Route6>(table)(kAll6)));
  next_.hops.show_in(*view_);
}

// Tunnels that are up or down now.
void DomainCompiler::judge_tunnels(RouteTable& table, HopTable::Editor& hops) const {
  for (const auto& [name, id] : next_.connections) {
    const RouteHop hop = TunnelHop{id};
    if (!view_->connection(id).tunnel.valid() || !hops.now().holds(hop)) continue;
    const bool failed = !leads_somewhere(TunnelHop{id});
    if (failed == table.has_failed(hop)) continue;
    if (failed) {
      table.fail(hop);
    } else {
      table.recover(hop);
    }
    hops.reconsider(hop);
  }
}

// What became of these prefixes, and of next hops that are found through them.
void DomainCompiler::change_fibs(const RouteTable& before, RouteTable& after,
                                 const Prefixes& touched) {
  HopTable::Editor hops = edit_hops(next_.hops, after);
  if (structural_ || tunnels_turned_) judge_tunnels(after, hops);
  std::vector<FibChange> changes4;
  std::vector<FibChange> changes6;
  for (const auto& prefix : touched) {
    const auto was = before.choice(prefix);
    const auto is = after.choice(prefix);
    if (was && is && was->ways == is->ways) continue;
    FibChange change{prefix, std::nullopt};
    if (is) change.hop = hops.acquire(is->ways);
    if (was) hops.release(was->ways);
    if (was || is) (prefix.family() == Family::ipv4 ? changes4 : changes6).push_back(change);
  }
  hops.resolve_again();
  next_.hops = std::move(hops).finish();
  if (!changes4.empty()) {
    view_->set_fib(view_->fib_owner->with(changes4, routes_in<Route4>(after)));
  }
  if (!changes6.empty()) {
    view_->set_fib6(view_->fib6_owner->with(changes6, routes_in<Route6>(after)));
  }
  next_.hops.show_in(*view_);
}

// ---- Next hops that fail and recover, between two changes of the configuration.

namespace {

// What `turned` says of one domain; null: nothing that its routes lead through.
std::shared_ptr<const CompiledDomain> with_turned(const CompiledDomain& before,
                                                  const std::set<NextHopTarget>& turned,
                                                  const NextHops& next_hops) {
  auto table = std::make_shared<RouteTable>(*before.routes);
  HopTable::Editor hops(before.hops,
                        {.make = {}, .give_back = {}, .resolve = [&table](const RouteWays& ways) {
                           return table->resolve(ways);
                         }});
  bool concerned = false;
  for (const NextHopTarget& target : turned) {
    for (const auto& [name, id] : before.connections) {
      if (before.view->connection(id).link != target.link) continue;
      const RouteHop hop = ConnectionViaHop{customer_address(target.address), id};
      if (!before.hops.holds(hop)) continue;
      if (next_hops.has_failed(target)) {
        table->fail(hop);
      } else {
        table->recover(hop);
      }
      hops.reconsider(hop);
      concerned = true;
    }
  }
  if (!concerned) return nullptr;
  auto after = std::make_shared<CompiledDomain>(before);
  auto view = std::make_shared<CompartmentView>(*before.view);
  after->routes = std::move(table);
  after->hops = std::move(hops).finish();
  after->hops.show_in(*view);
  after->view = std::move(view);
  return after;
}

}  // namespace

std::shared_ptr<const Compiled> with_turned(const std::shared_ptr<const Compiled>& before,
                                            const std::vector<NextHopTarget>& turned,
                                            const NextHops& next_hops) {
  std::map<std::string, std::set<NextHopTarget>> by_domain;
  for (const NextHopTarget& target : turned) {
    const OutLink* link = next_hops.link(target.link);
    if (link != nullptr && !link->domain.empty()) by_domain[link->domain].insert(target);
  }
  std::shared_ptr<Compiled> next;
  for (const auto& [name, targets] : by_domain) {
    const auto* found = before->domains.find(name);
    auto domain = found == nullptr ? nullptr : with_turned(**found, targets, next_hops);
    if (domain == nullptr) continue;
    if (next == nullptr) next = std::make_shared<Compiled>(*before);
    next->compartments = next->compartments.with(domain->view->id.value(), domain->view);
    next->domains.insert_or_assign(name, std::move(domain));
  }
  return next == nullptr ? before : next;
}

}  // namespace hnv
