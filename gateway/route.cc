// SPDX-License-Identifier: Apache-2.0
//
// Routing inside a compartment: one longest-prefix match for every packet, whatever door it came
// by.
//
// The whole vector is looked up at once (the FIB prefetches level by level); then each packet goes
// to the door its hop names. The time to live is looked at before anything else is decided and
// lowered only for packets that were not made here (RFC 1812 §5.3.1) and have not been here before
// another worker handed them over; an answer of ours begins its life here.
#include "compartments/checksum.h"
#include "compartments/flow_hash.h"
#include "compartments/ip_checks.h"
#include "compartments/scratch.h"
#include "gateway/stations.h"

namespace hnv {
namespace {

using Out = Exit<Stage::route>;

// One of the gateway's own addresses: it answers echo requests, ends sessions of configured peers
// and refuses the rest (RFC 1122 §3.2.2.1; a TCP segment to a port nobody serves is dropped in
// silence, as a firewall would).
void deliver(Packet<Side::inside> packet, const wire::Ipv4& ip, const PuntGate& gate, Out out) {
  const uint32_t payload = ip.header_bytes();
  const uint32_t bytes = ip.total_length.value() - payload;
  if (ip.protocol == wire::ip_protocol::kIcmp && !ip.is_fragment() && bytes >= sizeof(wire::Icmp) &&
      packet.at<wire::Icmp>(payload).type == 8) {
    return out.respond(packet, Answer::echo_reply_inside);
  }
  if (!ip.is_fragment() && terminate(packet, {ip.protocol, payload, bytes}, gate, out)) return;
  // NVGRE belongs on the fabric; in a tenant's own network it is somebody else's mistake or attack.
  if (ip.protocol == wire::ip_protocol::kGre)
    return out.drop(packet, DropReason::gre_not_on_fabric);
  if (ip.protocol == wire::ip_protocol::kUdp) {
    return out.refuse(packet, DropReason::local_not_served, IcmpError::port_unreachable());
  }
  if (ip.protocol == wire::ip_protocol::kTcp || ip.protocol == wire::ip_protocol::kIcmp) {
    return out.drop(packet, DropReason::local_not_served);
  }
  out.refuse(packet, DropReason::local_not_served, IcmpError::protocol_unreachable());
}

// One hop less, where that is due. False when the packet has been refused.
bool live_on(Packet<Side::inside> packet, Out out) {
  PacketSlot& slot = packet.slot();
  // Not for what was made here, nor twice for what comes by again (a fragment, another worker's).
  if (is_ours(slot.ingress) || slot.ttl_decremented) return true;
  auto& ip = packet.at<wire::Ipv4>(0);
  if (ip.ttl <= 1) {
    out.refuse(packet, DropReason::ttl_exceeded, IcmpError::time_exceeded());
    return false;
  }
  decrement_ttl(ip);
  slot.ttl_decremented = true;
  return true;
}

void forward(Packet<Side::inside> packet, const Hop& hop, Out out) {
  PacketSlot& slot = packet.slot();
  if (!live_on(packet, out)) return;
  switch (hop.kind) {
    case HopKind::subnet_via:
      slot.destination = hop.via.v4();
      [[fallthrough]];
    case HopKind::subnet:
      slot.subnet = hop.subnet;
      return out.to<Stage::leave_nvgre>(packet);
    case HopKind::connection_via:
      slot.next_hop = hop.next_hop;
      slot.connection = hop.connection;
      return out.to<Stage::leave_l3>(packet);
    case HopKind::connection:
      slot.next_hop = NextHopId();
      slot.connection = hop.connection;
      return out.to<Stage::leave_l3>(packet);
    case HopKind::ipsec:
      slot.connection = hop.connection;
      return out.to<Stage::leave_ipsec>(packet);
    case HopKind::nat:
      return out.to<Stage::leave_nat>(packet);
    case HopKind::directed_broadcast:
      return out.drop(packet, DropReason::directed_broadcast);
    case HopKind::none:
    case HopKind::local:
    case HopKind::unreachable:
      return out.refuse(packet, DropReason::route_unreachable, IcmpError::host_unreachable());
  }
}

}  // namespace

void route(Burst<Side::inside> in, const PuntGate& gate, Exit<Stage::route> out) {
  Scratch<const FibRoot*, kVector> tables;
  Scratch<uint32_t, kVector> destinations;
  Scratch<HopId, kVector> hops;
  const unsigned count = in.size();
  for (unsigned i = 0; i < count; ++i) {
    const PacketSlot& slot = in[i].slot();
    tables[i] = &slot.compartment->fib;
    destinations[i] = slot.destination;
  }
  lookup_bulk(tables.data(), destinations.data(), hops.data(), count);
  for (unsigned i = 0; i < count; ++i) {
    const HopId hop = hops[i];
    if (!is_on_link(hop)) __builtin_prefetch(&in[i].slot().compartment->hop(hop));
  }
  for (unsigned i = 0; i < count; ++i) {
    const auto packet = in[i];
    const HopId id = hops[i];
    if (is_martian_destination(destinations[i])) {
      out.drop(packet, DropReason::inner_bad_destination);
    } else if (!id.valid()) {
      out.refuse(packet, DropReason::no_route, IcmpError::net_unreachable());
    } else if (is_on_link(id)) {
      if (!live_on(packet, out)) continue;
      packet.slot().subnet = on_link_subnet(id);
      out.to<Stage::leave_nvgre>(packet);
    } else if (const Hop& hop = packet.slot().compartment->hop(id); hop.kind == HopKind::local) {
      deliver(packet, packet.at<wire::Ipv4>(0), gate, out);
    } else if (hop.group != 0) [[unlikely]] {
      const uint32_t flow = flow_hash(packet.at<wire::Ipv4>(0));
      forward(packet, packet.slot().compartment->member(hop, flow), out);
    } else {
      forward(packet, hop, out);
    }
  }
}

}  // namespace hnv
