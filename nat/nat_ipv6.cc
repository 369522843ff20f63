// SPDX-License-Identifier: Apache-2.0
//
// NAT of IPv6: an inside address has a public one for itself, and nothing else changes. No session,
// no port, no worker that owns it. Checksums follow the address, also in the packets that ICMPv6
// errors quote.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>

#include "compartments/ip6_checks.h"
#include "nat/hairpin.h"
#include "nat/nat_worker.h"

namespace hnv {
namespace {

constexpr uint8_t kDccp = 33;
constexpr uint8_t kUdpLite = 136;

uint8_t* start_of(wire::Ipv6& ip) { return reinterpret_cast<uint8_t*>(&ip); }

// Where a protocol's checksum, which covers the addresses, is in its header.
std::optional<uint32_t> checksum_offset(uint8_t protocol) {
  switch (protocol) {
    case wire::ip_protocol::kTcp:
      return offsetof(wire::Tcp, checksum);
    case wire::ip_protocol::kUdp:
    case kUdpLite:
    case kDccp:
      return offsetof(wire::Udp, checksum);
    case wire::ip_protocol::kIcmpV6:
      return offsetof(wire::Icmp, checksum);
    default:
      return std::nullopt;
  }
}

struct Upper {
  uint8_t protocol = 0;
  uint32_t offset = 0;
  uint32_t end = 0;  // of what is there
};

wire::Address6& field(wire::Ipv6& ip, Side4 side) {
  return side == Side4::source ? ip.source : ip.destination;
}

// Replaces the address and mends the transport's checksum, as far as it is there. What an enclosing
// checksum must learn of is in the answer.
ChecksumChange rewrite(wire::Ipv6& ip, const Upper& upper, Side4 side,
                       const wire::Address6& address) {
  ChecksumChange inside;
  ChecksumChange all;
  inside.replace(field(ip, side), address);
  all.replace(field(ip, side), address);
  field(ip, side) = address;
  const auto offset = checksum_offset(upper.protocol);
  if (!offset || upper.offset + *offset + sizeof(be16) > upper.end) return all;
  be16& checksum = *reinterpret_cast<be16*>(start_of(ip) + upper.offset + *offset);
  const be16 before = checksum;
  checksum =
      upper.protocol == wire::ip_protocol::kUdp ? inside.apply_udp(before) : inside.apply(before);
  all.replace(before, checksum);
  return all;
}

// The packet's transport, unless it is in another fragment.
Upper upper_of(const wire::Ipv6& ip) {
  const Upper6 upper = upper_layer_of(ip);
  if (!upper.whole || upper.later_fragment) return {};
  return {.protocol = upper.protocol, .offset = upper.offset, .end = ip.total_length()};
}

// The packet that an ICMPv6 error quotes, if it is one and quotes enough.
wire::Ipv6* quoted_by(wire::Ipv6& ip, const Upper& upper) {
  if (upper.protocol != wire::ip_protocol::kIcmpV6 ||
      upper.offset + sizeof(wire::Icmp) + sizeof(wire::Ipv6) > upper.end) {
    return nullptr;
  }
  if (start_of(ip)[upper.offset] >= wire::icmp6::kFirstInformational) return nullptr;
  auto* quoted = reinterpret_cast<wire::Ipv6*>(start_of(ip) + upper.offset + sizeof(wire::Icmp));
  return quoted->version() == 6 ? quoted : nullptr;
}

// In the quoted packet the other side of it is what is ours: replaced, where it is `before`.
void rewrite_quoted(wire::Ipv6& ip, const Upper& upper, Side4 side, const wire::Address6& before,
                    const wire::Address6& after) {
  wire::Ipv6* quoted = quoted_by(ip, upper);
  if (quoted == nullptr || field(*quoted, side) != before) return;
  const uint32_t start = upper.offset + static_cast<uint32_t>(sizeof(wire::Icmp));
  const ChecksumChange change = rewrite(
      *quoted,
      {.protocol = quoted->next_header, .offset = sizeof(wire::Ipv6), .end = upper.end - start},
      side, after);
  auto& icmp = *reinterpret_cast<wire::Icmp*>(start_of(ip) + upper.offset);
  icmp.checksum = change.apply(icmp.checksum);
}

IcmpError prohibited() { return {1, 1, 0}; }

void enter(Packet<Side::outside> packet, const NatContext& nat, Exit<Stage::enter_nat> out) {
  PacketSlot& slot = packet.slot();
  const OneToOne6& own = nat.plan.one_to_one6[slot.public_address];
  auto& ip = packet.at<wire::Ipv6>(slot.l2_bytes);
  const NatRules* rules = nat.plan.rules_of(own.compartment);
  const CompartmentView* tenant = nat.compartments[own.compartment.value()].get();
  if (rules == nullptr || !rules->enabled || tenant == nullptr ||
      tenant->uid != rules->compartment_uid) {
    return out.drop(packet, DropReason::nat_no_session);
  }
  const bool hairpinned = slot.ingress == Ingress::nat;
  const bool ours = nat.plan.find6(own.attachment, ip.source).has_value();
  if (ip.source == ip.destination || (!hairpinned && ours)) {
    return out.drop(packet, DropReason::nat_spoofed);
  }
  if (!own.remote.contains(Ip6<Space::external>(ip.source))) {
    return out.drop(packet, DropReason::nat_filtered);
  }
  if (!hairpinned && !is_routed_out(*tenant, ip.source)) {
    return out.drop(packet, DropReason::nat_spoofed);
  }
  const Upper upper = upper_of(ip);
  rewrite_quoted(ip, upper, Side4::source, own.address, own.inside);
  (void)rewrite(ip, upper, Side4::destination, own.inside);
  const uint32_t length = ip.total_length();
  slot.ingress = Ingress::nat;
  slot.strip(slot.l2_bytes);
  slot.bytes = length;
  NatCounters& counters = rules->counters[out.worker()];
  counters.in_packets.add();
  counters.in_bytes.add(length);
  out.to<Stage::route>(out.enter(packet, *tenant));
}

void leave(Packet<Side::inside> packet, const NatContext& nat, Exit<Stage::leave_nat> out) {
  PacketSlot& slot = packet.slot();
  auto& ip = packet.at<wire::Ipv6>(0);
  const NatRules* rules = nat.plan.rules_of(slot.compartment->id);
  if (rules == nullptr || !rules->enabled) {
    return out.refuse(packet, DropReason::nat_no_rule, Icmp6Error::no_route());
  }
  const Upper upper = upper_of(ip);
  const OneToOne6* own = rules->one_to_one6_for(ip.source);
  // An error of a router inside about a packet that came in: that packet's address is what counts.
  if (const wire::Ipv6* quoted = quoted_by(ip, upper); own == nullptr && quoted != nullptr) {
    own = rules->one_to_one6_for(quoted->destination);
  }
  if (own == nullptr) {
    return out.refuse(packet, DropReason::nat_no_rule, prohibited());
  }
  const OutsideNetwork& network = nat.networks[own->network.value()];
  const bool ours = nat.plan.find6(network.attachment, ip.destination).has_value();
  std::optional<OutsideNext> next;
  if (ours && !rules->hairpin) {
    return out.refuse(packet, DropReason::nat_hairpin_off, prohibited());
  }
  if (!ours) {
    if (slot.bytes > network.mtu) {
      return out.refuse(packet, DropReason::mtu_exceeded, Icmp6Error::packet_too_big(network.mtu));
    }
    const HopId hop = network.fib6->lookup(CaAddress6(ip.destination));
    if (!hop.valid()) {
      return out.refuse(packet, DropReason::nat_no_outside_route, Icmp6Error::no_route());
    }
    next = outside_next(network, network.hops6[hop.value()], CaKey(ip.destination, Family::ipv6),
                        nat.links, nat.next_hops);
    if (next->failed) {
      return out.refuse(packet, DropReason::next_hop_failed, Icmp6Error::address_unreachable());
    }
  }
  rewrite_quoted(ip, upper, Side4::destination, own->inside, own->address);
  (void)rewrite(ip, upper, Side4::source, own->address);
  NatCounters& counters = rules->counters[out.worker()];
  counters.out_packets.add();
  counters.out_bytes.add(slot.bytes);
  if (ours) return hairpin(packet, network, wire::ether_type::kIpv6, nat, out);
  slot.attachment = network.attachment;
  slot.connection = ConnectionId();
  slot.compartment = nullptr;
  if (next->ask) {
    slot.next_hop6 = &ip.destination;
    return out.punt(packet);
  }
  out.to<Stage::rewrite>(out.leave(packet, next->hop));
}

}  // namespace

void enter_nat_ipv6(Burst<Side::outside> in, const NatContext& nat, Exit<Stage::enter_nat> out) {
  for (const auto packet : in) enter(packet, nat, out);
}

void leave_nat_ipv6(Burst<Side::inside> in, const NatContext& nat, Exit<Stage::leave_nat> out) {
  for (const auto packet : in) leave(packet, nat, out);
}

}  // namespace hnv
