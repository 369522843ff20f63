// SPDX-License-Identifier: Apache-2.0
//
// The index of one table does not index another.
#include "compartments/compartment_view.h"

unsigned mtu(const hnv::CompartmentView& tenant, hnv::SubnetId subnet, hnv::ConnectionId other) {
#ifdef HNV_WRONG
  return tenant.subnet(other).mtu;
#else
  (void)other;
  return tenant.subnet(subnet).mtu;
#endif
}
