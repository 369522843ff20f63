// SPDX-License-Identifier: Apache-2.0
#include "api/virtual_subnets.h"

#include "api/json_readers.h"

namespace hnv {
namespace {

constexpr Words<SubnetKind, 2> kKindWords{
    {{"vm", SubnetKind::vm}, {"gateway", SubnetKind::gateway}}};
constexpr Words<SubnetRouter, 2> kRouterWords{
    {{"distributed", SubnetRouter::distributed}, {"gateway", SubnetRouter::gateway}}};

}  // namespace

VirtualSubnetSpec decode_virtual_subnet(const Place& place, const Json& json, Faults& faults) {
  VirtualSubnetSpec spec;
  ObjectReader in(place, json, faults);
  uint32_t vsid = 0;
  in.optional("virtualSubnetId", vsid, WholeNumber{Vsid::kMin, Vsid::kMax});
  spec.virtual_subnet_id = Vsid::from(vsid);
  in.required("addressPrefixes", spec.address_prefixes, ListOf{kTextFormReader});
  in.optional("kind", spec.kind, OneOf{kKindWords});
  in.optional("router", spec.router, OneOf{kRouterWords});
  in.optional("gatewayAddresses", spec.gateway_addresses, ListOf{kHostAddressReader});
  in.optional("macAddress", spec.mac_address, kStationMacReader);
  in.required("providerNetwork", spec.provider_network, kNameReader);
  in.optional("providerAddress", spec.provider_address, kHostAddressReader);
  in.optional("mtu", spec.mtu, kMtuReader);
  in.unsupported("accessControlLists");
  ignore_answer_properties(in);
  in.finish();
  return spec;
}

Json encode(const VirtualSubnetSpec& spec) {
  Json json{{"addressPrefixes", text_list(spec.address_prefixes)},
            {"kind", word_of(kKindWords, spec.kind)},
            {"router", word_of(kRouterWords, spec.router)},
            {"providerNetwork", spec.provider_network}};
  if (spec.virtual_subnet_id) json["virtualSubnetId"] = spec.virtual_subnet_id->value();
  if (spec.gateway_addresses) json["gatewayAddresses"] = text_list(*spec.gateway_addresses);
  if (spec.mac_address) json["macAddress"] = spec.mac_address->to_string();
  if (spec.provider_address) json["providerAddress"] = spec.provider_address->to_string();
  if (spec.mtu) json["mtu"] = *spec.mtu;
  return json;
}

}  // namespace hnv
