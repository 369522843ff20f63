// SPDX-License-Identifier: Apache-2.0
//
// Routing inside a compartment, IPv6: as route.cc, with RFC 8200's and RFC 4443's words for it.
// Groups are not routed, and link-local addresses leave no link (RFC 4291 §2.5.6).
#include "compartments/ip6_checks.h"
#include "compartments/scratch.h"
#include "gateway/encapsulate.h"
#include "gateway/stations_ipv6.h"

namespace hnv {
namespace {

using Out = Exit<Stage::route>;

// One of the gateway's own addresses: it answers echo requests, ends sessions of configured peers
// and refuses the rest; a TCP segment to a port nobody serves is dropped in silence, as a firewall
// would.
void deliver(Packet<Side::inside> packet, const wire::Ipv6& ip, const PuntGate& gate, Out out) {
  const Upper6 upper = upper_layer_of(ip);
  if (!upper.whole) return out.drop(packet, DropReason::extension_header_bad);
  if (upper.fragment) return out.drop(packet, DropReason::local_not_served);
  const uint32_t bytes = ip.total_length() - upper.offset;  // the chain is whole
  if (terminate(packet, {upper.protocol, upper.offset, bytes}, gate, out)) return;
  switch (upper.protocol) {
    case wire::ip_protocol::kIcmpV6:
      if (ip.total_length() >= upper.offset + sizeof(wire::Icmp) &&
          packet.at<wire::Icmp>(upper.offset).type == wire::icmp6::kEchoRequest) {
        return out.respond(packet, Answer::echo_reply_inside);
      }
      return out.drop(packet, DropReason::local_not_served);
    case wire::ip_protocol::kGre:
      // NVGRE belongs on the fabric; here it is somebody's mistake or attack.
      return out.drop(packet, DropReason::gre_not_on_fabric);
    case wire::ip_protocol::kUdp:
      return out.refuse(packet, DropReason::local_not_served, Icmp6Error::port_unreachable());
    case wire::ip_protocol::kTcp:
    case wire::ip_protocol::kNone:
      return out.drop(packet, DropReason::local_not_served);
    default:  // RFC 8200 §4: the pointer is that of the header nobody knows
      return out.refuse(packet, DropReason::local_not_served,
                        Icmp6Error::unknown_next_header(static_cast<uint16_t>(upper.named_at)));
  }
}

// One hop less, where that is due. False when the packet has been refused.
bool live_on(Packet<Side::inside> packet, Out out) {
  PacketSlot& slot = packet.slot();
  auto& ip = packet.at<wire::Ipv6>(0);
  // Not for what was made here, nor twice for what comes by again.
  if (!is_ours(slot.ingress) && !slot.ttl_decremented) {
    if (ip.hop_limit <= 1) {
      out.refuse(packet, DropReason::ttl_exceeded, Icmp6Error::time_exceeded());
      return false;
    }
    --ip.hop_limit;
    slot.ttl_decremented = true;
  }
  slot.next_hop6 = &ip.destination;
  return true;
}

void forward(Packet<Side::inside> packet, const Hop& hop, Out out) {
  PacketSlot& slot = packet.slot();
  if (!live_on(packet, out)) return;
  switch (hop.kind) {
    case HopKind::subnet_via:
      slot.next_hop6 = &hop.via.v6();
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
    case HopKind::none:
    case HopKind::local:
    case HopKind::directed_broadcast:
    case HopKind::unreachable:
      return out.refuse(packet, DropReason::route_unreachable, Icmp6Error::no_route());
  }
}

}  // namespace

void route_ipv6(Burst<Side::inside> in, const PuntGate& gate, Exit<Stage::route> out) {
  Scratch<const Fib6*, kVector> tables;
  Scratch<CaAddress6, kVector> destinations;
  Scratch<HopId, kVector> hops;
  const unsigned count = in.size();
  for (unsigned i = 0; i < count; ++i) {
    tables[i] = in[i].slot().compartment->fib6;
    destinations[i] = CaAddress6(in[i].at<wire::Ipv6>(0).destination);
  }
  lookup_bulk(tables.data(), destinations.data(), hops.data(), count);
  for (unsigned i = 0; i < count; ++i) {
    if (!is_on_link(hops[i])) __builtin_prefetch(&in[i].slot().compartment->hop(hops[i]));
  }
  for (unsigned i = 0; i < count; ++i) {
    const auto packet = in[i];
    if (is_martian_destination6(destinations[i].bytes())) {
      out.drop(packet, DropReason::inner_bad_destination);
    } else if (!hops[i].valid()) {
      out.refuse(packet, DropReason::no_route, Icmp6Error::no_route());
    } else if (is_on_link(hops[i])) {
      if (!live_on(packet, out)) continue;
      packet.slot().subnet = on_link_subnet(hops[i]);
      out.to<Stage::leave_nvgre>(packet);
    } else if (const Hop& hop = packet.slot().compartment->hop(hops[i]);
               hop.kind == HopKind::local) {
      deliver(packet, packet.at<wire::Ipv6>(0), gate, out);
    } else if (hop.group != 0) [[unlikely]] {
      const uint32_t flow = flow_of(packet.at<wire::Ipv6>(0));
      forward(packet, packet.slot().compartment->member(hop, flow), out);
    } else {
      forward(packet, hop, out);
    }
  }
}

}  // namespace hnv
