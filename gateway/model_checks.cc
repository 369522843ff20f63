// SPDX-License-Identifier: Apache-2.0
#include "gateway/model_checks.h"

namespace hnv {
namespace {

// Every address of a spec, with its place.
class Ipv6Search {
 public:
  Ipv6Search(const Place& place, Faults& faults) : place_(place), faults_(faults) {}

  void operator()(const ProviderNetworkSpec& spec) {
    each("providerAddresses", spec.provider_addresses);
    routes(spec.routes);
    each("providerAddressOverrides", spec.provider_address_overrides);
  }
  void operator()(const ExternalNetworkSpec& spec) {
    each("ipAddresses", spec.ip_addresses);
    routes(spec.routes);
    each("publicAddressPrefixes", spec.public_address_prefixes);
  }
  void operator()(const RoutingDomainSpec& /*spec*/) {}
  void operator()(const VirtualSubnetSpec& spec) {
    each("addressPrefixes", spec.address_prefixes);
    if (spec.gateway_addresses) each("gatewayAddresses", *spec.gateway_addresses);
    one("providerAddress", spec.provider_address);
  }
  void operator()(const LookupRecordSpec& spec) {
    one("customerAddress", spec.customer_address);
    one("providerAddress", std::optional(spec.provider_address));
  }
  void operator()(const CustomerRouteSpec& spec) {
    one("destinationPrefix", std::optional(spec.destination_prefix));
    one("nextHop", spec.next_hop);
  }
  void operator()(const NetworkConnectionSpec& spec) {
    const Place l3(place_, "l3Configuration");
    Ipv6Search in_l3(l3, faults_);
    in_l3.each("ipAddresses", spec.l3.ip_addresses);
    in_l3.each("peerIPAddresses", spec.l3.peer_ip_addresses);
    each("routes", spec.routes);
  }

 private:
  template <Space S>
  static Family family(const IpAddress<S>& a) {
    return a.family();
  }
  template <Space S>
  static Family family(const Prefix<S>& p) {
    return p.family();
  }
  template <Space S>
  static Family family(const InterfaceAddress<S>& a) {
    return a.address.family();
  }
  static Family family(const ProviderAddressOverride& o) {
    return o.provider_address_prefix.family();
  }
  static Family family(const ConnectionRouteSpec& r) { return r.destination_prefix.family(); }

  template <class T>
  void each(std::string_view key, const std::vector<T>& values) {
    const Place list(place_, key);
    for (size_t i = 0; i < values.size(); ++i) {
      if (family(values[i]) == Family::ipv6) note_ipv6(Place(list, i), faults_);
    }
  }
  template <class T>
  void one(std::string_view key, const std::optional<T>& value) {
    if (value && family(*value) == Family::ipv6) note_ipv6(Place(place_, key), faults_);
  }
  template <Space S>
  void routes(const std::vector<RouteSpec<S>>& values) {
    const Place list(place_, "routes");
    for (size_t i = 0; i < values.size(); ++i) {
      const Place route(list, i);
      Ipv6Search in_route(route, faults_);
      in_route.one("destinationPrefix", std::optional(values[i].destination_prefix));
      in_route.one("nextHop", std::optional(values[i].next_hop));
    }
  }

  const Place& place_;
  Faults& faults_;
};

}  // namespace

void refuse_ipv6(const ResourceKey& key, const ResourceSpec& spec, const Place& place,
                 Faults& faults) {
  if (const auto* record = std::get_if<LookupRecordKey>(&key)) {
    const auto* ca = std::get_if<IpAddress<Space::customer>>(&record->id);
    if (std::holds_alternative<WildcardV6>(record->id) || (ca != nullptr && !ca->is_v4())) {
      return note_ipv6(place, faults);
    }
  }
  Ipv6Search search(place, faults);
  std::visit([&](const auto& s) { search(s); }, spec);
}

uint16_t outside_mtu(const std::optional<uint16_t>& asked, const PortInfo& port, uint16_t min,
                     Faults& faults) {
  const Place body;
  if (!asked && port.mtu < min) {
    faults.add(ErrorCode::unfit, Place(body, "port"),
               fmt::format("port {} has MTU {}; this network needs at least {}", port.name,
                           port.mtu, min));
  } else if (asked && (*asked < min || *asked > port.mtu)) {
    faults.add(
        ErrorCode::unfit, Place(body, "mtu"),
        fmt::format("{} must be {} to {}, the MTU of port {}", *asked, min, port.mtu, port.name));
  }
  return asked.value_or(port.mtu);
}

void check_station_mac(const MacAddress& mac, const Place& place, Faults& faults) {
  if (mac.zero() || mac.multicast()) {
    faults.invalid(place, "must be one station's MAC address, not zero, multicast or broadcast");
  }
}

}  // namespace hnv
