// SPDX-License-Identifier: Apache-2.0
//
// Workers on both processors, and changes while a worker forwards. The workers are the product's
// own (gateway/worker.cc: breaths, handoff, RCU) on ports of rings that never run dry; the headers'
// renewal is not in the figures. What runs in turn is measured in turn, round by round, so that
// ratios hold on a busy machine. Slices of time in which a worker was preempted, and those shortly
// after, do not count; `discarded` says their share.
//
//   workers/n:1, n:2/by:port        each worker has its own queue, as from a NIC
//   workers/n:2/by:software         each hands half of what it receives to the other
//   updates/WHAT                    one worker forwards, the control side changes WHAT without a
//                                   pause: model, compilation, publish (no store, no API).
//                                   change_p50_us: from the start of a change until the worker has
//                                   begun a breath with it
#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>
#include <x86intrin.h>

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <rte_cycles.h>
#include <rte_eal.h>

#include "tests/bench/frames.h"
#include "tests/bench/team.h"
#include "tests/bench/world.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

constexpr Size kSize{4000, 8000};
constexpr unsigned kBytes = 64;
constexpr unsigned kRounds = 9;       // at least, and
constexpr unsigned kMostRounds = 40;  // at most, until there are
constexpr unsigned kFigures = 5;      // of each series
constexpr Duration kWindow = std::chrono::milliseconds(300);
constexpr Duration kWarmUp = std::chrono::milliseconds(20);
constexpr size_t kEnough = 100;  // slices of 100 µs, for a round's figure

double middle(std::vector<double> values, double share = 0.5) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
}

// A stretch of time; when the workers have ended, what a packet cost in it.
struct Stretch {
  uint64_t begin = 0;
  uint64_t end = 0;
};
// Figures of one way of forwarding: by round, absent where the processors were hardly ever ours.
struct Series {
  std::vector<std::optional<double>> tsc{};
  double slices = 0;
  double clean = 0;
  std::vector<double> change_us{};
};

void take(const EndlessPort& port, const Stretch& stretch, Series& into) {
  const auto clocks = port.clocks();
  const std::vector<uint64_t> clean = clean_slices(clocks, stretch.begin, stretch.end);
  into.slices += static_cast<double>(stretch.end - stretch.begin) / BreathClock::kTicks;
  into.clean += static_cast<double>(clean.size());
  into.tsc.emplace_back();
  if (clean.size() < kEnough) return;
  double packets_per_tick = 0;
  for (const BreathClock* clock : clocks) {
    double packets = 0;
    double busy = 0;
    for (const uint64_t tick : clean) {
      packets += clock->at(tick).packets;
      busy += BreathClock::kTicks - clock->at(tick).renewing;
    }
    packets_per_tick += packets / busy;
  }
  into.tsc.back() = 1 / packets_per_tick;
}

std::vector<double> known(const Series& series) {
  std::vector<double> costs;
  for (const auto& cost : series.tsc) {
    if (cost) costs.push_back(*cost);
  }
  return costs;
}

template <class Many>
bool complete(const Many& all) {
  return std::all_of(all.begin(), all.end(),
                     [](const Series& series) { return known(series).size() >= kFigures; });
}

// Of their quieter rounds: what others do to the caches meanwhile is in every figure.
double ratio(const Series& of, const Series& to) {
  return middle(known(of), 0.1) / middle(known(to), 0.1);
}

bool report(benchmark::State& state, const Series& series) {
  const std::vector<double> costs = known(series);
  if (costs.size() < kFigures) {
    state.SkipWithError("the processors were somebody else's nearly all the time");
    return false;
  }
  for (auto unused : state) {
    (void)unused;
    state.SetIterationTime(series.clean * BreathClock::kTicks /
                           static_cast<double>(rte_get_tsc_hz()));
  }
  state.counters["tsc_per_packet"] = middle(costs);
  state.counters["p10"] = middle(costs, 0.1);
  state.counters["p90"] = middle(costs, 0.9);
  state.counters["discarded"] = 1 - series.clean / series.slices;
  return true;
}

// --- workers ---

struct Crew {
  const char* name;
  uint16_t workers;
  Team::Spreading spreading;
};
constexpr std::array<Crew, 3> kCrews{
    {{"workers/n:1", 1, Team::Spreading::by_port},
     {"workers/n:2/by:port", 2, Team::Spreading::by_port},
     {"workers/n:2/by:software", 2, Team::Spreading::in_software}}};

// All of them in turn, once.
const std::array<Series, kCrews.size()>& crews() {
  static const auto kMeasured = [] {
    const World world(kSize, 2);
    const std::vector<Frame> frames = make_frames(world, Path::nvgre_to_nvgre, kBytes);
    std::array<Series, kCrews.size()> all{};
    for (unsigned round = 0; round < kMostRounds && (round < kRounds || !complete(all)); ++round) {
      for (size_t i = 0; i < kCrews.size(); ++i) {
        EndlessPort port(kCrews[i].workers, frames);
        Team team(kCrews[i].workers, kCrews[i].spreading, port.id(), world.plane());
        pass(kWarmUp);
        Stretch stretch{.begin = __rdtsc()};
        pass(kWindow);
        stretch.end = __rdtsc();
        team.stop();
        take(port, stretch, all[i]);
      }
    }
    return all;
  }();
  return kMeasured;
}

void run_crew(benchmark::State& state, size_t i) {
  const auto& all = crews();
  if (report(state, all[i])) state.counters["times_one_worker"] = ratio(all[0], all[i]);
}

// --- updates ---

// One change after another: each call makes the next one in the world and does not commit it.
struct Update {
  const char* name;
  std::function<void(World&, unsigned)> prepare;  // empty: nothing changes
};

const std::vector<Update>& updates() {
  // Everything that changes does so to and fro, so that the world stays the same and no packet is
  // lost: a record is back on its host long before the old host's second is over.
  static const std::vector<Update> kAll{{"updates/none", {}},
                                        {"updates/record",
                                         [](World& world, unsigned n) {
                                           world.move_record(n / 2 * 7 % kSize.compartments, 0,
                                                             n % 2 == 0 ? 1 : 0);
                                         }},
                                        {"updates/records:1000",
                                         [](World& world, unsigned n) {
                                           for (unsigned d = 0; d < 1000; ++d)
                                             world.move_record(d, 0, n % 2 == 0 ? 1 : 0);
                                         }},
                                        {"updates/route",
                                         [](World& world, unsigned n) {
                                           const unsigned domain = n / 2 * 7 % kSize.compartments;
                                           if (n % 2 == 0) {
                                             world.put_route(domain, kCustomerRoutes);
                                           } else {
                                             world.remove_route(domain, kCustomerRoutes);
                                           }
                                         }},
                                        {"updates/domain", [](World& world, unsigned n) {
                                           if (n % 2 == 0) {
                                             world.put_domain(kSize.compartments);
                                           } else {
                                             world.remove_domain(kSize.compartments);
                                           }
                                         }}};
  return kAll;
}

void change_for_a_while(World& world, Team& team, const Update& update, Series& into) {
  const uint64_t hz = rte_get_tsc_hz();
  const uint64_t end =
      __rdtsc() + hz / 1000 *
                      static_cast<uint64_t>(
                          std::chrono::duration_cast<std::chrono::milliseconds>(kWindow).count());
  unsigned n = 0;
  // An even number: to and fro.
  while (n % 2 != 0 || __rdtsc() < end) {
    update.prepare(world, n++);
    const uint64_t begin = __rdtsc();
    world.commit(worker_clock());
    team.publish(world.plane());
    team.wait_for_breaths();
    into.change_us.push_back(static_cast<double>(__rdtsc() - begin) * 1e6 /
                             static_cast<double>(hz));
    team.sweep();
  }
}

const std::vector<Series>& updated() {
  static const auto kMeasured = [] {
    World world(kSize);
    const std::vector<Frame> frames = make_frames(world, Path::nvgre_to_nvgre, kBytes);
    std::vector<Series> all(updates().size());
    for (unsigned round = 0; round < kMostRounds && (round < kRounds || !complete(all)); ++round) {
      std::vector<Stretch> stretches(all.size());
      EndlessPort port(1, frames);
      Team team(1, Team::Spreading::by_port, port.id(), world.plane());
      for (size_t i = 0; i < all.size(); ++i) {
        pass(kWarmUp);
        stretches[i].begin = __rdtsc();
        if (updates()[i].prepare) {
          change_for_a_while(world, team, updates()[i], all[i]);
        } else {
          pass(kWindow);
        }
        stretches[i].end = __rdtsc();
      }
      team.stop();
      for (size_t i = 0; i < all.size(); ++i) take(port, stretches[i], all[i]);
    }
    return all;
  }();
  return kMeasured;
}

void run_updates(benchmark::State& state, size_t i) {
  const std::vector<Series>& all = updated();
  if (!report(state, all[i])) return;
  state.counters["times_unchanged"] = ratio(all[i], all[0]);
  if (all[i].change_us.empty()) return;
  state.counters["change_p50_us"] = middle(all[i].change_us);
  state.counters["change_p99_us"] = middle(all[i].change_us, 0.99);
}

void register_all() {
  for (size_t i = 0; i < kCrews.size(); ++i) {
    benchmark::RegisterBenchmark(kCrews[i].name, run_crew, i)->UseManualTime()->Iterations(1);
  }
  for (size_t i = 0; i < updates().size(); ++i) {
    benchmark::RegisterBenchmark(updates()[i].name, run_updates, i)->UseManualTime()->Iterations(1);
  }
}

}  // namespace
}  // namespace hnv

int main(int argc, char** argv) {
  hnv::start_eal("hnv_bench_workers", hnv::Team::kLcores, 64);
  benchmark::Initialize(&argc, argv);
  hnv::register_all();
  benchmark::RunSpecifiedBenchmarks();
  rte_eal_cleanup();
  return 0;
}
