// SPDX-License-Identifier: Apache-2.0
//
// IPv4 fragmentation (RFC 791 §2.3 and §3.2, RFC 1812 §4.2.2.7). Works on one mbuf and its pool; no
// lookups, no counters.
#pragma once

#include <cstdint>
#include <span>

#include <rte_mbuf.h>

#include "compartments/wire.h"

namespace hnv {

// RFC 791: every link carries 68 bytes.
inline constexpr uint16_t kSmallestIpv4Mtu = 68;

// How many pieces of at most `mtu` bytes (>= kSmallestIpv4Mtu) the packet makes. 0: it is a
// fragment that reaches beyond the longest datagram there is ("ping of death"), and no offset could
// say where a piece of it belongs. REQUIRES a header that fits.
[[nodiscard]] unsigned fragments_needed(const wire::Ipv4& ip, uint16_t mtu);

// Cuts the packet, whose data begins at its IP header, into `pieces` (fragments_needed of them, not
// 0, in order). The first is the packet's own buffer, shortened; the others come from its pool.
// False, and nothing changed, when the pool has too few.
[[nodiscard]] bool fragment(rte_mbuf& packet, uint16_t mtu, std::span<rte_mbuf*> pieces);

}  // namespace hnv
