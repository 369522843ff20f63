// SPDX-License-Identifier: Apache-2.0
//
// A virtual subnet in JSON: one VSID of a routing domain.
#pragma once

#include "api/json_decode.h"
#include "compartments/spec.h"

namespace hnv {

// Notes what is wrong in `faults`; the spec counts only when nothing was noted.
[[nodiscard]] VirtualSubnetSpec decode_virtual_subnet(const Place& place, const Json& json,
                                                      Faults& faults);
[[nodiscard]] Json encode(const VirtualSubnetSpec& spec);

}  // namespace hnv
