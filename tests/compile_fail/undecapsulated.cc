// SPDX-License-Identifier: Apache-2.0
//
// A packet that is still outside every compartment cannot be routed.
#include "compartments/line/exit.h"

void station(hnv::Packet<hnv::Side::outside> packet, const hnv::CompartmentView& tenant,
             hnv::Exit<hnv::Stage::enter_nvgre> out) {
#ifdef HNV_WRONG
  (void)tenant;
  out.to<hnv::Stage::route>(packet);
#else
  out.to<hnv::Stage::route>(out.enter(packet, tenant));
#endif
}
