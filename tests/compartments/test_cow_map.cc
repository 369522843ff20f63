// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <random>
#include <string>
#include <thread>
#include <tuple>

#include <gtest/gtest.h>

#include "compartments/cow_map.h"

namespace hnv {
namespace {

using Map = CowMap<int, int>;
using Reference = std::map<int, int>;

void expect_same(const Map& map, const Reference& reference) {
  ASSERT_EQ(map.size(), reference.size());
  ASSERT_EQ(map.empty(), reference.empty());
  auto expected = reference.begin();
  for (const auto& [key, value] : map) {
    ASSERT_EQ(key, expected->first);
    ASSERT_EQ(value, expected->second);
    ++expected;
  }
}

TEST(CowMap, EmptyMapHasNothing) {
  const CowMap<std::string, int> map;
  EXPECT_TRUE(map.empty());
  EXPECT_EQ(map.begin(), map.end());
  EXPECT_EQ(map.lower_bound("a"), map.end());
  EXPECT_EQ(map.floor("a"), nullptr);
  EXPECT_EQ(map.find("a"), nullptr);
}

TEST(CowMap, CopyIsNotTouchedByChanges) {
  Map before;
  for (int i = 0; i < 1000; ++i) before.insert_or_assign(i, i);
  Map after = before;
  after.insert_or_assign(500, -1);
  after.erase(501);
  after.insert_or_assign(5000, 5000);
  EXPECT_EQ(*before.find(500), 500);
  EXPECT_TRUE(before.contains(501));
  EXPECT_EQ(before.size(), 1000U);
  EXPECT_EQ(*after.find(500), -1);
  EXPECT_FALSE(after.contains(501));
  EXPECT_EQ(after.size(), 1000U);
}

TEST(CowMap, MovedFromMapIsEmpty) {
  Map map;
  map.insert_or_assign(1, 1);
  const Map moved = std::move(map);
  EXPECT_EQ(moved.size(), 1U);
  EXPECT_TRUE(map.empty());  // NOLINT(bugprone-use-after-move): that is what is tested
}

// Counts how often an item is copied.
struct Counted {
  static inline int copies = 0;
  int value = 0;
  Counted() = default;
  explicit Counted(int v) : value(v) {}
  Counted(const Counted& other) : value(other.value) { ++copies; }
  Counted(Counted&&) = default;
  Counted& operator=(const Counted& other) {
    value = other.value;
    ++copies;
    return *this;
  }
  Counted& operator=(Counted&&) = default;
  ~Counted() = default;
};

TEST(CowMap, BulkEditCopiesEachTouchedChunkOnce) {
  CowMap<int, Counted> map;
  for (int i = 0; i < 10000; ++i) map.insert_or_assign(i, Counted(i));
  const auto before = map;
  Counted::copies = 0;
  for (int i = 1000; i < 1050; ++i) map.insert_or_assign(i, Counted(-i));
  EXPECT_GT(Counted::copies, 0);
  EXPECT_LE(Counted::copies, 2 * static_cast<int>(CowMap<int, Counted>::kChunk));
  EXPECT_EQ(before.find(1000)->value, 1000);
}

TEST(CowMap, DifferenceSkipsWhatIsShared) {
  Map before;
  for (int i = 0; i < 10000; ++i) before.insert_or_assign(i, i);
  Map after = before;
  after.insert_or_assign(70, -70);
  after.erase(4000);
  after.insert_or_assign(20000, 1);
  after.insert_or_assign(71, 71);  // the same value: no difference
  std::vector<std::tuple<int, bool, bool>> found;
  Map::difference(before, after, [&](int key, const int* old_value, const int* new_value) {
    found.emplace_back(key, old_value != nullptr, new_value != nullptr);
  });
  const std::vector<std::tuple<int, bool, bool>> expected{
      {70, true, true}, {4000, true, false}, {20000, false, true}};
  EXPECT_EQ(found, expected);
}

class CowMapRandom : public ::testing::TestWithParam<int> {};

TEST_P(CowMapRandom, BehavesLikeStdMap) {
  const int range = GetParam();
  std::mt19937 random(static_cast<unsigned>(range));
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  Map map;
  Reference reference;
  Map kept;
  Reference kept_reference;
  for (int step = 0; step < 20000; ++step) {
    const int key = below(range);
    // Grow for a while, then shrink, so that chunks split and join.
    if (below(10) < (step / 4000 % 2 == 0 ? 7 : 3)) {
      EXPECT_EQ(map.insert_or_assign(key, step), reference.insert_or_assign(key, step).second);
    } else {
      EXPECT_EQ(map.erase(key), reference.erase(key) == 1);
    }
    const int probe = below(range);
    const auto at = map.lower_bound(probe);
    const auto expected = reference.lower_bound(probe);
    ASSERT_EQ(at == map.end(), expected == reference.end());
    if (expected != reference.end()) {
      ASSERT_EQ(at->first, expected->first);
    }
    const auto above = reference.upper_bound(probe);
    const auto* floor = map.floor(probe);
    ASSERT_EQ(floor == nullptr, above == reference.begin());
    if (floor != nullptr) {
      ASSERT_EQ(floor->first, std::prev(above)->first);
    }
    if (step % 1000 == 0) {
      expect_same(map, reference);
      expect_same(kept, kept_reference);
      Reference replayed = kept_reference;
      Map::difference(kept, map, [&](int k, const int*, const int* value) {
        if (value == nullptr) {
          replayed.erase(k);
        } else {
          replayed.insert_or_assign(k, *value);
        }
      });
      EXPECT_EQ(replayed, reference);
      kept = map;
      kept_reference = reference;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ranges, CowMapRandom, ::testing::Values(10, 300, 5000, 100000));

TEST(CowMap, CopiesMayLiveInOtherThreads) {
  Map map;
  for (int i = 0; i < 1000; ++i) map.insert_or_assign(i, 0);
  std::vector<std::thread> readers;
  for (int round = 1; round <= 100; ++round) {
    readers.emplace_back([copy = map, round] {
      for (const auto& [key, value] : copy) EXPECT_LT(value, round);
    });
    for (int i = 0; i < 1000; i += 7) map.insert_or_assign(i, round);
  }
  for (auto& reader : readers) reader.join();
}

}  // namespace
}  // namespace hnv
