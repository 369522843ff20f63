// SPDX-License-Identifier: Apache-2.0
//
// Packets that come back to the line in the next breath: answers of `respond`, and what the control
// thread or another worker puts in. They name their compartment or next hop by id and uid, never by
// pointer: the Dataplane may be another one by then.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include <rte_mbuf.h>

#include "compartments/line/packet.h"
#include "gateway/dataplane.h"
#include "gateway/handoff.h"

namespace hnv {

// Where a waiting packet came from: whom to tell when it cannot go on.
struct Origin {
  uint64_t compartment_uid = 0;  // 0: no compartment
  CompartmentId compartment{};
  SubnetId in_subnet{};
  ConnectionId in_connection{};
  uint16_t inner = 0;  // offset of the tenant's IP header
  Ingress ingress = Ingress::outside;
  bool ttl_decremented = false;
};

[[nodiscard]] inline Origin origin_of(const PacketSlot& slot) {
  if (slot.compartment == nullptr) return {};
  return {.compartment_uid = slot.compartment->uid,
          .compartment = slot.compartment->id,
          .in_subnet = slot.in_subnet,
          .in_connection = slot.in_connection,
          .inner = slot.inner,
          .ingress = slot.ingress,
          .ttl_decremented = slot.ttl_decremented};
}
// Gives the slot its origin back. False: there is no such compartment (any more).
[[nodiscard]] inline bool restore_origin(PacketSlot& slot, const Origin& origin,
                                         const Dataplane& plane) {
  const CompartmentView* compartment =
      origin.compartment_uid == 0 ? nullptr : plane.compartment(origin.compartment);
  if (compartment == nullptr || compartment->uid != origin.compartment_uid) return false;
  slot.compartment = compartment;
  slot.in_subnet = origin.in_subnet;
  slot.in_connection = origin.in_connection;
  slot.inner = origin.inner;
  slot.ingress = origin.ingress;
  slot.ttl_decremented = origin.ttl_decremented;
  return true;
}

struct Reentry {
  rte_mbuf* mbuf = nullptr;
  Stage stage = Stage::route;   // route or rewrite
  bool complete_frame = false;  // rewrite: a whole Ethernet frame for mbuf->port
  uint8_t handoffs = 0;         // PacketSlot::handoffs
  Origin origin{};
  NextHopId next_hop{};  // rewrite, when not complete_frame
  uint64_t next_hop_uid = 0;
};

// What lies between a worker and the control thread, or another worker, travels in the headroom of
// the mbuf itself, at its very beginning, where no header ever reaches (the pool's headroom is
// checked at start).
struct SideNote {
  Origin origin{};  // there and back
  // worker → control
  ConnectionId connection{};  // of the origin's compartment, on which `address` is to be resolved
  AttachmentId attachment{};
  wire::Address6 address{};  // whom to resolve; IPv4 in the first four bytes, as in CustomerRecord
  uint16_t l2_bytes = 0;
  Family family = Family::ipv4;
  bool resolve = false;  // else: an ARP or ND frame to learn from
  uint8_t worker = 0;    // where it was; a packet to be resolved goes back there, to keep its order
  // control → worker
  bool complete_frame = false;  // for mbuf->port; else to next_hop
  NextHopId next_hop{};         // invalid: none could be had
  uint64_t next_hop_uid = 0;

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
  if (!slot.inside) return {.mbuf = slot.mbuf, .at = Stage::classify, .handoffs = slot.handoffs};
  SideNote note;
  note.origin = origin_of(slot);
  side_note(*slot.mbuf) = note;
  return {.mbuf = slot.mbuf, .at = Stage::route, .handoffs = slot.handoffs};
}

// Answers and fragments made in this breath for the next ones, first in, first out. A breath takes
// up to kVector of them back before anything new and answers at most kVector packets, and fragments
// leave room for those: it cannot overflow.
class ReentryQueue {
 public:
  static constexpr unsigned kCapacity = 1024;

  // REQUIRES room() > 0.
  void push(const Reentry& entry) { entries_[(first_ + count_++) % kCapacity] = entry; }
  [[nodiscard]] Reentry pop() {  // REQUIRES size() > 0
    const Reentry entry = entries_[first_];
    first_ = (first_ + 1) % kCapacity;
    --count_;
    return entry;
  }
  [[nodiscard]] unsigned size() const { return count_; }
  [[nodiscard]] unsigned room() const { return kCapacity - count_; }

 private:
  std::array<Reentry, kCapacity> entries_{};
  unsigned first_ = 0;
  unsigned count_ = 0;
};

}  // namespace hnv
