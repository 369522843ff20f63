// SPDX-License-Identifier: Apache-2.0
//
// GET …/networkConnections/NAME/doctor: why a tunnel is not up, what both sides offered, and what
// to change. GET /v1/ikeFaults: what belongs to no tunnel. Neither ever says a secret.
#pragma once

#include "api/routes.h"

namespace hnv {

HttpAnswer get_tunnel_doctor(const Call& call);
HttpAnswer get_ike_faults(const Call& call);

}  // namespace hnv
