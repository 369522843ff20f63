// SPDX-License-Identifier: Apache-2.0
//
// The ledger: where every packet of a worker came from and went to. At every moment between two
// breaths (and with `held` for what waits inside the worker)
//
//   rx + handed_in + injected + originated = tx + drops + punts + consumed + handed_out + held
//
// A packet that is answered in place is consumed and the answer originated; a packet that is
// refused with an ICMP error is dropped under its reason and the error originated.
#pragma once

#include <array>
#include <cstdint>

#include "compartments/counter.h"
#include "compartments/line/drop_reason.h"
#include "compartments/line/stage.h"

namespace hnv {

// Written by one worker, read by anybody.
struct WorkerCounters {
  Counter rx, handed_in, injected;
  Counter tx, punts, handed_out;
  std::array<Counter, kDropReasons> drops;
  std::array<Counter, kOriginReasons> originated;
  std::array<Counter, kConsumeReasons> consumed;
  struct Station {
    Counter packets, vectors;
  };
  std::array<Station, kStages> stations;
  Counter breaths, idle_breaths, sleeps;
  Counter trace_missed;
};

// The two sides of the ledger, summed from a worker's counters. `held` comes from the worker.
struct LedgerSums {
  uint64_t in = 0;
  uint64_t out = 0;
  uint64_t held = 0;
  [[nodiscard]] bool balanced() const { return in == out + held; }
};

[[nodiscard]] inline LedgerSums sum(const WorkerCounters& c, uint64_t held) {
  LedgerSums sums{.in = c.rx.value() + c.handed_in.value() + c.injected.value(),
                  .out = c.tx.value() + c.punts.value() + c.handed_out.value(),
                  .held = held};
  for (const auto& n : c.originated) sums.in += n.value();
  for (const auto& n : c.drops) sums.out += n.value();
  for (const auto& n : c.consumed) sums.out += n.value();
  return sums;
}

}  // namespace hnv
