// SPDX-License-Identifier: Apache-2.0
//
// Keeps tunnels to their rates. The door of a tunnel decides at once when a packet may leave, since
// the rate says when those before it will have: at once, later (that is written into the packet),
// or never. CoDel (vpn/codel.h) is asked there, too, before anything is encrypted: a packet that is
// dropped uses no sequence number, and one whose sender knows ECN (RFC 3168) is marked instead. The
// packet then goes its way through all stations while it is in the cache, and waits as a complete
// frame before its port: what is released is touched no more.
//
//   door: passes(…)  → on, or  shape(…)  → on, with its departure    tx: park(…)
//   a breath that begins: release(…) → ports
//
// Frames wait in a wheel of ticks by their departures, and those that are due in one list. Bounded
// in three ways: a tunnel and direction by TunnelRate::kLongestQueue, all of a worker by the
// places, and each to an eighth of the places that are left, so that a flooded tunnel leaves room
// for all others.
//
// What waits keeps its departure when its tunnel's rate changes, and ends with its tunnel or its
// routing domain; another domain under the same number is known by its uid.
//
// Owner: one worker.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "compartments/clock.h"
#include "compartments/line/departure.h"
#include "compartments/line/packet.h"
#include "vpn/ipsec_plan.h"

namespace hnv {

class Shaper {
 public:
  static constexpr uint32_t kPackets = 8192;

  // `packets` may wait in all; each has a buffer of the pool.
  explicit Shaper(uint32_t packets = kPackets);

  [[nodiscard]] uint32_t held() const { return held_; }
  // How many places the next breath is to keep for `release`.
  [[nodiscard]] unsigned room_wanted() const;

  // Whether the packet may go on at once; takes its bytes from the bucket if so.
  [[nodiscard]] static bool passes(const TunnelRate& rate, ShapedWay& way, const PacketSlot& slot,
                                   Instant now) {
    return way.settled(now) && departure_of(*slot.mbuf).meter == 0 &&
           way.bucket.take(rate, slot.bytes, now);
  }

  enum class Verdict : uint8_t {
    goes,      // on its way, to leave when it may
    too_much,  // too much waits already
    too_long,  // CoDel says so
  };
  // For a packet that does not pass. It begins with its inner IP header.
  [[nodiscard]] Verdict shape(const TunnelView& tunnel, SaDirection direction, PacketSlot& slot,
                              unsigned worker, Instant now);

  enum class Parked : uint8_t {
    goes,   // it may leave now
    waits,  // until `release`
    full,   // it would have to wait, and there is no place
    gone,   // its tunnel is
  };
  // For a frame that has a departure, which is taken off it.
  [[nodiscard]] Parked park(rte_mbuf& frame, const IpsecPlan& plan, Instant now);

  struct Leaving {  // NOLINT(cppcoreguidelines-pro-type-member-init): made whole
    rte_mbuf* mbuf;
    uint16_t port;
    bool gone;  // its tunnel is, or its domain
  };
  // Up to `room` frames that are due, in order.
  unsigned release(Leaving* out, unsigned room, const IpsecPlan& plan, Instant now);

  // Everything that waits. For the end.
  template <class Free>
  void clear(Free&& free_packet);

 private:
  static constexpr uint32_t kNone = 0xffffffff;
  static constexpr unsigned kTickBits = 16;  // 65.5 µs
  static constexpr unsigned kTicks = 1024;   // 67 ms; who is due later is looked at again then
  static constexpr unsigned kReady = kTicks;
  // Tunnels and directions whose waiting frames are counted apart. Beyond, some share.
  static constexpr uint32_t kMeters = 16'384;

  struct alignas(32) Place {
    rte_mbuf* mbuf = nullptr;
    uint32_t tick = 0;
    uint32_t meter = 0;
    uint32_t compartment_uid = 0;  // its last bits, of the tunnel's
    uint32_t plan = 0;             // the serial of the one in which that was seen
    uint16_t port = 0;
  };
  static_assert(sizeof(Place) == 32);
  struct List {
    uint32_t first = kNone, last = kNone;
  };

  [[nodiscard]] static uint32_t tick_of(Instant when) {
    return static_cast<uint32_t>(when.nanoseconds >> kTickBits);
  }
  // Ticks wrap around after 78 hours.
  [[nodiscard]] static bool later(uint32_t a, uint32_t b) {
    return static_cast<int32_t>(a - b) > 0;
  }
  // Meters of tunnels, by direction.
  [[nodiscard]] static uint32_t meter_of(TunnelId tunnel, SaDirection direction) {
    return 1 + 2 * tunnel.value() + (direction == SaDirection::outbound ? 1 : 0);
  }
  [[nodiscard]] static TunnelId tunnel_of(uint32_t meter) { return TunnelId((meter - 1) / 2); }
  [[nodiscard]] uint16_t& waiting(uint32_t meter) { return waiting_[meter % kMeters]; }
  [[nodiscard]] static bool is_gone(const Place& place, const IpsecPlan& plan);
  [[nodiscard]] bool has_room(uint32_t meter);
  void append(uint32_t place, uint32_t list);
  void append_all(uint32_t from, uint32_t list);
  [[nodiscard]] uint32_t take_first(uint32_t list);
  void append_by_tick(uint32_t place);
  void turn_wheel(uint32_t present);

  uint32_t packets_;  // that may wait
  std::vector<Place> places_;
  // By place: the one behind it in its list, also in that of the free ones. Apart, so that a walk
  // along a list finds them in the cache.
  std::vector<uint32_t> after_;
  std::vector<uint16_t> waiting_;  // frames, by meter
  std::array<List, kTicks + 1> lists_{};
  uint32_t free_place_ = 0;
  uint32_t held_ = 0;
  uint32_t tick_ = 0;  // up to here the wheel is empty
};

// REQUIRES one that refuses.
[[nodiscard]] constexpr DropReason reason_of(Shaper::Verdict verdict) {
  return verdict == Shaper::Verdict::too_long ? DropReason::ipsec_queue_delay
                                              : DropReason::ipsec_rate_limited;
}

template <class Free>
void Shaper::clear(Free&& free_packet) {
  for (uint32_t list = 0; list <= kReady; ++list) {
    while (lists_[list].first != kNone) {
      const uint32_t at = take_first(list);
      free_packet(places_[at].mbuf);
      after_[at] = free_place_;
      free_place_ = at;
      --waiting(places_[at].meter);
      --held_;
    }
  }
}

}  // namespace hnv
