// SPDX-License-Identifier: Apache-2.0
//
// What a lookup of a route costs: cycles of the time-stamp counter, in vectors of 64, with the
// tenant and the address drawn evenly (the worst case for caches), and the memory behind it.
#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>
#include <x86intrin.h>

#include <benchmark/benchmark.h>

#include "compartments/fib.h"
#include "compartments/fib6.h"
#include "compartments/route_table.h"
#include "tests/bench/lookups.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

// ---- FIB.

// A tenant's table: a default route and prefixes of private space, mostly /24.
std::vector<Route4> tenant_routes(size_t count, Random& random) {
  std::map<std::pair<uint32_t, uint8_t>, HopId> routes;
  routes[{0, 0}] = HopId(0);
  while (routes.size() < count) {
    const std::array<uint32_t, 3> blocks{0x0a000000 | (random() & 0xffffff),
                                         0xac100000 | (random() & 0xfffff),
                                         0xc0a80000 | (random() & 0xffff)};
    constexpr std::array<uint8_t, 20> kLengths{24, 24, 24, 24, 24, 24, 24, 24, 24, 24,
                                               24, 24, 32, 32, 32, 28, 28, 22, 20, 16};
    const uint8_t length = kLengths[random() % kLengths.size()];
    const uint32_t network = blocks[random() % 3] & UINT32_MAX << (32 - length);
    routes[{network, length}] = HopId(random() % 5000);
  }
  std::vector<Route4> result;
  result.reserve(routes.size());
  for (const auto& [key, hop] : routes) {
    result.push_back({CaAddress(key.first), key.second, hop});
  }
  return result;
}

struct FibLoad {
  std::vector<std::shared_ptr<const Fib4>> tables;
  std::vector<const FibRoot*> asked_tables;
  std::vector<const Fib4*> whole_tables;  // the same ones
  std::vector<uint32_t> asked;
  size_t bytes = 0;
  size_t routes = 0;
};

FibLoad fib_load(size_t tables, size_t routes) {
  FibLoad load;
  Random random(1);
  std::vector<std::vector<Route4>> lists;
  for (size_t i = 0; i < tables; ++i) {
    lists.push_back(tenant_routes(routes, random));
    load.tables.push_back(Fib4::build(lists.back()));
    load.bytes += load.tables.back()->bytes();
    load.routes += lists.back().size();
  }
  for (size_t i = 0; i < kQueries; ++i) {
    const size_t tenant = random.below(tables);
    const Route4& route = lists[tenant][random.below(lists[tenant].size())];
    const uint32_t hosts = route.length == 0 ? UINT32_MAX : ~(UINT32_MAX << (32 - route.length));
    load.asked_tables.push_back(&load.tables[tenant]->root());
    load.whole_tables.push_back(load.tables[tenant].get());
    load.asked.push_back(route.network.value() | (random() & hosts));
  }
  return load;
}

void fib_bulk(benchmark::State& state, FibVariant variant) {
  const FibLookupBulk bulk = fib_variant(variant);
  if (bulk == nullptr) {
    state.SkipWithError("not on this processor");
    return;
  }
  const FibLoad load =
      fib_load(static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
  std::array<HopId, kVector> hops;
  measure(state, [&](size_t i) {
    bulk(&load.asked_tables[i], &load.asked[i], hops.data(), kVector);
    benchmark::DoNotOptimize(hops);
  });
  state.counters["bytes_per_route"] =
      static_cast<double>(load.bytes) / static_cast<double>(load.routes);
  state.counters["MiB"] = static_cast<double>(load.bytes) / (1 << 20);
}
void fib_loads(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"tables", "routes"})->Args({1, 100})->Args({4000, 100})->Args({16, 10000});
}
BENCHMARK_CAPTURE(fib_bulk, scalar, FibVariant::scalar)->Apply(fib_loads);
BENCHMARK_CAPTURE(fib_bulk, avx2, FibVariant::avx2)->Apply(fib_loads);
BENCHMARK_CAPTURE(fib_bulk, avx512, FibVariant::avx512)->Apply(fib_loads);

void fib_one_by_one(benchmark::State& state) {
  const FibLoad load =
      fib_load(static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
  measure(state, [&](size_t first) {
    for (size_t i = first; i < first + kVector; ++i) {
      benchmark::DoNotOptimize(load.whole_tables[i]->lookup(load.asked[i]));
    }
  });
}
BENCHMARK(fib_one_by_one)->ArgNames({"tables", "routes"})->Args({4000, 100});

void fib_build(benchmark::State& state) {
  Random random(1);
  const auto routes = tenant_routes(static_cast<size_t>(state.range(0)), random);
  for (auto unused : state) {
    (void)unused;
    benchmark::DoNotOptimize(Fib4::build(routes));
  }
}
BENCHMARK(fib_build)->ArgName("routes")->Arg(100)->Arg(10000)->Unit(benchmark::kMicrosecond);

// ---- A full internet table.

// Allocations of /14 to /20 and what their holders announce of them, lengths as in 2024: six of ten
// are /24. Sorted.
std::vector<Route4> full_table(size_t count, Random& random) {
  constexpr std::array<uint8_t, 20> kLengths{24, 24, 24, 24, 24, 24, 24, 24, 24, 24,
                                             24, 24, 23, 23, 22, 22, 21, 20, 19, 16};
  std::map<std::pair<uint32_t, uint8_t>, HopId> routes;
  routes[{0, 0}] = HopId(0);
  while (routes.size() < count) {
    const uint32_t address = random();
    if (address >> 24 == 0 || address >> 24 == 127 || address >= 0xe0000000) continue;
    const auto holder_length = static_cast<uint8_t>(14 + random() % 7);
    const uint32_t holder = address & UINT32_MAX << (32 - holder_length);
    const HopId hop(random() % 1000);
    for (size_t i = random() % 30 + 1; i > 0 && routes.size() < count; --i) {
      const uint8_t length = std::max(kLengths[random() % kLengths.size()], holder_length);
      const uint32_t inside = random() & ~(UINT32_MAX << (32 - holder_length));
      const uint32_t network = (holder | inside) & UINT32_MAX << (32 - length);
      routes[{network, length}] = random() % 4 != 0 ? hop : HopId(random() % 1000);
    }
  }
  std::vector<Route4> result;
  result.reserve(routes.size());
  for (const auto& [key, hop] : routes) {
    result.push_back({CaAddress(key.first), key.second, hop});
  }
  return result;
}

struct FullLoad {
  std::vector<Route4> routes;
  std::shared_ptr<const Fib4> table;
  std::vector<uint32_t> asked;
};

// `flows`: 0 asks for addresses drawn evenly over the routes, else for that many of them.
FullLoad full_load(size_t count, size_t flows) {
  FullLoad load;
  Random random(4);
  load.routes = full_table(count, random);
  load.table = Fib4::build(load.routes);
  const auto draw = [&] {
    const Route4& route = load.routes[random.below(load.routes.size())];
    return route.first() | (random() & (route.last() - route.first()));
  };
  std::vector<uint32_t> pool;
  pool.reserve(flows);
  for (size_t i = 0; i < flows; ++i) pool.push_back(draw());
  for (size_t i = 0; i < kQueries; ++i) {
    load.asked.push_back(flows == 0 ? draw() : pool[random.below(pool.size())]);
  }
  return load;
}

void full_bulk(benchmark::State& state) {
  const FullLoad load =
      full_load(static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
  std::array<const FibRoot*, kVector> tables{};
  tables.fill(&load.table->root());
  std::array<HopId, kVector> hops;
  measure(state, [&](size_t i) {
    lookup_bulk(tables.data(), &load.asked[i], hops.data(), kVector);
    benchmark::DoNotOptimize(hops);
  });
  state.counters["MiB"] = static_cast<double>(load.table->bytes()) / (1 << 20);
}
BENCHMARK(full_bulk)
    ->ArgNames({"routes", "flows"})
    ->Args({10000, 0})
    ->Args({100000, 0})
    ->Args({1000000, 0})
    ->Args({1000000, 65536});

// One route of a full table gets another hop, at random; the longest change is a figure of its own.
void full_change_one(benchmark::State& state) {
  FullLoad load = full_load(static_cast<size_t>(state.range(0)), 0);
  Random random(5);
  const RoutesIn<Route4> routes_in = [&](const Prefix<Space::customer>& block) {
    const uint32_t first = block.address().v4().value();
    const uint32_t last = Route4{CaAddress(first), block.length(), HopId()}.last();
    std::vector<Route4> inside;
    auto at = std::lower_bound(load.routes.begin(), load.routes.end(),
                               Route4{CaAddress(first), block.length(), HopId(0)});
    for (; at != load.routes.end() && at->first() <= last; ++at) {
      if (at->length >= block.length()) inside.push_back(*at);
    }
    return inside;
  };
  uint64_t longest = 0;
  for (auto unused : state) {
    (void)unused;
    Route4& route = load.routes[random.below(load.routes.size())];
    route.hop = HopId(random() % 1000);
    const uint64_t start = __rdtsc();
    load.table = load.table->with({{{route.network, route.length}, route.hop}}, routes_in);
    longest = std::max<uint64_t>(longest, __rdtsc() - start);
  }
  state.counters["longest_tsc"] = static_cast<double>(longest);
}
BENCHMARK(full_change_one)->ArgName("routes")->Arg(1000000)->Unit(benchmark::kMicrosecond);

void full_build(benchmark::State& state) {
  Random random(4);
  const auto routes = full_table(static_cast<size_t>(state.range(0)), random);
  for (auto unused : state) {
    (void)unused;
    benchmark::DoNotOptimize(Fib4::build(routes));
  }
}
BENCHMARK(full_build)->ArgName("routes")->Arg(1000000)->Unit(benchmark::kMillisecond);

// ---- IPv6.

CaAddress6 address6(uint64_t upper, uint64_t lower) {
  return Route6::address_of(Route6::Address{upper} << 64 | lower);
}
uint64_t random64(Random& random) { return uint64_t{random()} << 32 | random(); }

// A tenant's /48: a default route, /64s, of every fourth an own address too. Sorted.
std::vector<Route6> tenant_routes6(size_t count, Random& random) {
  std::map<std::pair<CaAddress6, uint8_t>, HopId> routes;
  routes[{CaAddress6(), 0}] = HopId(0);
  const uint64_t site = 0xfd00000000000000 | (random64(random) & 0xffffffffff0000);
  while (routes.size() < count) {
    const uint64_t network = site | (random() & 0xffff);
    routes[{address6(network, 0), 64}] = HopId(random() % 5000);
    if (random() % 4 == 0) routes[{address6(network, 1), 128}] = HopId(1);
  }
  std::vector<Route6> result;
  result.reserve(routes.size());
  for (const auto& [key, hop] : routes) result.push_back({key.first, key.second, hop});
  return result;
}

// What the internet's table looks like: /29 to /32 allocations in 2000::/3 with /48s and some /36
// to /44 inside. Sorted.
std::vector<Route6> full_table6(size_t count, Random& random) {
  std::map<std::pair<CaAddress6, uint8_t>, HopId> routes;
  routes[{CaAddress6(), 0}] = HopId(0);
  while (routes.size() < count) {
    constexpr std::array<uint64_t, 6> kBlocks{0x2001, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2c00};
    const uint64_t block = kBlocks[random() % kBlocks.size()] << 48;
    const uint64_t holder = block | (random64(random) & 0x000ffff800000000);
    routes[{address6(holder, 0), 29}] = HopId(random() % 1000);
    for (size_t i = random() % 40; i > 0 && routes.size() < count; --i) {
      const auto length = static_cast<uint8_t>(random() % 4 != 0 ? 48 : 36 + random() % 9);
      const uint64_t inside = random64(random) & 0x00000007ffff0000;
      const uint64_t network = (holder | inside) & UINT64_MAX << (64 - length);
      routes[{address6(network, 0), length}] = HopId(random() % 1000);
    }
  }
  std::vector<Route6> result;
  result.reserve(routes.size());
  for (const auto& [key, hop] : routes) result.push_back({key.first, key.second, hop});
  return result;
}

void fib6_bulk(benchmark::State& state) {
  const auto tables = static_cast<size_t>(state.range(0));
  const auto count = static_cast<size_t>(state.range(1));
  Random random(6);
  std::vector<std::vector<Route6>> lists;
  std::vector<std::shared_ptr<const Fib6>> fibs;
  double bytes = 0;
  for (size_t i = 0; i < tables; ++i) {
    lists.push_back(tables == 1 ? full_table6(count, random) : tenant_routes6(count, random));
    fibs.push_back(Fib6::build(lists.back()));
    bytes += static_cast<double>(fibs.back()->bytes());
  }
  std::vector<const Fib6*> asked_tables;
  std::vector<CaAddress6> asked;
  for (size_t i = 0; i < kQueries; ++i) {
    const size_t tenant = random.below(tables);
    const Route6& route = lists[tenant][random.below(lists[tenant].size())];
    const auto wild = Route6::Address{random64(random)} << 64 | random64(random);
    asked_tables.push_back(fibs[tenant].get());
    asked.push_back(Route6::address_of(route.first() | (wild & (route.last() - route.first()))));
  }
  std::array<HopId, kVector> hops;
  measure(state, [&](size_t i) {
    lookup_bulk(&asked_tables[i], &asked[i], hops.data(), kVector);
    benchmark::DoNotOptimize(hops);
  });
  state.counters["bytes_per_route"] = bytes / static_cast<double>(tables * count);
  state.counters["MiB"] = bytes / (1 << 20);
}
BENCHMARK(fib6_bulk)->ArgNames({"tables", "routes"})->Args({4000, 100})->Args({1, 200000});

void full_change_one6(benchmark::State& state) {
  Random random(6);
  auto routes = full_table6(static_cast<size_t>(state.range(0)), random);
  auto table = Fib6::build(routes);
  const RoutesIn<Route6> routes_in = [&](const Prefix<Space::customer>& block) {
    const Route6 all{block.address().v6(), block.length(), HopId(0)};
    std::vector<Route6> inside;
    for (auto at = std::lower_bound(routes.begin(), routes.end(), all);
         at != routes.end() && at->first() <= all.last(); ++at) {
      if (at->length >= block.length()) inside.push_back(*at);
    }
    return inside;
  };
  uint64_t longest = 0;
  for (auto unused : state) {
    (void)unused;
    Route6& route = routes[random.below(routes.size())];
    route.hop = HopId(random() % 1000);
    const uint64_t start = __rdtsc();
    table = table->with({{{route.network, route.length}, route.hop}}, routes_in);
    longest = std::max<uint64_t>(longest, __rdtsc() - start);
  }
  state.counters["longest_tsc"] = static_cast<double>(longest);
}
BENCHMARK(full_change_one6)->ArgName("routes")->Arg(200000)->Unit(benchmark::kMicrosecond);

// ---- Route table (control side).

void route_table_fill(benchmark::State& state) {
  Random random(1);
  const auto routes = tenant_routes(static_cast<size_t>(state.range(0)), random);
  double heap = 0;
  for (auto unused : state) {
    (void)unused;
    const double before = heap_bytes();
    RouteTable table;
    for (const Route4& route : routes) {
      const RouteCandidate candidate{Prefix<Space::customer>(route.network, route.length),
                                     RouteSource::static_route,
                                     RouteOrigin(0),
                                     1,
                                     SubnetViaHop{CaAddress(route.hop.value()), SubnetId(0)},
                                     Instant{}};
      benchmark::DoNotOptimize(table.put(candidate));
    }
    heap = heap_bytes() - before;
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.counters["heap_per_route"] = heap / static_cast<double>(routes.size());
}
BENCHMARK(route_table_fill)->ArgName("routes")->Arg(100)->Arg(10000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace hnv
