// SPDX-License-Identifier: Apache-2.0
#include "api/routes.h"

#include <optional>

#include <fmt/format.h>

#include "api/batch.h"
#include "api/bgp_routes.h"
#include "api/metrics.h"
#include "api/nat_sessions.h"
#include "api/record_handlers.h"
#include "api/resource_handlers.h"
#include "api/state_handlers.h"
#include "api/tunnel_actions.h"
#include "api/tunnel_doctor.h"

namespace hnv {
namespace {

constexpr Route kRoutes[] = {
    {"GET", "/v1/system", get_system},
    {"GET", "/v1/ports", get_ports},
    {"GET", "/v1/statistics", get_statistics},
    {"GET", "/v1/drops", get_drops},
    {"GET", "/v1/neighbors", get_outside_neighbors},
    {"GET", "/v1/ikeFaults", get_ike_faults},
    {"GET", "/v1/trace", get_trace},
    {"PUT", "/v1/trace", put_trace},
    {"DELETE", "/v1/trace", delete_trace},
    {"POST", "/v1/batch", post_batch},
    {"GET", "/metrics", get_metrics},

    {"GET", "/v1/providerNetworks", get_collection<Collection::provider_networks>},
    {"GET", "/v1/providerNetworks/{name}", get_resource},
    {"PUT", "/v1/providerNetworks/{name}", put_resource},
    {"DELETE", "/v1/providerNetworks/{name}", delete_resource},

    {"GET", "/v1/externalNetworks", get_collection<Collection::external_networks>},
    {"GET", "/v1/externalNetworks/{name}", get_resource},
    {"PUT", "/v1/externalNetworks/{name}", put_resource},
    {"DELETE", "/v1/externalNetworks/{name}", delete_resource},

    {"GET", "/v1/publicIPAddresses", get_collection<Collection::public_address_pools>},
    {"GET", "/v1/publicIPAddresses/{name}", get_resource},
    {"PUT", "/v1/publicIPAddresses/{name}", put_resource},
    {"DELETE", "/v1/publicIPAddresses/{name}", delete_resource},

    {"GET", "/v1/routingDomains", get_collection<Collection::routing_domains>},
    {"GET", "/v1/routingDomains/{domain}", get_resource},
    {"PUT", "/v1/routingDomains/{domain}", put_resource},
    {"DELETE", "/v1/routingDomains/{domain}", delete_resource},
    {"GET", "/v1/routingDomains/{domain}/routes", get_routes},
    {"GET", "/v1/routingDomains/{domain}/neighbors", get_neighbors},
    {"GET", "/v1/routingDomains/{domain}/statistics", get_domain_statistics},
    {"GET", "/v1/routingDomains/{domain}/lookup", get_lookup},

    {"GET", "/v1/routingDomains/{domain}/virtualSubnets",
     get_collection<Collection::virtual_subnets>},
    {"GET", "/v1/routingDomains/{domain}/virtualSubnets/{name}", get_resource},
    {"PUT", "/v1/routingDomains/{domain}/virtualSubnets/{name}", put_resource},
    {"DELETE", "/v1/routingDomains/{domain}/virtualSubnets/{name}", delete_resource},

    {"GET", "/v1/routingDomains/{domain}/virtualSubnets/{subnet}/lookupRecords",
     get_collection<Collection::lookup_records>},
    {"PUT", "/v1/routingDomains/{domain}/virtualSubnets/{subnet}/lookupRecords", put_records},
    {"PATCH", "/v1/routingDomains/{domain}/virtualSubnets/{subnet}/lookupRecords", patch_records},
    {"GET", "/v1/routingDomains/{domain}/virtualSubnets/{subnet}/lookupRecords/{recordId}",
     get_resource},
    {"PUT", "/v1/routingDomains/{domain}/virtualSubnets/{subnet}/lookupRecords/{recordId}",
     put_resource},
    {"DELETE", "/v1/routingDomains/{domain}/virtualSubnets/{subnet}/lookupRecords/{recordId}",
     delete_resource},

    {"GET", "/v1/routingDomains/{domain}/customerRoutes",
     get_collection<Collection::customer_routes>},
    {"GET", "/v1/routingDomains/{domain}/customerRoutes/{id}", get_resource},
    {"PUT", "/v1/routingDomains/{domain}/customerRoutes/{id}", put_resource},
    {"DELETE", "/v1/routingDomains/{domain}/customerRoutes/{id}", delete_resource},

    {"GET", "/v1/routingDomains/{domain}/networkConnections",
     get_collection<Collection::network_connections>},
    {"GET", "/v1/routingDomains/{domain}/networkConnections/{name}", get_resource},
    {"PUT", "/v1/routingDomains/{domain}/networkConnections/{name}", put_resource},
    {"DELETE", "/v1/routingDomains/{domain}/networkConnections/{name}", delete_resource},

    {"POST", "/v1/routingDomains/{domain}/networkConnections/{name}/connect",
     post_tunnel_action<TunnelAction::connect>},
    {"POST", "/v1/routingDomains/{domain}/networkConnections/{name}/disconnect",
     post_tunnel_action<TunnelAction::disconnect>},
    {"POST", "/v1/routingDomains/{domain}/networkConnections/{name}/rekey",
     post_tunnel_action<TunnelAction::rekey>},
    {"GET", "/v1/routingDomains/{domain}/networkConnections/{name}/doctor", get_tunnel_doctor},

    {"GET", "/v1/routingDomains/{domain}/nat", get_resource},
    {"PUT", "/v1/routingDomains/{domain}/nat", put_resource},
    {"DELETE", "/v1/routingDomains/{domain}/nat", delete_resource},
    {"GET", "/v1/routingDomains/{domain}/natSessions", get_nat_sessions},
    {"DELETE", "/v1/routingDomains/{domain}/natSessions", delete_nat_sessions},

    {"GET", "/v1/routingDomains/{domain}/bgpRouter", get_resource},
    {"PUT", "/v1/routingDomains/{domain}/bgpRouter", put_resource},
    {"PATCH", "/v1/routingDomains/{domain}/bgpRouter", patch_resource},
    {"DELETE", "/v1/routingDomains/{domain}/bgpRouter", delete_resource},
    {"GET", "/v1/routingDomains/{domain}/bgpCustomRoutes", get_resource},
    {"PUT", "/v1/routingDomains/{domain}/bgpCustomRoutes", put_resource},
    {"PATCH", "/v1/routingDomains/{domain}/bgpCustomRoutes", patch_resource},
    {"DELETE", "/v1/routingDomains/{domain}/bgpCustomRoutes", delete_resource},
    {"GET", "/v1/routingDomains/{domain}/bgpAggregates", get_resource},
    {"PUT", "/v1/routingDomains/{domain}/bgpAggregates", put_resource},
    {"PATCH", "/v1/routingDomains/{domain}/bgpAggregates", patch_resource},
    {"DELETE", "/v1/routingDomains/{domain}/bgpAggregates", delete_resource},
    {"GET", "/v1/routingDomains/{domain}/bgpPeers", get_collection<Collection::bgp_peers>},
    {"GET", "/v1/routingDomains/{domain}/bgpPeers/{name}", get_resource},
    {"PUT", "/v1/routingDomains/{domain}/bgpPeers/{name}", put_resource},
    {"PATCH", "/v1/routingDomains/{domain}/bgpPeers/{name}", patch_resource},
    {"DELETE", "/v1/routingDomains/{domain}/bgpPeers/{name}", delete_resource},
    {"GET", "/v1/routingDomains/{domain}/bgpRoutes", get_bgp_routes},
    {"GET", "/v1/routingDomains/{domain}/policyMaps", get_collection<Collection::policy_maps>},
    {"GET", "/v1/routingDomains/{domain}/policyMaps/{name}", get_resource},
    {"PUT", "/v1/routingDomains/{domain}/policyMaps/{name}", put_resource},
    {"PATCH", "/v1/routingDomains/{domain}/policyMaps/{name}", patch_resource},
    {"DELETE", "/v1/routingDomains/{domain}/policyMaps/{name}", delete_resource},
};

std::string_view take_segment(std::string_view& path) {
  path.remove_prefix(1);  // the slash
  const size_t end = std::min(path.find('/'), path.size());
  const auto segment = path.substr(0, end);
  path.remove_prefix(end);
  return segment;
}

// The braces' segments if the path has the pattern's shape.
std::optional<std::vector<std::string>> match(std::string_view pattern, std::string_view path) {
  std::vector<std::string> parameters;
  while (!pattern.empty() && !path.empty() && path.front() == '/') {
    const auto expected = take_segment(pattern);
    const auto segment = take_segment(path);
    if (segment.empty()) return std::nullopt;
    if (expected.starts_with('{')) {
      parameters.emplace_back(segment);
    } else if (expected != segment) {
      return std::nullopt;
    }
  }
  if (!pattern.empty() || !path.empty()) return std::nullopt;
  return parameters;
}

}  // namespace

std::span<const Route> api_routes() { return kRoutes; }

HttpAnswer dispatch(const HttpRequest& request, Control& control) {
  std::string allowed;
  for (const auto& route : kRoutes) {
    auto parameters = match(route.pattern, request.path);
    if (!parameters) continue;
    if (route.method == request.method) {
      return route.handler(Call{request, control, std::move(*parameters)});
    }
    if (!allowed.empty()) allowed += ", ";
    allowed += route.method;
  }
  if (allowed.empty()) {
    return error_answer({ErrorCode::not_found, "there is nothing at this path", request.path, {}});
  }
  HttpAnswer answer = error_answer(
      405, fmt::format("{} is not allowed here; allowed: {}", request.method, allowed));
  answer.headers["Allow"] = allowed;
  return answer;
}

}  // namespace hnv
