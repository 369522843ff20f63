// SPDX-License-Identifier: Apache-2.0
//
// Sees that a worker is stuck, and that it is not any more. An idle worker sleeps for half a
// millisecond at most and then breathes, so breaths that do not move for kPatience mean a thread
// that does not come to run, or does not come back. Owned by the control thread.
#pragma once

#include <algorithm>
#include <cstdint>

#include "compartments/clock.h"

namespace hnv {

class WorkerWatch {
 public:
  static constexpr Duration kPatience = std::chrono::milliseconds(500);
  // Longer gaps between two looks count as this much: the watcher was held up itself, maybe the
  // whole process, and the worker has had no chance yet.
  static constexpr Duration kLongestGap = std::chrono::milliseconds(200);

  enum class News : uint8_t { none, stuck, recovered };

  // The worker's breaths as they are now. Call it every 100 ms or so.
  News look(uint64_t breaths, Instant now) {
    const Duration gap = looked_ ? std::min(now - last_look_, kLongestGap) : Duration(0);
    last_look_ = now;
    if (breaths != breaths_ || !looked_) {
      looked_ = true;
      breaths_ = breaths;
      const bool was_stuck = stuck();
      missed_ = missed_by_now_;
      missed_by_now_ = Duration(0);
      return was_stuck ? News::recovered : News::none;
    }
    const bool was_stuck = stuck();
    missed_by_now_ += gap;
    return stuck() && !was_stuck ? News::stuck : News::none;
  }
  [[nodiscard]] bool stuck() const { return missed_by_now_ >= kPatience; }
  // How long it had not breathed when it last breathed again: what a recovery has to tell.
  [[nodiscard]] Duration missed() const { return missed_; }

 private:
  bool looked_ = false;
  uint64_t breaths_ = 0;
  Instant last_look_;
  Duration missed_by_now_{0};
  Duration missed_{0};
};

}  // namespace hnv
