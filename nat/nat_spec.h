// SPDX-License-Identifier: Apache-2.0
//
// What the operator asks of NAT: one plain struct per resource of the API, well-formed by itself.
// Names are NetNat's and the Network Controller's where they have one.
//
//   publicIPAddresses/{name}      public addresses and ports that domains share, or one has alone
//   routingDomains/{domain}/nat   who goes out by them, what is published, limits, timeouts
//
// All addresses are IPv4; a one-to-one mapping may be IPv6 on both sides.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "compartments/address.h"

namespace hnv {

// A range of ports (ICMP: of query identifiers), both ends included. REQUIRES first <= last,
// first >= 1.
struct PortRange {
  uint16_t first = 1024;
  uint16_t last = 65535;
  [[nodiscard]] bool contains(uint16_t port) const { return first <= port && port <= last; }
  [[nodiscard]] bool overlaps(const PortRange& other) const {
    return first <= other.last && other.first <= last;
  }
  [[nodiscard]] uint32_t size() const { return uint32_t{last} - first + 1; }
  friend auto operator<=>(const PortRange&, const PortRange&) = default;
};

// Public addresses and their ports as one pool. No two pools, nor a pool and a one-to-one mapping,
// have a (address, port) in common. Static mappings may lie in a pool: their ports are left out.
struct PublicAddressPoolSpec {
  std::string external_network;
  // JSON: publicIPAddresses. Each inside one of the network's publicAddressPrefixes; 1..4096
  // addresses in all.
  std::vector<Prefix<Space::external>> addresses;
  PortRange port_range;
  // Ports that an inside address gets at once, all of one public address: a power of two, 4..64.
  // Absent: 64, less in small ranges.
  std::optional<uint16_t> port_block_size;
  std::optional<std::string> routing_domain;  // only this one may use it; absent: any
  bool respond_to_ping = false;  // echo requests that nobody inside is asked for are answered
  friend bool operator==(const PublicAddressPoolSpec&, const PublicAddressPoolSpec&) = default;
};

// Which inside addresses go out by which public ones. The longest source prefix that holds the
// address counts, then the order of the list.
struct OutboundRuleSpec {
  std::string name;
  std::vector<Prefix<Space::customer>> source_prefixes;  // default 0.0.0.0/0
  // Exactly one: a pool (its network is the rule's), or addresses of a network for this rule alone.
  std::optional<std::string> pool;
  std::optional<std::string> external_network;
  std::vector<Prefix<Space::external>> public_addresses;
  std::optional<PortRange> port_range;  // of these ports only; default the pool's, or 1024..65535
  friend bool operator==(const OutboundRuleSpec&, const OutboundRuleSpec&) = default;
};

enum class NatProtocol : uint8_t { tcp, udp, any };  // any: one-to-one

// Something inside that is reached from outside. Protocol any (no ports) gives the inside address
// the public one alone, for every protocol, in both directions.
struct StaticMappingSpec {
  std::string name;
  std::string external_network;
  NatProtocol protocol = NatProtocol::tcp;
  IpAddress<Space::external> public_address;
  uint16_t public_port = 0;  // 0 exactly when protocol is any; likewise below
  IpAddress<Space::customer> inside_address;
  uint16_t inside_port = 0;
  std::optional<Prefix<Space::external>> remote_prefix;  // only these may use it from outside
  friend bool operator==(const StaticMappingSpec&, const StaticMappingSpec&) = default;
};

// Who outside may send to a mapping (RFC 4787 §5).
enum class NatFiltering : uint8_t {
  endpoint_independent,
  address_dependent,
  address_and_port_dependent,
};

// In seconds. The least values are the RFCs' (4787 REQ-5, 5382 REQ-5, 5508 REQ-1).
struct NatTimeouts {
  uint32_t udp = 300;               // 120..86400
  uint32_t tcp_established = 7440;  // 7440..604800
  uint32_t tcp_transitory = 240;    // 240..86400: opening, closing, reset
  uint32_t icmp = 60;               // 60..86400
  uint32_t port_rest = 120;         // 0..3600: how long a port rests that became free
  friend bool operator==(const NatTimeouts&, const NatTimeouts&) = default;
};

// 0: no limit but the gateway's.
struct NatLimits {
  uint32_t sessions_per_domain = 0;
  uint32_t sessions_per_address = 0;
  uint32_t ports_per_address = 0;
  uint32_t new_sessions_per_second = 0;  // of the domain
  friend bool operator==(const NatLimits&, const NatLimits&) = default;
};

// What refused flows are told: ICMP type 3 code 13 or 10.
enum class NatRefusal : uint8_t { administratively_prohibited, host_prohibited };

// A routing domain's NAT.
struct NatSpec {
  std::vector<Prefix<Space::customer>> destination_prefixes;  // default 0.0.0.0/0
  std::vector<Prefix<Space::customer>> exclude_prefixes;
  std::vector<OutboundRuleSpec> outbound_rules;
  std::vector<StaticMappingSpec> static_mappings;
  NatFiltering filtering = NatFiltering::endpoint_independent;
  NatTimeouts timeouts;
  NatLimits limits;
  NatRefusal refusal = NatRefusal::administratively_prohibited;
  bool hairpin = true;
  bool log_sessions = false;  // a record for every session, not only for port blocks
  friend bool operator==(const NatSpec&, const NatSpec&) = default;
};

// An address's ports make at most so many blocks; the first and the last may be cut.
inline constexpr uint32_t kMostPortBlocks = 1024;
// The block size that holds: what was asked for, or what suits the range; more where there would be
// too many blocks.
[[nodiscard]] uint16_t port_block_size(const PublicAddressPoolSpec& pool);
[[nodiscard]] uint16_t port_block_size(const PortRange& range);

}  // namespace hnv
