// SPDX-License-Identifier: Apache-2.0
//
// Packets that come back to the line in the next breath: answers of `respond`, hairpinned packets,
// and what the control thread or another worker puts in. They name their compartment or next hop by
// id and uid, never by pointer: the Dataplane may be another one by then.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include <rte_mbuf.h>

#include "compartments/compartment_view.h"
#include "compartments/cow_array.h"
#include "compartments/line/packet.h"

namespace hnv {

using Compartments = CowArray<std::shared_ptr<const CompartmentView>>;  // by CompartmentId

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
                                         const Compartments& compartments) {
  const CompartmentView* compartment =
      origin.compartment_uid == 0 ? nullptr : compartments[origin.compartment.value()].get();
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
  Stage stage = Stage::route;   // route, rewrite, or classify: a frame for mbuf->port
  bool complete_frame = false;  // rewrite: a whole Ethernet frame for mbuf->port
  uint8_t handoffs = 0;         // PacketSlot::handoffs
  bool hairpin = false;         // classify: it was ours before; Ingress::nat
  Origin origin{};
  NextHopId next_hop{};  // rewrite, when not complete_frame
  uint64_t next_hop_uid = 0;
};

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
