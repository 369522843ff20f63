// SPDX-License-Identifier: Apache-2.0
#include "api/routing_domains.h"

#include "api/json_readers.h"

namespace hnv {
namespace {

// One list for both directions: property, member.
constexpr std::pair<std::string_view, uint32_t RoutePreferences::*> kPreferences[] = {
    {"local", &RoutePreferences::local},
    {"connected", &RoutePreferences::connected},
    {"static", &RoutePreferences::static_route},
    {"networkConnection", &RoutePreferences::network_connection},
    {"nat", &RoutePreferences::nat},
    {"ebgp", &RoutePreferences::ebgp},
    {"ibgp", &RoutePreferences::ibgp},
};
constexpr std::pair<std::string_view, uint32_t DomainLimits::*> kLimits[] = {
    {"routes", &DomainLimits::routes},
    {"lookupRecords", &DomainLimits::lookup_records},
    {"neighbors", &DomainLimits::neighbors},
};
constexpr WholeNumber kPreferenceReader{1, 255};
constexpr WholeNumber kLimitReader{0, 10'000'000};

struct PreferencesReader {
  void operator()(const Place& place, const Json& json, Faults& faults,
                  RoutePreferences& out) const {
    ObjectReader in(place, json, faults);
    for (const auto& [key, member] : kPreferences) in.optional(key, out.*member, kPreferenceReader);
    in.finish();
  }
};

struct LimitsReader {
  void operator()(const Place& place, const Json& json, Faults& faults, DomainLimits& out) const {
    ObjectReader in(place, json, faults);
    for (const auto& [key, member] : kLimits) in.optional(key, out.*member, kLimitReader);
    in.unsupported("natSessions");
    in.unsupported("bgpPeers");
    in.finish();
  }
};

}  // namespace

RoutingDomainSpec decode_routing_domain(const Place& place, const Json& json, Faults& faults) {
  RoutingDomainSpec spec;
  ObjectReader in(place, json, faults);
  in.optional("routingDomainId", spec.routing_domain_id, kTextFormReader);
  in.optional("description", spec.description, Text{});
  in.optional("routePreferences", spec.route_preferences, PreferencesReader{});
  in.optional("limits", spec.limits, LimitsReader{});
  ignore_answer_properties(in);
  in.finish();
  return spec;
}

Json encode(const RoutingDomainSpec& spec) {
  Json preferences = Json::object();
  for (const auto& [key, member] : kPreferences) {
    preferences.emplace(key, spec.route_preferences.*member);
  }
  Json limits = Json::object();
  for (const auto& [key, member] : kLimits) limits.emplace(key, spec.limits.*member);
  Json json{{"description", spec.description},
            {"routePreferences", std::move(preferences)},
            {"limits", std::move(limits)}};
  if (spec.routing_domain_id) json["routingDomainId"] = spec.routing_domain_id->to_string();
  return json;
}

}  // namespace hnv
