// SPDX-License-Identifier: Apache-2.0
//
// CoDel (RFC 8289): which packets of a queue to drop, or to mark, so that no delay stands in it. A
// queue that bursts is left alone; one in which every packet of a tenth of a second has waited
// longer than 5 ms loses a packet, and then more, ever faster, until the delay is gone.
//
// A value without a clock and without a queue: whoever owns the queue asks `drops` for each packet,
// in order, at its end (its rate says how long the packet will wait). Owner: one worker.
#pragma once

#include <cmath>
#include <cstdint>

#include "compartments/clock.h"

namespace hnv {

class Codel {
 public:
  static constexpr Duration kTarget = std::chrono::milliseconds(5);      // §4.2
  static constexpr Duration kInterval = std::chrono::milliseconds(100);  // §4.3
  // What is no more than a packet is never a standing queue, however slow the link (§5.4:
  // MAXPACKET).
  static constexpr uint32_t kPacket = 1'500;

  // For the packet that has just come: how long it will wait, and how many bytes there are until it
  // has left. True: it has to be dropped, or, where its sender understands that, marked: `marked`
  // must follow then.
  [[nodiscard]] bool drops(Duration waited, uint32_t bytes_behind, Instant now) {
    const bool too_long = stands(waited, bytes_behind, now);
    const Step before = step_;
    step_ = Step::none;
    // §5.5: the packet behind the first one that was dropped leaves in any case.
    if (before == Step::begun) return false;
    if (!dropping_) return too_long && begin(now);
    if (!too_long) {
      dropping_ = false;
      return false;
    }
    if (before == Step::dropped) drop_next_ = later(drop_next_);
    if (now < drop_next_) return false;
    ++count_;
    step_ = Step::dropped;
    return true;
  }

  // The packet that was to go carries a congestion mark instead (RFC 3168) and leaves.
  void marked() {
    if (step_ == Step::dropped) drop_next_ = later(drop_next_);
    step_ = Step::none;
  }

  // There is no packet left.
  void emptied() {
    above_since_ = {};
    dropping_ = false;
    step_ = Step::none;
  }

 private:
  enum class Step : uint8_t { none, begun, dropped };  // what the packet before came to

  // §5.4 dodequeue: whether the delay has been above the target for a whole interval.
  bool stands(Duration waited, uint32_t bytes_behind, Instant now) {
    if (waited < kTarget || bytes_behind <= kPacket) {
      above_since_ = {};
      return false;
    }
    if (above_since_ == Instant{}) {
      above_since_ = now + kInterval;
      return false;
    }
    return now >= above_since_;
  }

  // §5.5: a state of dropping that begins soon after the last one goes on at nearly its pace.
  bool begin(Instant now) {
    const uint32_t last = count_ - last_count_;
    count_ = last > 1 && now - drop_next_ < 16 * kInterval ? last : 1;
    last_count_ = count_;
    drop_next_ = later(now);
    dropping_ = true;
    step_ = Step::begun;
    return true;
  }

  // §5.3: the control law.
  [[nodiscard]] Instant later(Instant than) const {
    const double gap =
        static_cast<double>(kInterval.count()) / std::sqrt(static_cast<double>(count_));
    return than + Duration(static_cast<int64_t>(gap));
  }

  Instant above_since_{};  // zero: it is not above the target
  Instant drop_next_{};
  uint32_t count_ = 0;  // drops in this state of dropping
  uint32_t last_count_ = 0;
  bool dropping_ = false;
  Step step_ = Step::none;
};

}  // namespace hnv
