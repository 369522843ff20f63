// SPDX-License-Identifier: Apache-2.0
//
// A token bucket of packets: `per_second` more a second, at most `burst` at once; full at first.
// Its owner's thread only.
#pragma once

#include <algorithm>
#include <cstdint>

#include "compartments/clock.h"

namespace hnv {

struct PacketRate {
  uint32_t per_second = 0;  // 1 to 1'000'000'000
  uint32_t burst = 0;
};

class PacketMeter {
 public:
  // `now` never goes back.
  [[nodiscard]] bool take(const PacketRate& rate, Instant now) {
    const uint64_t interval = 1'000'000'000U / rate.per_second;
    const uint64_t since = now.nanoseconds - refilled_at_;
    if (refilled_at_ == 0 || since >= interval * rate.burst) {
      tokens_ = rate.burst;
      refilled_at_ = now.nanoseconds;
    } else if (since >= interval) {
      const uint64_t fresh = since / interval;
      tokens_ = static_cast<uint32_t>(std::min<uint64_t>(tokens_ + fresh, rate.burst));
      refilled_at_ += fresh * interval;
    }
    if (tokens_ == 0) return false;
    --tokens_;
    return true;
  }

 private:
  uint64_t refilled_at_ = 0;  // nanoseconds; 0: never used
  uint32_t tokens_ = 0;
};

}  // namespace hnv
