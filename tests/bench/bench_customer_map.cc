// SPDX-License-Identifier: Apache-2.0
//
// What a lookup in the customer map costs, measured like bench_fib.
#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "compartments/customer_map.h"
#include "tests/bench/lookups.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

CustomerRecord record_of(uint32_t ca) {
  CustomerRecord record;
  record.set_ca(CaAddress(ca));
  record.set_pa(PaAddress(0xc0a80000 | (ca & 0xffff)));
  record.type = RecordType::static_record;
  return record;
}

struct MapLoad {
  std::vector<std::shared_ptr<const CustomerMap>> maps;
  std::vector<CustomerMap::Reader> readers;  // of all maps, as views hold them
  std::vector<const CustomerMap::Reader*> asked_readers;
  std::vector<CaKey> asked;
  double heap = 0;  // bytes that the maps took, with everything the heap adds
};

MapLoad map_load(size_t maps, size_t records) {
  MapLoad load;
  load.maps.reserve(maps);
  Random random(2);
  const double before = heap_bytes();
  for (size_t i = 0; i < maps; ++i) {
    CustomerMap::Editor editor{CustomerMap()};
    for (uint32_t ca = 0; ca < records; ++ca) editor.put(record_of(0x0a000000 + ca));
    load.maps.push_back(std::move(editor).finish());
  }
  load.heap = heap_bytes() - before;
  for (const auto& map : load.maps) load.readers.push_back(map->reader());
  for (size_t i = 0; i < kQueries; ++i) {
    load.asked_readers.push_back(&load.readers[random.below(maps)]);
    load.asked.emplace_back(CaAddress(0x0a000000 + random.below(records)));
  }
  return load;
}

void map_bulk(benchmark::State& state) {
  const auto maps = static_cast<size_t>(state.range(0));
  const auto records = static_cast<size_t>(state.range(1));
  const MapLoad load = map_load(maps, records);
  std::array<const CustomerRecord*, kVector> found{};
  uint64_t sum = 0;
  measure(state, [&](size_t i) {
    find_bulk(&load.asked_readers[i], &load.asked[i], found.data(), kVector);
    for (const CustomerRecord* record : found) sum += record->pa[3];
  });
  benchmark::DoNotOptimize(sum);
  size_t bytes = 0;
  for (const auto& map : load.maps) bytes += map->bytes();
  const auto total = static_cast<double>(maps * records);
  state.counters["bytes_per_record"] = static_cast<double>(bytes) / total;
  state.counters["heap_per_record"] = load.heap / total;
}
void map_loads(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"maps", "records"})
      ->Args({1, 250})
      ->Args({4000, 2})
      ->Args({4000, 250})
      ->Args({1, 1000000});
}
BENCHMARK(map_bulk)->Apply(map_loads);

// One record moves to another provider address: what a live migration costs the control thread.
void map_change_one(benchmark::State& state) {
  const auto records = static_cast<uint32_t>(state.range(0));
  std::shared_ptr<const CustomerMap> map = map_load(1, records).maps.front();
  Random random(3);
  for (auto unused : state) {
    (void)unused;
    CustomerMap::Editor editor(*map);
    CustomerRecord record = record_of(0x0a000000 + random.below(records));
    record.pa[3] = static_cast<uint8_t>(random());
    editor.put(record);
    map = std::move(editor).finish();
  }
}
BENCHMARK(map_change_one)
    ->ArgName("records")
    ->Arg(2)
    ->Arg(250)
    ->Arg(100000)
    ->Arg(1000000)
    ->Unit(benchmark::kMicrosecond);

void map_build(benchmark::State& state) {
  for (auto unused : state) {
    (void)unused;
    CustomerMap::Editor editor{CustomerMap()};
    for (uint32_t ca = 0; ca < state.range(0); ++ca) editor.put(record_of(0x0a000000 + ca));
    benchmark::DoNotOptimize(std::move(editor).finish());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(map_build)->ArgName("records")->Arg(10000)->Arg(100000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace hnv
