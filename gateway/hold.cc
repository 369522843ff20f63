// SPDX-License-Identifier: Apache-2.0
#include "gateway/hold.h"

#include "gateway/dataplane.h"

namespace hnv {

HoldTable::HoldTable() : queues_(kNextHops), places_(kPackets) {
  buckets_.fill(kNil);
  for (unsigned i = 0; i < kNextHops; ++i) {
    queues_[i].next_in_bucket = i + 1 < kNextHops ? static_cast<uint16_t>(i + 1) : kNil;
  }
  for (unsigned i = 0; i < kPackets; ++i) {
    places_[i].next = i + 1 < kPackets ? static_cast<uint16_t>(i + 1) : kNil;
  }
}

HoldTable::Queue* HoldTable::find_or_make(NextHopId next_hop, uint64_t uid) {
  uint16_t& head = buckets_[bucket_of(next_hop)];
  for (uint16_t at = head; at != kNil; at = queues_[at].next_in_bucket) {
    if (queues_[at].next_hop == next_hop && queues_[at].uid == uid) return &queues_[at];
  }
  if (free_queue_ == kNil) return nullptr;
  const uint16_t index = free_queue_;
  free_queue_ = queues_[index].next_in_bucket;
  queues_[index] = Queue{.next_hop = next_hop, .uid = uid, .next_in_bucket = head};
  head = index;
  return &queues_[index];
}

bool HoldTable::add(uint64_t uid, const PacketSlot& slot, unsigned bound) {
  if (free_place_ == kNil) return false;
  Queue* queue = find_or_make(slot.next_hop, uid);
  if (queue == nullptr || queue->count >= bound) return false;
  const uint16_t place = free_place_;
  free_place_ = places_[place].next;
  places_[place] = Place{.mbuf = slot.mbuf, .origin = origin_of(slot), .next = kNil};
  if (queue->last == kNil) {
    queue->first = place;
  } else {
    places_[queue->last].next = place;
  }
  queue->last = place;
  ++queue->count;
  ++held_;
  return true;
}

bool HoldTable::waiting_for(NextHopId next_hop) const {
  for (uint16_t at = buckets_[bucket_of(next_hop)]; at != kNil; at = queues_[at].next_in_bucket) {
    if (queues_[at].next_hop == next_hop) return true;
  }
  return false;
}

HoldTable::Place HoldTable::pop(Queue& queue) {
  const uint16_t index = queue.first;
  const Place place = places_[index];
  queue.first = place.next;
  if (queue.first == kNil) queue.last = kNil;
  places_[index] = Place{.mbuf = nullptr, .origin = {}, .next = free_place_};
  free_place_ = index;
  --queue.count;
  --held_;
  return place;
}

void HoldTable::unlink(uint16_t queue) {
  uint16_t* link = &buckets_[bucket_of(queues_[queue].next_hop)];
  while (*link != queue) link = &queues_[*link].next_in_bucket;
  *link = queues_[queue].next_in_bucket;
  queues_[queue].next_in_bucket = free_queue_;
  free_queue_ = queue;
}

unsigned HoldTable::release(const Dataplane& plane, Released* out, unsigned room) {
  if (held_ == 0 || (plane.serial == seen_root_ && !left_over_)) return 0;
  seen_root_ = plane.serial;
  left_over_ = false;
  unsigned count = 0;
  for (const uint16_t& head : buckets_) {
    for (uint16_t at = head; at != kNil;) {
      Queue& queue = queues_[at];
      const uint16_t following = queue.next_in_bucket;
      const NextHop& hop = plane.next_hops[queue.next_hop.value()];
      Verdict verdict = Verdict::gone;
      if (hop.uid == queue.uid) {
        if (hop.state == NextHopState::resolving) {
          at = following;
          continue;
        }
        if (hop.state == NextHopState::resolved) verdict = Verdict::resolved;
        if (hop.state == NextHopState::failed) verdict = Verdict::failed;
      }
      while (queue.count > 0 && count < room) {
        const Place place = pop(queue);
        out[count++] = Released{.mbuf = place.mbuf,
                                .origin = place.origin,
                                .next_hop = queue.next_hop,
                                .uid = queue.uid,
                                .verdict = verdict};
      }
      if (queue.count > 0) {
        left_over_ = true;
        return count;
      }
      unlink(at);
      at = following;
    }
  }
  return count;
}

}  // namespace hnv
