// SPDX-License-Identifier: Apache-2.0
#include "vpn/ipsec_plan.h"

namespace hnv {

VpnAddresses::VpnAddresses(const std::vector<VpnAddress>& all) : empty_(all.empty()) {
  std::vector<Entry> entries;
  for (const VpnAddress& one : all) {
    if (one.address.is_v4()) {
      entries.push_back({key(one.attachment, be32{one.address.v4().value()})});
    } else {
      ipv6_.emplace_back(one.attachment.value(), one.address.bytes());
    }
  }
  ipv4_ = KeyedTable<Entry>(entries);
  std::sort(ipv6_.begin(), ipv6_.end());
}

}  // namespace hnv
