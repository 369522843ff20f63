// SPDX-License-Identifier: Apache-2.0
//
// What lies between a worker and the control thread, or another worker.
#pragma once

#include <cstdint>
#include <cstring>

#include <rte_mbuf.h>

#include "compartments/line/packet.h"
#include "compartments/line/reentry.h"
#include "gateway/dataplane.h"
#include "gateway/handoff.h"

namespace hnv {

// What must be known of such a packet travels in the headroom of the mbuf itself, at its very
// beginning, where no header ever reaches (the pool's headroom is checked at start).
struct SideNote {
  Origin origin{};  // there and back
  // worker → control
  ConnectionId connection{};  // of the origin's compartment, on which `address` is to be resolved
  AttachmentId attachment{};
  wire::Address6 address{};  // whom to resolve; IPv4 in the first four bytes, as in CustomerRecord
  uint16_t l2_bytes = 0;
  Family family = Family::ipv4;
  bool resolve = false;  // of PuntFor::resolver; else: an ARP or ND frame to learn from
  // charon: UDP to a VPN address, a frame as it came. terminated: an IP packet for the domain's
  // TUN.
  PuntFor punt_for = PuntFor::resolver;
  uint8_t worker = 0;  // where it was; a packet to be resolved goes back there, to keep its order
  // control → worker
  bool at_route = false;        // an IP packet of the origin's compartment; else:
  bool complete_frame = false;  // for mbuf->port; else to next_hop
  NextHopId next_hop{};         // invalid: none could be had
  uint64_t next_hop_uid = 0;

  // A virtual subnet's, as its inner Ethernet frame: nothing else comes from there to the control
  // thread but what is to be resolved.
  [[nodiscard]] bool router_solicitation() const {
    return punt_for == PuntFor::resolver && !resolve && origin.in_subnet.valid();
  }
  [[nodiscard]] Ip4<Space::external> address4() const {
    be32 host;
    std::memcpy(&host, address.data(), sizeof host);
    return Ip4<Space::external>(host.value());
  }
  [[nodiscard]] Ip6<Space::external> address6() const { return Ip6<Space::external>(address); }
};
inline constexpr uint16_t kSideNoteRoom = 72;
static_assert(sizeof(SideNote) <= kSideNoteRoom);

[[nodiscard]] inline SideNote& side_note(rte_mbuf& mbuf) {
  return *static_cast<SideNote*>(mbuf.buf_addr);
}

// What a station hands over, ready for the ring. A packet of a compartment takes its origin along.
[[nodiscard]] inline Handed to_hand_over(const PacketSlot& slot) {
  if (!slot.inside) {
    return {.mbuf = slot.mbuf,
            .at = Stage::classify,
            .handoffs = slot.handoffs,
            .hairpin = slot.ingress == Ingress::nat,
            .ports_known = slot.ports_known,
            .ports = slot.ports};
  }
  SideNote note;
  note.origin = origin_of(slot);
  side_note(*slot.mbuf) = note;
  return {.mbuf = slot.mbuf, .at = Stage::route, .handoffs = slot.handoffs};
}

}  // namespace hnv
