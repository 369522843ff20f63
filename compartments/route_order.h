// SPDX-License-Identifier: Apache-2.0
//
// Which of two candidates of a prefix is better, and which may serve together: what RouteTable
// chooses by, and what it gives as reasons.
#pragma once

#include <compare>
#include <cstdint>

#include "compartments/route_table.h"

namespace hnv {

// In the order in which they are asked.
enum class RouteAttribute : uint8_t { preference, metric, next_hop, offer };

struct RouteOrder {
  std::strong_ordering order = std::strong_ordering::equal;  // less: the first one is better
  RouteAttribute attribute = RouteAttribute::offer;          // the one that decided
};

[[nodiscard]] RouteOrder compare(const RouteCandidate& a, const RouteCandidate& b,
                                 const RoutePreferences& preferences);

// Whether both are used at once: equal up to the metric, of one source, and through next hops. The
// best one shares with itself.
[[nodiscard]] bool shares_load(const RouteCandidate& candidate, const RouteCandidate& best,
                               const RoutePreferences& preferences);

// Whether candidates that follow may have to serve.
[[nodiscard]] bool may_fail(const RouteHop& hop);
[[nodiscard]] bool may_all_fail(const RouteHops& hops);

}  // namespace hnv
