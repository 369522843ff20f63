// SPDX-License-Identifier: Apache-2.0
//
// What the FIBs of both families share: how a change of routes is told, and when a table is large.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "compartments/address.h"
#include "compartments/ids.h"

namespace hnv {

// What became of one prefix: the hop of its route (invalid: its addresses have no route), or
// nothing when the route is gone.
struct FibChange {
  Prefix<Space::customer> prefix;
  std::optional<HopId> hop;
};

// All routes of a table, after the change, whose prefix is or lies in `block`: sorted by (network,
// length), without duplicates.
template <class Route>
using RoutesIn = std::function<std::vector<Route>(const Prefix<Space::customer>& block)>;

namespace fib_internal {

// A table of more ranges than this takes the large encoding; one of fewer routes than that leaves
// it again. They lie apart so that a table at the border does not go to and fro.
constexpr size_t kMaxSmallRanges = 4096;
constexpr size_t kMinLargeRoutes = 1024;

// Inside a piece of a large table: the answer of the wider prefixes around the piece. Hops are
// smaller.
constexpr HopId kInherit(0x7fffffff);

}  // namespace fib_internal
}  // namespace hnv
