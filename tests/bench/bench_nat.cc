// SPDX-License-Identifier: Apache-2.0
//
// What NAT costs: packets of sessions that are drawn evenly, out and back, through the product's
// own stations as in bench_path; a new session; memory; expiry.
//
//   nvgre_to_nat, nat_to_nvgre      tsc_per_packet; sessions have a mapping and a port each
//   nat_new_session                 tsc_per_session, of the second half of so many: limits, port,
//                                   mapping and all; bytes_each, resident memory of the worker's
//                                   NAT with all of them divided
//   nat_expiry                      tsc_per_place of the sweep; percent of a worker's time;
//                                   times_at_rest, forwarding with it by forwarding without it
//
// HNV_BENCH_FULL=1 in the environment: every case.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>
#include <x86intrin.h>

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <rte_cycles.h>
#include <rte_eal.h>

#include "tests/bench/nat_world.h"
#include "tests/bench/passes.h"

namespace hnv {
namespace {

constexpr unsigned kSize = 64;

struct Case {
  unsigned domains;
  unsigned sessions;
};

// The cases come world by world.
NatWorld& world_of(const Case& wanted) {
  static std::pair<std::string, std::unique_ptr<NatWorld>> kept;
  const std::string name = fmt::format("{}/{}", wanted.domains, wanted.sessions);
  if (kept.first != name) {
    kept.second.reset();
    kept = {name, std::make_unique<NatWorld>(wanted.domains, wanted.sessions)};
    kept.second->open_all();
  }
  return *kept.second;
}

// That the packets were those of the sessions that are there, too.
void expect_all_known(benchmark::State& state, NatWorld& nat) {
  expect_no_loss(state, nat.line());
  if (nat.table().size() != nat.sessions()) {
    state.SkipWithError("sessions have come or gone: the figure would be wrong");
  }
}

void run_out(benchmark::State& state, const Case& wanted) {
  NatWorld& nat = world_of(wanted);
  Packets packets;
  measure(
      state, [&] { nat.fill_out(packets, kSize); },
      [&] {
        forward(nat.line(), nat.world(), packets, kFabricPort, 1, kVector,
                [&] { return nat.now(); });
      });
  expect_all_known(state, nat);
}

void run_back(benchmark::State& state, const Case& wanted) {
  NatWorld& nat = world_of(wanted);
  Packets packets;
  measure(
      state, [&] { nat.fill_back(packets, kSize); },
      [&] {
        forward(nat.line(), nat.world(), packets, kWanPort, 0, kVector, [&] { return nat.now(); });
      });
  expect_all_known(state, nat);
}

void run_new_session(benchmark::State& state, const Case& wanted) {
  std::vector<double> costs;
  NatWorld nat(wanted.domains, wanted.sessions);
  for (auto unused : state) {
    (void)unused;
    nat.table().populate(0, wanted.sessions);
    const unsigned half = wanted.sessions / 2;
    uint64_t all = 0;
    for (unsigned done = 0; done + kVector <= wanted.sessions; done += kVector) {
      const uint64_t begin = __rdtsc();
      nat.open(kVector);
      const uint64_t end = __rdtsc();
      nat.take_records();
      if (done < half) continue;
      all += end - begin;
      costs.push_back(static_cast<double>(end - begin) / kVector);
    }
    state.SetIterationTime(static_cast<double>(all) / 2.6e9);
  }
  state.counters["bytes_each"] = static_cast<double>(nat.bytes_taken()) / wanted.sessions;
  report(state, "tsc_per_session", std::move(costs));
}

// Forwarding while the time stands still, when no sweep is due, and while it goes on, in turn.
double times_at_rest(NatWorld& nat) {
  constexpr unsigned kRounds = 96;
  constexpr unsigned kPasses = 16;
  const double nanoseconds = 1e9 / static_cast<double>(rte_get_tsc_hz());
  Packets packets;
  std::vector<double> costs[2];
  for (unsigned round = 0; round < 2 * kRounds; ++round) {
    const bool goes_on = round % 2 == 1;
    uint64_t cycles = 0;
    for (unsigned i = 0; i < kPasses; ++i) {
      nat.fill_out(packets, kSize);
      _mm_mfence();
      const uint64_t begin = __rdtsc();
      uint64_t last = begin;
      forward(nat.line(), nat.world(), packets, kFabricPort, 1, kVector, [&] {
        const uint64_t tick = __rdtsc();
        const auto passed = static_cast<uint64_t>(static_cast<double>(tick - last) * nanoseconds);
        last = tick;
        if (goes_on) nat.pass_time(std::chrono::nanoseconds(passed));
        return nat.now();
      });
      cycles += __rdtsc() - begin;
    }
    costs[goes_on ? 1 : 0].push_back(static_cast<double>(cycles));
  }
  for (auto& side : costs) std::sort(side.begin(), side.end());
  return costs[1][kRounds / 4] / costs[0][kRounds / 4];
}

void run_expiry(benchmark::State& state, const Case& wanted) {
  constexpr double kRoundSeconds = 4;  // NatTable::sweep_due
  constexpr uint32_t kPart = 2048;
  NatWorld& nat = world_of(wanted);
  std::vector<double> costs;
  for (auto unused : state) {
    (void)unused;
    const uint64_t begin = __rdtsc();
    nat.table().sweep(nat.plan(), nat.now(), kPart);
    const auto cycles = static_cast<double>(__rdtsc() - begin);
    costs.push_back(cycles / kPart);
    state.SetIterationTime(cycles / 2.6e9);
  }
  report(state, "tsc_per_place", std::move(costs));
  const double hz = static_cast<double>(rte_get_tsc_hz());
  state.counters["percent"] =
      100 * state.counters["tsc_per_place"] * wanted.sessions / (kRoundSeconds * hz);
  state.counters["times_at_rest"] = times_at_rest(nat);
  expect_all_known(state, nat);
}

std::string name_of(const char* what, const Case& c) {
  return fmt::format("{}/domains:{}/sessions:{}", what, c.domains, c.sessions);
}

std::vector<Case> cases(bool full) {
  std::vector<Case> some{{1, 1},         {1, 16'000},    {1, 2'000'000},
                         {4000, 16'000}, {4000, 64'000}, {4000, 2'000'000}};
  if (full) {
    for (const Case more : {Case{1, 64'000}, Case{1, 1'000'000}, Case{1, 16'000'000},
                            Case{4000, 1'000'000}, Case{4000, 16'000'000}}) {
      some.push_back(more);
    }
  }
  return some;
}

void register_all(bool full) {
  for (const Case& c : cases(full)) {
    const std::string size = fmt::format("/size:{}", kSize);
    benchmark::RegisterBenchmark((name_of("nvgre_to_nat", c) + size).c_str(), run_out, c)
        ->UseManualTime()
        ->MinTime(0.2);
    benchmark::RegisterBenchmark((name_of("nat_to_nvgre", c) + size).c_str(), run_back, c)
        ->UseManualTime()
        ->MinTime(0.2);
    if (c.sessions >= 2'000'000 && c.domains > 1) {
      benchmark::RegisterBenchmark(name_of("nat_expiry", c).c_str(), run_expiry, c)
          ->UseManualTime()
          ->MinTime(0.1);
    }
  }
  for (const Case& c : {Case{1, 2'000'000}, Case{4000, 2'000'000}}) {
    benchmark::RegisterBenchmark(name_of("nat_new_session", c).c_str(), run_new_session, c)
        ->UseManualTime()
        ->Iterations(1);
  }
}

}  // namespace
}  // namespace hnv

int main(int argc, char** argv) {
  hnv::start_eal("hnv_bench_nat", "1", 64);
  benchmark::Initialize(&argc, argv);
  hnv::register_all(std::getenv("HNV_BENCH_FULL") != nullptr);
  benchmark::RunSpecifiedBenchmarks();
  rte_eal_cleanup();
  return 0;
}
