// SPDX-License-Identifier: Apache-2.0
#include <type_traits>

#include <gtest/gtest.h>

#include "compartments/ids.h"

namespace hnv {
namespace {

static_assert(!std::is_convertible_v<SubnetId, HopId>);
static_assert(!std::is_constructible_v<HopId, SubnetId>);

TEST(Vsid, HoldsOnlyWhatMayBeOnTheWire) {
  for (const uint32_t n : {4096U, 5001U, 16777214U}) EXPECT_EQ(Vsid::from(n)->value(), n);
  for (const uint32_t n : {0U, 0xfffU, 0xffffffU, 0x1001000U, 0xffffffffU}) {
    EXPECT_FALSE(Vsid::from(n)) << n;
  }
}

TEST(VlanId, ZeroIsUntagged) {
  EXPECT_EQ(VlanId::from(0), VlanId::untagged());
  EXPECT_FALSE(VlanId::untagged().tagged());
  EXPECT_TRUE(VlanId::from(1)->tagged());
  EXPECT_EQ(VlanId::from(4094)->value(), 4094);
  for (const uint32_t n : {4095U, 4096U, 65536U, 0xffffffffU}) EXPECT_FALSE(VlanId::from(n)) << n;
}

TEST(Index, StartsInvalid) {
  EXPECT_FALSE(HopId().valid());
  EXPECT_TRUE(HopId(0).valid());
  EXPECT_LT(HopId(0), HopId(1));
}

TEST(Guid, ReadsAndWritesText) {
  constexpr const char* kText = "0c5a2a9c-6f0e-4f0c-9a43-2f9b5d5c1a11";
  for (const char* text :
       {kText, "0C5A2A9C-6F0E-4F0C-9A43-2F9B5D5C1A11", "{0c5a2a9c-6f0e-4f0c-9a43-2f9b5d5c1a11}"}) {
    const auto guid = Guid::parse(text);
    ASSERT_TRUE(guid) << text;
    EXPECT_EQ(guid->to_string(), kText);
  }
  for (const char* text :
       {"", "0c5a2a9c6f0e4f0c9a432f9b5d5c1a11", "0c5a2a9c-6f0e-4f0c-9a43-2f9b5d5c1a1",
        "0c5a2a9c-6f0e-4f0c-9a43-2f9b5d5c1a1g", "{0c5a2a9c-6f0e-4f0c-9a43-2f9b5d5c1a11",
        "0c5a2a9c-6f0e-4f0c-9a43-2f9b5d5c1a11}", "0c5a2a9c-6f0e-4f0c-9a432-f9b5d5c1a11"}) {
    EXPECT_FALSE(Guid::parse(text)) << text;
  }
}

TEST(Guid, RandomOnesAreVersion4) {
  const Guid guid = Guid::random();
  EXPECT_EQ(guid.to_string()[14], '4');
  EXPECT_NE(std::string("89ab").find(guid.to_string()[19]), std::string::npos);
  EXPECT_NE(guid, Guid::random());
  EXPECT_EQ(Guid::parse(guid.to_string()), guid);
}

}  // namespace
}  // namespace hnv
