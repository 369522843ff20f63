// SPDX-License-Identifier: Apache-2.0
//
// A network connection in JSON: a door out of a routing domain, of type L3 or IPSec.
#pragma once

#include "api/ipsec_configuration.h"
#include "api/json_decode.h"
#include "vpn/connection_spec.h"

namespace hnv {

// Notes what is wrong in `faults`; the spec counts only when nothing was noted.
[[nodiscard]] NetworkConnectionSpec decode_network_connection(const Place& place, const Json& json,
                                                              Faults& faults);
[[nodiscard]] Json encode(const NetworkConnectionSpec& spec, Secrets secrets);

}  // namespace hnv
