// SPDX-License-Identifier: Apache-2.0
//
// The stations of the line, in line order, one source file each. All run on a worker, within one
// breath, over a vector of at most kVector packets; none allocates, locks, logs or makes a system
// call.
#pragma once

#include "compartments/line/exit.h"
#include "gateway/dataplane.h"
#include "gateway/terminate.h"

namespace hnv {

// Outer headers: Ethernet, VLAN, ARP, outer IP. Sends every packet to the door it belongs to.
void classify(Burst<Side::outside> in, const Dataplane& plane, Exit<Stage::classify> out);
// The upper layer of a packet to a VPN address: `at` from the frame's begin, `bytes` of it.
struct IpsecCandidate {
  uint8_t protocol = 0;
  bool fragment = false;
  uint32_t at = 0;
  uint32_t bytes = 0;
};
// ESP and IKE. False: neither, and the packet is still the caller's.
[[nodiscard]] bool classify_ipsec(Packet<Side::outside> packet, const IpsecCandidate& candidate,
                                  Exit<Stage::classify> out);
// NVGRE in: the VSID chooses the compartment, the lookup records vouch for the source.
void enter_nvgre(Burst<Side::outside> in, const Dataplane& plane, Exit<Stage::enter_nvgre> out);
// A physical network in: the destination MAC has chosen the connection.
void enter_l3(Burst<Side::outside> in, const Dataplane& plane, Exit<Stage::enter_l3> out);
// One longest-prefix match in the packet's compartment.
void route(Burst<Side::inside> in, const PuntGate& gate, Exit<Stage::route> out);
// NVGRE out: the lookup record says where, the virtual subnet's template how.
void leave_nvgre(Burst<Side::inside> in, const Dataplane& plane, Exit<Stage::leave_nvgre> out);
// A physical network out.
void leave_l3(Burst<Side::inside> in, const Dataplane& plane, Exit<Stage::leave_l3> out);

// Packets that wait for a next hop's MAC address; see gateway/hold.h.
class HoldTable;
// The outer Ethernet header and tag; unresolved next hops' packets wait.
void rewrite(Burst<Side::outside> in, const Dataplane& plane, HoldTable& hold,
             Exit<Stage::rewrite> out);

}  // namespace hnv
