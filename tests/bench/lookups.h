// SPDX-License-Identifier: Apache-2.0
//
// A pass over a lookup structure asks kQueries questions that were drawn beforehand.
// `tsc_per_lookup` is the median pass, so a neighbour on the machine disturbs a few passes and not
// the figure. Compare figures of one run only. The heap is the gateway's own (gateway/heap.cc):
// jemalloc, in huge pages.
#pragma once

#include <algorithm>
#include <cstdint>
#include <jemalloc/jemalloc.h>
#include <vector>
#include <x86intrin.h>

#include <benchmark/benchmark.h>

namespace hnv {

inline constexpr size_t kQueries = 1 << 18;
inline constexpr size_t kBlock = 1 << 12;
inline constexpr unsigned kVector = 64;

// Calls pass(i) for each i = 0, kVector, 2 * kVector, … below kQueries, for as long as the
// benchmark wants, and reports the median over blocks of the cycles a lookup.
template <class Pass>
void measure(benchmark::State& state, Pass pass) {
  std::vector<double> blocks;
  for (auto unused : state) {
    (void)unused;
    for (size_t block = 0; block < kQueries; block += kBlock) {
      const uint64_t start = __rdtsc();
      for (size_t i = block; i < block + kBlock; i += kVector) pass(i);
      blocks.push_back(static_cast<double>(__rdtsc() - start) / kBlock);
    }
  }
  const auto median = blocks.begin() + static_cast<long>(blocks.size() / 2);
  std::nth_element(blocks.begin(), median, blocks.end());
  state.counters["tsc_per_lookup"] = *median;
}

// What the heap has handed out, in bytes, with what it adds to every piece.
inline double heap_bytes() {
  uint64_t epoch = 1;
  size_t bytes = 0;
  size_t size = sizeof bytes;
  mallctl("epoch", nullptr, nullptr, &epoch, sizeof epoch);  // makes the statistics current
  if (mallctl("stats.allocated", &bytes, &size, nullptr, 0) != 0) return 0;
  return static_cast<double>(bytes);
}

}  // namespace hnv
