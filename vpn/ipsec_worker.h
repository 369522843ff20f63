// SPDX-License-Identifier: Apache-2.0
//
// IPsec as one worker has it, and what its stations are given.
#pragma once

#include <array>
#include <cstdint>

#include "compartments/clock.h"
#include "compartments/line/exit.h"
#include "compartments/line/reentry.h"
#include "compartments/outside_network.h"
#include "vpn/esp_cipher.h"
#include "vpn/ipsec_notice.h"
#include "vpn/ipsec_plan.h"
#include "vpn/shaper.h"

namespace hnv {

struct IpsecWorker;

// What the stations see in one breath.
struct IpsecContext {
  const IpsecPlan& plan;
  const Compartments& compartments;
  const OutsideNetworks& outside;  // by OutsideNetworkId
  const CowArray<NextHop>& next_hops;
  const CowArray<std::shared_ptr<const CustomerMap>>& links;
  IpsecWorker& mine;
  ReentryQueue& reentry;
  Instant now;
};

// Packets that wait for a tunnel that they asked for, in the order in which they came.
class TunnelWaiters {
 public:
  static constexpr unsigned kPackets = 1024;    // in all
  static constexpr unsigned kPacketsEach = 16;  // for one tunnel
  static constexpr Duration kLongest = std::chrono::seconds(3);

  struct Waiter {
    Reentry entry;
    TunnelId tunnel{};
    uint64_t tunnel_uid = 0;
    Instant until;
  };

  [[nodiscard]] unsigned size() const { return count_; }
  // False: too many wait already; the packet is still the caller's.
  [[nodiscard]] bool add(const TunnelView& tunnel, const Reentry& entry, Instant now);
  // Back to the line what can go now; `lose` gets what has waited in vain, and everything of
  // tunnels that are gone. Cheap when nothing has changed.
  template <class Lose>
  void settle(const IpsecPlan& plan, ReentryQueue& reentry, Instant now, Lose lose);
  template <class Lose>
  void clear(Lose lose);

 private:
  std::array<Waiter, kPackets> waiters_{};
  unsigned count_ = 0;
  uint64_t seen_ = 0;  // the plan's serial
};

// Owned by one worker, but for what its ring says of the control thread.
struct IpsecWorker {
  // `shaped_packets` may wait for the rates of their tunnels.
  explicit IpsecWorker(uint32_t shaped_packets = Shaper::kPackets) : shaper(shaped_packets) {}

  IpsecNotices notices;
  EspTransform cipher;
  TunnelWaiters waiters;
  Shaper shaper;

  // Packets that wait here.
  [[nodiscard]] uint64_t held() const { return waiters.size() + shaper.held(); }
  // To the control thread, at most once a second for what `told_at` belongs to.
  void tell(const IpsecNotice& notice, uint64_t& told_at, Instant now);
};

// Once a breath, also without packets.
void tend_ipsec(const IpsecContext& ipsec, Lanes& lanes);
// Everything that waits ends, as `draining`.
void drain_ipsec(IpsecWorker& mine, WorkerCounters& counters);

// ESP in, of both outer families; `inner_at` says where its header is.
void enter_ipsec(Burst<Side::outside> in, const IpsecContext& ipsec, Exit<Stage::enter_ipsec> out);
// Into a tunnel, both inner families.
void leave_ipsec(Burst<Side::inside> in, const IpsecContext& ipsec, Exit<Stage::leave_ipsec> out);

}  // namespace hnv
