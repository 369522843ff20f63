// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "compartments/moved_records.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

MovedRecord moved(uint32_t ca, uint32_t pa) { return {CaAddress(ca), PaAddress(pa)}; }

TEST(MovedRecords, KnowsAddressAndOldPlaceTogether) {
  const MovedRecords records({moved(0x0a00010b, 0x0afa000b), moved(0x0a00010c, 0x0afa000c)});
  EXPECT_TRUE(records.contains(moved(0x0a00010b, 0x0afa000b)));
  EXPECT_TRUE(records.contains(moved(0x0a00010c, 0x0afa000c)));
  EXPECT_FALSE(records.contains(moved(0x0a00010b, 0x0afa000c)));
  EXPECT_FALSE(records.contains(moved(0x0a00010d, 0x0afa000b)));
}

TEST(MovedRecords, AnEmptyPlaceIsNobodysAddress) {
  EXPECT_FALSE(MovedRecords({}).contains(MovedRecord{}));
  EXPECT_FALSE(MovedRecords({moved(1, 2)}).contains(MovedRecord{}));
  EXPECT_FALSE(MovedRecords({moved(1, 2)}).contains(moved(0, 0)));
}

TEST(MovedRecords, FamiliesDoNotMeet) {
  const MovedRecord v4 = moved(0x20010db8, 0x0afa000b);
  const MovedRecord v6{CaAddress6({0x20, 0x01, 0x0d, 0xb8}), PaAddress6({0x0a, 0xfa, 0x00, 0x0b})};
  EXPECT_TRUE(MovedRecords({v6}).contains(v6));
  EXPECT_FALSE(MovedRecords({v6}).contains(v4));
  EXPECT_FALSE(MovedRecords({v4}).contains(v6));
}

// Two hosts a machine, as when it moves to and fro, over sizes around each doubling.
TEST(MovedRecords, AgreesWithAListOfAnySize) {
  Random random(7);
  for (const unsigned size : {1U, 2U, 3U, 31U, 32U, 33U, 500U}) {
    std::vector<MovedRecord> list;
    for (unsigned i = 0; i < size; ++i) {
      list.push_back(moved(random.below(size), random.below(4)));
      if (random.below(4) == 0) list.push_back(list.back());
    }
    const MovedRecords records(list);
    size_t distinct = 0;
    for (uint32_t ca = 0; ca < size + 2; ++ca) {
      for (uint32_t pa = 0; pa < 5; ++pa) {
        const bool wanted = std::count(list.begin(), list.end(), moved(ca, pa)) != 0;
        EXPECT_EQ(records.contains(moved(ca, pa)), wanted) << size << " " << ca << " " << pa;
        distinct += wanted ? 1 : 0;
      }
    }
    EXPECT_EQ(records.size(), distinct);
    EXPECT_EQ(records.all().size(), distinct);
  }
}

}  // namespace
}  // namespace hnv
