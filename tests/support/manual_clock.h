// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compartments/clock.h"

namespace hnv {

// Time that stands still until a test moves it.
class ManualClock {
 public:
  [[nodiscard]] Instant now() const { return now_; }
  void advance(Duration by) { now_ = now_ + by; }

 private:
  Instant now_{1'000'000'000'000};
};

}  // namespace hnv
