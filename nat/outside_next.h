// SPDX-License-Identifier: Apache-2.0
//
// From a public address outward: the next hop on its external network, and the frame of what comes
// straight back in.
#pragma once

#include <cstring>

#include "compartments/customer_map.h"
#include "compartments/wire.h"
#include "nat/nat_worker.h"

namespace hnv {

struct OutsideNext {
  NextHopId hop{};
  bool ask = false;     // an on-link neighbour that nobody knows yet: the control thread finds it
  bool failed = false;  // nobody there answers
};

// The way's router that answers, the first of them; while none is known to, the first.
[[nodiscard]] inline OutsideNext outside_next(const OutsideNetwork& network, const OutsideHop& way,
                                              const CaKey& destination, const NatContext& nat) {
  OutsideNext next;
  if (way.on_link) {
    const CustomerMap* neighbors = nat.links[network.link.value()].get();
    const CustomerRecord* record = neighbors == nullptr ? nullptr : neighbors->find(destination);
    if (record == nullptr) return {.hop = {}, .ask = true};
    next.hop = record->next_hop;
  } else {
    next.hop = way.routers[0];
    for (const NextHopId router : way.routers) {
      if (!router.valid()) break;
      if (nat.next_hops[router.value()].state == NextHopState::failed) continue;
      next.hop = router;
      break;
    }
  }
  next.failed = nat.next_hops[next.hop.value()].state == NextHopState::failed;
  return next;
}

// The Ethernet header, with its tag, of a frame that the network sends to us. REQUIRES the bytes.
inline void write_ethernet(uint8_t* front, const OutsideNetwork& network, be16 type) {
  auto& ethernet = *reinterpret_cast<wire::Ethernet*>(front);
  ethernet.destination = network.mac;
  ethernet.source = network.mac;
  ethernet.type = type;
  if (!network.vlan.tagged()) return;
  const wire::VlanTag tag{wire::ether_type::kVlan, be16{network.vlan.value()}};
  std::memcpy(front + 12, &tag, sizeof tag);
  *reinterpret_cast<be16*>(front + 16) = type;
}

// Back in at classify, in the next breath, as a frame of the network that has the destination
// (RFC 4787 REQ-9).
inline void hairpin(Packet<Side::inside> packet, const OutsideNetwork& network, be16 type,
                    const NatContext& nat, Exit<Stage::leave_nat> out) {
  PacketSlot& slot = packet.slot();
  const uint32_t bytes =
      sizeof(wire::Ethernet) + (network.vlan.tagged() ? sizeof(wire::VlanTag) : 0);
  uint8_t* front = slot.prepend(bytes);
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
