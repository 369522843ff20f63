// SPDX-License-Identifier: Apache-2.0
//
// BGP's resources of a routing domain in JSON. Forms are read here; what a body can be judged by
// alone is check() of bgp/bgp_spec.h, and other resources are the model's matter
// (gateway/model_bgp.cc).
#pragma once

#include "api/ipsec_configuration.h"
#include "api/json_decode.h"
#include "bgp/bgp_spec.h"

namespace hnv {

// Each notes what is wrong in `faults`; the spec counts only when nothing was noted.
[[nodiscard]] BgpRouterSpec decode_bgp_router(const Place& place, const Json& json, Faults& faults);
// A password that is left out is absent, one that is null is empty.
[[nodiscard]] BgpPeerSpec decode_bgp_peer(const Place& place, const Json& json, Faults& faults);
[[nodiscard]] BgpCustomRoutesSpec decode_bgp_custom_routes(const Place& place, const Json& json,
                                                           Faults& faults);
[[nodiscard]] BgpAggregatesSpec decode_bgp_aggregates(const Place& place, const Json& json,
                                                      Faults& faults);
[[nodiscard]] PolicyMapSpec decode_policy_map(const Place& place, const Json& json, Faults& faults);

[[nodiscard]] Json encode(const BgpRouterSpec& spec);
[[nodiscard]] Json encode(const BgpPeerSpec& spec, Secrets secrets);
[[nodiscard]] Json encode(const BgpCustomRoutesSpec& spec);
[[nodiscard]] Json encode(const BgpAggregatesSpec& spec);
[[nodiscard]] Json encode(const PolicyMapSpec& spec);

}  // namespace hnv
