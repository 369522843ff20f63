// SPDX-License-Identifier: Apache-2.0
//
// The part of `route` that lets what the gateway itself ends, and nothing else, go to the control
// thread: segments of BGP sessions and BFD's packets, from configured peers
// (compartments/terminated.h), and ICMP errors that quote a BGP segment of ours.
#pragma once

#include <cstdint>

#include "compartments/clock.h"
#include "compartments/line/exit.h"

namespace hnv {

// What decides how much may go to the control thread.
struct PuntGate {
  Instant now{};
  unsigned waiting = 0;  // packets that this worker has punted and nobody has taken yet
};

// Where the upper layer of an IP packet is.
struct UpperPart {
  uint8_t protocol = 0;
  uint32_t at = 0;     // behind the IP header and its extension headers
  uint32_t bytes = 0;  // from there to the packet's end
};

// REQUIRES that the packet is for one of the gateway's addresses in its compartment, and no
// fragment. True: it has been punted or dropped. False: nothing here serves it; nothing has
// changed.
[[nodiscard]] bool terminate(Packet<Side::inside> packet, const UpperPart& upper,
                             const PuntGate& gate, Exit<Stage::route> out);

}  // namespace hnv
