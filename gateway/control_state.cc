// SPDX-License-Identifier: Apache-2.0
//
// What the API shows of the running gateway: copied together on the http thread from immutable
// pieces, from the workers' pictures, and, for neighbours, from the control thread.
#include <algorithm>
#include <tuple>
#include <utility>

#include <rte_mempool.h>

#include "gateway/control_loop.h"
#include "gateway/version.h"

namespace hnv {
namespace {

// How long somebody's claim of one of our addresses is shown.
constexpr Duration kConflictShown = std::chrono::minutes(10);
// How long a reader waits for a worker's picture. A worker breathes in microseconds and sleeps for
// half a millisecond at most: one that takes longer is stuck, and is said to be.
constexpr Duration kPatience = std::chrono::milliseconds(200);

LedgerState ledger_of(const WorkerPicture& picture) {
  const WorkerCounters& c = picture.counters;
  LedgerState ledger{.rx = c.rx.value(),
                     .handed_in = c.handed_in.value(),
                     .injected = c.injected.value(),
                     .tx = c.tx.value(),
                     .punts = c.punts.value(),
                     .handed_out = c.handed_out.value(),
                     .held = picture.held};
  for (const Counter& n : c.originated) ledger.originated += n.value();
  for (const Counter& n : c.drops) ledger.drops += n.value();
  for (const Counter& n : c.consumed) ledger.consumed += n.value();
  ledger.balanced = sum(c, picture.held).balanced();
  return ledger;
}

void add(LedgerState& total, const LedgerState& one) {
  total.rx += one.rx;
  total.handed_in += one.handed_in;
  total.injected += one.injected;
  total.originated += one.originated;
  total.tx += one.tx;
  total.drops += one.drops;
  total.punts += one.punts;
  total.consumed += one.consumed;
  total.handed_out += one.handed_out;
  total.held += one.held;
  total.balanced = total.balanced && one.balanced;
}

// The counts of one reason each, summed over the workers.
template <class Reason, size_t kReasons>
std::vector<NamedCount> named(const std::vector<WorkerPicture>& pictures,
                              std::array<Counter, kReasons> WorkerCounters::*counts) {
  std::vector<NamedCount> out;
  for (size_t i = 0; i < kReasons; ++i) {
    NamedCount count{std::string(to_string(static_cast<Reason>(i))), 0};
    for (const WorkerPicture& picture : pictures) {
      count.count += (picture.counters.*counts)[i].value();
    }
    out.push_back(std::move(count));
  }
  return out;
}

WorkerCounts counts_of(const WorkerPicture& picture) {
  const WorkerCounters& c = picture.counters;
  WorkerCounts counts;
  counts.rx_packets = c.rx.value();
  counts.tx_packets = c.tx.value();
  for (const Counter& n : c.drops) counts.drops += n.value();
  counts.handed_in = c.handed_in.value();
  counts.handed_out = c.handed_out.value();
  counts.held = picture.held;
  counts.breaths = c.breaths.value();
  counts.idle_breaths = c.idle_breaths.value();
  counts.sleeps = c.sleeps.value();
  for (size_t s = 0; s < kStages; ++s) {
    counts.stations.push_back({std::string(to_string(static_cast<Stage>(s))),
                               c.stations[s].packets.value(), c.stations[s].vectors.value()});
  }
  return counts;
}

void add(WorkerCounts& total, const WorkerCounts& one) {
  for (uint64_t WorkerCounts::*count :
       {&WorkerCounts::rx_packets, &WorkerCounts::tx_packets, &WorkerCounts::drops,
        &WorkerCounts::handed_in, &WorkerCounts::handed_out, &WorkerCounts::held,
        &WorkerCounts::breaths, &WorkerCounts::idle_breaths, &WorkerCounts::sleeps}) {
    total.*count += one.*count;
  }
  if (total.stations.empty()) {
    total.stations = one.stations;
    return;
  }
  for (size_t s = 0; s < total.stations.size(); ++s) {
    total.stations[s].packets += one.stations[s].packets;
    total.stations[s].vectors += one.stations[s].vectors;
  }
}

DomainStatistics statistics_of(const std::string& name, const CompiledDomain& domain,
                               unsigned workers) {
  const CompartmentView& view = *domain.view;
  DomainStatistics out;
  out.domain = name;
  out.routes = domain.routes->candidates();
  for (size_t i = 0; i < kDropReasons; ++i) {
    uint64_t count = 0;
    for (unsigned w = 0; w < workers; ++w) count += view.counters[w].drops[i].value();
    if (count > 0) {
      out.drops.push_back({std::string(to_string(static_cast<DropReason>(i))), count});
    }
  }
  for (unsigned w = 0; w < workers; ++w) {
    const CompartmentCounters& c = view.counters[w];
    out.inbound_packets += c.in_packets.value();
    out.inbound_bytes += c.in_bytes.value();
    out.outbound_packets += c.out_packets.value();
    out.outbound_bytes += c.out_bytes.value();
    out.l3_inbound_packets += c.l3_in_packets.value();
    out.l3_inbound_bytes += c.l3_in_bytes.value();
    out.l3_outbound_packets += c.l3_out_packets.value();
    out.l3_outbound_bytes += c.l3_out_bytes.value();
    out.originated_packets += c.originated.value();
    out.moved_record_packets += c.moved_record_packets.value();
  }
  return out;
}

}  // namespace

namespace {

std::string asked_by(const NeighborState& neighbor) {
  return neighbor.ip_address.find(':') == std::string::npos ? "ARP" : "neighbour solicitations";
}

}  // namespace

std::vector<WorkerPicture> ControlLoop::pictures() const {
  std::vector<WorkerPicture> out;
  for (const auto& worker : workers_) out.push_back(worker->picture(kPatience));
  return out;
}

SystemState ControlLoop::system() const {
  SystemState state;
  state.version = version();
  state.uptime_seconds = std::chrono::duration<double>(Clock::now() - started_).count();
  state.generation = config()->generation();
  state.workers = workers();
  for (unsigned w = 0; w < workers(); ++w) {
    if (is_stuck(w)) state.stuck_workers.push_back(w);
  }
  state.hugepages = eal_.hugepages();
  state.memory_bytes = eal_.memory_bytes();
  state.packet_buffers = bootstrap_.packet_buffers;
  state.packet_buffers_free = rte_mempool_avail_count(&eal_.packets());
  state.mac_address = gateway_mac_.to_string();
  std::tie(state.duplicate_addresses, state.address_conflicts) = ask([this] {
    const OwnAddresses& own = addresses_->addresses();
    return std::pair(own.duplicates(), own.conflicts());
  });
  ask([&] {
    ipsec_->describe(state);
    bgp_->describe(state);
    return true;
  });
  return state;
}

std::vector<PortState> ControlLoop::ports() const {
  std::vector<PortState> out;
  for (const Port& port : ports_) out.push_back(port.state());
  return out;
}

StatisticsState ControlLoop::statistics() const {
  StatisticsState state;
  for (unsigned w = 0; w < workers(); ++w) {
    WorkerState worker;
    static_cast<WorkerCounts&>(worker) = counts_of(workers_[w]->picture(kPatience));
    worker.worker = w;
    worker.lcore = workers_[w]->config().lcore;
    worker.stuck = is_stuck(w);
    worker.queued = handoffs_.waiting_for(w);
    add(state.total, worker);
    state.workers.push_back(std::move(worker));
  }
  state.publishes = publishes_.load(std::memory_order_relaxed);
  state.roots_waiting = roots_waiting_.load(std::memory_order_relaxed);
  return state;
}

DropsState ControlLoop::drops() const {
  DropsState state = drops_of(pictures());
  state.in_rings = handoffs_.waiting();
  return state;
}

DropsState ControlLoop::final_drops() {
  for (const auto& worker : workers_) worker->drain_handed();
  std::vector<WorkerPicture> seen;
  for (const auto& worker : workers_) seen.push_back(worker->final_picture());
  DropsState state = drops_of(seen);
  // What one handed out another has handed in: only now, with empty rings, is this exact.
  state.ledger.balanced &= state.ledger.handed_in == state.ledger.handed_out;
  return state;
}

DropsState ControlLoop::drops_of(const std::vector<WorkerPicture>& seen) {
  DropsState state;
  state.ledger.balanced = true;
  for (const WorkerPicture& picture : seen) {
    state.workers.push_back(ledger_of(picture));
    add(state.ledger, state.workers.back());
  }
  state.drops = named<DropReason>(seen, &WorkerCounters::drops);
  state.originated = named<OriginReason>(seen, &WorkerCounters::originated);
  state.consumed = named<ConsumeReason>(seen, &WorkerCounters::consumed);
  return state;
}

NeighborTable ControlLoop::neighbors_on(const std::vector<LinkId>& links,
                                        const NeighborPage& page) const {
  return ask([&] {
    NeighborTable out;
    const auto& entries = next_hops_.neighbors().entries();
    const Instant at = now();
    std::map<std::string_view, LinkId> by_name;
    for (const LinkId id : links) {
      if (const OutLink* link = next_hops_.link(id); link != nullptr)
        by_name.emplace(link->name, id);
    }
    auto place = page.after ? by_name.lower_bound(page.after->network) : by_name.begin();
    for (; place != by_name.end(); ++place) {
      const auto [name, id] = *place;
      auto entry = page.after && name == page.after->network
                       ? entries.upper_bound({id, page.after->address})
                       : entries.lower_bound({id, {}});
      for (; entry != entries.end() && entry->first.link == id; ++entry) {
        out.more = out.neighbors.size() == page.limit;
        if (out.more) return out;
        NeighborState state;
        state.network = name;
        state.ip_address = entry->first.address.to_string();
        state.mac_address = entry->second.mac;
        state.state = to_string(entry->second.status);
        if (entry->second.mac) state.age_seconds = in_seconds(at - entry->second.confirmed);
        out.neighbors.push_back(std::move(state));
      }
    }
    return out;
  });
}

std::optional<NeighborTable> ControlLoop::neighbors(std::string_view domain,
                                                    const NeighborPage& page) const {
  const auto current = compiled();
  const auto* found = current->domains.find(std::string(domain));
  if (found == nullptr) return std::nullopt;
  std::vector<LinkId> links;
  for (const auto& [name, id] : (*found)->connections) {
    links.push_back((*found)->view->connection(id).link);
  }
  return neighbors_on(links, page);
}

NeighborTable ControlLoop::outside_neighbors(const NeighborPage& page) const {
  std::vector<LinkId> links;
  for (const auto& [attachment, link] : compiled()->network_links) links.push_back(link);
  return neighbors_on(links, page);
}

std::optional<DomainStatistics> ControlLoop::domain_statistics(std::string_view domain) const {
  const auto current = compiled();
  const auto* found = current->domains.find(std::string(domain));
  if (found == nullptr) return std::nullopt;
  return statistics_of(std::string(domain), **found, workers());
}

std::vector<DomainStatistics> ControlLoop::all_domain_statistics() const {
  std::vector<DomainStatistics> out;
  const auto current = compiled();
  for (const auto& [name, domain] : current->domains) {
    out.push_back(statistics_of(name, *domain, workers()));
  }
  return out;
}

std::vector<ControlLoop::AddressFault> ControlLoop::address_faults(LinkId link) const {
  return ask([this, link] {
    std::vector<AddressFault> faults;
    const auto& entries = addresses_->addresses().entries();
    for (auto at = entries.lower_bound({link, {}}); at != entries.end() && at->first.link == link;
         ++at) {
      const OwnAddresses::Entry& entry = at->second;
      const bool duplicate = entry.status == AddressStatus::duplicate;
      if (!entry.other || (!duplicate && now() - entry.other_seen > kConflictShown)) continue;
      faults.push_back({at->first.address.to_string(), entry.other->to_string(), duplicate});
    }
    return faults;
  });
}

std::optional<ConfigurationState> ControlLoop::configuration_state(const ResourceKey& key) const {
  // A network whose next hops do not answer is configured, and does not work: both are said.
  ConfigurationState state;
  if (const auto* router = std::get_if<BgpRouterKey>(&key)) {
    return ask([&] { return bgp_->state(router->domain); });
  }
  std::string link_name;
  if (const auto* provider = std::get_if<ProviderNetworkKey>(&key)) {
    link_name = "providerNetworks/" + provider->name;
  } else if (const auto* external = std::get_if<ExternalNetworkKey>(&key)) {
    link_name = "externalNetworks/" + external->name;
  } else if (const auto* connection = std::get_if<NetworkConnectionKey>(&key)) {
    link_name = "routingDomains/" + connection->domain + "/networkConnections/" + connection->name;
  } else {
    return std::nullopt;
  }
  const auto current = compiled();
  const auto link = current->link_ids.find(link_name);
  if (link == current->link_ids.end()) return std::nullopt;
  for (const AddressFault& fault : address_faults(link->second)) {
    state.status = fault.duplicate || state.status == "Failure" ? "Failure" : "Warning";
    state.detailed_info.push_back(
        {link_name, fault.duplicate ? "duplicateAddress" : "addressConflict",
         fault.address + (fault.duplicate
                              ? " is not used: it is a duplicate, " + fault.other + " has it too"
                              : " is ours, but " + fault.other + " said that it has it")});
  }
  for (const NeighborState& neighbor : neighbors_on(link->second)) {
    if (neighbor.state != "failed") continue;
    if (state.status == "Success") state.status = "Warning";
    state.detailed_info.push_back(
        {link_name, "neighborFailed",
         neighbor.ip_address + " does not answer " + asked_by(neighbor) + " on " + link_name});
  }
  return state;
}

std::optional<ConnectionState> ControlLoop::connection_state(
    const NetworkConnectionKey& key) const {
  const auto current = compiled();
  const auto* found = current->domains.find(key.domain);
  if (found == nullptr) return std::nullopt;
  const auto id = (*found)->connections.find(key.name);
  if (id == (*found)->connections.end()) return std::nullopt;
  const ConnectionView& view = (*found)->view->connection(id->second);
  ConnectionState state;
  if (view.tunnel.valid()) state = tunnel_state(view);
  for (unsigned w = 0; w < workers(); ++w) {
    state.inbound_packets += view.counters[w].in_packets.value();
    state.inbound_bytes += view.counters[w].in_bytes.value();
    state.outbound_packets += view.counters[w].out_packets.value();
    state.outbound_bytes += view.counters[w].out_bytes.value();
  }
  if (view.tunnel.valid()) return state;
  // An L3 connection is up when its configured peers answer; without peers, when it is configured.
  const std::vector<NeighborState> neighbors = neighbors_on(view.link);
  state.connection_state = "Connected";
  for (const NeighborState& neighbor : neighbors) {
    if (neighbor.state == "failed" || neighbor.state == "incomplete") {
      state.connection_state = "Disconnected";
      state.unreachability_reason = neighbor.ip_address + " does not answer " + asked_by(neighbor);
    } else {
      state.connection_up_time_seconds =
          std::max(state.connection_up_time_seconds, neighbor.age_seconds);
    }
  }
  return state;
}

}  // namespace hnv
