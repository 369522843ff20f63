// SPDX-License-Identifier: Apache-2.0
#include "api/resource_json.h"

#include <fmt/format.h>

#include "api/bgp.h"
#include "api/customer_routes.h"
#include "api/external_networks.h"
#include "api/lookup_records.h"
#include "api/nat.h"
#include "api/network_connections.h"
#include "api/provider_networks.h"
#include "api/public_ip_addresses.h"
#include "api/routing_domains.h"
#include "api/virtual_subnets.h"

namespace hnv {
namespace {

struct Encode {
  Secrets secrets;

  Json operator()(const NetworkConnectionSpec& spec) const { return encode(spec, secrets); }
  Json operator()(const BgpPeerSpec& spec) const { return encode(spec, secrets); }
  template <class Spec>
  Json operator()(const Spec& spec) const {
    return encode(spec);
  }
};

struct Decode {
  const Place& place;
  const Json& json;
  Faults& faults;

  ResourceSpec operator()(const ProviderNetworkKey&) const {
    return decode_provider_network(place, json, faults);
  }
  ResourceSpec operator()(const ExternalNetworkKey&) const {
    return decode_external_network(place, json, faults);
  }
  ResourceSpec operator()(const RoutingDomainKey&) const {
    return decode_routing_domain(place, json, faults);
  }
  ResourceSpec operator()(const VirtualSubnetKey&) const {
    return decode_virtual_subnet(place, json, faults);
  }
  ResourceSpec operator()(const LookupRecordKey& key) const {
    return decode_lookup_record(place, json, faults, key.id).spec;
  }
  ResourceSpec operator()(const CustomerRouteKey&) const {
    return decode_customer_route(place, json, faults);
  }
  ResourceSpec operator()(const NetworkConnectionKey&) const {
    return decode_network_connection(place, json, faults);
  }
  ResourceSpec operator()(const PublicAddressPoolKey&) const {
    return decode_public_address_pool(place, json, faults);
  }
  ResourceSpec operator()(const NatKey&) const { return decode_nat(place, json, faults); }
  ResourceSpec operator()(const BgpRouterKey&) const {
    return decode_bgp_router(place, json, faults);
  }
  ResourceSpec operator()(const PolicyMapKey&) const {
    return decode_policy_map(place, json, faults);
  }
  ResourceSpec operator()(const BgpPeerKey&) const { return decode_bgp_peer(place, json, faults); }
  ResourceSpec operator()(const BgpCustomRoutesKey&) const {
    return decode_bgp_custom_routes(place, json, faults);
  }
  ResourceSpec operator()(const BgpAggregatesKey&) const {
    return decode_bgp_aggregates(place, json, faults);
  }
};

}  // namespace

std::string spec_to_json(const ResourceSpec& spec) {
  return dump_json(std::visit(Encode{Secrets::shown}, spec));
}

Result<ResourceSpec> spec_from_json(const ResourceKey& key, std::string_view text) {
  const auto json = parse_json(text);
  if (!json) return tl::make_unexpected(json.error());
  Faults faults;
  auto spec = decode_resource(key, Place{}, *json, faults);
  if (!faults.empty()) return tl::make_unexpected(std::move(faults).to_error());
  return spec;
}

ResourceSpec decode_resource(const ResourceKey& key, const Place& place, const Json& json,
                             Faults& faults) {
  if (json.is_object()) {
    const auto named = json.find("resourceId");
    if (named != json.end() && !named->is_null() && *named != resource_id(key)) {
      faults.invalid(Place(place, "resourceId"),
                     fmt::format("must be \"{}\" as in the path, or left out", resource_id(key)));
    }
  }
  return std::visit(Decode{place, json, faults}, key);
}

std::string resource_id(const ResourceKey& key) {
  const std::string path = resource_path(key);
  return path.substr(path.rfind('/') + 1);
}

Json resource_json(const Resource& resource) {
  Json json = std::visit(Encode{Secrets::hidden}, resource.spec);
  json["resourceId"] = resource_id(resource.key);
  json["resourceRef"] = resource_path(resource.key);
  json["etag"] = std::to_string(resource.etag);
  // A change is live before it is acknowledged: there is no other state to be in.
  json["provisioningState"] = "Succeeded";
  return json;
}

}  // namespace hnv
