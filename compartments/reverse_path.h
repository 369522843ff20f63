// SPDX-License-Identifier: Apache-2.0
//
// Reverse path validation at the L3 and IPsec doors (RFC 3704), of either family.
#pragma once

#include <algorithm>

#include "compartments/compartment_view.h"

namespace hnv {

[[nodiscard]] inline bool leads_through(const Hop& hop, ConnectionId connection) {
  return (hop.kind == HopKind::connection || hop.kind == HopKind::connection_via ||
          hop.kind == HopKind::ipsec) &&
         hop.connection == connection;
}

// `source_hop` is what the FIB says of the packet's source; invalid: nothing.
[[nodiscard]] inline bool reached_through(const CompartmentView& tenant, HopId source_hop,
                                          ConnectionId connection) {
  switch (tenant.connection(connection).source_validation) {
    case SourceValidation::off:
      return true;
    case SourceValidation::loose:
      return source_hop.valid() && tenant.hop(source_hop).kind != HopKind::unreachable;
    case SourceValidation::strict:
      break;
  }
  if (!source_hop.valid()) return false;
  const Hop& hop = tenant.hop(source_hop);
  if (hop.group == 0) return leads_through(hop, connection);
  // Answers of a flow may come by any of the ways that share its load.
  const auto& members = tenant.groups[hop.group - 1].members;
  return std::any_of(members.begin(), members.end(), [&](HopId member) {
    return member.valid() && leads_through(tenant.hop(member), connection);
  });
}

// Our own addresses, and those that are no single host's: whatever sourceValidation says.
[[nodiscard]] inline bool is_nobodys_source(HopKind kind) {
  return kind == HopKind::local || kind == HopKind::directed_broadcast;
}

}  // namespace hnv
