// SPDX-License-Identifier: Apache-2.0
//
// Packets that wait until the MAC address of their next hop is known. Owned by one worker; bounded
// for every next hop and in all, allocated once. The control thread resolves; the worker sees the
// new state in the next Dataplane and lets the packets go, in their order, or drops them.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <rte_mbuf.h>

#include "compartments/ids.h"
#include "gateway/reentry.h"

namespace hnv {

struct Dataplane;

class HoldTable {
 public:
  static constexpr unsigned kPerNextHop = 256;
  static constexpr unsigned kNextHops = 1024;
  static constexpr unsigned kPackets = 8192;

  HoldTable();

  // Takes the packet. False when `bound` packets wait for the next hop already, or the table or the
  // pool of places is full: the packet stays the caller's.
  [[nodiscard]] bool add(uint64_t uid, const PacketSlot& slot, unsigned bound);

  enum class Verdict : uint8_t { resolved, failed, gone };
  struct Released {
    rte_mbuf* mbuf = nullptr;
    Origin origin;
    NextHopId next_hop;
    uint64_t uid = 0;
    Verdict verdict = Verdict::gone;
  };
  // Up to `room` packets whose next hop no longer resolves, oldest first for each next hop. Looks
  // at the waiting next hops only when the Dataplane is another than last time or some are left
  // over.
  unsigned release(const Dataplane& plane, Released* out, unsigned room);

  [[nodiscard]] unsigned held() const { return held_; }
  // The last release had to leave packets behind that may go.
  [[nodiscard]] bool left_over() const { return left_over_; }
  // Whether packets wait for this next hop: what comes after them must not overtake.
  [[nodiscard]] bool waiting_for(NextHopId next_hop) const;
  // For the drain at the end: everything that waits.
  template <class Free>
  void clear(Free&& free_packet);

 private:
  static constexpr uint16_t kNil = 0xffff;
  struct Queue {
    NextHopId next_hop;
    uint64_t uid = 0;
    uint16_t first = kNil, last = kNil;  // places
    uint16_t count = 0;
    uint16_t next_in_bucket = kNil;  // or in the free list
  };
  struct Place {
    rte_mbuf* mbuf = nullptr;
    Origin origin;
    uint16_t next = kNil;
  };
  [[nodiscard]] static unsigned bucket_of(NextHopId id) { return (id.value() * 0x9e3779b1U) >> 24; }
  Queue* find_or_make(NextHopId next_hop, uint64_t uid);
  void unlink(uint16_t queue);
  Place pop(Queue& queue);

  std::vector<Queue> queues_;
  std::vector<Place> places_;
  std::array<uint16_t, 256> buckets_{};
  uint16_t free_queue_ = 0;
  uint16_t free_place_ = 0;
  unsigned held_ = 0;
  uint64_t seen_root_ = 0;  // Dataplane::serial at the last full look
  bool left_over_ = false;
};

template <class Free>
void HoldTable::clear(Free&& free_packet) {
  for (uint16_t& head : buckets_) {
    while (head != kNil) {
      const uint16_t index = head;
      while (queues_[index].count > 0) free_packet(pop(queues_[index]).mbuf);
      unlink(index);
    }
  }
}

}  // namespace hnv
