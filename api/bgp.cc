// SPDX-License-Identifier: Apache-2.0
#include "api/bgp.h"

#include <utility>

#include "api/json_readers.h"

namespace hnv {
namespace {

constexpr size_t kMaxPrefixes = 1024;      // of one list
constexpr size_t kMaxEntries = 1'001;      // one more than check() takes, which says so
constexpr size_t kMaxListed = 256;         // more than check() takes
constexpr size_t kMaxPasswordBytes = 256;  // likewise
constexpr WholeNumber kNumber{};

constexpr Names<Family, 2> kFamilyNames{{{"IPv4", Family::ipv4}, {"IPv6", Family::ipv6}}};

// 65001, "65001" or "0.65001" (RFC 5396).
struct AsNumberReader {
  void operator()(const Place& place, const Json& json, Faults& faults, uint32_t& out) const {
    std::optional<uint32_t> number;
    if (json.is_number_unsigned()) number = parse_as_number(std::to_string(json.get<uint64_t>()));
    if (json.is_string()) number = parse_as_number(json.get_ref<const std::string&>());
    if (number) {
      out = *number;
    } else {
      faults.invalid(place,
                     "must be an AS number such as 65001 or \"0.65001\": 1 to 4294967294 but 23456 "
                     "and 65535, which are reserved");
    }
  }
};

struct Ipv4Reader {
  void operator()(const Place& place, const Json& json, Faults& faults, CaAddress& out) const {
    IpAddress<Space::customer> address;
    const size_t before = faults.count();
    kTextFormReader(place, json, faults, address);
    if (faults.count() != before) return;
    if (address.is_v4()) {
      out = address.v4();
    } else {
      faults.invalid(place, "must be an IPv4 address such as \"10.0.0.1\"");
    }
  }
};

struct DampeningReader {
  void operator()(const Place& place, const Json& json, Faults& faults,
                  BgpDampeningSpec& out) const {
    ObjectReader in(place, json, faults);
    in.optional("halfLifeMinutes", out.half_life_minutes, kNumber);
    in.optional("reuse", out.reuse, kNumber);
    in.optional("suppress", out.suppress, kNumber);
    in.optional("maxSuppressMinutes", out.max_suppress_minutes, kNumber);
    in.finish();
  }
};

struct BfdReader {
  void operator()(const Place& place, const Json& json, Faults& faults, BgpBfdSpec& out) const {
    ObjectReader in(place, json, faults);
    in.optional("minReceiveMilliseconds", out.min_receive_milliseconds, kNumber);
    in.optional("minTransmitMilliseconds", out.min_transmit_milliseconds, kNumber);
    in.optional("multiplier", out.multiplier, kNumber);
    in.finish();
  }
};

struct PasswordReader {
  void operator()(const Place& place, const Json& json, Faults& faults, SharedSecret& out) const {
    const std::string* text = string_of(place, json, faults, "a string");
    if (text == nullptr) return;
    if (text->empty()) return faults.invalid(place, "is empty: give it, or null to take it away");
    if (text->size() > kMaxPasswordBytes) return faults.invalid(place, "has more than 80 bytes");
    out = SharedSecret(SecretBytes::of(*text));
  }
};

struct PolicyPrefixReader {
  void operator()(const Place& place, const Json& json, Faults& faults, PolicyPrefix& out) const {
    const WholeNumber length{0, 128};
    ObjectReader in(place, json, faults);
    in.required("prefix", out.prefix, kTextFormReader);
    in.optional("minLength", out.min_length, length);
    in.optional("maxLength", out.max_length, length);
    in.finish();
  }
};

struct AsnRangeReader {
  void operator()(const Place& place, const Json& json, Faults& faults, AsnRange& out) const {
    ObjectReader in(place, json, faults);
    in.required("first", out.first, kNumber);
    in.required("last", out.last, kNumber);
    in.finish();
  }
};

struct MatchReader {
  void operator()(const Place& place, const Json& json, Faults& faults,
                  PolicyMatchSpec& out) const {
    ObjectReader in(place, json, faults);
    in.optional("prefixes", out.prefixes, ListOf{PolicyPrefixReader{}, kMaxPrefixes});
    in.optional("ignorePrefixes", out.ignore_prefixes, ListOf{PolicyPrefixReader{}, kMaxPrefixes});
    in.optional("asnRanges", out.asn_ranges, ListOf{AsnRangeReader{}, kMaxListed});
    in.optional("communities", out.communities, ListOf{Text{32}, kMaxListed});
    in.optional("nextHops", out.next_hops, ListOf{kTextFormReader, kMaxListed});
    in.finish();
  }
};

// An AS path may name an AS more than once.
struct AsPathReader {
  void operator()(const Place& place, const Json& json, Faults& faults,
                  std::vector<uint32_t>& out) const {
    if (!json.is_array()) return faults.invalid(place, "must be a list");
    if (json.size() > kMaxListed) return faults.invalid(place, "has too many entries; at most 16");
    out.resize(json.size());
    for (size_t i = 0; i < json.size(); ++i) {
      AsNumberReader{}(Place(place, i), json[i], faults, out[i]);
    }
  }
};

struct SetReader {
  void operator()(const Place& place, const Json& json, Faults& faults, PolicySetSpec& out) const {
    ObjectReader in(place, json, faults);
    in.optional("localPreference", out.local_preference, kNumber);
    in.optional("med", out.med, kNumber);
    in.optional("weight", out.weight, kNumber);
    in.optional("addCommunities", out.add_communities, ListOf{Text{32}, kMaxListed});
    in.optional("removeCommunities", out.remove_communities, ListOf{Text{32}, kMaxListed});
    in.optional("nextHop", out.next_hop, kTextFormReader);
    in.optional("prependAsPath", out.prepend_as_path, AsPathReader{});
    in.finish();
  }
};

struct EntryReader {
  void operator()(const Place& place, const Json& json, Faults& faults,
                  PolicyMapEntrySpec& out) const {
    ObjectReader in(place, json, faults);
    in.required("sequence", out.sequence, kNumber);
    in.optional("action", out.action, OneOf{kPolicyActionNames});
    in.optional("match", out.match, MatchReader{});
    in.optional("set", out.set, SetReader{});
    in.finish();
  }
};

struct CustomRouteReader {
  void operator()(const Place& place, const Json& json, Faults& faults,
                  BgpCustomRouteSpec& out) const {
    ObjectReader in(place, json, faults);
    in.required("prefix", out.prefix, kTextFormReader);
    in.finish();
  }
};
struct AggregateReader {
  void operator()(const Place& place, const Json& json, Faults& faults,
                  BgpAggregateSpec& out) const {
    ObjectReader in(place, json, faults);
    in.required("prefix", out.prefix, kTextFormReader);
    in.optional("summaryOnly", out.summary_only, OneOf{kBgpSwitchNames});
    in.finish();
  }
};

// The rest of what is wrong, so that all is said at once.
void add_faults(const Place& place, std::vector<ErrorDetail> found, Faults& faults) {
  const std::string body = place.pointer();
  for (ErrorDetail& detail : found) {
    detail.target = body + detail.target;
    faults.add(std::move(detail));
  }
}

template <class T>
void put(Json& json, const char* key, const std::optional<T>& value) {
  if (value) json[key] = *value;
}

Json prefix_list(const std::vector<PolicyPrefix>& prefixes) {
  Json list = Json::array();
  for (const PolicyPrefix& one : prefixes) {
    Json json{{"prefix", one.prefix.to_string()}};
    put(json, "minLength", one.min_length);
    put(json, "maxLength", one.max_length);
    list.push_back(std::move(json));
  }
  return list;
}

Json encode(const PolicyMatchSpec& match) {
  Json ranges = Json::array();
  for (const AsnRange& range : match.asn_ranges) {
    ranges.push_back({{"first", range.first}, {"last", range.last}});
  }
  return {{"prefixes", prefix_list(match.prefixes)},
          {"ignorePrefixes", prefix_list(match.ignore_prefixes)},
          {"asnRanges", std::move(ranges)},
          {"communities", match.communities},
          {"nextHops", text_list(match.next_hops)}};
}

Json encode(const PolicySetSpec& set) {
  Json json{{"addCommunities", set.add_communities},
            {"removeCommunities", set.remove_communities},
            {"prependAsPath", set.prepend_as_path}};
  put(json, "localPreference", set.local_preference);
  put(json, "med", set.med);
  put(json, "weight", set.weight);
  if (set.next_hop) json["nextHop"] = set.next_hop->to_string();
  return json;
}

}  // namespace

BgpRouterSpec decode_bgp_router(const Place& place, const Json& json, Faults& faults) {
  BgpRouterSpec out;
  ObjectReader in(place, json, faults);
  // The Network Controller's name for it, which it writes "0.65001".
  if (in.has("extAsNumber") && !in.has("asNumber")) {
    in.required("extAsNumber", out.as_number, AsNumberReader{});
    in.ignored("asNumber");
  } else {
    in.required("asNumber", out.as_number, AsNumberReader{});
    if (in.has("extAsNumber")) in.invalid("extAsNumber", "is asNumber by another name: give one");
    in.ignored("extAsNumber");
  }
  in.required("routerId", out.router_id, Ipv4Reader{});
  in.optional("holdTimeSeconds", out.hold_time_seconds, kNumber);
  in.optional("compareMedAcrossAsn", out.compare_med_across_asn, OneOf{kBgpSwitchNames});
  in.optional("transitRouting", out.transit_routing, OneOf{kBgpSwitchNames});
  in.optional("defaultGatewayRouting", out.default_gateway_routing, OneOf{kBgpSwitchNames});
  in.optional("clusterId", out.cluster_id, Ipv4Reader{});
  in.optional("ecmp", out.ecmp, kNumber);
  in.optional("ebgpRequiresPolicy", out.ebgp_requires_policy, OneOf{kBgpSwitchNames});
  in.optional("redistributeConnected", out.redistribute_connected, OneOf{kBgpSwitchNames});
  in.optional("redistributeStatic", out.redistribute_static, OneOf{kBgpSwitchNames});
  in.optional("dampening", out.dampening, DampeningReader{});
  ignore_answer_properties(in);
  in.finish();
  if (faults.empty()) add_faults(place, check(out), faults);
  return out;
}

BgpPeerSpec decode_bgp_peer(const Place& place, const Json& json, Faults& faults) {
  BgpPeerSpec out;
  ObjectReader in(place, json, faults);
  in.required("peerIpAddress", out.peer_ip_address, kHostAddressReader);
  in.required("asNumber", out.as_number, AsNumberReader{});
  in.optional("localIPAddress", out.local_ip_address, kHostAddressReader);
  in.optional("holdTimeSeconds", out.hold_time_seconds, kNumber);
  in.optional("operationMode", out.operation_mode, OneOf{kBgpOperationModeNames});
  in.optional("maxAllowedPrefix", out.max_allowed_prefix, kNumber);
  in.optional("weight", out.weight, kNumber);
  in.optional("routeReflectorClient", out.route_reflector_client, OneOf{kBgpSwitchNames});
  // Left out keeps the stored one, null takes it away.
  if (in.is_null("password")) out.password = SharedSecret(SecretBytes());
  in.optional("password", out.password, PasswordReader{});
  in.ignored("passwordSet");
  in.optional("ttlSecurity", out.ttl_security, kNumber);
  in.optional("multihop", out.multihop, kNumber);
  in.optional("gracefulRestart", out.graceful_restart, OneOf{kBgpSwitchNames});
  in.optional("bfd", out.bfd, BfdReader{});
  in.optional("addressFamilies", out.address_families, ListOf{OneOf{kFamilyNames}, 2});
  in.optional("policyMapIn", out.policy_map_in, kNameReader);
  in.optional("policyMapOut", out.policy_map_out, kNameReader);
  in.optional("adminStatus", out.admin_status, OneOf{kBgpAdminStatusNames});
  ignore_answer_properties(in);
  in.finish();
  if (!faults.empty()) return out;
  BgpPeerSpec judged = out;
  if (judged.password && judged.password->empty()) judged.password = SharedSecret();
  add_faults(place, check(judged), faults);
  return out;
}

BgpCustomRoutesSpec decode_bgp_custom_routes(const Place& place, const Json& json, Faults& faults) {
  BgpCustomRoutesSpec out;
  ObjectReader in(place, json, faults);
  in.required("routes", out.routes, ListOf{CustomRouteReader{}, kMaxPrefixes});
  ignore_answer_properties(in);
  in.finish();
  return out;
}

BgpAggregatesSpec decode_bgp_aggregates(const Place& place, const Json& json, Faults& faults) {
  BgpAggregatesSpec out;
  ObjectReader in(place, json, faults);
  in.required("aggregates", out.aggregates, ListOf{AggregateReader{}, kMaxPrefixes});
  ignore_answer_properties(in);
  in.finish();
  return out;
}

PolicyMapSpec decode_policy_map(const Place& place, const Json& json, Faults& faults) {
  PolicyMapSpec out;
  ObjectReader in(place, json, faults);
  in.required("policyMapEntryList", out.policy_map_entry_list, ListOf{EntryReader{}, kMaxEntries});
  ignore_answer_properties(in);
  in.finish();
  if (faults.empty()) add_faults(place, check(out), faults);
  return out;
}

Json encode(const BgpRouterSpec& spec) {
  Json json{{"asNumber", spec.as_number},
            {"routerId", IpAddress<Space::customer>(spec.router_id).to_string()},
            {"holdTimeSeconds", spec.hold_time_seconds},
            {"compareMedAcrossAsn", word_of(kBgpSwitchNames, spec.compare_med_across_asn)},
            {"transitRouting", word_of(kBgpSwitchNames, spec.transit_routing)},
            {"defaultGatewayRouting", word_of(kBgpSwitchNames, spec.default_gateway_routing)},
            {"ecmp", spec.ecmp},
            {"ebgpRequiresPolicy", word_of(kBgpSwitchNames, spec.ebgp_requires_policy)},
            {"redistributeConnected", word_of(kBgpSwitchNames, spec.redistribute_connected)},
            {"redistributeStatic", word_of(kBgpSwitchNames, spec.redistribute_static)}};
  if (spec.cluster_id) json["clusterId"] = IpAddress<Space::customer>(*spec.cluster_id).to_string();
  if (spec.dampening) {
    json["dampening"] = {{"halfLifeMinutes", spec.dampening->half_life_minutes},
                         {"reuse", spec.dampening->reuse},
                         {"suppress", spec.dampening->suppress},
                         {"maxSuppressMinutes", spec.dampening->max_suppress_minutes}};
  }
  return json;
}

Json encode(const BgpPeerSpec& spec, Secrets secrets) {
  Json json{{"peerIpAddress", spec.peer_ip_address.to_string()},
            {"asNumber", spec.as_number},
            {"operationMode", word_of(kBgpOperationModeNames, spec.operation_mode)},
            {"maxAllowedPrefix", spec.max_allowed_prefix},
            {"weight", spec.weight},
            {"routeReflectorClient", word_of(kBgpSwitchNames, spec.route_reflector_client)},
            {"gracefulRestart", word_of(kBgpSwitchNames, spec.graceful_restart)},
            {"adminStatus", word_of(kBgpAdminStatusNames, spec.admin_status)}};
  if (spec.local_ip_address) json["localIPAddress"] = spec.local_ip_address->to_string();
  put(json, "holdTimeSeconds", spec.hold_time_seconds);
  put(json, "ttlSecurity", spec.ttl_security);
  put(json, "multihop", spec.multihop);
  if (spec.bfd) {
    json["bfd"] = {{"minReceiveMilliseconds", spec.bfd->min_receive_milliseconds},
                   {"minTransmitMilliseconds", spec.bfd->min_transmit_milliseconds},
                   {"multiplier", spec.bfd->multiplier}};
  }
  if (!spec.address_families.empty()) {
    Json& list = json["addressFamilies"] = Json::array();
    for (const Family family : spec.address_families) list.push_back(word_of(kFamilyNames, family));
  }
  if (!spec.policy_map_in.empty()) json["policyMapIn"] = spec.policy_map_in;
  if (!spec.policy_map_out.empty()) json["policyMapOut"] = spec.policy_map_out;
  if (secrets == Secrets::hidden) {
    json["passwordSet"] = static_cast<bool>(spec.password);
  } else if (spec.password) {
    json["password"] = spec.password->reveal_text();
  }
  return json;
}

Json encode(const BgpCustomRoutesSpec& spec) {
  Json list = Json::array();
  for (const auto& route : spec.routes) list.push_back({{"prefix", route.prefix.to_string()}});
  return {{"routes", std::move(list)}};
}

Json encode(const BgpAggregatesSpec& spec) {
  Json list = Json::array();
  for (const auto& aggregate : spec.aggregates) {
    list.push_back({{"prefix", aggregate.prefix.to_string()},
                    {"summaryOnly", word_of(kBgpSwitchNames, aggregate.summary_only)}});
  }
  return {{"aggregates", std::move(list)}};
}

Json encode(const PolicyMapSpec& spec) {
  Json list = Json::array();
  for (const auto& entry : spec.policy_map_entry_list) {
    Json json{{"sequence", entry.sequence},
              {"action", word_of(kPolicyActionNames, entry.action)},
              {"match", encode(entry.match)}};
    if (entry.action == PolicyAction::permit) json["set"] = encode(entry.set);
    list.push_back(std::move(json));
  }
  return {{"policyMapEntryList", std::move(list)}};
}

}  // namespace hnv
