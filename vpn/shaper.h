// SPDX-License-Identifier: Apache-2.0
//
// Where packets wait that exceed the rate of their tunnel: a short queue for each tunnel and
// direction, served at the rate. CoDel (vpn/codel.h) keeps delay from standing in it; what it would
// drop is marked instead where the sender knows ECN (RFC 3168).
//
// A tunnel has a queue only while something waits; else a packet costs a look at the bucket.
//
//   Shaper::passes(…)  → on, or  add(…)  … a breath that begins: release(…) → the line
//
// A queue whose front may go later hangs in a wheel of ticks by when that is, one whose front may
// go now in a list that is served in turn. Bounded in three ways: a queue by
// TunnelRate::kLongestQueue, all of a worker by the places, and each queue to an eighth of the
// places that are left, so that a flooded tunnel leaves room for all others.
//
// Owner: one worker; a tunnel's packets are all one worker's. Queues hold no pointer into the plan:
// a tunnel that is gone, or another one under its number, is known by its uid.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "compartments/clock.h"
#include "compartments/line/exit.h"
#include "compartments/line/reentry.h"
#include "vpn/ipsec_plan.h"

namespace hnv {

struct IpsecContext;

class Shaper {
 public:
  static constexpr uint32_t kPackets = 8192;

  // `packets` may wait in all; each has a buffer of the pool.
  explicit Shaper(uint32_t packets = kPackets);

  [[nodiscard]] uint32_t held() const { return held_; }
  // How many places the next breath is to keep for `release`.
  [[nodiscard]] unsigned room_wanted() const;

  // Whether the packet may go on at once; takes its bytes from the bucket if so.
  [[nodiscard]] static bool passes(const TunnelRate& rate, ShapedWay& way, uint32_t bytes,
                                   Instant now) {
    return way.queue == ShapedWay::kNone && way.bucket.take(rate, bytes, now);
  }
  // It waits. The packet begins with its inner IP header. False: too much waits already; it is
  // still the caller's.
  [[nodiscard]] bool add(const TunnelView& tunnel, SaDirection direction, PacketSlot& slot,
                         Instant now);

  // A packet whose turn it is. `tunnel` is of the plan that release was given.
  struct Released {  // NOLINT(cppcoreguidelines-pro-type-member-init): made whole
    rte_mbuf* mbuf;
    const TunnelView* tunnel;
    Origin origin;
    SaDirection direction;
    uint8_t handoffs;
  };
  // Up to `room` packets that are due, in their tunnels' order; tunnels in turn. Drops, as
  // ipsec_queue_delay, what CoDel says, and as ipsec_tunnel_gone what has no tunnel any more.
  unsigned release(const IpsecContext& ipsec, Lanes& lanes, Released* out, unsigned room);

  // Everything that waits. For the end.
  template <class Free>
  void clear(Free&& free_packet);

 private:
  static constexpr uint32_t kNone = ShapedWay::kNone;
  static constexpr unsigned kTickBits = 16;  // 65.5 µs
  static constexpr unsigned kTicks = 1024;   // 67 ms; who is due later is looked at again then
  static constexpr unsigned kReady = kTicks;
  static constexpr unsigned kTurn = 8;       // packets of a queue before it is another's turn
  static constexpr unsigned kLookEach = 64;  // queues looked at in a breath, after a new plan

  struct alignas(64) Queue {
    uint64_t tunnel_uid = 0;
    TunnelId tunnel{};
    SaDirection direction = SaDirection::outbound;
    uint32_t first = kNone, last = kNone;  // places
    uint32_t packets = 0;                  // 0: the queue is free
    uint32_t bytes = 0;
    uint32_t before = kNone, after = kNone;  // in its list; `after` also among the free ones
    uint32_t list = kReady;                  // a tick, or kReady
  };
  struct alignas(64) Place {
    rte_mbuf* mbuf = nullptr;
    Origin origin{};
    Instant since{};
    uint32_t bytes = 0;
    uint32_t next = kNone;
    uint8_t handoffs = 0;
  };
  struct List {
    uint32_t first = kNone, last = kNone;
  };
  // Where a queue's packets go in one call of release.
  struct Serving {  // NOLINT(cppcoreguidelines-pro-type-member-init): made whole
    const IpsecContext& ipsec;
    Lanes& lanes;
    Released* out;
    unsigned room;
    unsigned count = 0;
  };

  void link(uint32_t queue, uint32_t list);
  void unlink(uint32_t queue);
  void link_by_due(uint32_t queue, Instant due);
  void turn_wheel(Instant now);
  void look_again(const IpsecPlan& plan);
  void fetch(const IpsecContext& ipsec) const;
  void serve(uint32_t queue, Serving& serving);
  [[nodiscard]] bool hand_on(const Place& place, const Queue& queue, const TunnelView& tunnel,
                             Serving& serving);
  void lose(const Place& place, const Queue& queue, const TunnelView* tunnel, Serving& serving);
  [[nodiscard]] Place pop(Queue& queue);
  void release_queue(uint32_t queue);

  std::vector<Queue> queues_;
  std::vector<Place> places_;
  std::array<List, kTicks + 1> lists_{};
  uint32_t free_queue_ = 0;
  uint32_t free_place_ = 0;
  uint32_t held_ = 0;
  uint32_t looked_at_ = 0;  // queues, since the plan changed
  uint64_t seen_plan_ = 0;
  uint64_t tick_ = 0;  // up to here the wheel is empty
};

template <class Free>
void Shaper::clear(Free&& free_packet) {
  for (uint32_t i = 0; i < queues_.size(); ++i) {
    if (queues_[i].packets == 0) continue;
    while (queues_[i].packets > 0) free_packet(pop(queues_[i]).mbuf);
    release_queue(i);
  }
}

}  // namespace hnv
