// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstdint>

#include "compartments/address.h"
#include "compartments/byte_order.h"

namespace hnv {

// a <=> b, for tables that compare millions of times: an address is two words here, and not bytes
// one after the other.
template <Space S>
[[nodiscard]] constexpr std::strong_ordering order(const Prefix<S>& a, const Prefix<S>& b) {
  if (a.family() != b.family()) return a.family() <=> b.family();
  const auto words_of = [](const Prefix<S>& prefix) {
    const auto words = std::bit_cast<std::array<be64, 2>>(prefix.address().bytes());
    return std::array<uint64_t, 2>{words[0].value(), words[1].value()};
  };
  const auto of_a = words_of(a);
  const auto of_b = words_of(b);
  if (of_a[0] != of_b[0]) return of_a[0] <=> of_b[0];
  if (of_a[1] != of_b[1]) return of_a[1] <=> of_b[1];
  return a.length() <=> b.length();
}

}  // namespace hnv
