// SPDX-License-Identifier: Apache-2.0
//
// Only the leave doors take a packet out of its compartment.
#include "compartments/line/exit.h"

#ifdef HNV_WRONG
constexpr hnv::Stage kHere = hnv::Stage::route;
#else
constexpr hnv::Stage kHere = hnv::Stage::leave_l3;
#endif

void station(hnv::Packet<hnv::Side::inside> packet, hnv::Exit<kHere> out) {
  (void)out.leave(packet, hnv::NextHopId(0));
}
