// SPDX-License-Identifier: Apache-2.0
#include "api/external_networks.h"

#include "api/outside_networks.h"

namespace hnv {

ExternalNetworkSpec decode_external_network(const Place& place, const Json& json, Faults& faults) {
  ExternalNetworkSpec spec;
  ObjectReader in(place, json, faults);
  in.required("port", spec.port, kNameReader);
  in.optional("vlanId", spec.vlan_id, kVlanIdReader);
  in.optional("ipAddresses", spec.ip_addresses, ListOf{kHostAddressReader});
  in.optional("routes", spec.routes, ListOf{OutsideRouteReader{}, kMaxOutsideRoutes});
  in.optional("mtu", spec.mtu, kMtuReader);
  in.optional("duplicateAddressDetection", spec.duplicate_address_detection,
              kDuplicateDetectionReader);
  in.optional("publicAddressPrefixes", spec.public_address_prefixes, ListOf{kTextFormReader});
  ignore_answer_properties(in);
  in.finish();
  return spec;
}

Json encode(const ExternalNetworkSpec& spec) {
  Json json{{"port", spec.port},
            {"vlanId", spec.vlan_id.value()},
            {"ipAddresses", text_list(spec.ip_addresses)},
            {"routes", outside_routes_json(spec.routes)},
            {"duplicateAddressDetection",
             word_of(kDuplicateDetectionWords, spec.duplicate_address_detection)},
            {"publicAddressPrefixes", text_list(spec.public_address_prefixes)}};
  if (spec.mtu) json["mtu"] = *spec.mtu;
  return json;
}

}  // namespace hnv
