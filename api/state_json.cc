// SPDX-License-Identifier: Apache-2.0
#include "api/state_json.h"

#include <fmt/format.h>

namespace hnv {
namespace {

Json counts(const std::vector<NamedCount>& list) {
  Json json = Json::object();
  for (const auto& entry : list) json[entry.name] = entry.count;
  return json;
}

Json optional_mac(const std::optional<MacAddress>& mac) {
  return mac ? Json(mac->to_string()) : Json(nullptr);
}

Json ledger_json(const LedgerState& ledger) {
  return {{"rx", ledger.rx},
          {"handedIn", ledger.handed_in},
          {"injected", ledger.injected},
          {"originated", ledger.originated},
          {"tx", ledger.tx},
          {"drops", ledger.drops},
          {"punts", ledger.punts},
          {"consumed", ledger.consumed},
          {"handedOut", ledger.handed_out},
          {"held", ledger.held},
          {"balanced", ledger.balanced}};
}

Json counts_json(const WorkerCounts& counts) {
  Json stations = Json::array();
  for (const auto& station : counts.stations) {
    stations.push_back(
        {{"station", station.name}, {"packets", station.packets}, {"vectors", station.vectors}});
  }
  return {{"rxPackets", counts.rx_packets}, {"txPackets", counts.tx_packets},
          {"drops", counts.drops},          {"handedIn", counts.handed_in},
          {"handedOut", counts.handed_out}, {"held", counts.held},
          {"breaths", counts.breaths},      {"idleBreaths", counts.idle_breaths},
          {"sleeps", counts.sleeps},        {"stations", std::move(stations)}};
}

Json worker_json(const WorkerState& worker) {
  Json json = counts_json(worker);
  json["worker"] = worker.worker;
  json["lcore"] = worker.lcore;
  json["state"] = worker.stuck ? "stuck" : "running";
  json["queued"] = worker.queued;
  return json;
}

Json candidate_json(const RouteCandidateState& candidate) {
  return {{"source", candidate.source},       {"preference", candidate.preference},
          {"metric", candidate.metric},       {"nextHop", candidate.next_hop},
          {"interface", candidate.interface}, {"age", candidate.age_seconds},
          {"best", candidate.best},           {"reason", candidate.reason}};
}

Json filter_json(const TraceFilter& filter) {
  Json json{{"routingDomain", filter.domain}, {"limit", filter.limit}};
  if (filter.source) json["source"] = filter.source->to_string();
  if (filter.destination) json["destination"] = filter.destination->to_string();
  if (filter.protocol) json["protocol"] = *filter.protocol;
  if (filter.source_port) json["sourcePort"] = *filter.source_port;
  if (filter.destination_port) json["destinationPort"] = *filter.destination_port;
  return json;
}

}  // namespace

Json state_json(const SystemState& state) {
  return {{"version", state.version},
          {"uptime", state.uptime_seconds},
          {"generation", state.generation},
          {"workers", state.workers},
          {"stuckWorkers", state.stuck_workers},
          {"duplicateAddresses", state.duplicate_addresses},
          {"addressConflicts", state.address_conflicts},
          {"hugepages", state.hugepages},
          {"memoryBytes", state.memory_bytes},
          {"packetBuffers", state.packet_buffers},
          {"packetBuffersFree", state.packet_buffers_free},
          {"ipsec", state.ipsec},
          {"ipsecRestarts", state.ipsec_restarts},
          {"tunnels", state.tunnels},
          {"tunnelsUp", state.tunnels_up},
          {"bgp", state.bgp},
          {"bgpRestarts", state.bgp_restarts},
          {"bgpPeers", state.bgp_peers},
          {"bgpPeersEstablished", state.bgp_peers_established},
          {"macAddress", state.mac_address}};
}

Json state_json(const PortState& state) {
  return {{"name", state.name},
          {"device", state.device},
          {"driver", state.driver},
          {"macAddress", state.mac_address.to_string()},
          {"linkUp", state.link_up},
          {"mtu", state.mtu},
          {"rxQueues", state.rx_queues},
          {"txQueues", state.tx_queues},
          {"spreading", state.spreading},
          {"limitations", state.limitations},
          {"rxPackets", state.rx_packets},
          {"rxBytes", state.rx_bytes},
          {"txPackets", state.tx_packets},
          {"txBytes", state.tx_bytes},
          {"rxMissed", state.rx_missed},
          {"rxErrors", state.rx_errors},
          {"txErrors", state.tx_errors}};
}

Json state_json(const DropsState& state) {
  Json workers = Json::array();
  for (const auto& worker : state.workers) workers.push_back(ledger_json(worker));
  return {{"ledger", ledger_json(state.ledger)},
          {"workers", std::move(workers)},
          {"inRings", state.in_rings},
          {"drops", counts(state.drops)},
          {"originated", counts(state.originated)},
          {"consumed", counts(state.consumed)}};
}

Json state_json(const StatisticsState& state) {
  Json workers = Json::array();
  for (const auto& worker : state.workers) workers.push_back(worker_json(worker));
  return {{"workers", std::move(workers)},
          {"total", counts_json(state.total)},
          {"publishes", state.publishes},
          {"rootsWaiting", state.roots_waiting}};
}

Json state_json(const DomainStatistics& state) {
  return {{"routingDomain", state.domain},
          {"inboundPackets", state.inbound_packets},
          {"inboundBytes", state.inbound_bytes},
          {"outboundPackets", state.outbound_packets},
          {"outboundBytes", state.outbound_bytes},
          {"l3InboundPackets", state.l3_inbound_packets},
          {"l3InboundBytes", state.l3_inbound_bytes},
          {"l3OutboundPackets", state.l3_outbound_packets},
          {"l3OutboundBytes", state.l3_outbound_bytes},
          {"originatedPackets", state.originated_packets},
          {"movedRecordPackets", state.moved_record_packets},
          {"routes", state.routes},
          {"drops", counts(state.drops)}};
}

Json state_json(const RouteState& state) {
  Json candidates = Json::array();
  for (const auto& candidate : state.candidates) candidates.push_back(candidate_json(candidate));
  return {{"destinationPrefix", state.prefix.to_string()},
          {"candidates", std::move(candidates)},
          {"fib", state.fib}};
}

Json state_json(const NeighborTable& table) {
  Json json{{"value", state_list(table.neighbors)}};
  if (table.more && !table.neighbors.empty()) {
    const NeighborState& last = table.neighbors.back();
    json["nextAfter"] = last.network + "/" + last.ip_address;
  }
  return json;
}

Json state_json(const RouteTableState& state) {
  Json json{{"value", state_list(state.routes)},
            {"fibBytes", state.fib_bytes},
            {"fibRanges", state.fib_ranges}};
  if (state.more) json["nextAfter"] = state.routes.back().prefix.to_string();
  return json;
}

Json state_json(const NeighborState& state) {
  return {{"network", state.network},
          {"ipAddress", state.ip_address},
          {"macAddress", optional_mac(state.mac_address)},
          {"state", state.state},
          {"age", state.age_seconds}};
}

Json state_json(const ConfigurationState& state) {
  Json info = Json::array();
  for (const auto& detail : state.detailed_info) {
    info.push_back({{"source", detail.source}, {"code", detail.code}, {"message", detail.message}});
  }
  return {{"status", state.status}, {"detailedInfo", std::move(info)}};
}

namespace {

Json ike_sas(const std::vector<IkeSaState>& sas) {
  Json list = Json::array();
  for (const IkeSaState& sa : sas) {
    list.push_back({{"localAddress", sa.local_address},
                    {"remoteAddress", sa.remote_address},
                    {"remoteIdentity", sa.remote_identity},
                    {"algorithms", sa.algorithms},
                    {"age", sa.age_seconds}});
  }
  return list;
}

Json child_sas(const std::vector<ChildSaState>& sas) {
  Json list = Json::array();
  for (const ChildSaState& sa : sas) {
    list.push_back({{"direction", sa.inbound ? "inbound" : "outbound"},
                    {"spi", fmt::format("{:08x}", sa.spi)},
                    {"algorithms", sa.algorithms},
                    {"encapsulation", sa.udp_encapsulated ? "udp" : "none"},
                    {"extendedSequenceNumbers", sa.extended_sequence},
                    {"source", sa.source},
                    {"destination", sa.destination},
                    {"age", sa.age_seconds},
                    {"packets", sa.packets},
                    {"bytes", sa.bytes}});
  }
  return list;
}

}  // namespace

Json state_json(const ConnectionState& state) {
  Json json{{"connectionState", state.connection_state},
            {"connectionUpTime", state.connection_up_time_seconds},
            {"unreachabilityReason", state.unreachability_reason},
            {"statistics",
             {{"inboundPackets", state.inbound_packets},
              {"inboundBytes", state.inbound_bytes},
              {"outboundPackets", state.outbound_packets},
              {"outboundBytes", state.outbound_bytes}}}};
  if (!state.tunnel) return json;
  const TunnelState& tunnel = *state.tunnel;
  Json& statistics = json["statistics"];
  statistics["rxTotalPacketsDropped"] = tunnel.rx_dropped;
  statistics["txTotalPacketsDropped"] = tunnel.tx_dropped;
  statistics["rxRateLimitedPacketsDropped"] = tunnel.rx_rate_limited;
  statistics["txRateLimitedPacketsDropped"] = tunnel.tx_rate_limited;
  statistics["rxRateLimitedPacketsMarked"] = tunnel.rx_marked;
  statistics["txRateLimitedPacketsMarked"] = tunnel.tx_marked;
  statistics["rxQueueBytes"] = tunnel.rx_queue_bytes;
  statistics["txQueueBytes"] = tunnel.tx_queue_bytes;
  statistics["rxQueueDelay"] = tunnel.rx_queue_delay_seconds;
  statistics["txQueueDelay"] = tunnel.tx_queue_delay_seconds;
  statistics["drops"] = counts(tunnel.drops);
  json["ike"] = {
      {"remoteAddress", tunnel.remote_address}, {"tries", tunnel.tries}, {"rekeys", tunnel.rekeys}};
  json["ikeSas"] = ike_sas(tunnel.ike_sas);
  json["childSas"] = child_sas(tunnel.child_sas);
  return json;
}

namespace {

Json messages(const BgpMessageCounts& counted) {
  return {{"opens", counted.opens},
          {"notifications", counted.notifications},
          {"updates", counted.updates},
          {"keepAlives", counted.keepalives},
          {"routeRefreshes", counted.route_refreshes}};
}

}  // namespace

Json state_json(const BgpPeerStatus& state) {
  static const BgpPeerState kNoSession;
  const BgpPeerState& session = state.session ? *state.session : kNoSession;
  std::string error = session.last_reset;
  if (!session.last_notification.empty()) {
    error += (error.empty() ? "" : ": ") + session.last_notification;
  }
  Json json{{"connectionState", session.connection_state},
            {"connectionUpTime", static_cast<double>(session.up_milliseconds) / 1000},
            {"unreachabilityReason", state.why},
            {"note", state.note},
            {"lastError", error},
            {"timesEstablished", session.established},
            {"timesDropped", session.dropped},
            {"holdTimeSeconds", session.hold_time_seconds},
            {"messagesSent", messages(session.sent)},
            {"messagesReceived", messages(session.received)},
            {"prefixesAccepted", session.prefixes_accepted},
            {"prefixesSent", session.prefixes_sent}};
  if (!session.bfd.empty()) json["bfd"] = {{"state", session.bfd}};
  return json;
}

Json state_json(const BgpRouteState& state) {
  const BgpRoute& route = state.route;
  Json json{{"prefix", route.prefix.to_string()},
            {"nextHop", route.next_hop},
            {"peer", state.peer},
            {"peerIpAddress", route.peer ? route.peer->to_string() : std::string()},
            {"asPath", route.as_path},
            {"origin", route.origin},
            {"weight", route.weight},
            {"communities", route.communities},
            {"valid", route.valid},
            {"best", route.best},
            {"stale", route.stale},
            {"reason", route.reason}};
  if (route.local_pref) json["localPref"] = *route.local_pref;
  if (route.med) json["med"] = *route.med;
  if (state.age_seconds) json["age"] = *state.age_seconds;
  return json;
}

Json state_json(const BgpRouteList& state) {
  Json json{{"value", state_list(state.routes)}, {"complete", state.complete}};
  if (state.next) json["nextAfter"] = state.next->to_string();
  return json;
}

Json state_json(const NatSessionState& state) {
  return {{"protocol", state.protocol},
          {"insideAddress", state.inside_address.to_string()},
          {"insidePort", state.inside_port},
          {"outsideAddress", state.outside_address.to_string()},
          {"outsidePort", state.outside_port},
          {"remoteAddress", state.remote_address.to_string()},
          {"remotePort", state.remote_port},
          {"state", state.state},
          {"mapping", state.static_mapping ? "static" : "dynamic"},
          {"age", state.age_seconds},
          {"idle", state.idle_seconds},
          {"inboundPackets", state.inbound_packets},
          {"inboundBytes", state.inbound_bytes},
          {"outboundPackets", state.outbound_packets},
          {"outboundBytes", state.outbound_bytes}};
}

Json state_json(const NatSessionList& state) {
  Json json{{"value", state_list(state.sessions)}};
  if (!state.next.empty()) json["nextAfter"] = state.next;
  return json;
}

Json state_json(const NatDomainState& state) {
  return {{"sessions", state.sessions},
          {"mappings", state.mappings},
          {"addresses", state.addresses},
          {"portBlocks", state.port_blocks},
          {"refused", counts(state.refused)},
          {"statistics",
           {{"inboundPackets", state.inbound_packets},
            {"inboundBytes", state.inbound_bytes},
            {"outboundPackets", state.outbound_packets},
            {"outboundBytes", state.outbound_bytes}}}};
}

Json state_json(const NatPoolState& state) {
  return {{"addresses", state.addresses},
          {"portBlocks", state.port_blocks},
          {"portBlocksInUse", state.port_blocks_in_use},
          {"portsInUse", state.ports_in_use},
          {"routingDomains", state.domains}};
}

Json state_json(const LookupExplanation& state) {
  Json json{{"destination", state.destination},
            {"route", nullptr},
            {"lookupRecord", state.record},
            {"lookupRecordType", state.record_type},
            {"providerAddress", state.provider_address},
            {"macAddress", state.mac_address},
            {"virtualSubnetId", nullptr},
            {"nextHop", nullptr},
            {"verdict", state.verdict}};
  if (state.route) json["route"] = state_json(*state.route);
  if (state.virtual_subnet_id) json["virtualSubnetId"] = *state.virtual_subnet_id;
  if (state.next_hop) json["nextHop"] = state_json(*state.next_hop);
  return json;
}

Json state_json(const TraceState& state) {
  Json events = Json::array();
  for (const auto& event : state.events) {
    events.push_back({{"time", event.time_seconds},
                      {"worker", event.worker},
                      {"station", event.station},
                      {"next", event.next},
                      {"packet", event.packet}});
  }
  return {{"filter", state.filter ? filter_json(*state.filter) : Json(nullptr)},
          {"events", std::move(events)},
          {"missed", state.missed}};
}

}  // namespace hnv
