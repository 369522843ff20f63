// SPDX-License-Identifier: Apache-2.0
//
// The outbound doors for IPv6 packets: as leave_nvgre.cc and leave_l3.cc. What is too large for the
// door is answered with "packet too big" (RFC 4443 §3.2); a router never fragments IPv6.
#include <algorithm>

#include "compartments/ip6_checks.h"
#include "compartments/record_lookup.h"
#include "compartments/scratch.h"
#include "gateway/encapsulate.h"
#include "gateway/stations_ipv6.h"

namespace hnv {
namespace {

const CustomerRecord* choose(const CustomerRecord* record, const SubnetView& subnet,
                             SubnetId wanted) {
  if (record != nullptr && record->subnet == wanted && record->type != RecordType::own) {
    return record;
  }
  if (subnet.wildcard6.type == RecordType::gateway_wildcard) return &subnet.wildcard6;
  return nullptr;
}

// RFC 8201 §4: never below 1,280, which senders need not heed. A path so narrow that this is not
// the truth is said in the log when it is learned.
IcmpError too_big(uint16_t mtu) {
  return Icmp6Error::packet_too_big(std::max<uint16_t>(mtu, kIpv6MinimumMtu));
}

void leave(Packet<Side::inside> packet, const CustomerRecord* found, const Dataplane& plane,
           Exit<Stage::leave_nvgre> out) {
  PacketSlot& slot = packet.slot();
  const CompartmentView& tenant = *slot.compartment;
  const SubnetView& subnet = tenant.subnet(slot.subnet);
  const CustomerRecord* record = choose(found, subnet, slot.subnet);
  if (record == nullptr) [[unlikely]] {
    return out.refuse(packet, DropReason::record_missing, Icmp6Error::address_unreachable());
  }
  const uint32_t length = slot.bytes;
  const NextHop& next_hop = plane.next_hops[record->next_hop.value()];
  const uint16_t mtu = std::min(subnet.mtu, next_hop.largest_inner);
  if (length > mtu) [[unlikely]] {
    return out.refuse(packet, DropReason::mtu_exceeded, too_big(mtu));
  }
  if (next_hop.state == NextHopState::failed) [[unlikely]] {
    return out.refuse(packet, DropReason::next_hop_failed, Icmp6Error::address_unreachable());
  }
  const auto& ip = packet.at<wire::Ipv6>(0);
  const auto tos = static_cast<uint8_t>(ip.traffic_class() & subnet.class_bits);
  if (!encapsulate(slot, subnet, *record, flow_of(ip), tos, wire::ether_type::kIpv6)) [[unlikely]] {
    return out.drop(packet, DropReason::no_headroom);
  }
  CompartmentCounters& counters = out.counters(tenant);
  counters.out_packets.add();
  counters.out_bytes.add(length);
  slot.inner = subnet.header_bytes();
  out.to<Stage::rewrite>(out.leave(packet, record->next_hop));
}

}  // namespace

void leave_nvgre_ipv6(Burst<Side::inside> in, const Dataplane& plane,
                      Exit<Stage::leave_nvgre> out) {
  Scratch<const CustomerRecord*, kVector> records;
  RecordLookup lookup;
  const unsigned count = in.size();
  for (unsigned i = 0; i < count; ++i) {
    const PacketSlot& slot = in[i].slot();
    lookup.ask(i, slot.compartment->record_reader, CaKey(*slot.next_hop6, Family::ipv6));
    const SubnetView& subnet = slot.compartment->subnet(slot.subnet);
    __builtin_prefetch(&subnet);
    __builtin_prefetch(&subnet.header6);
  }
  lookup.settle();
  for (unsigned i = 0; i < count; ++i) {
    const PacketSlot& slot = in[i].slot();
    records[i] =
        lookup.answer(i, slot.compartment->record_reader, CaKey(*slot.next_hop6, Family::ipv6));
    if (records[i] != nullptr) {
      __builtin_prefetch(&plane.next_hops[records[i]->next_hop.value()]);
    }
  }
  for (unsigned i = 0; i < count; ++i) leave(in[i], records[i], plane, out);
}

void leave_l3_ipv6(Burst<Side::inside> in, const Dataplane& plane, Exit<Stage::leave_l3> out) {
  for (const auto packet : in) {
    PacketSlot& slot = packet.slot();
    const CompartmentView& tenant = *slot.compartment;
    const ConnectionView& connection = tenant.connection(slot.connection);
    const uint32_t length = slot.bytes;
    if (length > connection.mtu) {
      out.refuse(packet, DropReason::mtu_exceeded, Icmp6Error::packet_too_big(connection.mtu));
      continue;
    }
    if (!slot.next_hop.valid()) {
      const CustomerMap* neighbors = plane.links[connection.link.value()].get();
      const CustomerRecord* neighbor =
          neighbors == nullptr ? nullptr : neighbors->find(CaKey(*slot.next_hop6, Family::ipv6));
      if (neighbor == nullptr) {
        out.punt(packet);
        continue;
      }
      slot.next_hop = neighbor->next_hop;
    }
    if (plane.next_hops[slot.next_hop.value()].state == NextHopState::failed) {
      out.refuse(packet, DropReason::next_hop_failed, Icmp6Error::address_unreachable());
      continue;
    }
    CompartmentCounters& counters = out.counters(tenant);
    counters.l3_out_packets.add();
    counters.l3_out_bytes.add(length);
    auto& mine = tenant.connection_counters_of(out.worker(), slot.connection);
    mine.out_packets.add();
    mine.out_bytes.add(length);
    out.to<Stage::rewrite>(out.leave(packet, slot.next_hop));
  }
}

}  // namespace hnv
