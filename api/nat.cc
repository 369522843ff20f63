// SPDX-License-Identifier: Apache-2.0
#include "api/nat.h"

#include <map>
#include <set>
#include <tuple>

#include "api/public_ip_addresses.h"

namespace hnv {
namespace {

constexpr size_t kMaxPrefixes = 1024;         // of one list
constexpr size_t kMaxOutboundRules = 1024;    // of one domain
constexpr size_t kMaxStaticMappings = 16384;  // of one domain

constexpr Words<NatProtocol, 3> kProtocolWords{
    {{"TCP", NatProtocol::tcp}, {"UDP", NatProtocol::udp}, {"All", NatProtocol::any}}};
constexpr Words<NatFiltering, 3> kFilteringWords{
    {{"EndpointIndependent", NatFiltering::endpoint_independent},
     {"AddressDependent", NatFiltering::address_dependent},
     {"AddressAndPortDependent", NatFiltering::address_and_port_dependent}}};
constexpr Words<NatRefusal, 2> kRefusalWords{
    {{"AdministrativelyProhibited", NatRefusal::administratively_prohibited},
     {"HostProhibited", NatRefusal::host_prohibited}}};

// One list for both directions: property, member, range.
struct Number {
  std::string_view property;
  uint32_t NatTimeouts::*member;
  WholeNumber range;  // seconds
};
constexpr Number kTimeouts[] = {
    {"udp", &NatTimeouts::udp, {120, 86'400}},
    {"tcpEstablished", &NatTimeouts::tcp_established, {7'440, 604'800}},
    {"tcpTransitory", &NatTimeouts::tcp_transitory, {240, 86'400}},
    {"icmp", &NatTimeouts::icmp, {60, 86'400}},
    {"portRest", &NatTimeouts::port_rest, {0, 3'600}},
};
constexpr std::pair<std::string_view, uint32_t NatLimits::*> kLimits[] = {
    {"sessionsPerDomain", &NatLimits::sessions_per_domain},
    {"sessionsPerAddress", &NatLimits::sessions_per_address},
    {"portsPerAddress", &NatLimits::ports_per_address},
    {"newSessionsPerSecond", &NatLimits::new_sessions_per_second},
};

constexpr Prefix<Space::customer> kEverywhere{};  // 0.0.0.0/0

struct TimeoutsReader {
  void operator()(const Place& place, const Json& json, Faults& faults, NatTimeouts& out) const {
    ObjectReader in(place, json, faults);
    for (const auto& [property, member, range] : kTimeouts) {
      in.optional(property, out.*member, range);
    }
    in.finish();
  }
};

struct LimitsReader {
  void operator()(const Place& place, const Json& json, Faults& faults, NatLimits& out) const {
    ObjectReader in(place, json, faults);
    for (const auto& [property, member] : kLimits)
      in.optional(property, out.*member, WholeNumber{});
    in.finish();
  }
};

struct InsidePrefixReader {
  void operator()(const Place& place, const Json& json, Faults& faults,
                  Prefix<Space::customer>& out) const {
    const size_t before = faults.count();
    Prefix<Space::customer> prefix;
    kTextFormReader(place, json, faults, prefix);
    if (faults.count() != before) return;
    if (prefix.family() != Family::ipv4) {
      faults.invalid(place,
                     fmt::format("{} must be an IPv4 prefix: IPv6 is not translated, but for "
                                 "staticMappings with \"protocol\": \"All\"",
                                 prefix.to_string()));
    } else {
      out = prefix;
    }
  }
};
constexpr ListOf kInsidePrefixesReader{InsidePrefixReader{}, kMaxPrefixes};

struct RuleReader {
  void operator()(const Place& place, const Json& json, Faults& faults,
                  OutboundRuleSpec& out) const {
    ObjectReader in(place, json, faults);
    in.required("name", out.name, kNameReader);
    out.source_prefixes = {kEverywhere};
    in.optional("sourcePrefixes", out.source_prefixes, kInsidePrefixesReader);
    in.optional("pool", out.pool, kNameReader);
    in.optional("externalNetwork", out.external_network, kNameReader);
    in.optional("publicAddresses", out.public_addresses, kPublicAddressesReader);
    in.optional("portRange", out.port_range, kPortRangeReader);
    in.finish();
    if (!json.is_object()) return;
    if (out.source_prefixes.empty()) {
      in.invalid("sourcePrefixes", "needs at least one prefix, or leave it out for all");
    }
    const bool own = in.has("externalNetwork") && in.has("publicAddresses");
    const bool any_own = in.has("externalNetwork") || in.has("publicAddresses");
    if (in.has("pool") ? any_own : !own) {
      faults.invalid(place, R"(needs either "pool", or "externalNetwork" with "publicAddresses")");
    }
  }
};

struct MappingReader {
  void operator()(const Place& place, const Json& json, Faults& faults,
                  StaticMappingSpec& out) const {
    const size_t before = faults.count();
    const WholeNumber port{1, 65535};
    ObjectReader in(place, json, faults);
    in.required("name", out.name, kNameReader);
    in.required("externalNetwork", out.external_network, kNameReader);
    in.required("protocol", out.protocol, OneOf{kProtocolWords});
    in.required("publicAddress", out.public_address, kHostAddressReader);
    in.required("insideAddress", out.inside_address, kHostAddressReader);
    in.optional("publicPort", out.public_port, port);
    in.optional("insidePort", out.inside_port, port);
    in.optional("remotePrefix", out.remote_prefix, kTextFormReader);
    in.finish();
    if (faults.count() == before) check(in, out);
  }

 private:
  static void check(ObjectReader& in, const StaticMappingSpec& mapping) {
    const bool one_to_one = mapping.protocol == NatProtocol::any;
    for (const std::string_view key : {"publicPort", "insidePort"}) {
      if (one_to_one && in.has(key)) {
        in.invalid(key, R"(goes with TCP or UDP: "All" covers every port, leave it out)");
      } else if (!one_to_one && !in.has(key)) {
        in.invalid(key, R"(is required with TCP and UDP; "All" maps the address alone)");
      }
    }
    const auto family = mapping.public_address.family();
    if (mapping.inside_address.family() != family) {
      in.invalid("insideAddress", fmt::format("{} and publicAddress {} must be of one family",
                                              mapping.inside_address.to_string(),
                                              mapping.public_address.to_string()));
    } else if (!one_to_one && family != Family::ipv4) {
      in.invalid("publicAddress",
                 fmt::format("{} must be IPv4: IPv6 is mapped only with \"protocol\": \"All\"",
                             mapping.public_address.to_string()));
    }
    if (mapping.remote_prefix && mapping.remote_prefix->family() != family) {
      in.invalid("remotePrefix", fmt::format("{} must be of publicAddress {}'s family",
                                             mapping.remote_prefix->to_string(),
                                             mapping.public_address.to_string()));
    }
  }
};

// Names of a list, once each.
template <class Item>
void check_names(const std::vector<Item>& items, const Place& list, Faults& faults) {
  std::map<std::string_view, size_t> seen;
  for (size_t i = 0; i < items.size(); ++i) {
    if (items[i].name.empty()) continue;  // noted already
    const auto [first, fresh] = seen.emplace(items[i].name, i);
    if (fresh) continue;
    const Place item(list, i);
    faults.invalid(Place(item, "name"),
                   fmt::format("{} is the name of entry {}, too", items[i].name, first->second));
  }
}

// On each side, a port belongs to one mapping; one without ports has its address alone.
template <class Address>
void check_side(const std::vector<StaticMappingSpec>& mappings, Address StaticMappingSpec::*address,
                uint16_t StaticMappingSpec::*port, std::string_view property, const Place& list,
                Faults& faults) {
  std::map<std::tuple<Address, NatProtocol, uint16_t>, size_t> seen;
  for (size_t i = 0; i < mappings.size(); ++i) {
    const auto& mapping = mappings[i];
    const Address& own = mapping.*address;
    // An address's mappings stand together, protocol any last.
    const auto at = mapping.protocol == NatProtocol::any
                        ? seen.lower_bound({own, NatProtocol::tcp, 0})
                        : seen.find({own, mapping.protocol, mapping.*port});
    const auto whole = seen.find({own, NatProtocol::any, 0});
    const auto other = at != seen.end() && std::get<0>(at->first) == own ? at : whole;
    if (other != seen.end()) {
      const Place item(list, i);
      faults.invalid(
          Place(item, property),
          fmt::format("{} belongs to mapping {} with the same {}: a mapping has its own",
                      own.to_string(), mappings[other->second].name,
                      mapping.protocol == NatProtocol::any || other == whole ? "address" : "port"));
      continue;
    }
    seen.emplace(std::tuple(own, mapping.protocol, mapping.*port), i);
  }
}

// An exclusion is a hole in a destination prefix.
void check_excludes(const NatSpec& spec, const Place& place, Faults& faults) {
  const Place list(place, "excludePrefixes");
  for (size_t i = 0; i < spec.exclude_prefixes.size(); ++i) {
    const auto& hole = spec.exclude_prefixes[i];
    const auto& around = spec.destination_prefixes;
    if (std::find(around.begin(), around.end(), hole) != around.end()) {
      faults.invalid(Place(list, i), fmt::format("{} is one of destinationPrefixes: leave it out "
                                                 "of both",
                                                 hole.to_string()));
    } else if (std::none_of(around.begin(), around.end(), [&](const auto& prefix) {
                 return prefix.length() < hole.length() && prefix.contains(hole.address());
               })) {
      faults.invalid(Place(list, i), fmt::format("{} lies in none of destinationPrefixes: nothing "
                                                 "there is translated anyway, leave it out",
                                                 hole.to_string()));
    }
  }
}

Json encode(const OutboundRuleSpec& rule) {
  Json json{{"name", rule.name}, {"sourcePrefixes", text_list(rule.source_prefixes)}};
  if (rule.pool) json["pool"] = *rule.pool;
  if (rule.external_network) json["externalNetwork"] = *rule.external_network;
  if (!rule.public_addresses.empty()) {
    json["publicAddresses"] = public_addresses_json(rule.public_addresses);
  }
  if (rule.port_range) json["portRange"] = port_range_json(*rule.port_range);
  return json;
}

Json encode(const StaticMappingSpec& mapping) {
  Json json{{"name", mapping.name},
            {"externalNetwork", mapping.external_network},
            {"protocol", word_of(kProtocolWords, mapping.protocol)},
            {"publicAddress", mapping.public_address.to_string()},
            {"insideAddress", mapping.inside_address.to_string()}};
  if (mapping.protocol != NatProtocol::any) {
    json["publicPort"] = mapping.public_port;
    json["insidePort"] = mapping.inside_port;
  }
  if (mapping.remote_prefix) json["remotePrefix"] = mapping.remote_prefix->to_string();
  return json;
}

template <class Item>
Json list_json(const std::vector<Item>& items) {
  Json list = Json::array();
  for (const auto& item : items) list.push_back(encode(item));
  return list;
}

}  // namespace

NatSpec decode_nat(const Place& place, const Json& json, Faults& faults) {
  NatSpec spec;
  const size_t before = faults.count();
  ObjectReader in(place, json, faults);
  spec.destination_prefixes = {kEverywhere};
  in.optional("destinationPrefixes", spec.destination_prefixes, kInsidePrefixesReader);
  in.optional("excludePrefixes", spec.exclude_prefixes, kInsidePrefixesReader);
  in.optional("outboundRules", spec.outbound_rules, ListOf{RuleReader{}, kMaxOutboundRules});
  in.optional("staticMappings", spec.static_mappings, ListOf{MappingReader{}, kMaxStaticMappings});
  in.optional("filtering", spec.filtering, OneOf{kFilteringWords});
  in.optional("timeouts", spec.timeouts, TimeoutsReader{});
  in.optional("limits", spec.limits, LimitsReader{});
  in.optional("refusal", spec.refusal, OneOf{kRefusalWords});
  in.optional("hairpin", spec.hairpin, kYesNoReader);
  in.optional("logSessions", spec.log_sessions, kYesNoReader);
  ignore_answer_properties(in);
  in.finish();
  const Place mappings(place, "staticMappings");
  check_names(spec.outbound_rules, Place(place, "outboundRules"), faults);
  check_names(spec.static_mappings, mappings, faults);
  if (faults.count() != before) return spec;  // what was not read would be misjudged
  check_excludes(spec, place, faults);
  check_side(spec.static_mappings, &StaticMappingSpec::public_address,
             &StaticMappingSpec::public_port, "publicAddress", mappings, faults);
  check_side(spec.static_mappings, &StaticMappingSpec::inside_address,
             &StaticMappingSpec::inside_port, "insideAddress", mappings, faults);
  return spec;
}

Json encode(const NatSpec& spec) {
  Json timeouts = Json::object();
  for (const auto& [property, member, range] : kTimeouts) {
    timeouts.emplace(property, spec.timeouts.*member);
  }
  Json limits = Json::object();
  for (const auto& [property, member] : kLimits) limits.emplace(property, spec.limits.*member);
  return Json{{"destinationPrefixes", text_list(spec.destination_prefixes)},
              {"excludePrefixes", text_list(spec.exclude_prefixes)},
              {"outboundRules", list_json(spec.outbound_rules)},
              {"staticMappings", list_json(spec.static_mappings)},
              {"filtering", word_of(kFilteringWords, spec.filtering)},
              {"timeouts", std::move(timeouts)},
              {"limits", std::move(limits)},
              {"refusal", word_of(kRefusalWords, spec.refusal)},
              {"hairpin", spec.hairpin},
              {"logSessions", spec.log_sessions}};
}

}  // namespace hnv
