// SPDX-License-Identifier: Apache-2.0
//
// A provider network in JSON: an attachment to the fabric.
#pragma once

#include "api/json_decode.h"
#include "compartments/spec.h"

namespace hnv {

// Notes what is wrong in `faults`; the spec counts only when nothing was noted.
[[nodiscard]] ProviderNetworkSpec decode_provider_network(const Place& place, const Json& json,
                                                          Faults& faults);
[[nodiscard]] Json encode(const ProviderNetworkSpec& spec);

}  // namespace hnv
