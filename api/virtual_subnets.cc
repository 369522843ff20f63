// SPDX-License-Identifier: Apache-2.0
#include "api/virtual_subnets.h"

#include "api/json_readers.h"

namespace hnv {
namespace {

constexpr Words<SubnetKind, 2> kKindWords{
    {{"vm", SubnetKind::vm}, {"gateway", SubnetKind::gateway}}};
constexpr Words<SubnetRouter, 2> kRouterWords{
    {{"distributed", SubnetRouter::distributed}, {"gateway", SubnetRouter::gateway}}};

// RFC 4861 §6.2.1: MaxRtrAdvInterval, AdvDefaultLifetime.
constexpr WholeNumber kIntervalReader{4, 1800};
constexpr WholeNumber kRouterLifetimeReader{0, 9000};
constexpr WholeNumber kLifetimeReader{};

struct RouterAdvertisementsReader {
  void operator()(const Place& place, const Json& json, Faults& faults,
                  RouterAdvertisementsSpec& out) const {
    const size_t before = faults.count();
    ObjectReader in(place, json, faults);
    in.optional("enabled", out.enabled, kYesNoReader);
    in.optional("managed", out.managed, kYesNoReader);
    in.optional("otherConfig", out.other_config, kYesNoReader);
    in.optional("interval", out.interval, kIntervalReader);
    in.optional("routerLifetime", out.router_lifetime, kRouterLifetimeReader);
    in.optional("validLifetime", out.valid_lifetime, kLifetimeReader);
    in.optional("preferredLifetime", out.preferred_lifetime, kLifetimeReader);
    in.optional("onLink", out.on_link, kYesNoReader);
    in.optional("autonomous", out.autonomous, kYesNoReader);
    in.optional("mtu", out.mtu, kYesNoReader);
    in.finish();
    if (faults.count() != before) return;
    if (out.router_lifetime && *out.router_lifetime != 0 && *out.router_lifetime < out.interval) {
      in.invalid("routerLifetime",
                 fmt::format("{} ends before the next advertisement: must be 0, or interval ({}) "
                             "to 9000",
                             *out.router_lifetime, out.interval));
    }
    if (out.preferred_lifetime > out.valid_lifetime) {
      in.invalid("preferredLifetime", fmt::format("{} must be at most validLifetime ({})",
                                                  out.preferred_lifetime, out.valid_lifetime));
    }
  }
};

Json router_advertisements_json(const RouterAdvertisementsSpec& spec) {
  Json json{{"enabled", spec.enabled},
            {"managed", spec.managed},
            {"otherConfig", spec.other_config},
            {"interval", spec.interval},
            {"validLifetime", spec.valid_lifetime},
            {"preferredLifetime", spec.preferred_lifetime},
            {"onLink", spec.on_link},
            {"autonomous", spec.autonomous},
            {"mtu", spec.mtu}};
  if (spec.router_lifetime) json["routerLifetime"] = *spec.router_lifetime;
  return json;
}

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
  in.optional("routerAdvertisements", spec.router_advertisements, RouterAdvertisementsReader{});
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
  if (spec.router_advertisements) {
    json["routerAdvertisements"] = router_advertisements_json(*spec.router_advertisements);
  }
  return json;
}

}  // namespace hnv
