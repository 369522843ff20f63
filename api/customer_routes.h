// SPDX-License-Identifier: Apache-2.0
//
// A customer route in JSON: a static route inside a routing domain.
#pragma once

#include "api/json_decode.h"
#include "compartments/spec.h"

namespace hnv {

// Notes what is wrong in `faults`; the spec counts only when nothing was noted.
[[nodiscard]] CustomerRouteSpec decode_customer_route(const Place& place, const Json& json,
                                                      Faults& faults);
[[nodiscard]] Json encode(const CustomerRouteSpec& spec);

}  // namespace hnv
