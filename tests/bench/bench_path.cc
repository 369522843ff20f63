// SPDX-License-Identifier: Apache-2.0
//
// What a packet costs on the line: the product's own stations, over tables that the product's own
// model and compiler have made, with packets that lie in memory. Port I/O is not in the figure; the
// bare loop `bare_rx_tx_loop` (receive and hand out, no stations) is the floor it is compared with.
//
// kInFlight packets are driven through in vectors of 64 (or of the case's own size); their headers
// are restored outside the timed region. `tsc_per_packet` is the median pass, so a neighbour on the
// machine disturbs a few passes and not the figure; p10 and p90 say how quiet it was. Compare
// figures of one run only.
//
// HNV_BENCH_FULL=1 in the environment: every case of the matrix.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <rte_eal.h>

#include "tests/bench/frames.h"
#include "tests/bench/passes.h"
#include "tests/bench/world.h"

namespace hnv {
namespace {

struct Case {
  Path path;
  Size size;
  unsigned bytes;
  unsigned vector = kVector;
  unsigned flows = kFlows;
};

// The cases come world by world.
const World& world_of(Size size) {
  static std::pair<std::string, std::unique_ptr<World>> kept;
  const std::string name =
      fmt::format("{}/{}/{}", size.compartments, size.records, size.family == Family::ipv4 ? 4 : 6);
  if (kept.first != name) {
    kept.second.reset();
    kept = {name, std::make_unique<World>(size)};
  }
  return *kept.second;
}

void run_path(benchmark::State& state, const Case& wanted) {
  const World& world = world_of(wanted.size);
  const std::vector<Frame> frames = make_frames(world, wanted.path, wanted.bytes, wanted.flows);
  Packets packets(frames);
  Line line(0, 2);
  const PortId in = wanted.path == Path::l3_to_nvgre ? kWanPort : kFabricPort;
  const unsigned out = wanted.path == Path::nvgre_to_l3 ? 1 : 0;
  measure(
      state, [&] { packets.restore(); },
      [&] { forward(line, world, packets, in, out, wanted.vector, [] { return kNow; }); });
  expect_no_loss(state, line);
}

// Received and handed out again, with the same counters: what the loop itself costs.
void bare_rx_tx_loop(benchmark::State& state) {
  const std::vector<Frame> frames(kFlows);
  Packets packets(frames);
  WorkerCounters counters;
  Line::Outbox box;
  const auto pass = [&] {
    for (unsigned base = 0; base < kInFlight; base += kVector) {
      box.count = 0;
      for (unsigned i = 0; i < kVector; ++i) {
        rte_mbuf* mbuf = packets[base + i];
        __builtin_prefetch(rte_pktmbuf_mtod(mbuf, void*));
        mbuf->port = 0;
        counters.rx.add();
        box.packets[box.count++] = mbuf;
      }
      benchmark::DoNotOptimize(box.packets.data());
      counters.tx.add(box.count);
    }
  };
  measure(
      state, [&] { packets.restore(); }, pass);
}

std::string name_of(const Case& c) {
  const char* path = "nvgre_to_nvgre";
  if (c.path == Path::nvgre_to_l3) path = "nvgre_to_l3";
  if (c.path == Path::l3_to_nvgre) path = "l3_to_nvgre";
  std::string name = fmt::format("{}{}/compartments:{}/records:{}/size:{}", path,
                                 c.size.family == Family::ipv6 ? "_ipv6" : "", c.size.compartments,
                                 c.size.records, c.bytes);
  if (c.vector != kVector) name += fmt::format("/vector:{}", c.vector);
  if (c.flows != kFlows) name += fmt::format("/flows:{}", c.flows);
  return name;
}

// Whether a case of the matrix is among those that run unless all are asked for: sizes in the
// worlds of many records, a million records and small vectors where packets are small.
bool telling(const Case& c) {
  const bool plain = c.size.records <= 8000 && c.vector == kVector;
  if (c.bytes > 100) return plain && !(c.size.compartments == 1 && c.size.records > 64);
  if (plain) return true;
  if (c.size.records > 8000) return c.vector == kVector && c.size.compartments == 4000;
  return c.size.compartments == 4000 && c.size.family == Family::ipv4;
}

// Whose cases keep their world alive, so by world.
std::vector<Case> matrix() {
  std::vector<Case> cases;
  for (const Size size :
       {Size{1, 64}, Size{1, 8000}, Size{64, 8000}, Size{1000, 8000}, Size{4000, 8000},
        Size{1, 1'000'000}, Size{64, 1'000'000}, Size{4000, 1'000'000}}) {
    for (const Family family : {Family::ipv4, Family::ipv6}) {
      for (const Path path : {Path::nvgre_to_nvgre, Path::nvgre_to_l3, Path::l3_to_nvgre}) {
        for (const unsigned bytes : {64U, 512U, 1420U}) {
          for (const unsigned vector : {64U, 32U, 1U}) {
            // UDP over IPv6 needs a few bytes more.
            const unsigned frame = family == Family::ipv6 && bytes == 64 ? 70 : bytes;
            cases.push_back({path, {size.compartments, size.records, family}, frame, vector});
          }
        }
      }
    }
    // What a peer's flow cache likes best.
    if (size.records == 64) {
      cases.push_back({.path = Path::nvgre_to_nvgre, .size = size, .bytes = 64, .flows = 64});
    }
  }
  return cases;
}

void register_paths(bool full) {
  benchmark::RegisterBenchmark("bare_rx_tx_loop", bare_rx_tx_loop)->UseManualTime()->MinTime(0.2);
  for (const Case& c : matrix()) {
    if (!full && !telling(c)) continue;
    benchmark::RegisterBenchmark(name_of(c).c_str(), run_path, c)->UseManualTime()->MinTime(0.2);
  }
}

}  // namespace
}  // namespace hnv

int main(int argc, char** argv) {
  hnv::start_eal("hnv_bench_path", "1", 64);
  benchmark::Initialize(&argc, argv);
  hnv::register_paths(std::getenv("HNV_BENCH_FULL") != nullptr);
  benchmark::RunSpecifiedBenchmarks();
  rte_eal_cleanup();
  return 0;
}
