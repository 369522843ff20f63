// SPDX-License-Identifier: Apache-2.0
//
// What the desired state and everything compiled of it take on the heap, as jemalloc counts it:
// the model, the routes, the tables that workers read, next hops and neighbours; not the packet
// pools, and not the store's and the API's own. Measured by making more of one thing in a world of
// 4,000 compartments, and dividing.
//
//   memory/world      4,000 compartments of 100 customer routes, 8,000 records: mib, in all
//   memory/WHAT       bytes_each, of as many more as `count`
#include <cstddef>
#include <cstdint>
#include <functional>
#include <jemalloc/jemalloc.h>
#include <string>

#include <benchmark/benchmark.h>

#include "tests/bench/world.h"

namespace hnv {
namespace {

constexpr Size kSize{4000, 8000};

size_t allocated() {
  uint64_t epoch = 1;
  size_t bytes = 0;
  size_t length = sizeof bytes;
  if (mallctl("epoch", nullptr, nullptr, &epoch, sizeof epoch) != 0 ||
      mallctl("stats.allocated", &bytes, &length, nullptr, 0) != 0) {
    stop("jemalloc does not count");
  }
  return bytes;
}

void run_world(benchmark::State& state) {
  const size_t before = allocated();
  size_t bytes = 0;
  for (auto unused : state) {
    (void)unused;
    const World world(kSize);
    bytes = allocated() - before;
  }
  state.counters["mib"] = static_cast<double>(bytes) / 1048576;
}

// `add` makes `count` more in a world, uncommitted.
void run_more(benchmark::State& state, Size size, unsigned count,
              const std::function<void(World&)>& add) {
  double each = 0;
  for (auto unused : state) {
    (void)unused;
    World world(size);
    const size_t before = allocated();
    add(world);
    world.commit(kNow);
    each = static_cast<double>(allocated() - before) / count;
  }
  state.counters["bytes_each"] = each;
  state.counters["count"] = count;
}

void more_compartments(World& world) {
  for (unsigned d = 0; d < 1000; ++d) world.put_domain(kSize.compartments + d);
}
void more_routes(World& world) {
  for (unsigned d = 0; d < kSize.compartments; ++d) {
    for (unsigned r = 0; r < 100; ++r) world.put_route(d, kCustomerRoutes + r);
  }
}
void more_records(World& world) {
  for (unsigned d = 0; d < kSize.compartments; ++d) {
    for (unsigned r = 0; r < 250; ++r) world.move_record(d, world.records_per_domain() + r, 0);
  }
}

void register_more(const char* name, Size size, unsigned count,
                   const std::function<void(World&)>& add) {
  benchmark::RegisterBenchmark(name, [=](benchmark::State& state) {
    run_more(state, size, count, add);
  })->Iterations(1);
}

}  // namespace
}  // namespace hnv

int main(int argc, char** argv) {
  using hnv::Family;
  benchmark::Initialize(&argc, argv);
  benchmark::RegisterBenchmark("memory/world", hnv::run_world)->Iterations(1);
  hnv::register_more("memory/compartment", {4000, 8000}, 1000, hnv::more_compartments);
  hnv::register_more("memory/customer_route", {4000, 8000}, 400'000, hnv::more_routes);
  hnv::register_more("memory/record", {4000, 8000}, 1'000'000, hnv::more_records);
  hnv::register_more("memory/customer_route_ipv6", {4000, 8000, Family::ipv6}, 400'000,
                     hnv::more_routes);
  hnv::register_more("memory/record_ipv6", {4000, 8000, Family::ipv6}, 1'000'000,
                     hnv::more_records);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
