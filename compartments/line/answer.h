// SPDX-License-Identifier: Apache-2.0
//
// Answers of the gateway, written into the packet that is answered. Pure functions on one mbuf: no
// lookups, no counters; the caller (gateway/respond.cc) knows what may be answered and to whom.
#pragma once

#include <cstdint>

#include <rte_mbuf.h>

#include "compartments/line/exit.h"
#include "compartments/wire.h"

namespace hnv {

// The request at `arp` becomes the reply: `own_mac` has the address that was asked for (RFC 826).
void make_arp_reply(wire::Arp& arp, const wire::Mac& own_mac);

// The ICMP echo request in this IP packet (at its IP header) becomes the reply (RFC 792): addresses
// swapped, fresh TTL, header checksum right, ICMP checksum as right as the request's. REQUIRES ICMP
// type 8 and a header that fits.
void make_echo_reply(wire::Ipv4& ip);

// May an ICMP error be sent about this packet (RFC 1122 §3.2.2, RFC 1812 §4.3.2.7)? Not about ICMP
// errors, later fragments, or a source that is no single host; nor to a broadcast or multicast.
[[nodiscard]] bool may_send_icmp_error(const rte_mbuf& mbuf);

// The packet (data beginning at its IP header) becomes an ICMP error to its source that quotes as
// much of it as fits into 576 bytes (RFC 1812 §4.3.2.3). False, packet unchanged, when there is no
// room in front. REQUIRES may_send_icmp_error and a single segment.
[[nodiscard]] bool make_icmp_error(rte_mbuf& mbuf, const IcmpError& error, uint32_t source);

}  // namespace hnv
