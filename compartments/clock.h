// SPDX-License-Identifier: Apache-2.0
//
// Time as a value. Nobody below the loops asks for the time; it is passed in, so that a test moves
// it by hand.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace hnv {

using Duration = std::chrono::nanoseconds;

// A moment on a monotonic clock: nanoseconds since an epoch that means nothing. Instants of one
// process can be compared; they are not stored and not sent.
struct Instant {
  uint64_t nanoseconds = 0;

  friend constexpr auto operator<=>(const Instant&, const Instant&) = default;
  friend constexpr Instant operator+(Instant at, Duration d) {
    return {at.nanoseconds + static_cast<uint64_t>(d.count())};
  }
  friend constexpr Instant operator-(Instant at, Duration d) {
    return {at.nanoseconds - static_cast<uint64_t>(d.count())};
  }
  // Negative when `from` lies after `to`.
  friend constexpr Duration operator-(Instant to, Instant from) {
    return Duration(static_cast<int64_t>(to.nanoseconds - from.nanoseconds));
  }
};

// A duration as the API shows it.
[[nodiscard]] constexpr double in_seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}

}  // namespace hnv
