// SPDX-License-Identifier: Apache-2.0
//
// A network connection in JSON: a door out of a routing domain. Only type L3 is built.
#pragma once

#include "api/json_decode.h"
#include "compartments/spec.h"

namespace hnv {

// Notes what is wrong in `faults`; the spec counts only when nothing was noted.
[[nodiscard]] NetworkConnectionSpec decode_network_connection(const Place& place, const Json& json,
                                                              Faults& faults);
[[nodiscard]] Json encode(const NetworkConnectionSpec& spec);

}  // namespace hnv
