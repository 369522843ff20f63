// SPDX-License-Identifier: Apache-2.0
#include "api/metrics.h"

#include <limits>
#include <map>

#include <prometheus/text_serializer.h>

namespace hnv {
namespace {

using Families = std::vector<prometheus::MetricFamily>;
using Labels = std::vector<prometheus::ClientMetric::Label>;

prometheus::ClientMetric sample(prometheus::MetricType type, Labels labels, double value) {
  prometheus::ClientMetric metric;
  metric.label = std::move(labels);
  if (type == prometheus::MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  return metric;
}

// One metric of one row of state: a port's, a domain's, the system's.
template <class Row>
struct Column {
  const char* name;
  const char* help;
  prometheus::MetricType type;
  double (*value)(const Row&);
};

constexpr auto kCounter = prometheus::MetricType::Counter;
constexpr auto kGauge = prometheus::MetricType::Gauge;

template <auto Member, class Row>
double field(const Row& row) {
  return static_cast<double>(row.*Member);
}

constexpr Column<SystemState> kSystem[] = {
    {"hnv_uptime_seconds", "Time since the gateway started", kGauge,
     field<&SystemState::uptime_seconds>},
    {"hnv_config_generation", "Generation of the desired state", kGauge,
     field<&SystemState::generation>},
    {"hnv_workers", "Worker threads", kGauge, field<&SystemState::workers>},
    {"hnv_duplicate_addresses", "Own addresses that are not used: others have them, too", kGauge,
     field<&SystemState::duplicate_addresses>},
    {"hnv_address_conflicts_total", "Times that others spoke for one of our addresses", kCounter,
     field<&SystemState::address_conflicts>},
    {"hnv_tunnels", "IPSec connections", kGauge, field<&SystemState::tunnels>},
    {"hnv_tunnels_up", "IPSec connections that are up", kGauge, field<&SystemState::tunnels_up>},
    {"hnv_ipsec_restarts_total", "Times that charon was started again", kCounter,
     field<&SystemState::ipsec_restarts>},
    {"hnv_bgp_peers", "BGP peers", kGauge, field<&SystemState::bgp_peers>},
    {"hnv_bgp_peers_established", "BGP peers with a session", kGauge,
     field<&SystemState::bgp_peers_established>},
    {"hnv_bgp_restarts_total", "Times that bgpd was started again", kCounter,
     field<&SystemState::bgp_restarts>},
    {"hnv_packet_buffers", "Packet buffers", kGauge, field<&SystemState::packet_buffers>},
    {"hnv_packet_buffers_free", "Packet buffers that are free", kGauge,
     field<&SystemState::packet_buffers_free>},
};

constexpr Column<PortState> kPorts[] = {
    {"hnv_port_up", "1 when the port has link", kGauge, field<&PortState::link_up>},
    {"hnv_port_rx_packets_total", "Packets received", kCounter, field<&PortState::rx_packets>},
    {"hnv_port_rx_bytes_total", "Bytes received", kCounter, field<&PortState::rx_bytes>},
    {"hnv_port_tx_packets_total", "Packets sent", kCounter, field<&PortState::tx_packets>},
    {"hnv_port_tx_bytes_total", "Bytes sent", kCounter, field<&PortState::tx_bytes>},
    {"hnv_port_rx_missed_total", "Packets lost for want of a receive descriptor", kCounter,
     field<&PortState::rx_missed>},
    {"hnv_port_rx_errors_total", "Packets received broken", kCounter, field<&PortState::rx_errors>},
    {"hnv_port_tx_errors_total", "Packets that could not be sent", kCounter,
     field<&PortState::tx_errors>},
};

constexpr Column<DomainStatistics> kDomains[] = {
    {"hnv_domain_inbound_packets_total", "Packets that entered by NVGRE", kCounter,
     field<&DomainStatistics::inbound_packets>},
    {"hnv_domain_inbound_bytes_total", "Bytes that entered by NVGRE", kCounter,
     field<&DomainStatistics::inbound_bytes>},
    {"hnv_domain_outbound_packets_total", "Packets that left by NVGRE", kCounter,
     field<&DomainStatistics::outbound_packets>},
    {"hnv_domain_outbound_bytes_total", "Bytes that left by NVGRE", kCounter,
     field<&DomainStatistics::outbound_bytes>},
    {"hnv_domain_l3_inbound_packets_total", "Packets that entered by L3 connections", kCounter,
     field<&DomainStatistics::l3_inbound_packets>},
    {"hnv_domain_l3_inbound_bytes_total", "Bytes that entered by L3 connections", kCounter,
     field<&DomainStatistics::l3_inbound_bytes>},
    {"hnv_domain_l3_outbound_packets_total", "Packets that left by L3 connections", kCounter,
     field<&DomainStatistics::l3_outbound_packets>},
    {"hnv_domain_l3_outbound_bytes_total", "Bytes that left by L3 connections", kCounter,
     field<&DomainStatistics::l3_outbound_bytes>},
    {"hnv_domain_originated_packets_total", "Answers and ICMP errors of the gateway", kCounter,
     field<&DomainStatistics::originated_packets>},
    {"hnv_domain_moved_record_packets_total",
     "Packets accepted from a record's previous provider address", kCounter,
     field<&DomainStatistics::moved_record_packets>},
    {"hnv_domain_routes", "Routes that every source offers, chosen or not", kGauge,
     field<&DomainStatistics::routes>},
};

constexpr Column<WorkerState> kWorkers[] = {
    {"hnv_worker_stuck", "1 when the worker does not breathe", kGauge, field<&WorkerState::stuck>},
    {"hnv_worker_queued_packets", "Packets others handed over and it has not taken yet", kGauge,
     field<&WorkerState::queued>},
    {"hnv_worker_held_packets", "Packets that wait inside", kGauge, field<&WorkerState::held>},
    {"hnv_worker_rx_packets_total", "Packets received", kCounter, field<&WorkerState::rx_packets>},
    {"hnv_worker_tx_packets_total", "Packets sent", kCounter, field<&WorkerState::tx_packets>},
    {"hnv_worker_drops_total", "Packets dropped", kCounter, field<&WorkerState::drops>},
    {"hnv_worker_handed_in_packets_total", "Packets from other workers", kCounter,
     field<&WorkerState::handed_in>},
    {"hnv_worker_handed_out_packets_total", "Packets to other workers", kCounter,
     field<&WorkerState::handed_out>},
    {"hnv_worker_breaths_total", "Turns of the loop", kCounter, field<&WorkerState::breaths>},
    {"hnv_worker_idle_breaths_total", "Turns that found nothing to do", kCounter,
     field<&WorkerState::idle_breaths>},
    {"hnv_worker_sleeps_total", "Times it slept", kCounter, field<&WorkerState::sleeps>},
};

constexpr Column<StatisticsState> kControl[] = {
    {"hnv_publishes_total", "Dataplanes published", kCounter, field<&StatisticsState::publishes>},
    {"hnv_dataplanes_waiting", "Old dataplanes not yet freed", kGauge,
     field<&StatisticsState::roots_waiting>},
};

struct DomainNat : NatDomainState {
  std::string domain;
};
constexpr Column<DomainNat> kNat[] = {
    {"hnv_nat_sessions", "NAT sessions", kGauge, field<&DomainNat::sessions, DomainNat>},
    {"hnv_nat_mappings", "Dynamic NAT mappings", kGauge, field<&DomainNat::mappings, DomainNat>},
    {"hnv_nat_inside_addresses", "Inside addresses that have ports", kGauge,
     field<&DomainNat::addresses, DomainNat>},
    {"hnv_nat_port_blocks", "Port blocks that inside addresses hold", kGauge,
     field<&DomainNat::port_blocks, DomainNat>},
    {"hnv_nat_inbound_packets_total", "Packets translated from outside to inside", kCounter,
     field<&DomainNat::inbound_packets, DomainNat>},
    {"hnv_nat_inbound_bytes_total", "Bytes translated from outside to inside", kCounter,
     field<&DomainNat::inbound_bytes, DomainNat>},
    {"hnv_nat_outbound_packets_total", "Packets translated from inside to outside", kCounter,
     field<&DomainNat::outbound_packets, DomainNat>},
    {"hnv_nat_outbound_bytes_total", "Bytes translated from inside to outside", kCounter,
     field<&DomainNat::outbound_bytes, DomainNat>},
};

struct PoolNat : NatPoolState {
  std::string pool;
};
constexpr Column<PoolNat> kPools[] = {
    {"hnv_nat_pool_addresses", "Public addresses of the pool", kGauge,
     field<&PoolNat::addresses, PoolNat>},
    {"hnv_nat_pool_port_blocks", "Port blocks of the pool", kGauge,
     field<&PoolNat::port_blocks, PoolNat>},
    {"hnv_nat_pool_port_blocks_in_use", "Port blocks that inside addresses hold", kGauge,
     field<&PoolNat::port_blocks_in_use, PoolNat>},
    {"hnv_nat_pool_ports_in_use", "Ports that mappings hold", kGauge,
     field<&PoolNat::ports_in_use, PoolNat>},
    {"hnv_nat_pool_domains", "Routing domains that hold port blocks", kGauge,
     field<&PoolNat::domains, PoolNat>},
};

// One family a column, one sample a row.
template <class Row, size_t N, class LabelsOf>
void add_table(Families& out, const Column<Row> (&columns)[N], const std::vector<Row>& rows,
               const LabelsOf& labels_of) {
  for (const auto& column : columns) {
    prometheus::MetricFamily family{column.name, column.help, column.type, {}};
    for (const auto& row : rows) {
      family.metric.push_back(sample(column.type, labels_of(row), column.value(row)));
    }
    out.push_back(std::move(family));
  }
}

void add_counts(Families& out, const char* name, const char* help, const char* label,
                const std::vector<NamedCount>& counts) {
  prometheus::MetricFamily family{name, help, kCounter, {}};
  for (const auto& entry : counts) {
    family.metric.push_back(
        sample(kCounter, {{label, entry.name}}, static_cast<double>(entry.count)));
  }
  out.push_back(std::move(family));
}

void add_ledger(Families& out, const DropsState& state) {
  const LedgerState& ledger = state.ledger;
  add_counts(out, "hnv_ledger_packets_total", "The ledger's terms, summed over the workers", "term",
             {{"rx", ledger.rx},
              {"handed_in", ledger.handed_in},
              {"injected", ledger.injected},
              {"originated", ledger.originated},
              {"tx", ledger.tx},
              {"drops", ledger.drops},
              {"punts", ledger.punts},
              {"consumed", ledger.consumed},
              {"handed_out", ledger.handed_out}});
  const std::pair<const char*, double> gauges[] = {
      {"hnv_held_packets", static_cast<double>(ledger.held)},
      {"hnv_ledger_balanced", ledger.balanced ? 1.0 : 0.0}};
  for (const auto& [name, value] : gauges) {
    out.push_back({name, "Part of the ledger", kGauge, {sample(kGauge, {}, value)}});
  }
  add_counts(out, "hnv_drops_total", "Packets dropped", "reason", state.drops);
  add_counts(out, "hnv_originated_total", "Packets the gateway made", "reason", state.originated);
  add_counts(out, "hnv_consumed_total", "Packets that ended in the gateway", "reason",
             state.consumed);
}

void add_stations(Families& out, const StatisticsState& state) {
  std::map<std::string, uint64_t> packets;
  std::map<std::string, uint64_t> vectors;
  for (const auto& station : state.total.stations) {
    packets[station.name] += station.packets;
    vectors[station.name] += station.vectors;
  }
  const auto list = [](const std::map<std::string, uint64_t>& sums) {
    std::vector<NamedCount> counts;
    counts.reserve(sums.size());
    for (const auto& [name, sum] : sums) counts.push_back({name, sum});
    return counts;
  };
  add_counts(out, "hnv_station_packets_total", "Packets that went through a station", "station",
             list(packets));
  add_counts(out, "hnv_station_vectors_total", "Times a station had work", "station",
             list(vectors));
}

void add_domain_drops(Families& out, const std::vector<DomainStatistics>& domains) {
  prometheus::MetricFamily family{
      "hnv_domain_drops_total", "Packets dropped inside a routing domain", kCounter, {}};
  for (const auto& domain : domains) {
    for (const auto& drop : domain.drops) {
      family.metric.push_back(sample(kCounter, {{"domain", domain.domain}, {"reason", drop.name}},
                                     static_cast<double>(drop.count)));
    }
  }
  out.push_back(std::move(family));
}

void add_nat(Families& out, const Control& control, const std::vector<DomainStatistics>& domains) {
  std::vector<DomainNat> nats;
  for (const auto& domain : domains) {
    if (auto state = control.nat_state(domain.domain)) {
      nats.push_back({std::move(*state), domain.domain});
    }
  }
  add_table<DomainNat>(out, kNat, nats, [](const DomainNat& n) {
    return Labels{{"domain", n.domain}};
  });
  prometheus::MetricFamily refused{
      "hnv_nat_refused_total", "New flows that a limit refused", kCounter, {}};
  for (const auto& nat : nats) {
    for (const auto& limit : nat.refused) {
      refused.metric.push_back(sample(kCounter, {{"domain", nat.domain}, {"limit", limit.name}},
                                      static_cast<double>(limit.count)));
    }
  }
  out.push_back(std::move(refused));

  std::vector<PoolNat> pools;
  const auto known = control.config()->list({Collection::public_address_pools, {}, {}}, {},
                                            std::numeric_limits<size_t>::max());
  for (const auto& pool : *known) {
    const std::string& name = std::get<PublicAddressPoolKey>(pool.key).name;
    if (auto state = control.nat_pool_state(name)) pools.push_back({std::move(*state), name});
  }
  add_table<PoolNat>(out, kPools, pools, [](const PoolNat& p) { return Labels{{"pool", p.pool}}; });
}

}  // namespace

std::vector<prometheus::MetricFamily> GatewayMetrics::Collect() const {
  const auto none = [](const auto&) { return Labels{}; };
  Families out;
  const SystemState system = control_.system();
  out.push_back({"hnv_build_info",
                 "The gateway's version",
                 kGauge,
                 {sample(kGauge, {{"version", system.version}}, 1)}});
  add_table<SystemState>(out, kSystem, {system}, none);
  add_table<PortState>(out, kPorts, control_.ports(), [](const PortState& p) {
    return Labels{{"port", p.name}};
  });
  add_ledger(out, control_.drops());
  const StatisticsState statistics = control_.statistics();
  add_table<StatisticsState>(out, kControl, {statistics}, none);
  add_table<WorkerState>(out, kWorkers, statistics.workers, [](const WorkerState& w) {
    return Labels{{"worker", std::to_string(w.worker)}};
  });
  add_stations(out, statistics);
  const auto domains = control_.all_domain_statistics();
  add_table<DomainStatistics>(out, kDomains, domains, [](const DomainStatistics& d) {
    return Labels{{"domain", d.domain}};
  });
  add_domain_drops(out, domains);
  add_nat(out, control_, domains);
  return out;
}

HttpAnswer get_metrics(const Call& call) {
  HttpAnswer answer;
  answer.content_type = "text/plain; version=0.0.4; charset=utf-8";
  answer.body = prometheus::TextSerializer().Serialize(GatewayMetrics(call.control).Collect());
  return answer;
}

}  // namespace hnv
