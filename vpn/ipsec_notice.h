// SPDX-License-Identifier: Apache-2.0
//
// What a worker tells the control thread of its tunnels and SAs. A notice may be lost (the ring is
// full) and is then told again at the next packet that gives cause, as it is every second.
#pragma once

#include <cstdint>
#include <type_traits>

#include "compartments/ids.h"
#include "compartments/spsc_ring.h"
#include "vpn/sa_spec.h"

namespace hnv {

struct IpsecNotice {
  enum class Kind : uint8_t {
    wanted,     // a packet waits for a tunnel that starts on demand
    moved,      // authenticated packets of an inbound SA come from `remote`: SaChannel::mapping
    exhausted,  // an outbound SA has used all its sequence numbers, and was stopped
  };
  Kind kind = Kind::wanted;
  TunnelId tunnel{};
  uint64_t tunnel_uid = 0;  // TunnelView::uid
  uint64_t sa_uid = 0;      // Sa::uid; moved, exhausted
  SaEndpoint remote{};      // moved
};
static_assert(std::is_trivially_copyable_v<IpsecNotice>);

// One worker pushes, the control thread pops.
using IpsecNotices = SpscRing<IpsecNotice, 1024>;

}  // namespace hnv
