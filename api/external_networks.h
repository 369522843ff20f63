// SPDX-License-Identifier: Apache-2.0
//
// An external network in JSON: an attachment to the internet or a physical network.
#pragma once

#include "api/json_decode.h"
#include "compartments/spec.h"

namespace hnv {

// Notes what is wrong in `faults`; the spec counts only when nothing was noted.
[[nodiscard]] ExternalNetworkSpec decode_external_network(const Place& place, const Json& json,
                                                          Faults& faults);
[[nodiscard]] Json encode(const ExternalNetworkSpec& spec);

}  // namespace hnv
