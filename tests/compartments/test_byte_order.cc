// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <type_traits>

#include <gtest/gtest.h>

#include "compartments/byte_order.h"

namespace hnv {
namespace {

static_assert(!std::is_convertible_v<uint32_t, be32>, "a conversion must be written");
static_assert(!std::is_convertible_v<be32, uint32_t>, "a conversion must be written");
static_assert(be16{0x0800}.value() == 0x0800);

TEST(ByteOrder, LiesInMemoryMostSignificantByteFirst) {
  std::array<unsigned char, 14> bytes{};
  const be16 a{0x0102};
  const be32 b{0x03040506};
  const be64 c{0x0708090a0b0c0d0e};
  std::memcpy(bytes.data(), &a, 2);
  std::memcpy(bytes.data() + 2, &b, 4);
  std::memcpy(bytes.data() + 6, &c, 8);
  for (unsigned i = 0; i < bytes.size(); ++i) EXPECT_EQ(bytes[i], i + 1);
}

TEST(ByteOrder, RoundTrips) {
  for (const uint32_t v : {0U, 1U, 0x80U, 0x12345678U, 0xffffffffU}) {
    EXPECT_EQ(be32{v}.value(), v);
    EXPECT_EQ(be32::from_raw(be32{v}.raw()), be32{v});
  }
  EXPECT_NE(be16{1}, be16{256});
  EXPECT_EQ(be16{}.value(), 0);
}

}  // namespace
}  // namespace hnv
