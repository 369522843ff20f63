// SPDX-License-Identifier: Apache-2.0
//
// The last station before tx: the outer Ethernet header, with its tag, from the next hop's line. A
// packet whose next hop is being resolved waits in the HoldTable; it comes back here, in order.
#include <cstring>

#include "gateway/hold.h"
#include "gateway/stations.h"

namespace hnv {

void rewrite(Burst<Side::outside> in, const Dataplane& plane, HoldTable& hold,
             Exit<Stage::rewrite> out) {
  for (const auto packet : in) {
    PacketSlot& slot = packet.slot();
    if (slot.complete_frame) {
      out.to<Stage::tx>(packet);
      continue;
    }
    const NextHop& hop = plane.next_hops[slot.next_hop.value()];
    // A packet that could go waits behind those of its next hop that still do, so that no flow is
    // reordered. They leave faster than others come (Line::room): only the pool bounds them.
    const bool resolved = hop.state == NextHopState::resolved;
    const bool overtakes = hold.held() > 0 && !slot.was_held && hold.waiting_for(slot.next_hop);
    if (!resolved || overtakes) [[unlikely]] {
      slot.store();
      const unsigned bound = resolved ? HoldTable::kPackets : HoldTable::kPerNextHop;
      if (hop.state == NextHopState::absent) {
        out.drop(packet, DropReason::next_hop_gone);
      } else if (hop.state == NextHopState::failed) {
        out.drop(packet, DropReason::next_hop_failed);
      } else if (!hold.add(hop.uid, slot, bound)) {
        out.drop(packet, DropReason::next_hop_queue_full);
      }
      continue;
    }
    if (hop.zero_flow_id_at != 0) packet.at<uint8_t>(hop.zero_flow_id_at) = 0;
    uint8_t* start = slot.prepend(hop.header_bytes);
    if (start == nullptr) [[unlikely]] {
      out.drop(packet, DropReason::no_headroom);
      continue;
    }
    // Two overlapping stores: 14 bytes always, the tag's 4 more when there is one.
    std::memcpy(start, hop.header.data(), 14);
    if (hop.header_bytes > 14) std::memcpy(start + 14, hop.header.data() + 14, 4);
    slot.mbuf->port = static_cast<uint16_t>(hop.port.value());
    slot.store();
    out.to<Stage::tx>(packet);
  }
}

}  // namespace hnv
