// SPDX-License-Identifier: Apache-2.0
//
// The L3 door, outbound: the packet leaves its compartment for the tenant's physical network. Its
// next hop is a configured peer (known when the route was compiled) or the destination itself,
// on-link: then the connection's neighbour table says which. Whoever is not in it yet is asked for
// by the control thread, which keeps the packet and injects it again when the answer has come.
#include "compartments/checksum.h"
#include "gateway/stations.h"

namespace hnv {

void leave_l3(Burst<Side::inside> in, const Dataplane& plane, Exit<Stage::leave_l3> out) {
  for (const auto packet : in) {
    PacketSlot& slot = packet.slot();
    const CompartmentView& tenant = *slot.compartment;
    const ConnectionView& connection = tenant.connection(slot.connection);
    const uint16_t length = packet.at<wire::Ipv4>(0).total_length.value();
    if (length > connection.mtu) {
      out.refuse(packet, DropReason::mtu_exceeded, IcmpError::fragmentation_needed(connection.mtu));
      continue;
    }
    if (!slot.next_hop.valid()) {
      const CustomerMap* neighbors = plane.links[connection.link.value()].get();
      const CustomerRecord* neighbor =
          neighbors == nullptr ? nullptr : neighbors->find(CaKey(CaAddress(slot.destination)));
      if (neighbor == nullptr) {
        out.punt(packet);
        continue;
      }
      slot.next_hop = neighbor->next_hop;
    }
    if (plane.next_hops[slot.next_hop.value()].state == NextHopState::failed) {
      out.refuse(packet, DropReason::next_hop_failed, IcmpError::host_unreachable());
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
