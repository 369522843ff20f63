// SPDX-License-Identifier: Apache-2.0
//
// The L3 door, inbound: a tenant's physical network.
//
// outer Eth (→ the connection's MAC) | [802.1Q] | IP of the tenant
//
// The destination MAC has chosen the connection in `classify`; nothing in the IP packet may
// influence that choice. The source must be reached through the same connection (strict reverse
// path, RFC 3704), unless the connection says loose (any route) or off.
#include "compartments/checksum.h"
#include "compartments/ip_checks.h"
#include "compartments/scratch.h"
#include "gateway/stations.h"

namespace hnv {
namespace {

bool reached_through(const CompartmentView& tenant, HopId source_hop, ConnectionId connection) {
  switch (tenant.connection(connection).source_validation) {
    case SourceValidation::off:
      return true;
    case SourceValidation::loose:
      return source_hop.valid() && tenant.hop(source_hop).kind != HopKind::unreachable;
    case SourceValidation::strict:
      break;
  }
  if (!source_hop.valid()) return false;
  const Hop& hop = tenant.hop(source_hop);
  return (hop.kind == HopKind::connection || hop.kind == HopKind::connection_via) &&
         hop.connection == connection;
}

// Our own addresses, and those that are no single host's: whatever sourceValidation says.
bool is_nobodys_source(HopKind kind) {
  return kind == HopKind::local || kind == HopKind::directed_broadcast;
}

// Header checks. False when the packet has been dropped.
bool header_right(Packet<Side::outside> packet, Exit<Stage::enter_l3> out) {
  const uint32_t offset = packet.slot().l2_bytes;
  if (packet.bytes() < offset + sizeof(wire::Ipv4)) {
    out.drop(packet, DropReason::frame_short);
    return false;
  }
  const auto& ip = packet.at<wire::Ipv4>(offset);
  if (!ipv4_header_fits(ip, packet.bytes() - offset)) {
    out.drop(packet, DropReason::inner_bad_header);
    return false;
  }
  if (!checksum_right(ip)) {
    out.drop(packet, DropReason::inner_bad_checksum);
    return false;
  }
  if (is_martian_source(ip.source.value())) {
    out.drop(packet, DropReason::inner_bad_source);
    return false;
  }
  return true;
}

}  // namespace

void enter_l3(Burst<Side::outside> in, const Dataplane&, Exit<Stage::enter_l3> out) {
  Scratch<PacketSlot*, kVector> slots;
  Scratch<const Fib4*, kVector> tables;
  Scratch<uint32_t, kVector> sources;
  Scratch<HopId, kVector> hops;
  unsigned count = 0;
  for (const auto packet : in) {
    if (!header_right(packet, out)) continue;
    PacketSlot& slot = packet.slot();
    slots[count] = &slot;
    tables[count] = slot.compartment->fib;
    sources[count] = packet.at<wire::Ipv4>(slot.l2_bytes).source.value();
    ++count;
  }
  lookup_bulk(tables.data(), sources.data(), hops.data(), count);
  for (unsigned i = 0; i < count; ++i) {
    const Packet<Side::outside> packet(*slots[i]);
    PacketSlot& slot = *slots[i];
    const CompartmentView& tenant = *slot.compartment;
    if (hops[i].valid() && is_nobodys_source(tenant.hop(hops[i]).kind)) {
      out.drop(packet, DropReason::inner_bad_source);
      continue;
    }
    if (!reached_through(tenant, hops[i], slot.in_connection)) {
      out.drop(packet, DropReason::l3_source_not_routed);
      continue;
    }
    const auto& ip = packet.at<wire::Ipv4>(slot.l2_bytes);
    const uint16_t length = ip.total_length.value();
    slot.destination = ip.destination.value();
    slot.ingress = Ingress::l3;
    slot.data += slot.l2_bytes;
    slot.bytes = length;
    CompartmentCounters& counters = out.counters(tenant);
    counters.l3_in_packets.add();
    counters.l3_in_bytes.add(length);
    auto& mine = tenant.connection_counters_of(out.worker(), slot.in_connection);
    mine.in_packets.add();
    mine.in_bytes.add(length);
    out.to<Stage::route>(out.enter(packet, tenant));
  }
}

}  // namespace hnv
