// SPDX-License-Identifier: Apache-2.0
//
// What the operator asks of a network connection, a door out of a domain: an L3 connection, or an
// IPsec tunnel.
#pragma once

#include <optional>
#include <vector>

#include "compartments/spec.h"
#include "vpn/tunnel_spec.h"

namespace hnv {

// Type L3, or with `tunnel` IPSec: then `l3` is as it was made. GRE is not built.
struct NetworkConnectionSpec {
  L3ConnectionSpec l3;
  std::optional<TunnelSpec> tunnel;
  std::vector<ConnectionRouteSpec> routes;
  friend bool operator==(const NetworkConnectionSpec&, const NetworkConnectionSpec&) = default;
};

}  // namespace hnv
