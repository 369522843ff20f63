// SPDX-License-Identifier: Apache-2.0
#include "tests/api/fake_control.h"

#include <algorithm>
#include <charconv>

#include "api/resource_json.h"

namespace hnv {
namespace {

// Whether a key belongs to a collection.
bool belongs(const ResourceKey& key, const CollectionKey& to) {
  if (to.collection == Collection::bgp_peers || to.collection == Collection::policy_maps) {
    const auto* peer = std::get_if<BgpPeerKey>(&key);
    const auto* map = std::get_if<PolicyMapKey>(&key);
    return to.collection == Collection::bgp_peers ? peer != nullptr && peer->domain == to.domain
                                                  : map != nullptr && map->domain == to.domain;
  }
  if (key.index() != static_cast<size_t>(to.collection)) return false;
  if (const auto* subnet = std::get_if<VirtualSubnetKey>(&key)) return subnet->domain == to.domain;
  if (const auto* route = std::get_if<CustomerRouteKey>(&key)) return route->domain == to.domain;
  if (const auto* door = std::get_if<NetworkConnectionKey>(&key)) return door->domain == to.domain;
  if (const auto* record = std::get_if<LookupRecordKey>(&key)) {
    return record->domain == to.domain && record->subnet == to.subnet;
  }
  return true;
}

bool holds(const std::optional<std::vector<uint64_t>>& tags, uint64_t etag) {
  return tags && std::find(tags->begin(), tags->end(), etag) != tags->end();
}

bool admits(const Precondition& condition, const Resource* now) {
  if ((condition.if_match || condition.if_match_any) && now == nullptr) return false;
  if (now == nullptr) return true;
  if (condition.if_match && !holds(condition.if_match, now->etag)) return false;
  return !condition.if_none_match_any && !holds(condition.if_none_match, now->etag);
}

tl::unexpected<Error> no_nat(std::string_view domain) {
  return fail(ErrorCode::not_found, "this routing domain has no NAT",
              resource_path(NatKey{std::string(domain)}));
}

bool fits(const NatSessionState& session, const NatSessionFilter& filter) {
  constexpr uint8_t kTcp = 6;
  constexpr uint8_t kUdp = 17;
  const uint8_t protocol = session.protocol == "TCP" ? kTcp : kUdp;
  return filter.protocol.value_or(protocol) == protocol &&
         (!filter.inside || filter.inside->contains(session.inside_address)) &&
         filter.inside_port.value_or(session.inside_port) == session.inside_port &&
         (!filter.outside || filter.outside->contains(session.outside_address)) &&
         filter.outside_port.value_or(session.outside_port) == session.outside_port &&
         (!filter.remote || filter.remote->contains(session.remote_address)) &&
         filter.remote_port.value_or(session.remote_port) == session.remote_port;
}

class Snapshot : public ConfigSnapshot {
 public:
  Snapshot(FakeControl::Resources resources, uint64_t generation)
      : resources_(std::move(resources)), generation_(generation) {}

  [[nodiscard]] uint64_t generation() const override { return generation_; }
  [[nodiscard]] std::optional<Resource> find(const ResourceKey& key) const override {
    const auto found = resources_.find(key);
    if (found == resources_.end()) return std::nullopt;
    return found->second;
  }
  [[nodiscard]] std::optional<std::vector<Resource>> list(const CollectionKey& collection,
                                                          std::string_view after,
                                                          size_t limit) const override {
    if (!collection.domain.empty() && !find(RoutingDomainKey{collection.domain})) {
      return std::nullopt;
    }
    if (!collection.subnet.empty() &&
        !find(VirtualSubnetKey{collection.domain, collection.subnet})) {
      return std::nullopt;
    }
    std::vector<Resource> list;
    for (const auto& [key, resource] : resources_) {
      if (!belongs(key, collection) || list.size() == limit) continue;
      if (!after.empty() && !comes_after(key, after)) continue;
      list.push_back(resource);
    }
    return list;
  }
  [[nodiscard]] std::optional<size_t> count(const CollectionKey& collection) const override {
    const auto all = list(collection, {}, resources_.size());
    if (!all) return std::nullopt;
    return all->size();
  }

 private:
  static bool comes_after(const ResourceKey& key, std::string_view after) {
    if (const auto* record = std::get_if<LookupRecordKey>(&key)) {
      const auto id = parse_record_id(after);
      return id && *id < record->id;
    }
    return after < resource_id(key);
  }

  FakeControl::Resources resources_;
  uint64_t generation_;
};

// One operation on a copy of the resources.
struct Step {
  FakeControl::Resources& resources;
  uint64_t generation;
  size_t index;

  tl::expected<Applied::Item, ChangeError> operator()(const Put& put) const {
    const auto found = resources.find(put.key);
    const bool exists = found != resources.end();
    if (!admits(put.precondition, exists ? &found->second : nullptr)) return refuse(put.key);
    Resource resource{put.key, put.spec, generation};
    resources[put.key] = resource;
    return Applied::Item{exists ? Outcome::replaced : Outcome::created, resource};
  }
  tl::expected<Applied::Item, ChangeError> operator()(const Delete& gone) const {
    const auto found = resources.find(gone.key);
    const bool exists = found != resources.end();
    if (!admits(gone.precondition, exists ? &found->second : nullptr)) return refuse(gone.key);
    if (!exists) return Applied::Item{Outcome::already_absent, std::nullopt};
    resources.erase(found);
    return Applied::Item{Outcome::deleted, std::nullopt};
  }
  tl::expected<Applied::Item, ChangeError> operator()(const ReplaceRecords& all) const {
    for (auto it = resources.begin(); it != resources.end();) {
      it = belongs(it->first, all.subnet) ? resources.erase(it) : std::next(it);
    }
    for (const auto& [id, spec] : all.records) {
      const LookupRecordKey key{all.subnet.domain, all.subnet.subnet, id};
      resources[key] = Resource{key, spec, generation};
    }
    return Applied::Item{Outcome::replaced, std::nullopt};
  }

 private:
  [[nodiscard]] tl::unexpected<ChangeError> refuse(const ResourceKey& key) const {
    return tl::make_unexpected(ChangeError{
        {ErrorCode::precondition_failed, "the resource has changed", resource_path(key), {}},
        index});
  }
};

}  // namespace

tl::expected<Applied, ChangeError> FakeControl::apply(Change change) {
  if (before_apply_) before_apply_();
  const std::scoped_lock lock(mutex_);
  ++changes_;
  if (next_error_) {
    auto error = std::move(*next_error_);
    next_error_.reset();
    return tl::make_unexpected(std::move(error));
  }
  Resources next = resources_;
  Applied applied;
  applied.generation = generation_ + 1;
  for (size_t i = 0; i < change.operations.size(); ++i) {
    auto item = std::visit(Step{next, applied.generation, i}, change.operations[i]);
    if (!item) return tl::make_unexpected(item.error());
    applied.items.push_back(std::move(*item));
  }
  resources_ = std::move(next);
  generation_ = applied.generation;
  return applied;
}

std::shared_ptr<const ConfigSnapshot> FakeControl::config() const {
  const std::scoped_lock lock(mutex_);
  return std::make_shared<Snapshot>(resources_, generation_);
}

void FakeControl::fail_next(ChangeError error) {
  const std::scoped_lock lock(mutex_);
  next_error_ = std::move(error);
}

bool FakeControl::has_domain(std::string_view domain) const {
  const std::scoped_lock lock(mutex_);
  return resources_.contains(RoutingDomainKey{std::string(domain)});
}

SystemState FakeControl::system() const {
  SystemState state;
  state.version = "0.1.0";
  state.uptime_seconds = 12.5;
  return state;
}

std::vector<PortState> FakeControl::ports() const {
  PortState port;
  port.name = "fab0";
  port.driver = "net_af_packet";
  port.rx_queues = port.tx_queues = 1;
  port.spreading = "software";
  port.rx_packets = 7;
  return {port};
}

StatisticsState FakeControl::statistics() const {
  WorkerState worker;
  worker.stations = {{"classify", 10, 2}, {"route", 8, 2}};
  WorkerCounts total;
  total.stations = {{"classify", 20, 4}, {"route", 16, 4}};
  WorkerState second = worker;
  second.worker = 1;
  second.stuck = true;
  return {.workers = {worker, second}, .total = total, .publishes = 3};
}

DropsState FakeControl::drops() const {
  DropsState state;
  state.ledger.rx = 10;
  state.ledger.tx = 7;
  state.ledger.drops = 3;
  state.ledger.balanced = true;
  state.drops = {{"nvgre_unknown_vsid", 3}, {"ttl_exceeded", 0}};
  return state;
}

std::optional<RouteTableState> FakeControl::routes(std::string_view domain,
                                                   const RoutePage& page) const {
  if (!has_domain(domain)) return std::nullopt;
  RouteTableState state;
  for (const auto* prefix : {"10.0.0.0/24", "10.0.1.0/24", "2001:db8::/64"}) {
    RouteState route;
    route.prefix = *Prefix<Space::customer>::parse(prefix);
    if (page.after && route.prefix <= *page.after) continue;
    state.more = state.routes.size() == page.limit;
    if (state.more) break;
    auto& candidate = route.candidates.emplace_back();
    candidate.source = "connected";
    candidate.interface = "virtualSubnets/web";
    candidate.best = true;
    candidate.reason = "the only route";
    route.fib = "virtualSubnets/web";
    state.routes.push_back(std::move(route));
  }
  return state;
}

std::optional<NeighborTable> FakeControl::neighbors(std::string_view domain,
                                                    const NeighborPage&) const {
  if (!has_domain(domain)) return std::nullopt;
  return NeighborTable{};
}

NeighborTable FakeControl::outside_neighbors(const NeighborPage& page) const {
  NeighborTable table;
  for (const char* address : {"192.0.2.252", "192.0.2.253", "192.0.2.254", "2001:db8::1"}) {
    const auto parsed = *IpAddress<Space::external>::parse(address);
    if (page.after && parsed <= page.after->address) continue;
    table.more = table.neighbors.size() == page.limit;
    if (table.more) break;
    NeighborState neighbor;
    neighbor.network = page.after ? page.after->network : "providerNetworks/fabric";
    neighbor.ip_address = address;
    neighbor.state = "incomplete";
    table.neighbors.push_back(neighbor);
  }
  return table;
}

std::optional<DomainStatistics> FakeControl::domain_statistics(std::string_view domain) const {
  if (!has_domain(domain)) return std::nullopt;
  DomainStatistics statistics;
  statistics.domain = domain;
  statistics.inbound_packets = 5;
  statistics.drops = {{"no_route", 2}};
  return statistics;
}

std::vector<DomainStatistics> FakeControl::all_domain_statistics() const {
  std::vector<DomainStatistics> all;
  const auto snapshot = config();
  const auto domains = snapshot->list({Collection::routing_domains, {}, {}}, {}, 1000);
  for (const auto& domain : *domains) all.push_back(*domain_statistics(resource_id(domain.key)));
  return all;
}

std::optional<ConfigurationState> FakeControl::configuration_state(const ResourceKey&) const {
  return ConfigurationState{};
}

std::optional<ConnectionState> FakeControl::connection_state(
    const NetworkConnectionKey& key) const {
  ConnectionState state;
  state.connection_state = "Connected";
  const auto found = config()->find(key);
  if (!found || !std::get<NetworkConnectionSpec>(found->spec).tunnel) return state;
  TunnelState& tunnel = state.tunnel.emplace();
  tunnel.drops = {{"ipsec_replay", 3}};
  tunnel.rx_dropped = 3;
  tunnel.ike_sas.push_back({"203.0.113.2", "198.51.100.10", "site", "AES_GCM_16-256", 7});
  tunnel.child_sas.push_back({true, 0xc0000001, "aes-gcm-256", true, false, "198.51.100.10:4500",
                              "203.0.113.2:4500", 7, 5, 500});
  return state;
}

std::optional<BgpPeerStatus> FakeControl::bgp_peer_state(const BgpPeerKey& key) const {
  if (!config()->find(key)) return std::nullopt;
  BgpPeerStatus status{.why = {}, .note = "no policies", .session = BgpPeerState{}};
  status.session->connection_state = "Established";
  status.session->up_milliseconds = 1'500;
  status.session->last_reset = "Peer closed the session";
  status.session->last_notification = "Cease/Administrative Reset";
  status.session->bfd = "Up";
  status.session->received.updates = 3;
  status.session->prefixes_accepted = 2;
  return status;
}

Result<BgpRouteList> FakeControl::bgp_routes(std::string_view domain,
                                             const BgpRouteQuestion& question) const {
  if (!config()->find(BgpRouterKey{std::string(domain)})) {
    return fail(ErrorCode::not_found, "there is no bgpRouter",
                resource_path(BgpRouterKey{std::string(domain)}));
  }
  const auto route = [](const char* prefix, const char* peer, const char* name) {
    BgpRouteState out;
    out.route.prefix = Prefix<Space::customer>::parse(prefix).value();
    out.route.peer = IpAddress<Space::customer>::parse(peer);
    out.route.next_hop = peer;
    out.route.origin = "IGP";
    out.route.valid = true;
    out.peer = name;
    return out;
  };
  std::vector<BgpRouteState> all = {
      route("10.1.0.0/16", "172.16.0.1", "site"), route("10.1.0.0/16", "172.16.0.9", ""),
      route("10.2.0.0/16", "", ""), route("2001:db8::/48", "172.16.0.1", "site")};
  all[0].route.best = all[2].route.best = all[3].route.best = true;
  all[0].route.as_path = "65010 65020";
  all[0].route.communities = {"65010:7", "no-export"};
  all[0].route.local_pref = 200;
  all[0].route.med = 30;
  all[0].age_seconds = 5;
  BgpRouteList out;
  std::optional<Prefix<Space::customer>> last;
  size_t prefixes = 0;
  for (const BgpRouteState& one : all) {
    const auto& prefix = one.route.prefix;
    if (question.type == BgpRouteType::best && !one.route.best) continue;
    if (!question.peer.empty() && one.peer != question.peer) continue;
    if (question.within && !question.within->overlaps(prefix)) continue;
    if (question.after && prefix <= *question.after) continue;
    if (prefix != last && prefixes == question.limit) {
      out.next = last;
      break;
    }
    prefixes += prefix != last ? 1 : 0;
    last = prefix;
    out.routes.push_back(one);
  }
  return out;
}

Result<void> FakeControl::act_on_tunnel(const NetworkConnectionKey& key, TunnelAction /*action*/) {
  const auto found = config()->find(key);
  if (!found) {
    return fail(ErrorCode::not_found, "this connection does not exist", resource_path(key));
  }
  if (std::get<NetworkConnectionSpec>(found->spec).tunnel) return {};
  return fail(ErrorCode::unfit, "is not of type IPSec", resource_path(key));
}

Result<TunnelDoctorState> FakeControl::tunnel_doctor(const NetworkConnectionKey& key) const {
  const auto found = config()->find(key);
  if (!found) {
    return fail(ErrorCode::not_found, "this connection does not exist", resource_path(key));
  }
  if (!std::get<NetworkConnectionSpec>(found->spec).tunnel) {
    return fail(ErrorCode::unfit, "is not of type IPSec", resource_path(key));
  }
  TunnelDoctorState out;
  out.connection_state = "Connecting";
  out.cause = "ikeProposals";
  out.summary = "no common IKE algorithms with 198.51.100.20";
  out.initiated_by = "site";
  out.site_address = "198.51.100.20";
  out.nat = "none";
  out.age_seconds = 2.5;
  out.compared.push_back({"IKE algorithms (mainMode)", {"GCMAES256, SHA384, ECP384"}, {}});
  out.what_to_change = {"Have the site offer one of the gateway's"};
  out.attempt.push_back({2.5, "received proposals unacceptable"});
  return out;
}

std::vector<IkeFaultState> FakeControl::ike_faults() const {
  IkeFaultState out;
  out.cause = "unknownSite";
  out.summary = "198.51.100.66 asks 203.0.113.1 for a tunnel, and there is none for it";
  out.remote_address = "198.51.100.66";
  out.local_address = "203.0.113.1";
  out.count = 3;
  out.what_to_change = {"Make a network connection"};
  return {out};
}

Result<LookupExplanation> FakeControl::explain(
    std::string_view domain, const IpAddress<Space::customer>& destination) const {
  if (!has_domain(domain)) {
    return fail(ErrorCode::not_found, "this routing domain does not exist",
                "/v1/routingDomains/" + std::string(domain));
  }
  LookupExplanation explanation;
  explanation.destination = destination.to_string();
  explanation.verdict = "dropped: no_route";
  return explanation;
}

void FakeControl::have_sessions(const std::string& domain, uint8_t count) {
  const std::scoped_lock lock(mutex_);
  for (uint8_t n = 1; n <= count; ++n) {
    NatSessionState session;
    session.protocol = n % 2 == 1 ? "TCP" : "UDP";
    session.inside_address = Ip4<Space::customer>(0x0a000000U + n);
    session.inside_port = static_cast<uint16_t>(1000 + n);
    session.outside_address = Ip4<Space::external>(0xcb007104U);  // 203.0.113.4
    session.outside_port = static_cast<uint16_t>(2000 + n);
    session.remote_address = Ip4<Space::external>(0xc6336407U);  // 198.51.100.7
    session.remote_port = 443;
    session.state = n % 2 == 1 ? "established" : "open";
    session.outbound_packets = n;
    sessions_[domain][n] = session;
  }
}

Result<NatSessionList> FakeControl::nat_sessions(std::string_view domain,
                                                 const NatSessionFilter& filter,
                                                 const NatSessionPage& page) const {
  const std::scoped_lock lock(mutex_);
  const auto found = sessions_.find(domain);
  if (found == sessions_.end()) return no_nat(domain);
  unsigned after = 0;
  if (!page.after.empty()) {
    const char* end = page.after.data() + page.after.size();
    if (std::from_chars(page.after.data(), end, after).ptr != end) {
      return fail(ErrorCode::invalid_value, "is no page's \"nextAfter\"", "after");
    }
  }
  NatSessionList list;
  unsigned last = 0;
  for (const auto& [number, session] : found->second) {
    if (number <= after || !fits(session, filter)) continue;
    if (list.sessions.size() == page.limit) {
      list.next = std::to_string(last);
      break;
    }
    list.sessions.push_back(session);
    last = number;
  }
  return list;
}

Result<uint64_t> FakeControl::end_nat_sessions(std::string_view domain,
                                               const NatSessionFilter& filter) {
  const std::scoped_lock lock(mutex_);
  const auto found = sessions_.find(domain);
  if (found == sessions_.end()) return no_nat(domain);
  return std::erase_if(found->second,
                       [&](const auto& session) { return fits(session.second, filter); });
}

std::optional<NatDomainState> FakeControl::nat_state(std::string_view domain) const {
  const std::scoped_lock lock(mutex_);
  const auto found = sessions_.find(domain);
  if (found == sessions_.end()) return std::nullopt;
  NatDomainState state;
  state.sessions = state.mappings = state.addresses = state.port_blocks = found->second.size();
  state.refused = {{"sessionsPerDomain", 0}, {"pool", 4}};
  for (const auto& [number, session] : found->second) {
    state.outbound_packets += session.outbound_packets;
  }
  return state;
}

std::optional<NatPoolState> FakeControl::nat_pool_state(std::string_view name) const {
  const std::scoped_lock lock(mutex_);
  const auto found = resources_.find(PublicAddressPoolKey{std::string(name)});
  if (found == resources_.end()) return std::nullopt;
  NatPoolState state;
  const auto& spec = std::get<PublicAddressPoolSpec>(found->second.spec);
  for (const auto& prefix : spec.addresses) state.addresses += 1U << (32 - prefix.length());
  state.port_blocks = state.addresses * (spec.port_range.size() / port_block_size(spec));
  for (const auto& [domain, sessions] : sessions_) {
    state.ports_in_use += sessions.size();
    state.port_blocks_in_use += sessions.empty() ? 0U : 1U;
    state.domains += sessions.empty() ? 0U : 1U;
  }
  return state;
}

Result<void> FakeControl::set_trace(std::optional<TraceFilter> filter) {
  const std::scoped_lock lock(mutex_);
  trace_ = std::move(filter);
  return {};
}

TraceState FakeControl::trace() const {
  const std::scoped_lock lock(mutex_);
  TraceState state;
  state.filter = trace_;
  if (trace_) state.events.push_back({0.5, 0, "classify", "enter_nvgre", "10.0.0.4 > 10.0.0.5"});
  return state;
}

}  // namespace hnv
