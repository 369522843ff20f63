// SPDX-License-Identifier: Apache-2.0
//
// What the operator asks for: one plain struct per resource of the API (api/openapi.yaml), already
// well-formed by itself. What depends on other resources is checked by the model
// (gateway/model.h). An absent optional is "not given"; the model fills in what the server chooses
// (ids, MAC addresses, gateway addresses), so that a spec that is read back is complete.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "compartments/address.h"
#include "compartments/ids.h"

namespace hnv {

template <Space S>
struct RouteSpec {  // a route of an outside network, e.g. between fabric subnets
  Prefix<S> destination_prefix;
  IpAddress<S> next_hop;
  uint32_t metric = 1;
  friend bool operator==(const RouteSpec&, const RouteSpec&) = default;
};

// What the FlowID byte of the GRE key carries (facts: some peers compare the whole 32-bit key).
enum class FlowIdMode : uint8_t { hash, zero };

// Whether a tenant's code points are the fabric's, too (RFC 2983 §3).
enum class DscpMode : uint8_t { pipe, uniform };

// Whether others on the network are asked for our addresses there (RFC 4862, RFC 5227): while they
// are used already (RFC 4429), or not at all.
enum class DuplicateDetection : uint8_t { optimistic, off };

struct ProviderAddressOverride {
  Prefix<Space::provider> provider_address_prefix;
  FlowIdMode flow_id = FlowIdMode::hash;
  friend bool operator==(const ProviderAddressOverride&, const ProviderAddressOverride&) = default;
};

// An attachment to the fabric.
struct ProviderNetworkSpec {
  std::string port;
  VlanId vlan_id;
  std::vector<InterfaceAddress<Space::provider>> provider_addresses;
  std::vector<RouteSpec<Space::provider>> routes;
  std::optional<uint16_t> mtu;  // largest IP packet; default the port's
  FlowIdMode flow_id = FlowIdMode::hash;
  DscpMode dscp = DscpMode::pipe;
  std::vector<ProviderAddressOverride> provider_address_overrides;
  DuplicateDetection duplicate_address_detection = DuplicateDetection::optimistic;
  friend bool operator==(const ProviderNetworkSpec&, const ProviderNetworkSpec&) = default;
};

// An attachment to the internet or to a physical network that several domains may share.
struct ExternalNetworkSpec {
  std::string port;
  VlanId vlan_id;
  std::vector<InterfaceAddress<Space::external>> ip_addresses;
  std::vector<RouteSpec<Space::external>> routes;
  std::optional<uint16_t> mtu;
  std::vector<Prefix<Space::external>> public_address_prefixes;
  DuplicateDetection duplicate_address_detection = DuplicateDetection::optimistic;
  friend bool operator==(const ExternalNetworkSpec&, const ExternalNetworkSpec&) = default;
};

struct RoutePreferences {  // lower wins
  uint32_t local = 1;
  uint32_t connected = 1;
  uint32_t static_route = 3;  // JSON: static
  uint32_t network_connection = 3;
  uint32_t nat = 3;
  uint32_t ebgp = 15;
  uint32_t ibgp = 200;
  friend bool operator==(const RoutePreferences&, const RoutePreferences&) = default;
};

struct DomainLimits {
  uint32_t routes = 10'000;
  uint32_t lookup_records = 100'000;
  uint32_t neighbors = 4'096;
  friend bool operator==(const DomainLimits&, const DomainLimits&) = default;
};

// A tenant's network. Its run-time form is a compartment.
struct RoutingDomainSpec {
  std::optional<Guid> routing_domain_id;  // immutable once set
  std::string description;
  RoutePreferences route_preferences;
  DomainLimits limits;
  friend bool operator==(const RoutingDomainSpec&, const RoutingDomainSpec&) = default;
};

enum class SubnetKind : uint8_t { vm, gateway };
enum class SubnetRouter : uint8_t { distributed, gateway };

// How hosts of a virtual subnet whose router is the gateway configure themselves (RFC 4861 §6.2.1,
// RFC 4862). Its prefixes are the subnet's IPv6 addressPrefixes. All times in seconds.
struct RouterAdvertisementsSpec {
  static constexpr uint32_t kForever = UINT32_MAX;  // of a prefix's lifetimes
  bool enabled = true;
  bool managed = false;       // M: addresses come from DHCPv6
  bool other_config = false;  // O: the rest does
  uint16_t interval = 600;    // the longest between two: MaxRtrAdvInterval, 4 to 1800
  // 0 (no default router), or interval to 9000; absent: three intervals.
  std::optional<uint16_t> router_lifetime;
  uint32_t valid_lifetime = 2'592'000;
  uint32_t preferred_lifetime = 604'800;  // at most valid_lifetime
  bool on_link = true;                    // L of every prefix
  bool autonomous = true;                 // A of every /64 (RFC 4862 §5.5.3 d)
  bool mtu = true;                        // whether the subnet's is told
  [[nodiscard]] uint16_t lifetime() const {
    return router_lifetime.value_or(static_cast<uint16_t>(3 * interval));
  }
  friend bool operator==(const RouterAdvertisementsSpec&,
                         const RouterAdvertisementsSpec&) = default;
};

struct VirtualSubnetSpec {
  std::optional<Vsid> virtual_subnet_id;  // immutable once set
  std::vector<Prefix<Space::customer>> address_prefixes;
  SubnetKind kind = SubnetKind::vm;
  SubnetRouter router = SubnetRouter::distributed;
  // Own addresses of the gateway. Absent: by kind and router as api.md says; the model fills them.
  std::optional<std::vector<IpAddress<Space::customer>>> gateway_addresses;
  std::optional<MacAddress> mac_address;
  std::string provider_network;
  std::optional<IpAddress<Space::provider>> provider_address;
  std::optional<uint16_t> mtu;  // inner; default the fabric's minus the encapsulation
  std::optional<RouterAdvertisementsSpec> router_advertisements;
  friend bool operator==(const VirtualSubnetSpec&, const VirtualSubnetSpec&) = default;
};

enum class LookupRecordType : uint8_t { static_record, dynamic, gateway_wildcard, l2_only };

// Which record of a virtual subnet: a customer address, a wildcard of a family, or (L2Only) a MAC.
// Text form, as in paths: "10.0.0.7", "wildcard-v4", "wildcard-v6", "l2-02:00:00:00:00:01".
struct WildcardV4 {
  friend auto operator<=>(const WildcardV4&, const WildcardV4&) = default;
};
struct WildcardV6 {
  friend auto operator<=>(const WildcardV6&, const WildcardV6&) = default;
};
using RecordId = std::variant<IpAddress<Space::customer>, WildcardV4, WildcardV6, MacAddress>;
[[nodiscard]] std::optional<RecordId> parse_record_id(std::string_view text);
[[nodiscard]] std::string to_string(const RecordId& id);

struct LookupRecordSpec {
  LookupRecordType type = LookupRecordType::static_record;
  std::optional<IpAddress<Space::customer>> customer_address;  // absent: wildcard and L2Only
  IpAddress<Space::provider> provider_address;
  MacAddress mac_address;
  friend bool operator==(const LookupRecordSpec&, const LookupRecordSpec&) = default;
};

// A static route in a domain: exactly one of next_hop and network_connection is set.
struct CustomerRouteSpec {
  Prefix<Space::customer> destination_prefix;
  std::optional<IpAddress<Space::customer>> next_hop;
  std::optional<std::string> network_connection;
  uint32_t metric = 256;
  std::optional<std::string> virtual_subnet;  // the one that holds next_hop; default by prefix
  friend bool operator==(const CustomerRouteSpec&, const CustomerRouteSpec&) = default;
};

enum class SourceValidation : uint8_t { strict, loose, off };

// An interface of its compartment on (port, VLAN), with its own MAC: on an external network that
// several domains share, or on a private (port, VLAN). Exactly one of the two is set. The addresses
// are the tenant's own: two domains may use the same ones.
struct L3ConnectionSpec {
  std::optional<std::string> external_network;
  std::optional<std::string> port;
  VlanId vlan_id;
  std::vector<InterfaceAddress<Space::customer>> ip_addresses;
  std::optional<MacAddress> mac_address;
  // The tenant's routers there, next hops of `routes`, in order of preference (first of a family).
  std::vector<IpAddress<Space::customer>> peer_ip_addresses;
  SourceValidation source_validation = SourceValidation::strict;
  DuplicateDetection duplicate_address_detection = DuplicateDetection::optimistic;
  friend bool operator==(const L3ConnectionSpec&, const L3ConnectionSpec&) = default;
};

struct ConnectionRouteSpec {
  Prefix<Space::customer> destination_prefix;
  uint32_t metric = 256;
  bool persistent = false;  // there though its tunnel is not up (IPSec only)
  friend bool operator==(const ConnectionRouteSpec&, const ConnectionRouteSpec&) = default;
};

}  // namespace hnv
