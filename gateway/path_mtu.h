// SPDX-License-Identifier: Apache-2.0
//
// What routers of the fabric say about the path to a host: "fragmentation needed" (RFC 1191) and
// "packet too big" (RFC 8201). Anybody can send such a thing, so it must quote what only we send:
// NVGRE from our PA of that virtual subnet, over its provider network, larger than the MTU it tells
// (RFC 5927 §7, RFC 8201 §4). Our packets carry no identification that could be compared; whether
// we send to that host at all, NextHops::learn_path_mtu knows.
#pragma once

#include <cstdint>
#include <optional>

#include "compartments/ip6_checks.h"
#include "gateway/dataplane.h"
#include "gateway/next_hops.h"

namespace hnv {

// The least that is believed. RFC 1191 §5 asks for no less than 68, but no fabric that carries
// NVGRE is that narrow; below 1,280 an IPv6 message is discarded (RFC 8201 §4).
inline constexpr uint16_t kLeastPathMtu = 576;
inline constexpr uint16_t kLeastPathMtu6 = kIpv6MinimumMtu;

struct PathMtu {
  LinkAddress host;
  uint16_t mtu = 0;  // bytes of IP packets
};

// None: it is damaged, or not about a packet of ours on that attachment. REQUIRES that classify
// punted the message: its IP header fits and the ICMP header lies in it. Pure.
[[nodiscard]] std::optional<PathMtu> read_path_mtu(const wire::Ipv4& ip, AttachmentId attachment,
                                                   const VsidTable& vsids);
[[nodiscard]] std::optional<PathMtu> read_path_mtu(const wire::Ipv6& ip, AttachmentId attachment,
                                                   const VsidTable& vsids);

}  // namespace hnv
