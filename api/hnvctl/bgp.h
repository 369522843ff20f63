// SPDX-License-Identifier: Apache-2.0
//
// hnvctl bgp: routers and their peers as operators look at them.
#pragma once

#include <optional>
#include <string>

#include "api/hnvctl/commands.h"

namespace hnv::ctl {

// A domain's router with its peers in a line each.
void bgp_summary(Client& client, Output output, const std::string& domain);
// One peer with all that is known of its session.
void bgp_peer(Client& client, Output output, const std::string& domain, const std::string& name);
// Which of a domain's BGP routes: as the API's query words it.
struct BgpRouteFilter {
  std::string domain;
  std::optional<std::string> type, peer, prefix;
};

// What bgpd has; at most `limit` prefixes, and on stderr whether there are more.
void bgp_routes(Client& client, Output output, const BgpRouteFilter& filter, size_t limit);
// A policy map, an entry a line.
void bgp_policy(Client& client, Output output, const std::string& domain, const std::string& name);

[[nodiscard]] std::string view_bgp_summary(const Json& json);
[[nodiscard]] std::string view_bgp_peer(const Json& json);
[[nodiscard]] std::string view_bgp_routes(const Json& json);
[[nodiscard]] std::string view_policy(const Json& json);

}  // namespace hnv::ctl
