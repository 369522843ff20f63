// SPDX-License-Identifier: Apache-2.0
#include "api/provider_networks.h"

#include "api/outside_networks.h"

namespace hnv {
namespace {

constexpr Words<FlowIdMode, 2> kFlowIdWords{
    {{"hash", FlowIdMode::hash}, {"zero", FlowIdMode::zero}}};
constexpr OneOf kFlowIdReader{kFlowIdWords};
constexpr Words<DscpMode, 2> kDscpWords{{{"pipe", DscpMode::pipe}, {"uniform", DscpMode::uniform}}};
constexpr OneOf kDscpReader{kDscpWords};

struct OverrideReader {
  void operator()(const Place& place, const Json& json, Faults& faults,
                  ProviderAddressOverride& out) const {
    ObjectReader in(place, json, faults);
    in.required("providerAddressPrefix", out.provider_address_prefix, kTextFormReader);
    in.required("flowId", out.flow_id, kFlowIdReader);
    in.finish();
  }
};

}  // namespace

ProviderNetworkSpec decode_provider_network(const Place& place, const Json& json, Faults& faults) {
  ProviderNetworkSpec spec;
  ObjectReader in(place, json, faults);
  in.required("port", spec.port, kNameReader);
  in.optional("vlanId", spec.vlan_id, kVlanIdReader);
  in.required("providerAddresses", spec.provider_addresses, ListOf{kHostAddressReader});
  in.optional("routes", spec.routes, ListOf{OutsideRouteReader{}, kMaxOutsideRoutes});
  in.optional("mtu", spec.mtu, kMtuReader);
  in.optional("flowId", spec.flow_id, kFlowIdReader);
  in.optional("dscp", spec.dscp, kDscpReader);
  in.optional("duplicateAddressDetection", spec.duplicate_address_detection,
              kDuplicateDetectionReader);
  in.optional("providerAddressOverrides", spec.provider_address_overrides,
              ListOf{OverrideReader{}});
  ignore_answer_properties(in);
  in.finish();
  return spec;
}

Json encode(const ProviderNetworkSpec& spec) {
  Json overrides = Json::array();
  for (const auto& entry : spec.provider_address_overrides) {
    overrides.push_back({{"providerAddressPrefix", entry.provider_address_prefix.to_string()},
                         {"flowId", word_of(kFlowIdWords, entry.flow_id)}});
  }
  Json json{{"port", spec.port},
            {"vlanId", spec.vlan_id.value()},
            {"providerAddresses", text_list(spec.provider_addresses)},
            {"routes", outside_routes_json(spec.routes)},
            {"flowId", word_of(kFlowIdWords, spec.flow_id)},
            {"dscp", word_of(kDscpWords, spec.dscp)},
            {"duplicateAddressDetection",
             word_of(kDuplicateDetectionWords, spec.duplicate_address_detection)},
            {"providerAddressOverrides", std::move(overrides)}};
  if (spec.mtu) json["mtu"] = *spec.mtu;
  return json;
}

}  // namespace hnv
