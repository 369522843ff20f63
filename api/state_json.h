// SPDX-License-Identifier: Apache-2.0
//
// Run-time state (api/state.h) in JSON. Pure; runs on the http thread.
#pragma once

#include "api/json_decode.h"
#include "api/state.h"

namespace hnv {

[[nodiscard]] Json state_json(const SystemState& state);
[[nodiscard]] Json state_json(const PortState& state);
[[nodiscard]] Json state_json(const DropsState& state);
[[nodiscard]] Json state_json(const StatisticsState& state);
[[nodiscard]] Json state_json(const DomainStatistics& state);
[[nodiscard]] Json state_json(const RouteState& state);
[[nodiscard]] Json state_json(const RouteTableState& state);
[[nodiscard]] Json state_json(const NeighborTable& state);
[[nodiscard]] Json state_json(const NeighborState& state);
[[nodiscard]] Json state_json(const ConfigurationState& state);
[[nodiscard]] Json state_json(const ConnectionState& state);
[[nodiscard]] Json state_json(const BgpPeerStatus& state);
[[nodiscard]] Json state_json(const BgpRouteState& state);
[[nodiscard]] Json state_json(const BgpRouteList& state);
[[nodiscard]] Json state_json(const NatSessionState& state);
[[nodiscard]] Json state_json(const NatSessionList& state);
[[nodiscard]] Json state_json(const NatDomainState& state);
[[nodiscard]] Json state_json(const NatPoolState& state);
[[nodiscard]] Json state_json(const LookupExplanation& state);
[[nodiscard]] Json state_json(const TraceState& state);

template <class T>
[[nodiscard]] Json state_list(const std::vector<T>& states) {
  Json list = Json::array();
  for (const auto& state : states) list.push_back(state_json(state));
  return list;
}

}  // namespace hnv
