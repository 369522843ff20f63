// SPDX-License-Identifier: Apache-2.0
#include "api/network_connections.h"

#include "api/ipsec_configuration.h"
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

struct TunnelRouteReader {
  void operator()(const Place& place, const Json& json, Faults& faults,
                  ConnectionRouteSpec& out) const {
    ObjectReader in(place, json, faults);
    in.required("destinationPrefix", out.destination_prefix, kTextFormReader);
    in.optional("metric", out.metric, kMetricReader);
    in.optional("persistent", out.persistent, kYesNoReader);
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

void read_l3(ObjectReader& in, NetworkConnectionSpec& spec) {
  in.required("l3Configuration", spec.l3, L3Reader{});
  in.optional("routes", spec.routes, ListOf{RouteReader{}, kMaxConnectionRoutes});
  for (const auto* key : {"outboundKiloBitsPerSecond", "inboundKiloBitsPerSecond"}) {
    uint64_t unlimited = 0;
    in.optional(key, unlimited, RateReader{});
  }
  for (const auto* key :
       {"ipSecConfiguration", "outboundBurstBytes", "inboundBurstBytes", "adminStatus"}) {
    if (in.has(key)) in.invalid(key, "belongs to connectionType \"IPSec\"");
    in.ignored(key);
  }
}

void read_tunnel(ObjectReader& in, Faults& faults, NetworkConnectionSpec& spec) {
  constexpr WholeNumber kNumber{};
  TunnelSpec& tunnel = spec.tunnel.emplace();
  in.required("ipSecConfiguration", tunnel, IpSecReader{});
  in.optional("routes", spec.routes, ListOf{TunnelRouteReader{}, kMaxConnectionRoutes});
  in.optional("outboundKiloBitsPerSecond", tunnel.outbound_kilobits_per_second, kNumber);
  in.optional("inboundKiloBitsPerSecond", tunnel.inbound_kilobits_per_second, kNumber);
  in.optional("outboundBurstBytes", tunnel.outbound_burst_bytes, kNumber);
  in.optional("inboundBurstBytes", tunnel.inbound_burst_bytes, kNumber);
  in.optional("adminStatus", tunnel.admin_status, OneOf{kAdminStatusNames});
  if (in.has("l3Configuration")) in.invalid("l3Configuration", "belongs to connectionType \"L3\"");
  in.ignored("l3Configuration");
  if (!in.has("ipSecConfiguration")) return;
  // The rest of what is wrong with it, so that all is said at once. The model says it again once
  // the secrets are known.
  const std::string body = in.place().pointer();
  for (ErrorDetail& detail : check(tunnel, StoredSecrets::perhaps)) {
    detail.target = body + detail.target;
    faults.add(std::move(detail));
  }
}

Json encode_l3(const L3ConnectionSpec& spec) {
  Json l3{{"ipAddresses", text_list(spec.ip_addresses)},
          {"peerIPAddresses", text_list(spec.peer_ip_addresses)},
          {"sourceValidation", word_of(kValidationWords, spec.source_validation)},
          {"duplicateAddressDetection",
           word_of(kDuplicateDetectionWords, spec.duplicate_address_detection)}};
  if (spec.external_network) l3["externalNetwork"] = *spec.external_network;
  if (spec.port) {
    l3["port"] = *spec.port;
    l3["vlanId"] = spec.vlan_id.value();
  }
  if (spec.mac_address) l3["macAddress"] = spec.mac_address->to_string();
  return l3;
}

}  // namespace

NetworkConnectionSpec decode_network_connection(const Place& place, const Json& json,
                                                Faults& faults) {
  NetworkConnectionSpec spec;
  ConnectionType type = ConnectionType::l3;
  ObjectReader in(place, json, faults);
  const size_t before = faults.count();
  in.required("connectionType", type, OneOf{kTypeWords});
  if (type == ConnectionType::gre) {
    faults.add(ErrorCode::not_supported, Place(place, "connectionType"),
               "GRE connections are not built yet");
  }
  // What else the body says belongs to a type that nobody can check.
  if (faults.count() != before) return spec;
  if (type == ConnectionType::l3) {
    read_l3(in, spec);
  } else {
    read_tunnel(in, faults, spec);
  }
  in.unsupported("greConfiguration");
  in.unsupported("accessControlLists");
  ignore_answer_properties(in);
  in.finish();
  return spec;
}

Json encode(const NetworkConnectionSpec& spec, Secrets secrets) {
  Json routes = Json::array();
  for (const auto& route : spec.routes) {
    Json one{{"destinationPrefix", route.destination_prefix.to_string()}, {"metric", route.metric}};
    if (spec.tunnel) one["persistent"] = route.persistent;
    routes.push_back(std::move(one));
  }
  Json json{{"routes", std::move(routes)}};
  if (!spec.tunnel) {
    json["connectionType"] = word_of(kTypeWords, ConnectionType::l3);
    json["l3Configuration"] = encode_l3(spec.l3);
    json["outboundKiloBitsPerSecond"] = 0;
    json["inboundKiloBitsPerSecond"] = 0;
    return json;
  }
  const TunnelSpec& tunnel = *spec.tunnel;
  json["connectionType"] = word_of(kTypeWords, ConnectionType::ipsec);
  json["ipSecConfiguration"] = encode_ipsec(tunnel, secrets);
  json["outboundKiloBitsPerSecond"] = tunnel.outbound_kilobits_per_second;
  json["inboundKiloBitsPerSecond"] = tunnel.inbound_kilobits_per_second;
  if (tunnel.outbound_burst_bytes) json["outboundBurstBytes"] = *tunnel.outbound_burst_bytes;
  if (tunnel.inbound_burst_bytes) json["inboundBurstBytes"] = *tunnel.inbound_burst_bytes;
  json["adminStatus"] = word_of(kAdminStatusNames, tunnel.admin_status);
  return json;
}

}  // namespace hnv
