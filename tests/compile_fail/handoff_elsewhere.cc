// SPDX-License-Identifier: Apache-2.0
//
// A packet of a compartment comes back at route, never at classify, where it could be taken for a
// frame from outside.
#include "compartments/line/exit.h"

#ifdef HNV_WRONG
constexpr hnv::Stage kAt = hnv::Stage::classify;
#else
constexpr hnv::Stage kAt = hnv::Stage::route;
#endif

void station(hnv::Packet<hnv::Side::inside> packet, hnv::Exit<hnv::Stage::leave_nat> out) {
  out.handoff<kAt>(packet, 1);
}
