// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "compartments/wire.h"

namespace hnv {

// Lowers the MSS of a TCP SYN so that its segments fit packets of `mtu` bytes (RFC 6691); leaves
// everything else as it is. Nothing is added where the option is missing. REQUIRES a header that
// fits, in as many readable bytes as it says.
void clamp_mss(wire::Ipv4& ip, uint16_t mtu);
void clamp_mss(wire::Ipv6& ip, uint16_t mtu);

}  // namespace hnv
