// SPDX-License-Identifier: Apache-2.0
#include "api/tunnel_actions.h"

namespace hnv {

HttpAnswer act_on_tunnel(const Call& call, TunnelAction action) {
  if (!call.request.body.empty()) {
    return error_answer({ErrorCode::invalid_value, "takes no body", call.request.path, {}});
  }
  const auto done = call.control.act_on_tunnel({call.parameters[0], call.parameters[1]}, action);
  return done ? json_answer(202, {{"accepted", true}}) : error_answer(done.error());
}

}  // namespace hnv
