// SPDX-License-Identifier: Apache-2.0
//
// External networks as the workers read them: by which next hop a destination out there is reached,
// for what leaves under an address of ours (NAT's, a tunnel's).
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "compartments/cow_array.h"
#include "compartments/customer_map.h"
#include "compartments/fib.h"
#include "compartments/fib6.h"
#include "compartments/ids.h"
#include "compartments/next_hop.h"
#include "compartments/wire.h"

namespace hnv {

// Where packets for an outside destination go.
struct OutsideHop {
  bool on_link = false;  // to the destination itself
  // Else through the first of these that answers: routers in the order of their metric. Invalid
  // behind the last.
  std::array<NextHopId, 4> routers{};
};

struct OutsideNetwork {
  std::string name;  // empty: gone
  AttachmentId attachment{};
  LinkId link{};
  PortId port{};
  VlanId vlan;
  wire::Mac mac{};
  uint16_t mtu = 0;  // largest IP packet
  FibRoot fib;       // of external destinations; HopId: a place in hops
  std::vector<OutsideHop> hops;
  std::shared_ptr<const Fib4> fib_owner;
  // The same of IPv6.
  std::shared_ptr<const Fib6> fib6;
  std::vector<OutsideHop> hops6;
};

// By OutsideNetworkId. Immutable, a part of the Dataplane.
using OutsideNetworks = std::vector<OutsideNetwork>;

struct OutsideNext {
  NextHopId hop{};
  bool ask = false;     // an on-link neighbour that nobody knows yet: the control thread finds it
  bool failed = false;  // nobody there answers
};

// The way's router that answers, the first of them; while none is known to, the first. `links`: the
// Dataplane's.
[[nodiscard]] inline OutsideNext outside_next(
    const OutsideNetwork& network, const OutsideHop& way, const CaKey& destination,
    const CowArray<std::shared_ptr<const CustomerMap>>& links, const CowArray<NextHop>& next_hops) {
  OutsideNext next;
  if (way.on_link) {
    const CustomerMap* neighbors = links[network.link.value()].get();
    const CustomerRecord* record = neighbors == nullptr ? nullptr : neighbors->find(destination);
    if (record == nullptr) return {.hop = {}, .ask = true};
    next.hop = record->next_hop;
  } else {
    next.hop = way.routers[0];
    for (const NextHopId router : way.routers) {
      if (!router.valid()) break;
      if (next_hops[router.value()].state == NextHopState::failed) continue;
      next.hop = router;
      break;
    }
  }
  next.failed = next_hops[next.hop.value()].state == NextHopState::failed;
  return next;
}

// The bytes of Ethernet header and tag there.
[[nodiscard]] inline uint32_t ethernet_bytes(const OutsideNetwork& network) {
  return sizeof(wire::Ethernet) + (network.vlan.tagged() ? sizeof(wire::VlanTag) : 0);
}
// Those of a frame that the network sends to us. REQUIRES the bytes.
inline void write_ethernet(uint8_t* front, const OutsideNetwork& network, be16 type) {
  auto& ethernet = *reinterpret_cast<wire::Ethernet*>(front);
  ethernet.destination = network.mac;
  ethernet.source = network.mac;
  ethernet.type = type;
  if (!network.vlan.tagged()) return;
  const wire::VlanTag tag{wire::ether_type::kVlan, be16{network.vlan.value()}};
  std::memcpy(front + 12, &tag, sizeof tag);
  *reinterpret_cast<be16*>(front + 16) = type;
}

}  // namespace hnv
