// SPDX-License-Identifier: Apache-2.0
//
// A domain's BGP table as bgpd has it:
// GET …/bgpRoutes?type=all|best|received|advertised&peer=&prefix=&limit=&after=
#pragma once

#include "api/routes.h"

namespace hnv {

// How many prefixes one answer shows: each is a question to bgpd.
inline constexpr size_t kMaxBgpRoutePage = 5'000;

HttpAnswer get_bgp_routes(const Call& call);

}  // namespace hnv
