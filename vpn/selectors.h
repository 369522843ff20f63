// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compartments/wire.h"
#include "vpn/sa_spec.h"

namespace hnv {

// Whether the SA's traffic selectors cover everything of a family: then no packet of it need be
// asked about.
[[nodiscard]] bool covers_all(const SaSpec& spec, Family family);

// The inner packet, at its IP header, that the selectors are asked about. REQUIRES a header that
// fits, in as many readable bytes as it says.
[[nodiscard]] bool covers(const SaSpec& spec, const wire::Ipv4& ip);
[[nodiscard]] bool covers(const SaSpec& spec, const wire::Ipv6& ip);

}  // namespace hnv
