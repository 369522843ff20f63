// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "compartments/customer_map.h"
#include "compartments/record_lookup.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

using Ca = IpAddress<Space::customer>;
using Model = std::map<Ca, uint32_t>;  // to the next hop's number

CustomerRecord record(const Ca& ca, uint32_t next_hop) {
  CustomerRecord r;
  r.set_ca(ca);
  r.set_pa(PaAddress(0xc0a80000 + next_hop % 1000));
  r.next_hop = NextHopId(next_hop);
  r.type = RecordType::static_record;
  return r;
}

Ca random_ca(Random& random, unsigned space) {
  if (random() % 4 != 0) return CaAddress(0x0a000000 + random() % space);
  CaAddress6::Bytes bytes{0x20, 0x01, 0x0d, 0xb8};
  bytes[random() % 2 == 0 ? 7 : 15] = static_cast<uint8_t>(random());
  bytes[14] = static_cast<uint8_t>(random() % (space / 256 + 1));
  return CaAddress6(bytes);
}

void expect_same(const CustomerMap& map, const Model& model) {
  ASSERT_EQ(map.size(), model.size());
  for (const auto& [ca, next_hop] : model) {
    const CustomerRecord* found = map.find(CaKey(ca));
    ASSERT_NE(found, nullptr) << ca.to_string();
    ASSERT_EQ(*found, record(ca, next_hop)) << ca.to_string();
  }
  size_t visited = 0;
  map.for_each([&](const CustomerRecord& r) {
    ++visited;
    ASSERT_EQ(map.find(r.key()), &r);
  });
  ASSERT_EQ(visited, model.size());
}

TEST(CustomerMap, EmptyHasNothing) {
  const CustomerMap map;
  EXPECT_EQ(map.size(), 0U);
  EXPECT_EQ(map.find(CaKey(CaAddress(0))), nullptr);
  EXPECT_EQ(map.find(CaKey(CaAddress(0x0a000001))), nullptr);
  map.for_each([](const CustomerRecord&) { FAIL(); });
}

TEST(CustomerMap, TellsFamiliesApart) {
  const Ca v4 = CaAddress(0x20010db8);
  const Ca v6 = CaAddress6({0x20, 0x01, 0x0d, 0xb8});
  ASSERT_EQ(v4.bytes(), v6.bytes());
  CustomerMap::Editor editor{CustomerMap()};
  editor.put(record(v4, 4));
  const auto only_v4 = std::move(editor).finish();
  EXPECT_EQ(only_v4->find(CaKey(v6)), nullptr);
  CustomerMap::Editor again(*only_v4);
  again.put(record(v6, 6));
  const auto both = std::move(again).finish();
  EXPECT_EQ(both->find(CaKey(v4))->next_hop, NextHopId(4));
  EXPECT_EQ(both->find(CaKey(v6))->next_hop, NextHopId(6));
  EXPECT_EQ(CaKey(v4), CaKey(CaAddress(0x20010db8)));
}

TEST(CustomerMap, AChangeLeavesTheMapBefore) {
  CustomerMap::Editor editor{CustomerMap()};
  for (uint32_t i = 0; i < 1000; ++i) editor.put(record(CaAddress(i), i));
  const auto before = std::move(editor).finish();
  CustomerMap::Editor change(*before);
  change.put(record(CaAddress(5), 5000));
  EXPECT_TRUE(change.erase(CaKey(CaAddress(6))));
  EXPECT_FALSE(change.erase(CaKey(CaAddress(6))));
  EXPECT_EQ(change.find(CaKey(CaAddress(6))), nullptr);
  EXPECT_EQ(change.size(), 999U);
  const auto after = std::move(change).finish();
  EXPECT_EQ(before->find(CaKey(CaAddress(5)))->next_hop, NextHopId(5));
  EXPECT_EQ(before->find(CaKey(CaAddress(6)))->next_hop, NextHopId(6));
  EXPECT_EQ(after->find(CaKey(CaAddress(5)))->next_hop, NextHopId(5000));
  EXPECT_EQ(after->find(CaKey(CaAddress(6))), nullptr);
  size_t shared = 0;
  before->for_each([&](const CustomerRecord& r) { shared += after->find(r.key()) == &r ? 1 : 0; });
  EXPECT_GE(shared, 1000U - 2 * 31);  // two pages at most were copied
}

TEST(CustomerMap, ChurnEqualsAMap) {
  Random random(5);
  for (const unsigned space : {4U, 100U, 5000U}) {
    auto map = std::make_shared<const CustomerMap>();
    Model model;
    std::vector<std::pair<std::shared_ptr<const CustomerMap>, Model>> old;
    for (unsigned round = 0; round < 200; ++round) {
      // Mostly growing, then mostly shrinking, so that pages split and the map is built anew.
      const unsigned put_percent = round < 100 ? 80 : 10;
      CustomerMap::Editor editor(*map);
      for (unsigned n = random() % (space / 4 + 2); n > 0; --n) {
        const Ca ca = random_ca(random, space);
        if (random() % 100 < put_percent) {
          const uint32_t next_hop = random() % 10000;
          editor.put(record(ca, next_hop));
          model[ca] = next_hop;
        } else {
          ASSERT_EQ(editor.erase(CaKey(ca)), model.erase(ca) == 1);
        }
        ASSERT_EQ(editor.size(), model.size());
      }
      map = std::move(editor).finish();
      if (round % 20 == 0) {
        expect_same(*map, model);
        old.emplace_back(map, model);
      }
      if (HasFatalFailure()) return;
    }
    expect_same(*map, model);
    for (const auto& [snapshot, then] : old) expect_same(*snapshot, then);
  }
}

TEST(CustomerMap, BulkEqualsOneByOne) {
  Random random(9);
  std::vector<std::shared_ptr<const CustomerMap>> maps;
  for (const unsigned size : {0U, 1U, 2U, 5U, 7U, 8U, 20U, 31U, 100U, 3000U}) {
    CustomerMap::Editor editor{CustomerMap()};
    while (editor.size() < size) editor.put(record(random_ca(random, 4 * size), random()));
    maps.push_back(std::move(editor).finish());
  }
  for (unsigned n = 0; n <= 64; ++n) {
    std::array<const CustomerMap*, 64> asked_maps{};
    std::array<CaKey, 64> keys{};
    for (unsigned i = 0; i < n; ++i) {
      const size_t which = random() % maps.size();
      asked_maps[i] = maps[which].get();
      keys[i] = CaKey(random_ca(random, 4 * static_cast<unsigned>(maps[which]->size()) + 1));
    }
    std::array<CustomerMap::Reader, 64> readers{};
    std::array<const CustomerMap::Reader*, 64> asked_readers{};
    for (unsigned i = 0; i < n; ++i) {
      readers[i] = asked_maps[i]->reader();
      asked_readers[i] = &readers[i];
    }
    for (const auto variant : {RecordLookup::Variant::avx2, RecordLookup::Variant::avx512}) {
      RecordLookup lookup;
      for (unsigned i = 0; i < n; ++i) lookup.ask(i, readers[i], keys[i]);
      if (!lookup.settle(variant)) continue;
      for (unsigned i = 0; i < n; ++i) {
        ASSERT_EQ(lookup.answer(i, readers[i], keys[i]), asked_maps[i]->find(keys[i]));
      }
    }
    std::array<const CustomerRecord*, 64> found{};
    find_bulk(asked_readers.data(), keys.data(), found.data(), n);
    for (unsigned i = 0; i < n; ++i) ASSERT_EQ(found[i], asked_maps[i]->find(keys[i]));
    for (unsigned i = n; i < 64; ++i) ASSERT_EQ(found[i], nullptr);
  }
}

TEST(CustomerMap, RecordsAreLines) {
  CustomerMap::Editor editor{CustomerMap()};
  for (uint32_t i = 0; i < 100; ++i) editor.put(record(CaAddress(i), i));
  const auto map = std::move(editor).finish();
  map->for_each(
      [](const CustomerRecord& r) { EXPECT_EQ(reinterpret_cast<uintptr_t>(&r) % 64, 0U); });
}

TEST(CustomerMap, MemoryStaysBoundedInBothDirections) {
  constexpr uint32_t kRecords = 20000;
  CustomerMap::Editor grow{CustomerMap()};
  for (uint32_t i = 0; i < kRecords; ++i) grow.put(record(CaAddress(i), i));
  const auto full = std::move(grow).finish();
  EXPECT_LE(full->bytes(), kRecords * 128);
  CustomerMap::Editor shrink(*full);
  for (uint32_t i = 2; i < kRecords; ++i) shrink.erase(CaKey(CaAddress(i)));
  const auto small = std::move(shrink).finish();
  EXPECT_EQ(small->size(), 2U);
  EXPECT_LE(small->bytes(), 1024U);
}

}  // namespace
}  // namespace hnv
