// SPDX-License-Identifier: Apache-2.0
//
// A routing domain as the workers see it: immutable, built by gateway/compile, shared by path copy
// (a change of one lookup record makes a new CompartmentView that shares everything but the
// record's page). Kept alive by the Dataplane root that a worker reads once per breath.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "compartments/byte_order.h"
#include "compartments/counter.h"
#include "compartments/customer_map.h"
#include "compartments/ecn.h"
#include "compartments/fib.h"
#include "compartments/fib6.h"
#include "compartments/ids.h"
#include "compartments/line/drop_reason.h"
#include "compartments/moved_records.h"
#include "compartments/spec.h"
#include "compartments/wire.h"

namespace hnv {

class Terminated;

// The gateway's NVGRE header in front of an inner IP packet, without the outer Ethernet.
struct NvgreHeader {
  wire::Ipv4 ip;
  wire::Gre gre;
  wire::Ethernet inner;
};
static_assert(sizeof(NvgreHeader) == wire::kNvgreOverIpv4);
struct NvgreHeader6 {  // over an IPv6 fabric
  wire::Ipv6 ip;
  wire::Gre gre;
  wire::Ethernet inner;
};
static_assert(sizeof(NvgreHeader6) == wire::kNvgreOverIpv6);

// A virtual subnet: what enter_nvgre checks and leave_nvgre writes.
struct alignas(64) SubnetView {
  // Outer source, VSID and inner source MAC are set; length, checksum, outer destination, FlowID
  // and inner destination MAC come per packet. ip.checksum is zero.
  NvgreHeader header{};
  uint16_t header_sum = 0;  // folded sum of header.ip as it stands above
  uint16_t mtu = 0;         // largest inner IP packet
  uint32_t vsid = 0;
  AttachmentId network{};         // the provider network's attachment
  uint32_t provider_address = 0;  // ours for this subnet, host order; 0 when outer_ipv6
  uint8_t class_bits = kEcnMask;  // of the inner traffic class, that the outer one takes over
  bool outer_ipv6 = false;        // the fabric's family here: header6 counts, header's ip does not
  // Second line: not touched for a packet whose record is found.
  CustomerRecord wildcard;       // GatewayWildcard of IPv4; type none when there is none
  uint32_t icmp_source = 0;      // source of ICMP errors for packets that came in here; 0: none
  bool has_own_address = false;  // the gateway answers ARP here
  bool advertises = false;       // and, as a router, solicitations (RFC 4861 §6.2)
  // IPv6: the outer header as above (its source is our PA here), and what answers inner IPv6.
  wire::Address6 icmp_source6{};  // unspecified: none
  CustomerRecord wildcard6;       // GatewayWildcard of IPv6
  alignas(64) NvgreHeader6 header6{};

  // Behind the outer Ethernet header, in front of the inner IP packet.
  [[nodiscard]] uint16_t header_bytes() const {
    return outer_ipv6 ? sizeof(NvgreHeader6) : sizeof(NvgreHeader);
  }
  [[nodiscard]] const wire::Mac& mac() const { return header.inner.source; }
};

// Where a FIB lookup leads, in this compartment.
enum class HopKind : uint8_t {
  none,
  local,               // one of the gateway's own addresses
  subnet,              // a virtual subnet, on-link: the next hop is the destination
  subnet_via,          // a virtual subnet, through the customer address `via`
  connection,          // an L3 connection, on-link
  connection_via,      // an L3 connection, through `next_hop` (resolved at compile time)
  directed_broadcast,  // a subnet's network or broadcast address
  unreachable,
  nat,    // out through NAT; IPv4 only
  ipsec,  // into the tunnel of a connection
};
// A next hop's address in the family of the table that was asked.
class HopVia {
 public:
  HopVia() = default;
  explicit HopVia(const IpAddress<Space::customer>& address) {
    if (address.is_v4()) {
      const uint32_t host_order = address.v4().value();
      std::memcpy(bytes_.data(), &host_order, sizeof host_order);
    } else {
      bytes_ = address.bytes();
    }
  }
  [[nodiscard]] uint32_t v4() const {  // host order
    uint32_t host_order = 0;
    std::memcpy(&host_order, bytes_.data(), sizeof host_order);
    return host_order;
  }
  [[nodiscard]] const std::array<uint8_t, 16>& v6() const { return bytes_; }

 private:
  std::array<uint8_t, 16> bytes_{};
};

// Half a line, so that one prefetch brings all of it.
struct alignas(32) Hop {
  HopKind kind = HopKind::none;
  // Not 0: routes share their load over hops, and this is the first of them; 1 + the number of the
  // HopGroup.
  uint16_t group = 0;
  SubnetId subnet{};
  ConnectionId connection{};
  NextHopId next_hop{};
  HopVia via{};
};
static_assert(sizeof(Hop) == 32);

// Hops have even numbers, but for those of the virtual subnets: there the number itself says that
// the next hop is the destination, and the Hop need not be read.
[[nodiscard]] constexpr HopId on_link_hop(SubnetId subnet) { return HopId(2 * subnet.value() + 1); }
// Also of an invalid one.
[[nodiscard]] constexpr bool is_on_link(HopId hop) { return (hop.value() & 1) != 0; }
// REQUIRES is_on_link(hop).
[[nodiscard]] constexpr SubnetId on_link_subnet(HopId hop) { return SubnetId(hop.value() >> 1); }

// Hops that share the load of a route. A flow's hash chooses the bucket; a packet reads one word.
struct alignas(64) HopGroup {
  static constexpr uint32_t kBuckets = 256;
  std::array<HopId, kBuckets> bucket{};
  std::array<HopId, 16> members{};  // for questions; invalid behind the last
};

struct alignas(64) ConnectionCounters {  // one worker's
  Counter in_packets, in_bytes, out_packets, out_bytes;
};

// An interface of the compartment: an L3 connection, with its own MAC on (port, VLAN), or an IPsec
// connection. That one has a tunnel (IpsecPlan::tunnels), and no attachment, link or MAC.
struct alignas(64) ConnectionView {
  AttachmentId attachment{};
  LinkId link{};
  TunnelId tunnel{};  // invalid: an L3 connection
  wire::Mac mac{};
  uint16_t mtu = 0;  // of a tunnel for questions only: what an SA leaves counts (vpn/ipsec_plan.h)
  SourceValidation source_validation = SourceValidation::strict;
  uint32_t icmp_source = 0;       // its first own IPv4 address, host order; 0: none
  wire::Address6 icmp_source6{};  // its first own IPv6 address; unspecified: none
  std::shared_ptr<ConnectionCounters[]> counters;  // by worker
};

// An L2Only record: a VM that has no customer address yet may use ARP and DHCP.
struct L2Record {
  SubnetId subnet{};
  uint64_t mac = 0;       // wire::Mac::key()
  CustomerRecord record;  // PA, MAC and next hop
};

[[nodiscard]] inline bool l2_before(const L2Record& a, const L2Record& b) {
  return a.subnet != b.subnet ? a.subnet < b.subnet : a.mac < b.mac;
}

// One worker's counts for one compartment. Written by that worker, read by anybody.
struct alignas(64) CompartmentCounters {
  // What a packet touches, in one line.
  Counter in_packets, in_bytes;    // entered by NVGRE (inner IP bytes)
  Counter out_packets, out_bytes;  // left by NVGRE
  Counter l3_in_packets, l3_in_bytes, l3_out_packets, l3_out_bytes;
  Counter originated, moved_record_packets;
  // Token bucket for ICMP errors: owned by the worker, not a statistic.
  uint64_t icmp_refilled_at = 0;  // nanoseconds; 0: never used
  uint32_t icmp_tokens = 0;
  std::array<Counter, kDropReasons> drops;
};

// Aligned so that the processor, which fetches pairs of lines, brings the first two together.
struct alignas(128) CompartmentView {
  // The line that every packet touches.
  CustomerMap::Reader record_reader;    // of `records`
  const Hop* hops = nullptr;            // by HopId
  const SubnetView* subnets = nullptr;  // by SubnetId
  const ConnectionView* connections = nullptr;
  CompartmentCounters* counters = nullptr;  // by worker
  const Fib6* fib6 = nullptr;
  // The second one.
  FibRoot fib;
  // The third one.
  const CustomerMap* records = nullptr;
  const HopGroup* groups = nullptr;  // by Hop::group - 1
  // Distinguishes this domain from an earlier holder of the same id, for packets that wait.
  uint64_t uid = 0;
  CompartmentId id{};
  uint32_t icmp_source = 0;       // the gateway subnet's own IPv4 address; 0: none
  wire::Address6 icmp_source6{};  // likewise, IPv6; unspecified: none

  // Slow path and owners of what the pointers above name.
  std::string name;
  std::vector<L2Record> l2_records;           // sorted by (subnet, mac)
  std::shared_ptr<const MovedRecords> moved;  // null: nothing moved within the last second
  // BGP and BFD that end here (compartments/terminated.h); null: nothing does.
  std::shared_ptr<const Terminated> terminated;
  std::shared_ptr<const Fib4> fib_owner;
  std::shared_ptr<const Fib6> fib6_owner;
  std::shared_ptr<const CustomerMap> records_owner;
  std::shared_ptr<const std::vector<Hop>> hops_owner;
  std::shared_ptr<const std::vector<HopGroup>> groups_owner;
  std::shared_ptr<const std::vector<SubnetView>> subnets_owner;
  std::shared_ptr<const std::vector<ConnectionView>> connections_owner;
  std::shared_ptr<CompartmentCounters[]> counters_owner;
  std::vector<Prefix<Space::customer>> prefixes;  // of all virtual subnets

  void set_records(std::shared_ptr<const CustomerMap> map) {
    records_owner = std::move(map);
    records = records_owner.get();
    record_reader = records->reader();
  }
  void set_fib(std::shared_ptr<const Fib4> table) {
    fib_owner = std::move(table);
    fib = fib_owner->root();
  }
  void set_fib6(std::shared_ptr<const Fib6> table) {
    fib6_owner = std::move(table);
    fib6 = fib6_owner.get();
  }
  [[nodiscard]] const SubnetView& subnet(SubnetId s) const { return subnets[s.value()]; }
  [[nodiscard]] const ConnectionView& connection(ConnectionId c) const {
    return connections[c.value()];
  }
  [[nodiscard]] ConnectionCounters& connection_counters_of(unsigned worker, ConnectionId c) const {
    return connections[c.value()].counters[worker];
  }
  [[nodiscard]] const Hop& hop(HopId h) const { return hops[h.value()]; }
  // Of the hops that share the load, the one for a flow.
  [[nodiscard]] const Hop& member(const Hop& shared, uint32_t flow) const {
    return hop(groups[shared.group - 1].bucket[flow % HopGroup::kBuckets]);
  }
};

// What every packet touches of it. Null is allowed.
inline void prefetch_view(const CompartmentView* view) { __builtin_prefetch(view); }

}  // namespace hnv
