// SPDX-License-Identifier: Apache-2.0
//
// A customer address is no provider address, whatever its bits.
#include "compartments/address.h"

bool same(hnv::CaAddress a, hnv::CaAddress b, hnv::PaAddress other) {
#ifdef HNV_WRONG
  return a == other;
#else
  (void)other;
  return a == b;
#endif
}
