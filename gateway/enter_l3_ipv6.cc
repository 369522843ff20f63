// SPDX-License-Identifier: Apache-2.0
//
// The L3 door, inbound, for IPv6: the rules of enter_l3.cc. Neighbour discovery has been answered
// in `classify`; what comes here is the tenants' own.
#include "compartments/ip6_checks.h"
#include "compartments/reverse_path.h"
#include "compartments/scratch.h"
#include "gateway/stations_ipv6.h"

namespace hnv {

void enter_l3_ipv6(Burst<Side::outside> in, Exit<Stage::enter_l3> out) {
  Scratch<PacketSlot*, kVector> slots;
  Scratch<const Fib6*, kVector> tables;
  Scratch<CaAddress6, kVector> sources;
  Scratch<HopId, kVector> hops;
  unsigned count = 0;
  for (const auto packet : in) {  // classify has checked the header's lengths
    PacketSlot& slot = packet.slot();
    const auto& ip = packet.at<wire::Ipv6>(slot.l2_bytes);
    if (is_martian_source6(ip.source)) {
      out.drop(packet, DropReason::inner_bad_source);
      continue;
    }
    slots[count] = &slot;
    tables[count] = slot.compartment->fib6;
    sources[count] = CaAddress6(ip.source);
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
    const uint32_t length = packet.at<wire::Ipv6>(slot.l2_bytes).total_length();
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
