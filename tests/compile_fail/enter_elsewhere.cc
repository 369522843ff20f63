// SPDX-License-Identifier: Apache-2.0
//
// Only the enter doors give a packet a compartment.
#include "compartments/line/exit.h"

#ifdef HNV_WRONG
constexpr hnv::Stage kHere = hnv::Stage::classify;
#else
constexpr hnv::Stage kHere = hnv::Stage::enter_l3;
#endif

void station(hnv::Packet<hnv::Side::outside> packet, const hnv::CompartmentView& tenant,
             hnv::Exit<kHere> out) {
  (void)out.enter(packet, tenant);
}
