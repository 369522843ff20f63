// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "compartments/ids.h"

namespace hnv {

// How far address resolution of a next hop is, as the workers see it.
enum class NextHopState : uint8_t {
  absent,     // no such next hop (any more)
  resolving,  // packets wait, up to a bound
  resolved,
  failed,  // asked in vain: packets are refused until an answer comes
};

// An address on an outside network that frames are sent to: a host's or a gateway's PA on the
// fabric (perhaps through a router), or a neighbour behind an L3 connection. One cache line,
// immutable; a new address or state is a new value in a new Dataplane.
struct alignas(64) NextHop {
  // Destination MAC, source MAC, [802.1Q tag,] Ethernet type of the packets that go there (the
  // outer ones); `header_bytes` of them count.
  std::array<uint8_t, 18> header{};
  uint8_t header_bytes = 0;
  NextHopState state = NextHopState::absent;
  // Where in the packet NVGRE's FlowID is to be zeroed (some peers compare the whole key); 0: it is
  // sent as it is.
  uint8_t zero_flow_id_at = 0;
  // The largest inner packet that fits the path to here, as learned (RFC 1191); 65535: not learned.
  uint16_t largest_inner = 0xffff;
  PortId port;
  // Distinguishes this next hop from an earlier holder of the same id, for packets that wait.
  uint64_t uid = 0;
};
static_assert(sizeof(NextHop) == 64);

}  // namespace hnv
