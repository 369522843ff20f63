// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compartments/outside_network.h"
#include "nat/nat_worker.h"

namespace hnv {

// Back in at classify, in the next breath, as a frame of the network that has the destination
// (RFC 4787 REQ-9).
inline void hairpin(Packet<Side::inside> packet, const OutsideNetwork& network, be16 type,
                    const NatContext& nat, Exit<Stage::leave_nat> out) {
  PacketSlot& slot = packet.slot();
  uint8_t* front = slot.prepend(ethernet_bytes(network));
  if (front == nullptr || nat.reentry.room() <= kVector) {
    return out.drop(packet, DropReason::no_headroom);
  }
  write_ethernet(front, network, type);
  slot.mbuf->port = static_cast<uint16_t>(network.port.value());
  slot.store();
  out.become(packet, ConsumeReason::hairpinned, OriginReason::hairpinned);
  nat.reentry.push({.mbuf = slot.mbuf, .stage = Stage::classify, .hairpin = true});
}

}  // namespace hnv
