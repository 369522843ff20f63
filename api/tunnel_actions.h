// SPDX-License-Identifier: Apache-2.0
//
// POST …/networkConnections/NAME/connect, disconnect, rekey: what an operator does to a tunnel by
// hand. The answer comes at once (202); the connection's status says how it goes.
#pragma once

#include "api/routes.h"

namespace hnv {

HttpAnswer act_on_tunnel(const Call& call, TunnelAction action);
template <TunnelAction A>
HttpAnswer post_tunnel_action(const Call& call) {
  return act_on_tunnel(call, A);
}

}  // namespace hnv
