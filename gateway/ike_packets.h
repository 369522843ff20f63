// SPDX-License-Identifier: Apache-2.0
//
// IKE between the line and charon: what comes to a VPN address goes into charon's TUN, what charon
// sends leaves as the VPN address's packet on its external network. Control thread.
//
//   outside ─ classify ─ punt ─▶ give ─▶ TUN ═ charon ═ TUN ─▶ take ─▶ inject ─ rewrite ─ tx
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>

#include <rte_mbuf.h>

#include "compartments/address.h"
#include "gateway/compile.h"

namespace hnv {

// A punted frame as an IP packet into the TUN; a full one loses it, as a network would.
void give_to_charon(int tun, const rte_mbuf& frame);

// Of a packet that charon sent: where it goes. Nothing: it is no UDP of one of these addresses of
// ours, or its destination has no route there.
struct IkeWay {
  OutsideNetworkId network;
  IpAddress<Space::external> destination;
  OutsideNext next;
};
[[nodiscard]] std::optional<IkeWay> way_of(
    std::span<const uint8_t> packet,
    const std::map<IpAddress<Space::external>, OutsideNetworkId>& addresses,
    const Dataplane& plane);

// With its bytes and a SideNote that says nothing yet; null: there is no buffer.
[[nodiscard]] rte_mbuf* packet_to_inject(rte_mempool& packets, std::span<const uint8_t> packet);

}  // namespace hnv
