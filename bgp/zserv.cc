// SPDX-License-Identifier: Apache-2.0
#include "bgp/zserv.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <utility>
#include <variant>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace hnv {
namespace {

// A step must not keep the control thread: some 1,400 routes, or as many places of a sweep.
constexpr size_t kBytesAtOnce = size_t{64} * 1024;
constexpr size_t kPlacesAtOnce = 4'096;
// After End-of-RIB, and after every stale route that is told again then.
constexpr Duration kQuiet = std::chrono::seconds(3);
constexpr size_t kMostConnections = 8;  // bgpd opens two
// More than every route of a large table once: a bgpd that does not read that hangs.
constexpr size_t kMostWaiting = size_t{64} * 1024 * 1024;

size_t index_of(Family family) { return family == Family::ipv4 ? 0 : 1; }

bool link_local(const BgpAddress& address) {
  return !address.is_v4() && address.bytes()[0] == 0xfe && (address.bytes()[1] & 0xc0) == 0x80;
}

}  // namespace

// What a message of bgpd's main connection leads to.
struct ZservServer::Handler {
  ZservServer& server;
  uint32_t vrf;

  void operator()(const ZapiSkipped&) const {}
  void operator()(const ZapiHello&) const { server.refuse("bgpd greets twice"); }
  void operator()(const ZapiLabelManagerConnect& asked) const {
    server.send(zapi_label_manager_answer(*server.release_, asked));
  }
  void operator()(const ZapiRouteNotifyRequest&) const {}  // we are never told to wait
  // The last of its greeting, and proof of the numbers' row.
  void operator()(const ZapiBfdClient&) const {
    if (server.state_ != State::waiting) return;
    server.state_ = State::ready;
    for (auto& [number, domain] : server.domains_) {
      if (domain.wanted) server.announce(domain);
    }
  }
  void operator()(const ZapiInterfaceRequest& request) const {
    const auto* at = server.by_vrf(vrf);
    if (at != nullptr && request.change == ZapiSwitch::on) server.tell_interface(at->second);
  }
  void operator()(const ZapiRouterIdRequest& request) const {
    const auto* at = server.by_vrf(vrf);
    if (at == nullptr || request.change == ZapiSwitch::off || request.afi != 1) return;
    server.send(zapi_router_id(*server.release_, vrf, at->second.wanted->router_id));
  }
  void operator()(const ZapiRedistribute& request) const {
    auto* at = server.by_vrf(vrf);
    if (at == nullptr) return;
    const std::pair key{request.family, request.type};
    if (request.change == ZapiSwitch::off) {
      at->second.redistributed.erase(key);
    } else if (at->second.redistributed.insert(key).second) {
      server.tell_routes(at->first, at->second, request.family, request.type);
    }
  }
  void operator()(const ZapiNextHopWatches& request) const {
    auto* at = server.by_vrf(vrf);
    if (at == nullptr) return;
    for (const ZapiWatch& watch : request.watches) {
      if (request.change == ZapiSwitch::off) {
        // bgpd takes them back with other flags than it gave them.
        std::erase_if(at->second.watches,
                      [&](const auto& entry) { return entry.first.prefix == watch.prefix; });
        continue;
      }
      const ZapiReach reach = server.reach_of(at->first, at->second, watch);
      at->second.watches[watch] = reach;
      server.send(zapi_nexthop_update(*server.release_, vrf, watch, reach));
    }
  }
  void operator()(const ZapiRoute& route) const {
    if (auto* at = server.by_vrf(vrf)) server.take_route(at->first, at->second, route);
  }
  void operator()(const ZapiClientCapability& told) const {
    if (told.capability != ZapiCapability::route_update_complete || told.safi != 1) return;
    auto* at = server.by_vrf(told.vrf);
    if (at == nullptr) return;
    Routes& routes = at->second.routes[index_of(told.family)];
    routes.told = true;
    if (routes.stale != 0) routes.sweep_at = server.now_ + kQuiet;
  }
  void operator()(const ZapiBfdSession& session) const {
    const auto* at = server.by_vrf(vrf);
    if (at != nullptr && server.events_.bfd) server.events_.bfd(at->first, session);
  }
};

ZservServer::ZservServer(OwnedFd listener, const Options& options, const RouteKnowledge& routes,
                         Events events)
    : listener_(std::move(listener)),
      options_(options),
      routes_(routes),
      events_(std::move(events)) {}

void ZservServer::set_release(const ZapiRelease* release) { release_ = release; }

void ZservServer::set(uint32_t number, const ZservDomain& wanted) {
  Domain& domain = domains_[number];
  if (!domain.wanted) {
    domain.wanted = wanted;
    if (state_ == State::ready) announce(domain);
    return;
  }
  const ZservDomain before = std::exchange(*domain.wanted, wanted);
  if (domain.vrf == 0) return;
  const auto tell = [&](const auto& from, const auto& without, ZapiSwitch change) {
    for (const auto& address : from) {
      if (std::find(without.begin(), without.end(), address) != without.end()) continue;
      send(zapi_address(*release_, change, domain.vrf, wanted.interface.index, address));
    }
  };
  tell(wanted.addresses, before.addresses, ZapiSwitch::on);
  tell(before.addresses, wanted.addresses, ZapiSwitch::off);
  if (wanted.router_id != before.router_id) {
    send(zapi_router_id(*release_, domain.vrf, wanted.router_id));
  }
}

void ZservServer::remove(uint32_t number) {
  const auto at = domains_.find(number);
  if (at == domains_.end() || !at->second.wanted) return;
  withdraw_vrf(at->second);
  at->second.wanted.reset();
  for (Routes& routes : at->second.routes) age(routes, now_);
  sweeping_ = true;
}

bool ZservServer::knows(uint32_t number) const {
  const auto at = domains_.find(number);
  return at != domains_.end() && at->second.wanted.has_value();
}

void ZservServer::announce(Domain& domain) {
  domain.vrf = next_vrf_++;
  numbers_[domain.vrf] = std::find_if(domains_.begin(), domains_.end(), [&](const auto& entry) {
                           return &entry.second == &domain;
                         })->first;
  send(zapi_vrf(*release_, ZapiSwitch::on, {domain.vrf, domain.wanted->name, domain.wanted->name}));
}

void ZservServer::withdraw_vrf(Domain& domain) {
  if (domain.vrf == 0) return;
  send(
      zapi_vrf(*release_, ZapiSwitch::off, {domain.vrf, domain.wanted->name, domain.wanted->name}));
  numbers_.erase(std::exchange(domain.vrf, 0));
  domain.redistributed.clear();
  domain.watches.clear();
}

std::pair<const uint32_t, ZservServer::Domain>* ZservServer::by_vrf(uint32_t vrf) {
  const auto number = numbers_.find(vrf);
  if (number == numbers_.end()) return nullptr;
  const auto at = domains_.find(number->second);
  return at == domains_.end() ? nullptr : &*at;
}

void ZservServer::tell_interface(const Domain& domain) {
  const ZservDomain& wanted = *domain.wanted;
  send(zapi_interface(*release_, ZapiCommand::interface_add, domain.vrf, wanted.interface));
  for (const auto& address : wanted.addresses) {
    send(zapi_address(*release_, ZapiSwitch::on, domain.vrf, wanted.interface.index, address));
  }
  send(zapi_interface(*release_, ZapiCommand::interface_up, domain.vrf, wanted.interface));
}

// BGP's own routes are not told back to it.
std::optional<uint8_t> ZservServer::type_of(RouteSource source) const {
  switch (source) {
    case RouteSource::local:
    case RouteSource::connected:
      return release_->types.connected;
    case RouteSource::static_route:
    case RouteSource::network_connection:
    case RouteSource::nat:
      return release_->types.static_route;
    case RouteSource::ebgp:
    case RouteSource::ibgp:
      break;
  }
  return std::nullopt;
}

void ZservServer::tell_routes(uint32_t number, const Domain& domain, Family family, uint8_t type) {
  routes_.for_each(number, family, [&](const RouteKnowledge::Reach& reach) {
    if (reach.source == RouteSource::local || type_of(reach.source) != type) return;
    send(zapi_redistributed(*release_, ZapiSwitch::on, domain.vrf, reach.through, type,
                            reach.metric, domain.wanted->interface.index));
  });
}

void ZservServer::redistribute(uint32_t number, ZapiSwitch change,
                               const RouteKnowledge::Reach& reach) {
  const auto at = domains_.find(number);
  if (at == domains_.end() || at->second.vrf == 0 || reach.source == RouteSource::local) return;
  const auto type = type_of(reach.source);
  if (!type || !at->second.redistributed.contains({reach.through.family(), *type})) return;
  send(zapi_redistributed(*release_, change, at->second.vrf, reach.through, *type, reach.metric,
                          at->second.wanted->interface.index));
}

ZapiReach ZservServer::reach_of(uint32_t number, const Domain& domain,
                                const ZapiWatch& watch) const {
  const uint32_t interface = domain.wanted->interface.index;
  const BgpAddress& address = watch.prefix.address();
  const bool host = watch.prefix.length() == address.bits();
  // A link-local address is on the only link there is (RFC 2545 §3).
  if (host && link_local(address)) {
    return {BgpPrefix(address, 64), release_->types.connected, 0, 0, interface};
  }
  // `network` asks for the route itself.
  const auto found =
      watch.via_default ? routes_.route(number, watch.prefix) : routes_.reach(number, address);
  if (!found) return {};
  const bool on_link =
      found->source == RouteSource::connected || found->source == RouteSource::local;
  if (watch.connected && !on_link) return {};
  if (found->through.length() == 0 && !watch.via_default) return {};
  const auto type = type_of(found->source);
  // A network that BGP itself brought is none of ours.
  if (!type && watch.via_default) return {};
  return {found->through, type.value_or(release_->types.bgp), 0, found->metric, interface};
}

void ZservServer::next_hops_changed(uint32_t number) {
  const auto at = domains_.find(number);
  if (at == domains_.end() || at->second.vrf == 0) return;
  for (auto& [watch, reach] : at->second.watches) {
    const ZapiReach now = reach_of(number, at->second, watch);
    if (now == reach) continue;
    reach = now;
    send(zapi_nexthop_update(*release_, at->second.vrf, watch, reach));
  }
}

void ZservServer::tell_bfd(uint32_t number, const ZapiBfdSession& session, ZapiBfdState state) {
  const auto at = domains_.find(number);
  if (at == domains_.end() || at->second.vrf == 0) return;
  send(zapi_bfd_state(*release_, at->second.vrf, session, at->second.wanted->interface.index,
                      state));
}

void ZservServer::take_route(uint32_t number, Domain& domain, const ZapiRoute& route) {
  if (route.safi != 1) return;
  Routes& routes = domain.routes[index_of(route.prefix.family())];
  RouteChange change;
  change.domain = number;
  change.prefix = route.prefix;
  if (route.change == ZapiSwitch::off) {
    const uint32_t generation = routes.generations.find(route.prefix);
    if (generation == 0) return;
    if (generation != routes.generation) --routes.stale;
    routes.generations.erase(route.prefix);
    change.kind = RouteChange::Kind::withdrawn;
    return events_.route(std::move(change));
  }
  uint32_t& generation = routes.generations.put(route.prefix, routes.generation);
  if (generation != routes.generation) {
    generation = routes.generation;
    --routes.stale;
    if (routes.told) routes.sweep_at = now_ + kQuiet;
  }
  const bool internal = (route.flags & kZapiInternal) != 0;
  change.source = internal ? RouteSource::ibgp : RouteSource::ebgp;
  change.distance = route.distance;
  change.metric = route.metric;
  for (const ZapiNextHop& hop : route.next_hops) {
    if (hop.gateway) change.next_hops.push_back(*hop.gateway);
  }
  events_.route(std::move(change));
}

ZservServer::Count ZservServer::count(uint32_t number) const {
  const auto at = domains_.find(number);
  if (at == domains_.end()) return {};
  const auto& [four, six] = at->second.routes;
  return {four.generations.size() + six.generations.size(), four.stale + six.stale};
}

void ZservServer::age(Routes& routes, Instant sweep_at) {
  ++routes.generation;
  routes.stale = routes.generations.size();
  routes.place = 0;
  routes.told = false;
  if (routes.stale != 0) routes.sweep_at = sweep_at;
}

bool ZservServer::sweep(uint32_t number, Routes& routes, size_t& budget) {
  if (routes.stale == 0) routes.sweep_at.reset();
  if (!routes.sweep_at || now_ < *routes.sweep_at) return false;
  RouteAges& table = routes.generations;
  // What moved is looked at from the first place on.
  if (routes.places != table.places().size()) routes.place = 0;
  routes.places = table.places().size();
  std::vector<BgpPrefix> gone;
  for (; routes.place < routes.places && budget != 0; ++routes.place, --budget) {
    const RouteAges::Place& at = table.places()[routes.place];
    if (at.generation != 0 && at.generation != routes.generation) gone.push_back(at.prefix);
  }
  for (const BgpPrefix& prefix : gone) {
    table.erase(prefix);
    --routes.stale;
    RouteChange change;
    change.kind = RouteChange::Kind::withdrawn;
    change.domain = number;
    change.prefix = prefix;
    events_.route(std::move(change));
  }
  if (routes.place >= routes.places) routes.place = 0;
  return routes.stale != 0;
}

void ZservServer::sweep() {
  size_t budget = kPlacesAtOnce;
  sweeping_ = false;
  for (auto at = domains_.begin(); at != domains_.end();) {
    bool more = false;
    for (Routes& routes : at->second.routes) more = sweep(at->first, routes, budget) || more;
    sweeping_ = sweeping_ || more;
    at = more || at->second.wanted ? std::next(at) : domains_.erase(at);
    if (budget == 0) {
      sweeping_ = true;  // others may be due
      return;
    }
  }
}

void ZservServer::send(ZapiBytes bytes) {
  if (main_ == nullptr) return;
  main_->waiting += bytes.size();
  main_->out.push_back(std::move(bytes));
}

void ZservServer::refuse(std::string why) {
  fault_ = std::move(why);
  state_ = State::refused;
  spdlog::error("bgpd's zebra connection: {}", fault_);
}

void ZservServer::lose(std::string why) {
  const bool refused = state_ == State::refused;
  if (!refused) fault_ = std::move(why);
  main_ = nullptr;
  state_ = State::away;
  release_ = nullptr;  // the next one says for itself what it is
  numbers_.clear();
  for (auto& [number, domain] : domains_) {
    domain.vrf = 0;
    domain.redistributed.clear();
    domain.watches.clear();
    for (Routes& routes : domain.routes) {
      if (domain.wanted) age(routes, now_ + options_.stale_time);
    }
  }
  if (events_.lost) events_.lost();
}

void ZservServer::greet(Connection& connection, const ZapiHello& hello) {
  if (hello.protocol != kZapiBgp || main_ != nullptr) {
    connection.role = Connection::Role::other;
    return;
  }
  connection.role = Connection::Role::main;
  main_ = &connection;
  fault_.clear();
  state_ = State::waiting;
  send(zapi_capabilities(*release_, options_.multipath));
}

void ZservServer::take(Connection& connection, const ZapiFrame& frame) {
  if (connection.role == Connection::Role::unknown) {
    const bool expected = release_->command(frame.command) == ZapiCommand::hello &&
                          frame.body.size() + kZapiHeader == release_->hello_size;
    const auto hello = expected ? decode_zapi(*release_, frame) : Result<BgpdMessage>();
    if (!expected || !hello) {
      connection.role = Connection::Role::ended;
      return refuse(fmt::format("a greeting of {} bytes with the number {} is not that of FRR {}",
                                frame.body.size() + kZapiHeader, frame.command, release_->name));
    }
    return greet(connection, std::get<ZapiHello>(*hello));
  }
  if (connection.role == Connection::Role::other || state_ == State::refused) return;
  const auto message = decode_zapi(*release_, frame);
  if (message) return std::visit(Handler{*this, frame.vrf}, *message);
  if (state_ != State::ready) return refuse(message.error().message);
  // One that nobody thought of is no reason to stop routing; the alarm stays until bgpd is new.
  if (fault_ != message.error().message) spdlog::error("skipped: {}", message.error().message);
  fault_ = message.error().message;
}

void ZservServer::flush(Connection& connection) {
  while (!connection.out.empty()) {
    const ZapiBytes& first = connection.out.front();
    const ssize_t n = ::send(connection.fd.get(), first.data() + connection.sent,
                             first.size() - connection.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      // An end is found by reading, too.
      if (connection.waiting > kMostWaiting) connection.role = Connection::Role::ended;
      return;
    }
    connection.sent += static_cast<size_t>(n);
    if (connection.sent < first.size()) return;
    connection.waiting -= first.size();
    connection.out.pop_front();
    connection.sent = 0;
  }
}

void ZservServer::read(Connection& connection) {
  static thread_local std::array<uint8_t, kBytesAtOnce> buffer;
  const ssize_t n = recv(connection.fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    connection.role = Connection::Role::ended;
    return;
  }
  connection.in.feed({buffer.data(), static_cast<size_t>(n)});
  while (auto frame = connection.in.next()) {
    if (!*frame) {
      refuse(frame->error().message);
      connection.role = Connection::Role::ended;
    } else {
      take(connection, **frame);
    }
    if (connection.role == Connection::Role::ended) return;
  }
}

void ZservServer::accept_some() {
  while (connections_.size() < kMostConnections) {
    OwnedFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return;
    ucred peer{};
    socklen_t size = sizeof peer;
    if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
        peer.uid != options_.user) {
      spdlog::error("the user {} at bgpd's zebra socket is not let in", peer.uid);
      continue;
    }
    connections_.push_back({std::move(fd)});
    if (state_ == State::away) state_ = State::waiting;
  }
}

void ZservServer::add_to(std::vector<pollfd>& fds) const {
  if (connections_.size() < kMostConnections) fds.push_back({listener_.get(), POLLIN, 0});
  for (const Connection& connection : connections_) {
    // What comes before the release is known waits in the socket; its end is told in any case.
    const int events =
        (release_ != nullptr && reads_ ? POLLIN : 0) | (connection.out.empty() ? 0 : POLLOUT);
    fds.push_back({connection.fd.get(), static_cast<short>(events), 0});
  }
}

void ZservServer::step(Instant now) {
  now_ = now;
  accept_some();
  for (auto at = connections_.begin(); at != connections_.end();) {
    Connection& connection = *at;
    if (release_ != nullptr) {
      if (reads_) read(connection);
    } else {
      pollfd end{connection.fd.get(), 0, 0};
      if (poll(&end, 1, 0) == 1) connection.role = Connection::Role::ended;
    }
    const bool ended = connection.role == Connection::Role::ended;
    const bool main = &connection == main_;
    if (ended && main) lose("bgpd ended the connection");
    at = ended ? connections_.erase(at) : std::next(at);
  }
  if (connections_.empty() && state_ == State::waiting) state_ = State::away;
  sweep();
  if (main_ != nullptr) flush(*main_);
}

}  // namespace hnv
