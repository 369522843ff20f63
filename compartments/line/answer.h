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

// --- the same of IPv6 (RFC 4443) ---

// The echo request whose ICMPv6 header is `offset` behind the IP header becomes the reply.
void make_echo_reply6(wire::Ipv6& ip, uint32_t offset);

// RFC 4443 §2.4 (e): not about errors or redirects, nothing from or to what is no single node's.
[[nodiscard]] bool may_send_icmp6_error(const rte_mbuf& mbuf);

// As much of the packet is quoted as fits into the minimum MTU of 1280 bytes (§3). `error.mtu` is
// the MTU, or the pointer, of its type.
[[nodiscard]] bool make_icmp6_error(rte_mbuf& mbuf, const IcmpError& error,
                                    const wire::Address6& source);

}  // namespace hnv
