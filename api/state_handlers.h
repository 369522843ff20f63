// SPDX-License-Identifier: Apache-2.0
//
// Run-time state, read only, and the packet trace, which can be switched on and off.
#pragma once

#include "api/routes.h"

namespace hnv {

HttpAnswer get_system(const Call& call);
HttpAnswer get_ports(const Call& call);
HttpAnswer get_statistics(const Call& call);
HttpAnswer get_drops(const Call& call);
HttpAnswer get_outside_neighbors(const Call& call);

HttpAnswer get_routes(const Call& call);
HttpAnswer get_neighbors(const Call& call);
HttpAnswer get_domain_statistics(const Call& call);
HttpAnswer get_lookup(const Call& call);  // ?address=

HttpAnswer get_trace(const Call& call);
HttpAnswer put_trace(const Call& call);
HttpAnswer delete_trace(const Call& call);

}  // namespace hnv
