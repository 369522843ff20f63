// SPDX-License-Identifier: Apache-2.0
#include "vpn/shaper.h"

#include <algorithm>
#include <utility>

#include "compartments/checksum.h"
#include "compartments/ecn.h"

namespace hnv {
namespace {

// Places of a breath that are kept: some while frames wait, half of them while more were due than
// could go.
constexpr unsigned kRoom = 8;
constexpr unsigned kRoomLeftOver = kVector / 2;
// A tunnel may have one of so many of the places that are left.
constexpr uint32_t kShare = 8;

// RFC 3168 §5: a packet of a transport that knows ECN. False: it does not.
bool mark(PacketSlot& slot) {
  if (slot.family == Family::ipv4) {
    auto& ip = *reinterpret_cast<wire::Ipv4*>(slot.data);
    if ((ip.tos & kEcnMask) == kEcnNotCapable) return false;
    set_tos(ip, static_cast<uint8_t>(ip.tos | kEcnCongestion));
    return true;
  }
  auto& ip = *reinterpret_cast<wire::Ipv6*>(slot.data);
  const uint8_t traffic_class = ip.traffic_class();
  if ((traffic_class & kEcnMask) == kEcnNotCapable) return false;
  ip.set_traffic_class(static_cast<uint8_t>(traffic_class | kEcnCongestion));
  return true;
}

}  // namespace

Shaper::Shaper(uint32_t packets)
    // Those of one breath are admitted before the first of them is parked.
    : packets_(packets), places_(packets + kVector), after_(packets + kVector), waiting_(kMeters) {
  const auto count = static_cast<uint32_t>(places_.size());
  for (uint32_t i = 0; i < count; ++i) after_[i] = i + 1 < count ? i + 1 : kNone;
}

unsigned Shaper::room_wanted() const {
  if (held_ == 0) return 0;
  return lists_[kReady].first == kNone ? std::min(held_, kRoom) : kRoomLeftOver;
}

void Shaper::append(uint32_t place, uint32_t list) {
  List& in = lists_[list];
  after_[place] = kNone;
  (in.last == kNone ? in.first : after_[in.last]) = place;
  in.last = place;
}

// Leaves `from` empty.
void Shaper::append_all(uint32_t from, uint32_t list) {
  const List moved = std::exchange(lists_[from], {});
  if (moved.first == kNone) return;
  List& in = lists_[list];
  (in.last == kNone ? in.first : after_[in.last]) = moved.first;
  in.last = moved.last;
}

// REQUIRES that there is one.
uint32_t Shaper::take_first(uint32_t list) {
  List& in = lists_[list];
  const uint32_t place = in.first;
  in.first = after_[place];
  if (in.first == kNone) in.last = kNone;
  return place;
}

void Shaper::append_by_tick(uint32_t place) {
  const uint32_t tick = places_[place].tick;
  if (!later(tick, tick_)) return append(place, kReady);
  append(place, (tick_ + std::min(tick - tick_, kTicks - 1)) % kTicks);
}

void Shaper::turn_wheel(uint32_t present) {
  if (!later(present, tick_)) return;
  const uint32_t steps = std::min(present - tick_, kTicks);
  for (uint32_t i = 1; i <= steps; ++i) append_all((tick_ + i) % kTicks, kReady);
  tick_ = present;
}

bool Shaper::has_room(uint32_t meter) {
  if (held_ >= packets_) return false;
  return waiting(meter) == 0 || waiting(meter) <= (packets_ - held_) / kShare;
}

Shaper::Verdict Shaper::shape(const TunnelView& tunnel, SaDirection direction, PacketSlot& slot,
                              unsigned worker, Instant now) {
  const TunnelRate& rate = tunnel.rate(direction);
  ShapedWay& way = tunnel.meters->way(direction);
  const bool out = direction == SaDirection::outbound;
  const uint32_t meter = meter_of(tunnel.id, direction);
  const Instant by_rate =
      rate.limited() ? std::max(now, way.bucket.due(rate, slot.bytes, now)) : now;
  // Never before those that came before it, whatever the rate is now.
  const Instant due = std::max(by_rate, way.leaves_at());
  if (due > now) {
    const uint32_t ahead = rate.bytes_in(by_rate - now);
    if (rate.too_many_wait(ahead) || !has_room(meter)) return Verdict::too_much;
    if (way.leaves_at() <= now) way.codel.emptied();
    if (rate.limited() && way.codel.drops(by_rate - now, ahead, now)) {
      if (!mark(slot)) return Verdict::too_long;
      way.codel.marked();
      TunnelCounters& counts = tunnel.drops[worker];
      (out ? counts.out_marked : counts.in_marked).add();
    }
  }
  if (rate.limited()) way.bucket.spend(rate, slot.bytes, now);
  if (due > now) way.set_leaves_at(due);
  // The tick behind the one in which it is due. From tunnel to tunnel: as the slower one says.
  Departure departure{.tick = tick_of(due) + (due > now ? 1U : 0U), .meter = meter};
  const Departure before = departure_of(*slot.mbuf);
  if (before.meter != 0 && later(before.tick, departure.tick)) departure.tick = before.tick;
  set_departure(*slot.mbuf, departure);
  return Verdict::goes;
}

Shaper::Parked Shaper::park(rte_mbuf& frame, const IpsecPlan& plan, Instant now) {
  const Departure departure = departure_of(frame);
  set_departure(frame, {});
  const uint32_t meter = departure.meter;
  if (held_ == 0) tick_ = tick_of(now);
  if (!later(departure.tick, tick_) && waiting(meter) == 0) return Parked::goes;
  const TunnelView* tunnel = plan.tunnels[tunnel_of(meter).value()].get();
  if (tunnel == nullptr) return Parked::gone;
  if (free_place_ == kNone) return Parked::full;
  const uint32_t at = free_place_;
  free_place_ = after_[at];
  places_[at] = {.mbuf = &frame,
                 .tick = departure.tick,
                 .meter = meter,
                 .compartment_uid = static_cast<uint32_t>(tunnel->compartment_uid),
                 .plan = static_cast<uint32_t>(plan.serial),
                 .port = frame.port};
  ++waiting(meter);
  ++held_;
  append_by_tick(at);
  return Parked::waits;
}

// Nothing is asked of the tunnel while the plan is the same.
bool Shaper::is_gone(const Place& place, const IpsecPlan& plan) {
  if (place.plan == static_cast<uint32_t>(plan.serial)) return false;
  const TunnelView* tunnel = plan.tunnels[tunnel_of(place.meter).value()].get();
  return tunnel == nullptr ||
         static_cast<uint32_t>(tunnel->compartment_uid) != place.compartment_uid;
}

unsigned Shaper::release(Leaving* out, unsigned room, const IpsecPlan& plan, Instant now) {
  if (held_ == 0) return 0;
  turn_wheel(tick_of(now));
  uint32_t ahead = lists_[kReady].first;
  for (unsigned i = 0; i < room && ahead != kNone; ++i, ahead = after_[ahead]) {
    __builtin_prefetch(&places_[ahead]);
  }
  unsigned count = 0;
  while (lists_[kReady].first != kNone && count < room) {
    const uint32_t at = take_first(kReady);
    const Place& place = places_[at];
    if (later(place.tick, tick_)) {  // the wheel is too small for it
      append_by_tick(at);
      continue;
    }
    out[count++] = {.mbuf = place.mbuf, .port = place.port, .gone = is_gone(place, plan)};
    --waiting(place.meter);
    --held_;
    after_[at] = free_place_;
    free_place_ = at;
  }
  return count;
}

}  // namespace hnv
