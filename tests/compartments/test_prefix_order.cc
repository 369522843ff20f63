// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include <gtest/gtest.h>

#include "compartments/prefix_order.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

using Customer = Prefix<Space::customer>;

// Alike in most bytes, so that any of them may be the one that decides.
Customer random_prefix(Random& random) {
  CaAddress6::Bytes bytes{};
  for (unsigned i = 0; i < 2; ++i) bytes[random() % 16] = static_cast<uint8_t>(random());
  const auto length = static_cast<uint8_t>(random() % 129);
  if (random() % 2 == 0) return {CaAddress6(bytes), length};
  return {CaAddress(random() & 0x81000081), static_cast<uint8_t>(length % 33)};
}

TEST(PrefixOrder, IsThatOfPrefixes) {
  Random random(11);
  std::vector<Customer> prefixes;
  prefixes.reserve(600);
  for (int i = 0; i < 600; ++i) prefixes.push_back(random_prefix(random));
  for (const Customer& a : prefixes) {
    for (const Customer& b : prefixes) ASSERT_EQ(order(a, b), a <=> b);
  }
}

}  // namespace
}  // namespace hnv
