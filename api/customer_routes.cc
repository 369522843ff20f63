// SPDX-License-Identifier: Apache-2.0
#include "api/customer_routes.h"

#include "api/json_readers.h"

namespace hnv {

CustomerRouteSpec decode_customer_route(const Place& place, const Json& json, Faults& faults) {
  CustomerRouteSpec spec;
  ObjectReader in(place, json, faults);
  in.required("destinationPrefix", spec.destination_prefix, kTextFormReader);
  in.optional("nextHop", spec.next_hop, kHostAddressReader);
  in.optional("networkConnection", spec.network_connection, kNameReader);
  in.optional("metric", spec.metric, kMetricReader);
  in.optional("virtualSubnet", spec.virtual_subnet, kNameReader);
  ignore_answer_properties(in);
  in.finish();
  if (json.is_object() && in.has("nextHop") == in.has("networkConnection")) {
    faults.invalid(place, "needs exactly one of \"nextHop\" and \"networkConnection\"");
  }
  if (in.has("virtualSubnet") && !in.has("nextHop")) {
    in.invalid("virtualSubnet", "names the subnet of \"nextHop\" and goes only with it");
  }
  return spec;
}

Json encode(const CustomerRouteSpec& spec) {
  Json json{{"destinationPrefix", spec.destination_prefix.to_string()}, {"metric", spec.metric}};
  if (spec.next_hop) json["nextHop"] = spec.next_hop->to_string();
  if (spec.network_connection) json["networkConnection"] = *spec.network_connection;
  if (spec.virtual_subnet) json["virtualSubnet"] = *spec.virtual_subnet;
  return json;
}

}  // namespace hnv
