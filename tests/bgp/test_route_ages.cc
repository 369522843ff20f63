// SPDX-License-Identifier: Apache-2.0
#include <map>

#include <gtest/gtest.h>

#include "bgp/route_ages.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

// Few enough to come again and again, and to collide.
BgpPrefix random_prefix(Random& random, unsigned range) {
  if (random() % 4 == 0) {
    CaAddress6::Bytes bytes{0x20, 0x01};
    bytes[7] = static_cast<uint8_t>(random() % range);
    return {BgpAddress(CaAddress6(bytes)), 64};
  }
  return {BgpAddress(CaAddress((random() % range) << 8)),
          static_cast<uint8_t>(random() % 2 == 0 ? 24 : 32)};
}

void expect_same(const RouteAges& ages, const std::map<BgpPrefix, uint32_t>& expected) {
  ASSERT_EQ(ages.size(), expected.size());
  std::map<BgpPrefix, uint32_t> found;
  for (const RouteAges::Place& place : ages.places()) {
    if (place.generation != 0) found.emplace(place.prefix, place.generation);
  }
  ASSERT_EQ(found, expected);
  for (const auto& [prefix, generation] : expected) ASSERT_EQ(ages.find(prefix), generation);
}

TEST(RouteAges, ChurnEqualsAMap) {
  for (const unsigned range : {3U, 40U, 5'000U}) {
    Random random(range);
    RouteAges ages;
    std::map<BgpPrefix, uint32_t> expected;
    for (uint32_t step = 1; step <= 20'000; ++step) {
      const BgpPrefix prefix = random_prefix(random, range);
      // Grows for a while, then shrinks, to nothing at last.
      if (random() % 10 < (step / 4'000 % 2 == 0 ? 7 : 3)) {
        const uint32_t generation = ages.put(prefix, step);
        ASSERT_EQ(generation, expected.try_emplace(prefix, step).first->second);
      } else {
        ages.erase(prefix);
        expected.erase(prefix);
      }
      const BgpPrefix asked = random_prefix(random, range);
      const auto at = expected.find(asked);
      ASSERT_EQ(ages.find(asked), at == expected.end() ? 0 : at->second);
      if (step % 500 == 0) expect_same(ages, expected);
    }
    while (!expected.empty()) {
      ages.erase(expected.begin()->first);
      expected.erase(expected.begin());
    }
    expect_same(ages, expected);
    EXPECT_TRUE(ages.places().empty());
  }
}

TEST(RouteAges, AGenerationIsChangedInItsPlace) {
  RouteAges ages;
  const BgpPrefix prefix(BgpAddress(CaAddress(0x0a000000)), 8);
  EXPECT_EQ(ages.find(prefix), 0U);
  ages.put(prefix, 1) = 2;
  EXPECT_EQ(ages.find(prefix), 2U);
  EXPECT_EQ(ages.put(prefix, 3), 2U);
  EXPECT_EQ(ages.size(), 1U);
}

}  // namespace
}  // namespace hnv
