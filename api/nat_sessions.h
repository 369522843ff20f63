// SPDX-License-Identifier: Apache-2.0
//
// The sessions of a routing domain's NAT: read page by page, ended by filter. The filter is the
// query: protocol, inside, insidePort, outside, outsidePort, remote, remotePort. A name that is
// none of these is refused, so that a typing error does not end every session.
#pragma once

#include "api/routes.h"

namespace hnv {

// How many sessions one answer shows; a domain may have millions.
inline constexpr size_t kMaxNatSessionPage = 10'000;

HttpAnswer get_nat_sessions(const Call& call);     // ?limit=&after= and the filter
HttpAnswer delete_nat_sessions(const Call& call);  // a filter, or ?all=true

}  // namespace hnv
