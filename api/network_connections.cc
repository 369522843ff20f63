// SPDX-License-Identifier: Apache-2.0
#include "api/network_connections.h"

#include "api/outside_networks.h"

namespace hnv {
namespace {

enum class ConnectionType : uint8_t { l3, ipsec, gre };

constexpr Words<ConnectionType, 3> kTypeWords{
    {{"L3", ConnectionType::l3}, {"IPSec", ConnectionType::ipsec}, {"GRE", ConnectionType::gre}}};
constexpr Words<SourceValidation, 3> kValidationWords{{{"strict", SourceValidation::strict},
                                                       {"loose", SourceValidation::loose},
                                                       {"off", SourceValidation::off}}};
constexpr size_t kMaxConnectionRoutes = 10'000;

struct L3Reader {
  void operator()(const Place& place, const Json& json, Faults& faults,
                  L3ConnectionSpec& out) const {
    ObjectReader in(place, json, faults);
    in.optional("externalNetwork", out.external_network, kNameReader);
    in.optional("port", out.port, kNameReader);
    in.optional("vlanId", out.vlan_id, kVlanIdReader);
    in.required("ipAddresses", out.ip_addresses, ListOf{kHostAddressReader});
    in.optional("macAddress", out.mac_address, kStationMacReader);
    in.optional("peerIPAddresses", out.peer_ip_addresses, ListOf{kHostAddressReader});
    in.optional("sourceValidation", out.source_validation, OneOf{kValidationWords});
    in.optional("duplicateAddressDetection", out.duplicate_address_detection,
                kDuplicateDetectionReader);
    in.finish();
    if (json.is_object() && in.has("externalNetwork") == in.has("port")) {
      faults.invalid(place, "needs exactly one of \"externalNetwork\" and \"port\"");
    } else if (in.has("externalNetwork") && out.vlan_id.tagged()) {
      in.invalid("vlanId", "goes with \"port\"; an external network has its own VLAN");
    }
    if (json.is_object() && in.has("ipAddresses") && out.ip_addresses.empty()) {
      in.invalid("ipAddresses", "needs at least one address");
    }
  }
};

struct RouteReader {
  void operator()(const Place& place, const Json& json, Faults& faults,
                  ConnectionRouteSpec& out) const {
    ObjectReader in(place, json, faults);
    in.required("destinationPrefix", out.destination_prefix, kTextFormReader);
    in.optional("metric", out.metric, kMetricReader);
    in.finish();
  }
};

// A rate limit; 0 means unlimited, and an L3 connection has no other yet.
struct RateReader {
  void operator()(const Place& place, const Json& json, Faults& faults, uint64_t& out) const {
    const WholeNumber number{0, std::numeric_limits<uint32_t>::max()};
    number(place, json, faults, out);
    if (out != 0) {
      faults.add(ErrorCode::not_supported, place,
                 "rate limits of L3 connections are not built yet; only 0 (unlimited) is taken");
    }
  }
};

void read_rates(ObjectReader& in) {
  for (const auto* key : {"outboundKiloBitsPerSecond", "inboundKiloBitsPerSecond"}) {
    uint64_t unlimited = 0;
    in.optional(key, unlimited, RateReader{});
  }
}

}  // namespace

NetworkConnectionSpec decode_network_connection(const Place& place, const Json& json,
                                                Faults& faults) {
  NetworkConnectionSpec spec;
  ConnectionType type = ConnectionType::l3;
  ObjectReader in(place, json, faults);
  in.required("connectionType", type, OneOf{kTypeWords});
  if (type != ConnectionType::l3) {
    faults.add(ErrorCode::not_supported, Place(place, "connectionType"),
               "only L3 connections are built yet");
    return spec;  // what else the body says belongs to a type that nobody can check
  }
  in.required("l3Configuration", spec.l3, L3Reader{});
  in.optional("routes", spec.routes, ListOf{RouteReader{}, kMaxConnectionRoutes});
  read_rates(in);
  in.unsupported("ipSecConfiguration");
  in.unsupported("greConfiguration");
  in.unsupported("accessControlLists");
  ignore_answer_properties(in);
  in.finish();
  return spec;
}

Json encode(const NetworkConnectionSpec& spec) {
  Json routes = Json::array();
  for (const auto& route : spec.routes) {
    routes.push_back(
        {{"destinationPrefix", route.destination_prefix.to_string()}, {"metric", route.metric}});
  }
  Json l3{{"ipAddresses", text_list(spec.l3.ip_addresses)},
          {"peerIPAddresses", text_list(spec.l3.peer_ip_addresses)},
          {"sourceValidation", word_of(kValidationWords, spec.l3.source_validation)},
          {"duplicateAddressDetection",
           word_of(kDuplicateDetectionWords, spec.l3.duplicate_address_detection)}};
  if (spec.l3.external_network) l3["externalNetwork"] = *spec.l3.external_network;
  if (spec.l3.port) {
    l3["port"] = *spec.l3.port;
    l3["vlanId"] = spec.l3.vlan_id.value();
  }
  if (spec.l3.mac_address) l3["macAddress"] = spec.l3.mac_address->to_string();
  return Json{{"connectionType", word_of(kTypeWords, ConnectionType::l3)},
              {"l3Configuration", std::move(l3)},
              {"routes", std::move(routes)},
              {"outboundKiloBitsPerSecond", 0},
              {"inboundKiloBitsPerSecond", 0}};
}

}  // namespace hnv
