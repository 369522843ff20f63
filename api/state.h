// SPDX-License-Identifier: Apache-2.0
//
// Run-time state as the API shows it: plain values, copied out of the running gateway. Counters
// count since the process started. Ages and times are in seconds unless a name says otherwise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bgp/bgp_table.h"
#include "bgp/peer_state.h"
#include "compartments/address.h"
#include "compartments/ids.h"

namespace hnv {

struct NamedCount {
  std::string name;
  uint64_t count = 0;
};

struct SystemState {
  std::string version;
  double uptime_seconds = 0;
  uint64_t generation = 0;  // of the desired state
  uint32_t workers = 0;
  std::vector<uint32_t> stuck_workers;  // that do not breathe
  bool hugepages = false;
  uint64_t memory_bytes = 0;  // of the packet memory (EAL)
  uint32_t packet_buffers = 0;
  uint32_t packet_buffers_free = 0;
  std::string mac_address;           // the gateway's default MAC in virtual subnets
  uint64_t duplicate_addresses = 0;  // own IPv6 addresses that others have, too: not used
  uint64_t address_conflicts = 0;    // times that others spoke for one of ours
  std::string ipsec;                 // off, down, up (charon), and why: "off: …"
  uint64_t ipsec_restarts = 0;       // of charon
  uint64_t tunnels = 0, tunnels_up = 0;
  std::string bgp;            // off, idle, down, up (bgpd), and why: "off: …"
  uint64_t bgp_restarts = 0;  // of bgpd
  uint64_t bgp_peers = 0, bgp_peers_established = 0;
};

// A BGP peer.
struct BgpPeerStatus {
  std::string why;                        // there can be no session; empty: there can
  std::string note;                       // what the operator may not expect of one
  std::optional<BgpPeerState> session{};  // as bgpd said last; nothing: it has not yet
};

struct BgpRouteQuestion {
  BgpRouteType type = BgpRouteType::all;
  std::string peer{};                                 // its name, or its address; empty: any
  std::optional<Prefix<Space::customer>> within{};    // it, and what lies in it
  std::optional<Prefix<Space::customer>> after{};     // begin behind it; it need not exist
  size_t limit = std::numeric_limits<size_t>::max();  // prefixes
};

struct BgpRouteState {
  BgpRoute route{};
  std::string peer{};                   // its name; empty: we told it, or the peer is gone
  std::optional<double> age_seconds{};  // since it changed last
};

struct BgpRouteList {
  std::vector<BgpRouteState> routes{};            // by prefix, every path of one
  std::optional<Prefix<Space::customer>> next{};  // there may be more behind it
  bool complete = true;  // else prefixes of which no path can be used may be missing
};

struct PortState {
  std::string name;
  std::string device;
  std::string driver;
  MacAddress mac_address;
  bool link_up = false;
  uint16_t mtu = 0;
  uint16_t rx_queues = 0, tx_queues = 0;
  std::string spreading;                 // over the workers: none (one worker), port, software
  std::vector<std::string> limitations;  // what the port cannot do, and what is done instead
  uint64_t rx_packets = 0, rx_bytes = 0, tx_packets = 0, tx_bytes = 0;
  uint64_t rx_missed = 0, rx_errors = 0, tx_errors = 0;
};

// gateway/ARCHITECTURE.md, "the ledger":
// rx + handed_in + injected + originated = tx + drops + punts + consumed + handed_out + held.
struct LedgerState {
  uint64_t rx = 0, handed_in = 0, injected = 0, originated = 0;
  uint64_t tx = 0, drops = 0, punts = 0, consumed = 0, handed_out = 0, held = 0;
  bool balanced = false;
};

struct DropsState {
  LedgerState ledger;  // summed over the workers
  std::vector<LedgerState> workers;
  // Between workers: handed out by one, not yet handed in by another. Counted a moment later than
  // the ledgers: exact when nothing moves.
  uint64_t in_rings = 0;
  std::vector<NamedCount> drops;       // every reason, by name, also those at zero
  std::vector<NamedCount> originated;  // by reason
  std::vector<NamedCount> consumed;    // by reason
};

struct StationState {
  std::string name;
  uint64_t packets = 0;
  uint64_t vectors = 0;  // times the station had work
};

struct WorkerCounts {
  uint64_t rx_packets = 0, tx_packets = 0, drops = 0;
  uint64_t handed_in = 0, handed_out = 0;  // from and to other workers
  uint64_t held = 0;                       // packets that wait inside it
  uint64_t breaths = 0, idle_breaths = 0, sleeps = 0;
  std::vector<StationState> stations;
};

struct WorkerState : WorkerCounts {
  uint32_t worker = 0;
  uint32_t lcore = 0;   // the processor, as configured
  bool stuck = false;   // does not breathe; its counts are those of when it last did
  uint64_t queued = 0;  // packets that others have handed over and it has not taken yet
};

struct StatisticsState {
  std::vector<WorkerState> workers;
  WorkerCounts total;  // summed over them
  uint64_t publishes = 0;
  uint64_t roots_waiting = 0;  // old dataplanes not yet freed
};

struct DomainStatistics {
  std::string domain;
  uint64_t inbound_packets = 0, inbound_bytes = 0;    // entered by NVGRE
  uint64_t outbound_packets = 0, outbound_bytes = 0;  // left by NVGRE
  uint64_t l3_inbound_packets = 0, l3_inbound_bytes = 0;
  uint64_t l3_outbound_packets = 0, l3_outbound_bytes = 0;
  uint64_t originated_packets = 0;    // answers and ICMP errors of the gateway
  uint64_t moved_record_packets = 0;  // accepted from a record's previous PA after a migration
  uint64_t routes = 0;                // offered by every source, chosen or not
  std::vector<NamedCount> drops;      // non-zero reasons only
};

struct RouteCandidateState {
  std::string source;  // local, connected, static, networkConnection
  uint32_t preference = 0;
  uint32_t metric = 0;
  std::string next_hop;   // a customer address, or empty when on-link
  std::string interface;  // virtualSubnets/NAME, networkConnections/NAME, or "local"
  double age_seconds = 0;
  bool best = false;
  std::string reason;  // why it won, or why it lost, as a sentence
};

struct RouteState {
  Prefix<Space::customer> prefix;
  std::vector<RouteCandidateState> candidates;  // in the order in which they would serve
  std::string fib;                              // what the dataplane holds, as text
};

struct RoutePage {
  std::optional<Prefix<Space::customer>> after;  // begin behind it; it need not exist
  size_t limit = std::numeric_limits<size_t>::max();
};

struct RouteTableState {
  std::vector<RouteState> routes;  // by prefix: IPv4 first, then by address, then the shorter one
  bool more = false;               // behind these
  uint64_t fib_bytes = 0;
  uint64_t fib_ranges = 0;
};

struct NeighborState {
  std::string network;  // providerNetworks/NAME, externalNetworks/NAME, networkConnections/NAME
  std::string ip_address;
  std::optional<MacAddress> mac_address;
  std::string state;       // incomplete, reachable, stale, probe, failed
  double age_seconds = 0;  // since the last confirmation
};

struct NeighborPage {
  struct Place {
    std::string network;
    IpAddress<Space::external> address;
  };
  std::optional<Place> after;  // begin behind it; it need not exist
  size_t limit = std::numeric_limits<size_t>::max();
};

struct NeighborTable {
  std::vector<NeighborState> neighbors;  // by network, then IPv4 first, then by address
  bool more = false;                     // behind these
};

struct ConfigurationState {  // Windows Network Controller's shape
  struct Detail {
    std::string source, code, message;
  };
  std::string status = "Success";  // Success, Warning, Failure
  std::vector<Detail> detailed_info;
};

struct IkeSaState {
  std::string local_address, remote_address, remote_identity;
  std::string algorithms;
  double age_seconds = 0;
};

struct ChildSaState {
  bool inbound = false;
  uint32_t spi = 0;
  std::string algorithms;
  bool udp_encapsulated = false;
  bool extended_sequence = false;
  std::string source, destination;  // of the outer packets
  double age_seconds = 0;
  uint64_t packets = 0, bytes = 0;  // of inner packets
};

struct TunnelState {
  std::string remote_address;  // where the site was seen last; empty: nowhere yet
  uint64_t tries = 0;          // since it was up last
  uint64_t rekeys = 0;
  uint64_t rx_dropped = 0, tx_dropped = 0;
  uint64_t rx_rate_limited = 0, tx_rate_limited = 0;  // among them
  uint64_t rx_marked = 0, tx_marked = 0;              // passed, with a congestion mark for the rate
  uint64_t rx_queue_bytes = 0, tx_queue_bytes = 0;    // what waits for the rate now
  double rx_queue_delay_seconds = 0, tx_queue_delay_seconds = 0;  // of what left it last
  std::vector<NamedCount> drops;                                  // non-zero reasons only
  std::vector<IkeSaState> ike_sas;
  std::vector<ChildSaState> child_sas;
};

struct ConnectionState {
  std::string connection_state;  // Connected, Disconnected; of a tunnel also Connecting
  double connection_up_time_seconds = 0;
  std::string unreachability_reason;
  uint64_t inbound_packets = 0, inbound_bytes = 0, outbound_packets = 0, outbound_bytes = 0;
  std::optional<TunnelState> tunnel;  // of type IPSec
};

// What keeps a tunnel from coming up, or its keys from being renewed.
struct TunnelDoctorState {
  struct Compared {
    std::string what;
    std::vector<std::string> gateway, site;  // empty: it did not say
  };
  struct Line {
    double age_seconds = 0;
    std::string text;
  };
  std::string connection_state;
  std::string cause;         // kTunnelFaultNames (vpn/ike_attempt.h); none
  std::string summary;       // a sentence
  std::string initiated_by;  // of the attempt: gateway, site, or empty: there was none
  std::string site_address;
  std::string nat;         // between us and the site: none, gateway, site, both (whose side)
  double age_seconds = 0;  // of the cause
  std::vector<Compared> compared;
  std::vector<std::string> what_to_change;
  std::vector<Line> attempt;  // as IKE tells it, oldest first
};

// What somebody wanted of IKE that belongs to no tunnel.
struct IkeFaultState {
  std::string cause, summary;
  std::string remote_address, local_address;
  std::string claimed_identity, asked_identity;
  uint64_t count = 0;
  double age_seconds = 0;  // of the last one
  std::vector<std::string> what_to_change;
};

struct LookupExplanation {
  std::string destination;
  std::optional<RouteState> route;  // absent: no route
  std::string record;               // path of the record used, if any
  std::string record_type;
  std::string provider_address;
  std::string mac_address;
  std::optional<uint32_t> virtual_subnet_id;
  std::optional<NeighborState> next_hop;  // on the outside network
  std::string verdict;                    // one sentence: where a packet goes, or why it is dropped
};

// A flow that NAT translates. `inside` and `outside` are the two sides of one mapping: what the
// VM's packets come from, and what the world sees; `remote` is whom they talk to. Ports of ICMP
// sessions are query identifiers; sessions of a one-to-one mapping show the packets' own ports.
struct NatSessionState {
  std::string protocol;  // TCP, UDP, ICMP, or the IP protocol's number
  IpAddress<Space::customer> inside_address;
  uint16_t inside_port = 0;
  IpAddress<Space::external> outside_address;
  uint16_t outside_port = 0;
  IpAddress<Space::external> remote_address;
  uint16_t remote_port = 0;
  std::string state;        // TCP: opening, established, closing, reset; others: open
  double age_seconds = 0;   // since its first packet
  double idle_seconds = 0;  // since its last one
  uint64_t inbound_packets = 0, inbound_bytes = 0;    // from outside to inside
  uint64_t outbound_packets = 0, outbound_bytes = 0;  // from inside to outside
  bool static_mapping = false;                        // else dynamic
};

// What is given must all hold. Default: every session.
struct NatSessionFilter {
  std::optional<uint8_t> protocol;  // the IP protocol's number
  std::optional<Prefix<Space::customer>> inside;
  std::optional<uint16_t> inside_port;
  std::optional<Prefix<Space::external>> outside;
  std::optional<uint16_t> outside_port;
  std::optional<Prefix<Space::external>> remote;
  std::optional<uint16_t> remote_port;
  friend bool operator==(const NatSessionFilter&, const NatSessionFilter&) = default;
};

struct NatSessionPage {
  std::string after;  // `next` of the page before; empty: from the beginning
  size_t limit = std::numeric_limits<size_t>::max();
};

struct NatSessionList {
  std::vector<NatSessionState> sessions;
  std::string next;  // where the next page begins: opaque, [A-Za-z0-9._-]; empty: no more
};

struct NatDomainState {
  uint64_t sessions = 0;
  uint64_t mappings = 0;     // dynamic ones: an inside address and port, a public address and port
  uint64_t addresses = 0;    // inside addresses that have ports
  uint64_t port_blocks = 0;  // that they hold
  std::vector<NamedCount> refused;  // new flows, by the limit that refused them; all limits
  uint64_t inbound_packets = 0, inbound_bytes = 0;    // from outside to inside
  uint64_t outbound_packets = 0, outbound_bytes = 0;  // from inside to outside
};

struct NatPoolState {
  uint64_t addresses = 0;  // public ones
  uint64_t port_blocks = 0, port_blocks_in_use = 0;
  uint64_t ports_in_use = 0;
  uint64_t domains = 0;  // that hold blocks of it
};

struct TraceFilter {
  std::string domain;
  std::optional<IpAddress<Space::customer>> source, destination;
  std::optional<uint8_t> protocol;
  std::optional<uint16_t> source_port, destination_port;
  uint32_t limit = 1000;  // events, then it stops by itself
};

struct TraceEvent {
  double time_seconds = 0;  // since the trace was switched on
  uint32_t worker = 0;
  std::string station;  // where the packet was
  std::string next;     // where it went: a station or a drop reason
  std::string packet;   // "10.0.0.4:1000 > 10.0.0.5:80 tcp, 60 bytes, vsid 5001"
};

struct TraceState {
  std::optional<TraceFilter> filter;
  std::vector<TraceEvent> events;
  uint64_t missed = 0;  // events that did not fit the ring
};

}  // namespace hnv
