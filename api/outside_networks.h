// SPDX-License-Identifier: Apache-2.0
//
// What provider and external networks have in common in JSON: the routes of an outside network, and
// (with L3 connections) whether duplicate addresses are looked for.
#pragma once

#include "api/json_readers.h"
#include "compartments/spec.h"

namespace hnv {

inline constexpr size_t kMaxOutsideRoutes = 10'000;

inline constexpr Words<DuplicateDetection, 2> kDuplicateDetectionWords{
    {{"optimistic", DuplicateDetection::optimistic}, {"off", DuplicateDetection::off}}};
inline constexpr OneOf kDuplicateDetectionReader{kDuplicateDetectionWords};

struct OutsideRouteReader {
  template <Space S>
  void operator()(const Place& place, const Json& json, Faults& faults, RouteSpec<S>& out) const {
    ObjectReader in(place, json, faults);
    in.required("destinationPrefix", out.destination_prefix, kTextFormReader);
    in.required("nextHop", out.next_hop, kHostAddressReader);
    in.optional("metric", out.metric, kMetricReader);
    in.finish();
  }
};

template <Space S>
[[nodiscard]] Json outside_routes_json(const std::vector<RouteSpec<S>>& routes) {
  Json list = Json::array();
  for (const auto& route : routes) {
    list.push_back({{"destinationPrefix", route.destination_prefix.to_string()},
                    {"nextHop", route.next_hop.to_string()},
                    {"metric", route.metric}});
  }
  return list;
}

}  // namespace hnv
