// SPDX-License-Identifier: Apache-2.0
//
// A pass: kInFlight packets through the line, in vectors. Many are timed, their headers restored in
// between; `tsc_per_packet` is the median one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>
#include <x86intrin.h>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "gateway/line.h"
#include "tests/bench/frames.h"

namespace hnv {

// Costs for one of something, and what they are called: their median, p10 and p90.
inline void report(benchmark::State& state, const char* name, std::vector<double> costs) {
  std::sort(costs.begin(), costs.end());
  state.counters[name] = costs[costs.size() / 2];
  state.counters["p10"] = costs[costs.size() / 10];
  state.counters["p90"] = costs[costs.size() * 9 / 10];
}

template <class Restore, class Pass>
void measure(benchmark::State& state, Restore restore, Pass pass) {
  std::vector<double> costs;
  for (auto unused : state) {
    (void)unused;
    restore();
    _mm_mfence();
    const uint64_t begin = __rdtsc();
    pass();
    const auto cycles = static_cast<double>(__rdtsc() - begin);
    costs.push_back(cycles / kInFlight);
    state.SetIterationTime(cycles / 2.6e9);
  }
  report(state, "tsc_per_packet", std::move(costs));
}

[[noreturn]] inline void stop_for_loss(Line& line) {
  std::string why = "packets were lost on the way:";
  for (size_t i = 0; i < line.counters().drops.size(); ++i) {
    const uint64_t lost = line.counters().drops[i].value();
    if (lost > 0) why += fmt::format(" {} {}", to_string(static_cast<DropReason>(i)), lost);
  }
  stop(why);
}

// All of the packets, `vector` a breath, from port `in` to port `out`. `clock` says when it is.
template <class Clock>
void forward(Line& line, const World& world, Packets& packets, PortId in, unsigned out,
             unsigned vector, Clock clock) {
  for (unsigned base = 0; base < kInFlight; base += vector) {
    for (unsigned i = 0; i < vector; ++i) {
      __builtin_prefetch(rte_pktmbuf_mtod(packets[base + i], void*));
      __builtin_prefetch(rte_pktmbuf_mtod_offset(packets[base + i], void*, 64));
    }
    for (unsigned i = 0; i < vector; ++i) line.receive(packets[base + i], in);
    line.run(world.plane(), clock());
    // Buffers of ours: whoever keeps one has it twice, once the next pass begins.
    if (line.outbox(out).count != vector) [[unlikely]] {
      stop_for_loss(line);
    }
    line.sent(out, vector);
  }
}

// A figure of packets that were lost says nothing.
inline void expect_no_loss(benchmark::State& state, Line& line) {
  const WorkerCounters& counters = line.counters();
  if (counters.tx.value() != counters.rx.value() || !sum(counters, line.held()).balanced()) {
    state.SkipWithError("packets were lost on the way: the figure would be wrong");
  }
}

}  // namespace hnv
