// SPDX-License-Identifier: Apache-2.0
#include "compartments/route_order.h"

#include <algorithm>
#include <tuple>

namespace hnv {
namespace {

// A hop without an address is lower than any address; the rest only makes the order total.
std::strong_ordering compare_hops(const RouteHop& a, const RouteHop& b) {
  if (const auto order = via_of(a) <=> via_of(b); std::is_neq(order)) return order;
  return a <=> b;
}

}  // namespace

RouteOrder compare(const RouteCandidate& a, const RouteCandidate& b,
                   const RoutePreferences& preferences) {
  if (const auto order =
          preference_of(a.source, preferences) <=> preference_of(b.source, preferences);
      std::is_neq(order)) {
    return {order, RouteAttribute::preference};
  }
  if (const auto order = a.metric <=> b.metric; std::is_neq(order)) {
    return {order, RouteAttribute::metric};
  }
  // Candidates of one source that are equal so far share the load (shares_load); of those that
  // cannot, the lowest wins.
  if (const auto order = compare_hops(a.hop, b.hop); std::is_neq(order)) {
    return {order, RouteAttribute::next_hop};
  }
  return {std::tie(a.source, a.origin) <=> std::tie(b.source, b.origin), RouteAttribute::offer};
}

bool shares_load(const RouteCandidate& candidate, const RouteCandidate& best,
                 const RoutePreferences& preferences) {
  if (&candidate == &best || candidate == best) return true;
  return candidate.source == best.source && via_of(candidate.hop) && via_of(best.hop) &&
         candidate.metric == best.metric &&
         preference_of(candidate.source, preferences) == preference_of(best.source, preferences);
}

bool may_fail(const RouteHop& hop) {
  return std::holds_alternative<ConnectionViaHop>(hop) ||
         std::holds_alternative<RecursiveHop>(hop) || std::holds_alternative<TunnelHop>(hop);
}

bool may_all_fail(const RouteHops& hops) { return std::all_of(hops.begin(), hops.end(), may_fail); }

}  // namespace hnv
