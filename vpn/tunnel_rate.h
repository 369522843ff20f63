// SPDX-License-Identifier: Apache-2.0
//
// How much a direction of a tunnel may carry, in inner IP bytes (Tx before, Rx after ESP), and how
// much it has carried. What exceeds it waits (vpn/shaper.h).
#pragma once

#include <algorithm>
#include <cstdint>

#include "compartments/clock.h"

namespace hnv {

// As it is asked at every packet.
class TunnelRate {
 public:
  static constexpr uint32_t kLeastBurst = 2'000;  // bytes
  // What may wait: so long at the rate, and so much at least. The longest delay, whoever sends.
  static constexpr Duration kLongestQueue = std::chrono::milliseconds(40);
  static constexpr uint32_t kLeastQueue = 15'000;  // bytes

  TunnelRate() = default;  // no limit
  // 0 kbit/s: no limit. `burst_bytes` may follow each other at once; kLeastBurst is the least.
  TunnelRate(uint32_t kilobits_per_second, uint32_t burst_bytes)
      : per_byte_(kilobits_per_second == 0 ? 0 : kPerByteAt1Kilobit / kilobits_per_second),
        burst_(cost(std::max(burst_bytes, kLeastBurst))) {}

  [[nodiscard]] bool limited() const { return per_byte_ != 0; }
  // Whether `bytes` are more than may wait.
  [[nodiscard]] bool too_many_wait(uint32_t bytes) const {
    return bytes > kLeastQueue &&
           cost(bytes) > static_cast<uint64_t>(kLongestQueue.count()) * kUnits;
  }
  // What leaves in so long; 0: there is no limit.
  [[nodiscard]] uint32_t bytes_in(Duration time) const {
    if (!limited()) return 0;
    const uint64_t units = static_cast<uint64_t>(time.count()) * kUnits;
    return static_cast<uint32_t>(std::min<uint64_t>((units << kFraction) / per_byte_, UINT32_MAX));
  }
  // In TokenBucket's units of time.
  static constexpr uint64_t kUnits = 16;  // in a nanosecond
  [[nodiscard]] uint64_t cost(uint32_t bytes) const { return bytes * per_byte_ >> kFraction; }
  [[nodiscard]] uint64_t burst() const { return burst_; }
  [[nodiscard]] uint64_t per_byte() const { return per_byte_; }

 private:
  static constexpr unsigned kFraction = 16;
  static constexpr uint64_t kPerByteAt1Kilobit = (uint64_t{8'000'000} * kUnits) << kFraction;
  uint64_t per_byte_ = 0;
  uint64_t burst_ = 0;
};

// A token bucket, as the time at which it is full again. Owner: one worker.
class TokenBucket {
 public:
  // Whether `bytes` more may pass now; takes them if so. One packet always may where nothing went
  // before.
  [[nodiscard]] bool take(const TunnelRate& rate, uint32_t bytes, Instant now) {
    if (!rate.limited()) return true;
    const uint64_t present = now.nanoseconds * TunnelRate::kUnits;
    if (rate.per_byte() != per_byte_) [[unlikely]] {
      change(rate, present);
    }
    const uint64_t cost = rate.cost(bytes);
    const uint64_t begin = std::max(full_at_, present);
    if (begin + cost > present + std::max(rate.burst(), cost)) return false;
    full_at_ = begin + cost;
    return true;
  }

  // When a packet that comes now may pass; it takes nothing. REQUIRES a limit.
  [[nodiscard]] Instant due(const TunnelRate& rate, uint32_t bytes, Instant now) {
    const uint64_t present = now.nanoseconds * TunnelRate::kUnits;
    if (rate.per_byte() != per_byte_) change(rate, present);
    const uint64_t cost = rate.cost(bytes);
    const uint64_t until = std::max(full_at_, present) + cost;
    const uint64_t ahead = std::max(rate.burst(), cost);
    return {until <= ahead ? 0 : (until - ahead + TunnelRate::kUnits - 1) / TunnelRate::kUnits};
  }
  // It passes then. REQUIRES that `due` has been asked.
  void spend(const TunnelRate& rate, uint32_t bytes, Instant now) {
    const uint64_t present = now.nanoseconds * TunnelRate::kUnits;
    full_at_ = std::max(full_at_, present) + rate.cost(bytes);
  }

 private:
  // Another rate: as many bytes are taken as before, at most the burst.
  void change(const TunnelRate& rate, uint64_t present) {
    if (per_byte_ != 0 && full_at_ > present) {
      const double taken = static_cast<double>(full_at_ - present) *
                           static_cast<double>(rate.per_byte()) / static_cast<double>(per_byte_);
      full_at_ = present + std::min(static_cast<uint64_t>(taken), rate.burst());
    }
    per_byte_ = rate.per_byte();
  }

  uint64_t full_at_ = 0;
  uint64_t per_byte_ = 0;  // of the rate in use
};

}  // namespace hnv
