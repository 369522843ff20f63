// SPDX-License-Identifier: Apache-2.0
//
// A routing domain in JSON: a tenant's network.
#pragma once

#include "api/json_decode.h"
#include "compartments/spec.h"

namespace hnv {

// Notes what is wrong in `faults`; the spec counts only when nothing was noted.
[[nodiscard]] RoutingDomainSpec decode_routing_domain(const Place& place, const Json& json,
                                                      Faults& faults);
[[nodiscard]] Json encode(const RoutingDomainSpec& spec);

}  // namespace hnv
