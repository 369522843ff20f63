// SPDX-License-Identifier: Apache-2.0
//
// Connection requests from outside that nothing inside has asked for (RFC 5382 REQ-4). They are not
// refused at once: if both ends are just opening the connection to each other, the one inside will
// send its own SYN within six seconds, and the refusal would end what is about to work. Kept is the
// finished refusal, not the request.
#pragma once

#include <array>
#include <cstdint>

#include <rte_mbuf.h>

#include "compartments/clock.h"
#include "nat/session.h"

namespace hnv {

// First in, first out: all of them wait equally long. Threads: the worker's.
class HeldSyns {
 public:
  static constexpr Duration kHold = std::chrono::seconds(6);
  static constexpr unsigned kCapacity = 256;

  struct Held {
    rte_mbuf* refusal = nullptr;  // a whole frame for mbuf->port
    OutsideFlow flow;
    Instant until;
  };
  [[nodiscard]] bool full() const { return count_ == kCapacity; }
  [[nodiscard]] unsigned held() const { return count_; }
  void push(const Held& held) {
    ring_[(first_ + count_++) % kCapacity] = held;
  }  // REQUIRES !full()
  [[nodiscard]] bool due(Instant now) const { return count_ > 0 && ring_[first_].until <= now; }
  [[nodiscard]] Held pop() {  // REQUIRES held() > 0
    const Held held = ring_[first_];
    first_ = (first_ + 1) % kCapacity;
    --count_;
    return held;
  }

 private:
  std::array<Held, kCapacity> ring_{};
  unsigned first_ = 0;
  unsigned count_ = 0;
};

}  // namespace hnv
