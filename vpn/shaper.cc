// SPDX-License-Identifier: Apache-2.0
#include "vpn/shaper.h"

#include <algorithm>

#include "compartments/checksum.h"
#include "compartments/ecn.h"
#include "compartments/scratch.h"
#include "vpn/ipsec_worker.h"

namespace hnv {
namespace {

// Places of a breath that are kept: some while packets wait, half of them while more were due than
// could go.
constexpr unsigned kRoom = 8;
constexpr unsigned kRoomLeftOver = kVector / 2;
// A queue may have one of so many of the places that are left.
constexpr uint32_t kShare = 8;

uint32_t micros(Duration d) {
  constexpr int64_t kMost = 0xffffffff;
  return static_cast<uint32_t>(std::clamp<int64_t>(d.count() / 1'000, 0, kMost));
}

bool is_ipv4(const rte_mbuf& mbuf) { return *rte_pktmbuf_mtod(&mbuf, const uint8_t*) >> 4 == 4; }

// RFC 3168 §5: a packet of a transport that knows ECN. False: it does not.
bool mark(rte_mbuf& mbuf) {
  if (is_ipv4(mbuf)) {
    auto& ip = *rte_pktmbuf_mtod(&mbuf, wire::Ipv4*);
    if ((ip.tos & kEcnMask) == kEcnNotCapable) return false;
    set_tos(ip, static_cast<uint8_t>(ip.tos | kEcnCongestion));
    return true;
  }
  auto& ip = *rte_pktmbuf_mtod(&mbuf, wire::Ipv6*);
  const uint8_t traffic_class = ip.traffic_class();
  if ((traffic_class & kEcnMask) == kEcnNotCapable) return false;
  ip.set_traffic_class(static_cast<uint8_t>(traffic_class | kEcnCongestion));
  return true;
}

// Null: it is gone, whatever has its number now.
const TunnelView* tunnel_of(const IpsecPlan& plan, TunnelId id, uint64_t uid) {
  const TunnelView* tunnel = plan.tunnels[id.value()].get();
  return tunnel == nullptr || tunnel->uid != uid ? nullptr : tunnel;
}

}  // namespace

Shaper::Shaper(uint32_t packets) : queues_(packets), places_(packets) {
  for (uint32_t i = 0; i < packets; ++i) {
    queues_[i].after = places_[i].next = i + 1 < packets ? i + 1 : kNone;
  }
}

unsigned Shaper::room_wanted() const {
  if (held_ == 0) return 0;
  return lists_[kReady].first == kNone ? std::min(held_, kRoom) : kRoomLeftOver;
}

void Shaper::link(uint32_t queue, uint32_t list) {
  List& in = lists_[list];
  Queue& one = queues_[queue];
  one.list = list;
  one.before = in.last;
  one.after = kNone;
  (in.last == kNone ? in.first : queues_[in.last].after) = queue;
  in.last = queue;
}

void Shaper::unlink(uint32_t queue) {
  const Queue& one = queues_[queue];
  List& in = lists_[one.list];
  (one.before == kNone ? in.first : queues_[one.before].after) = one.after;
  (one.after == kNone ? in.last : queues_[one.after].before) = one.before;
}

void Shaper::link_by_due(uint32_t queue, Instant due) {
  // The tick behind the one in which it is due.
  const uint64_t tick = (due.nanoseconds >> kTickBits) + 1;
  if (tick <= tick_) return link(queue, kReady);
  link(queue, static_cast<uint32_t>(std::min(tick, tick_ + kTicks - 1) % kTicks));
}

void Shaper::turn_wheel(Instant now) {
  const uint64_t present = now.nanoseconds >> kTickBits;
  if (present <= tick_) return;
  const uint64_t steps = std::min<uint64_t>(present - tick_, kTicks);
  for (uint64_t i = 1; i <= steps; ++i) {
    const auto list = static_cast<uint32_t>((tick_ + i) % kTicks);
    while (lists_[list].first != kNone) {
      const uint32_t queue = lists_[list].first;
      unlink(queue);
      link(queue, kReady);
    }
  }
  tick_ = present;
}

// After a change, a rate may be another, or a tunnel gone: `serve` sees to it.
void Shaper::look_again(const IpsecPlan& plan) {
  if (plan.serial != seen_plan_) {
    seen_plan_ = plan.serial;
    looked_at_ = 0;
  }
  const auto end =
      static_cast<uint32_t>(std::min<size_t>(size_t{looked_at_} + kLookEach, queues_.size()));
  for (; looked_at_ < end; ++looked_at_) {
    const Queue& queue = queues_[looked_at_];
    if (queue.packets == 0 || queue.list == kReady) continue;
    unlink(looked_at_);
    link(looked_at_, kReady);
  }
}

bool Shaper::add(const TunnelView& tunnel, SaDirection direction, PacketSlot& slot, Instant now) {
  if (free_place_ == kNone) return false;
  ShapedWay& way = tunnel.meters->way(direction);
  const TunnelRate& rate = tunnel.rate(direction);
  if (held_ == 0) tick_ = now.nanoseconds >> kTickBits;
  if (way.queue == kNone) {
    way.queue = free_queue_;
    Queue& fresh = queues_[free_queue_];
    free_queue_ = fresh.after;
    fresh.tunnel_uid = tunnel.uid;
    fresh.tunnel = tunnel.id;
    fresh.direction = direction;
    link_by_due(way.queue, way.bucket.due(rate, slot.bytes, now));
  }
  Queue& queue = queues_[way.queue];
  const auto left = static_cast<uint32_t>(places_.size()) - held_;
  if (queue.packets > 0 &&
      (queue.packets > left / kShare || rate.too_many_wait(queue.bytes + slot.bytes))) {
    return false;
  }
  slot.store();
  const uint32_t at = free_place_;
  Place& place = places_[at];
  free_place_ = place.next;
  place = {.mbuf = slot.mbuf,
           .origin = origin_of(slot),
           .since = now,
           .bytes = slot.bytes,
           .next = kNone,
           .handoffs = slot.handoffs};
  (queue.packets == 0 ? queue.first : places_[queue.last].next) = at;
  queue.last = at;
  ++queue.packets;
  ++held_;
  queue.bytes += slot.bytes;
  way.waiting_bytes.store(queue.bytes, std::memory_order_relaxed);
  return true;
}

Shaper::Place Shaper::pop(Queue& queue) {
  const uint32_t at = queue.first;
  const Place place = places_[at];
  queue.first = place.next;
  places_[at].next = free_place_;
  free_place_ = at;
  --queue.packets;
  --held_;
  queue.bytes -= place.bytes;
  return place;
}

void Shaper::release_queue(uint32_t queue) {
  unlink(queue);
  queues_[queue] = {};
  queues_[queue].after = free_queue_;
  free_queue_ = queue;
}

void Shaper::lose(const Place& place, const Queue& queue, const TunnelView* tunnel,
                  Serving& serving) {
  const bool out = queue.direction == SaDirection::outbound;
  const DropReason reason =
      tunnel == nullptr ? DropReason::ipsec_tunnel_gone : DropReason::ipsec_queue_delay;
  if (tunnel != nullptr) {
    TunnelCounters& counts = tunnel->drops[serving.lanes.worker()];
    (out ? counts.out_dropped : counts.in_dropped).add();
    (out ? counts.out_rate_limited : counts.in_rate_limited).add();
    counts.count(reason);
  }
  PacketSlot slot;
  slot.load(place.mbuf);
  slot.family = is_ipv4(*place.mbuf) ? Family::ipv4 : Family::ipv6;
  slot.inside = true;
  // Whether its compartment is still there only says who counts it, too.
  (void)restore_origin(slot, place.origin, serving.ipsec.compartments);
  if (out) {
    Exit<Stage::leave_ipsec>(serving.lanes).drop(Packet<Side::inside>(slot), reason);
  } else {
    Exit<Stage::enter_ipsec>(serving.lanes).drop(Packet<Side::outside>(slot), reason);
  }
}

// Its turn has come. False: CoDel wants it dropped.
bool Shaper::hand_on(const Place& place, const Queue& queue, const TunnelView& tunnel,
                     Serving& serving) {
  const Instant now = serving.ipsec.now;
  const bool out = queue.direction == SaDirection::outbound;
  const TunnelRate& rate = tunnel.rate(queue.direction);
  ShapedWay& way = tunnel.meters->way(queue.direction);
  const Duration waited = now - place.since;
  if (rate.limited()) {
    if (way.codel.drops(waited, queue.bytes, now)) {
      if (!mark(*place.mbuf)) return false;
      way.codel.marked();
      TunnelCounters& counts = tunnel.drops[serving.lanes.worker()];
      (out ? counts.out_marked : counts.in_marked).add();
    }
    way.bucket.spend(rate, place.bytes, now);
  }
  way.delay_micros.store(micros(waited), std::memory_order_relaxed);
  if (!out) {
    ConnectionCounters& traffic = tunnel.traffic[serving.lanes.worker()];
    traffic.in_packets.add();
    traffic.in_bytes.add(place.bytes);
  }
  serving.out[serving.count++] = {.mbuf = place.mbuf,
                                  .tunnel = &tunnel,
                                  .origin = place.origin,
                                  .direction = queue.direction,
                                  .handoffs = place.handoffs};
  return true;
}

// A turn of a queue of the ready list, which it leaves, or goes to the end of.
void Shaper::serve(uint32_t index, Serving& serving) {
  Queue& queue = queues_[index];
  const TunnelView* tunnel = tunnel_of(serving.ipsec.plan, queue.tunnel, queue.tunnel_uid);
  if (tunnel == nullptr) {
    while (queue.packets > 0) lose(pop(queue), queue, nullptr, serving);
    return release_queue(index);
  }
  const Instant now = serving.ipsec.now;
  const TunnelRate& rate = tunnel->rate(queue.direction);
  ShapedWay& way = tunnel->meters->way(queue.direction);
  const unsigned end = std::min(serving.room, serving.count + kTurn);
  Instant due{};
  while (queue.packets > 0 && serving.count < end) {
    due = rate.limited() ? way.bucket.due(rate, places_[queue.first].bytes, now) : Instant{};
    if (due > now) break;
    const Place place = pop(queue);
    if (!hand_on(place, queue, *tunnel, serving)) lose(place, queue, tunnel, serving);
  }
  way.waiting_bytes.store(queue.bytes, std::memory_order_relaxed);
  if (queue.packets == 0) {
    way.codel.emptied();
    way.queue = kNone;
    way.delay_micros.store(0, std::memory_order_relaxed);
    return release_queue(index);
  }
  unlink(index);
  if (due > now) return link_by_due(index, due);
  link(index, kReady);
}

// What the queues at the head of the ready list will touch.
void Shaper::fetch(const IpsecContext& ipsec) const {
  Scratch<uint32_t, kVector> queues;
  unsigned count = 0;
  for (uint32_t at = lists_[kReady].first; at != kNone && count < kRoomLeftOver;
       at = queues_[at].after) {
    queues[count++] = at;
    __builtin_prefetch(ipsec.plan.tunnels.address(queues_[at].tunnel.value()));
    __builtin_prefetch(&places_[queues_[at].first]);
  }
  for (unsigned i = 0; i < count; ++i) {
    const TunnelView* tunnel = ipsec.plan.tunnels[queues_[queues[i]].tunnel.value()].get();
    __builtin_prefetch(tunnel);
    __builtin_prefetch(reinterpret_cast<const uint8_t*>(tunnel) + 64);
    __builtin_prefetch(places_[queues_[queues[i]].first].mbuf);
  }
  for (unsigned i = 0; i < count; ++i) {
    const Queue& queue = queues_[queues[i]];
    const TunnelView* tunnel = tunnel_of(ipsec.plan, queue.tunnel, queue.tunnel_uid);
    if (tunnel != nullptr) __builtin_prefetch(&tunnel->meters->way(queue.direction), 1);
    __builtin_prefetch(rte_pktmbuf_mtod(places_[queue.first].mbuf, void*));
  }
}

unsigned Shaper::release(const IpsecContext& ipsec, Lanes& lanes, Released* out, unsigned room) {
  if (held_ == 0) return 0;
  turn_wheel(ipsec.now);
  look_again(ipsec.plan);
  Serving serving{.ipsec = ipsec, .lanes = lanes, .out = out, .room = room};
  if (lists_[kReady].first != kNone && room > 0) fetch(ipsec);
  while (lists_[kReady].first != kNone && serving.count < room) {
    serve(lists_[kReady].first, serving);
  }
  return serving.count;
}

}  // namespace hnv
