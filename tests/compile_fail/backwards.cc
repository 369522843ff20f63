// SPDX-License-Identifier: Apache-2.0
//
// The line goes one way.
#include "compartments/line/exit.h"

void station(hnv::Packet<hnv::Side::inside> packet, hnv::Exit<hnv::Stage::leave_nvgre> out) {
#ifdef HNV_WRONG
  out.to<hnv::Stage::route>(packet);
#else
  out.drop(packet, hnv::DropReason::no_route);
#endif
}
