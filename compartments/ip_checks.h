// SPDX-License-Identifier: Apache-2.0
//
// What every door asks of an IPv4 header, outer or inner.
#pragma once

#include <cstdint>

#include "compartments/wire.h"

namespace hnv {

// Version, header length and total length agree with the bytes there are (RFC 1812 §5.2.2).
// REQUIRES at least sizeof(wire::Ipv4) readable bytes.
[[nodiscard]] inline bool ipv4_header_fits(const wire::Ipv4& ip, uint32_t available) {
  const unsigned total = ip.total_length.value();
  const unsigned header = ip.header_bytes();
  return (ip.version_ihl >> 4) == 4 && header >= sizeof(wire::Ipv4) && total >= header &&
         total <= available;
}

// RFC 1812 §5.3.7: never a legal source: "this" network, loopback, multicast, class E, broadcast.
[[nodiscard]] constexpr bool is_martian_source(uint32_t host_order) {
  const uint32_t first = host_order >> 24;
  return first == 0 || first == 127 || first >= 224;
}

// Not forwardable as a destination.
[[nodiscard]] constexpr bool is_martian_destination(uint32_t host_order) {
  return is_martian_source(host_order);
}

}  // namespace hnv
