// SPDX-License-Identifier: Apache-2.0
//
// What an operator asks of BGP in a routing domain: one struct a resource (bgpRouter, bgpPeers,
// bgpCustomRoutes, bgpAggregates, policyMaps), with RRAS's and the Network Controller's names.
// Plain values; check() says everything that is wrong with one, or with all of a domain's together.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compartments/address.h"
#include "compartments/enum_names.h"
#include "compartments/result.h"
#include "compartments/secret_bytes.h"

namespace hnv {

enum class BgpOperationMode : uint8_t {
  mixed,   // both sides open the session
  server,  // the peer does
};
enum class BgpAdminStatus : uint8_t { enabled, disabled };
enum class BgpSwitch : uint8_t { disabled, enabled };
enum class PolicyAction : uint8_t { permit, deny };

inline constexpr Names<BgpOperationMode, 2> kBgpOperationModeNames{
    {{"Mixed", BgpOperationMode::mixed}, {"Server", BgpOperationMode::server}}};
inline constexpr Names<BgpAdminStatus, 2> kBgpAdminStatusNames{
    {{"enabled", BgpAdminStatus::enabled}, {"disabled", BgpAdminStatus::disabled}}};
inline constexpr Names<BgpSwitch, 2> kBgpSwitchNames{
    {{"Disabled", BgpSwitch::disabled}, {"Enabled", BgpSwitch::enabled}}};
inline constexpr Names<PolicyAction, 2> kPolicyActionNames{
    {{"Permit", PolicyAction::permit}, {"Deny", PolicyAction::deny}}};

// "65001", or "0.65001" as the Network Controller writes extAsNumber (RFC 5396's asdot+). 1 to
// 4294967294; not 23456 (RFC 6793), nor 0 and 65535 (RFC 7607, RFC 7300).
[[nodiscard]] std::optional<uint32_t> parse_as_number(std::string_view text);

// RFC 2439. Penalties are 1,000 for each time that a route goes.
struct BgpDampeningSpec {
  uint32_t half_life_minutes = 15;     // 1..45
  uint32_t reuse = 750;                // 1..20000
  uint32_t suppress = 2'000;           // 1..50000, above reuse
  uint32_t max_suppress_minutes = 60;  // 1..255, not below the half life
  friend bool operator==(const BgpDampeningSpec&, const BgpDampeningSpec&) = default;
};

struct BgpRouterSpec {
  uint32_t as_number = 0;
  CaAddress router_id;
  uint32_t hold_time_seconds = 90;  // of peers that say none; 3..65535, a third of it is keepalive
  BgpSwitch compare_med_across_asn = BgpSwitch::disabled;
  // Whether what one external peer taught is told to another.
  BgpSwitch transit_routing = BgpSwitch::disabled;
  // Whether a peer may teach 0.0.0.0/0 and ::/0.
  BgpSwitch default_gateway_routing = BgpSwitch::disabled;
  std::optional<CaAddress> cluster_id{};  // of a route reflector (RFC 4456); default the router id
  uint32_t ecmp = 1;                      // equal paths at once, 1..16
  // Whether an external peer without a policy is told nothing and believed nothing (RFC 8212).
  BgpSwitch ebgp_requires_policy = BgpSwitch::enabled;
  BgpSwitch redistribute_connected = BgpSwitch::disabled;
  BgpSwitch redistribute_static = BgpSwitch::disabled;
  std::optional<BgpDampeningSpec> dampening{};
  friend bool operator==(const BgpRouterSpec&, const BgpRouterSpec&) = default;
};

struct BgpBfdSpec {
  uint32_t min_receive_milliseconds = 300;   // 50..60000
  uint32_t min_transmit_milliseconds = 300;  // 50..60000
  uint32_t multiplier = 3;                   // 2..255
  friend bool operator==(const BgpBfdSpec&, const BgpBfdSpec&) = default;
};

struct BgpPeerSpec {
  IpAddress<Space::customer> peer_ip_address;
  uint32_t as_number = 0;
  // One of the gateway's in the domain. Absent: the system chooses.
  std::optional<IpAddress<Space::customer>> local_ip_address{};
  std::optional<uint32_t> hold_time_seconds{};  // 3..65535; default the router's
  BgpOperationMode operation_mode = BgpOperationMode::mixed;
  // More prefixes of a family than that end the session; 1..4294967295, default 10,000.
  uint32_t max_allowed_prefix = 10'000;
  uint32_t weight = 0;  // 0..65535, higher is better, never told to anybody
  BgpSwitch route_reflector_client = BgpSwitch::disabled;
  SharedSecret password{};  // TCP MD5 (RFC 2385): 1..80 printable bytes without spaces
  std::optional<uint32_t> ttl_security{};  // GTSM (RFC 5082): how many hops away at most, 1..254
  std::optional<uint32_t> multihop{};      // eBGP over that many hops, 2..255
  BgpSwitch graceful_restart = BgpSwitch::enabled;  // RFC 4724
  std::optional<BgpBfdSpec> bfd{};
  // Families whose routes are told; default the session's own.
  std::vector<Family> address_families{};
  std::string policy_map_in{};  // names of the domain's
  std::string policy_map_out{};
  BgpAdminStatus admin_status = BgpAdminStatus::enabled;
  friend bool operator==(const BgpPeerSpec&, const BgpPeerSpec&) = default;
};

// A route that is announced while the domain's table has exactly it.
struct BgpCustomRouteSpec {
  Prefix<Space::customer> prefix;
  friend bool operator==(const BgpCustomRouteSpec&, const BgpCustomRouteSpec&) = default;
};
struct BgpAggregateSpec {
  Prefix<Space::customer> prefix;
  BgpSwitch summary_only = BgpSwitch::disabled;  // whether its parts are kept back
  friend bool operator==(const BgpAggregateSpec&, const BgpAggregateSpec&) = default;
};

struct BgpCustomRoutesSpec {
  std::vector<BgpCustomRouteSpec> routes{};
  friend bool operator==(const BgpCustomRoutesSpec&, const BgpCustomRoutesSpec&) = default;
};
struct BgpAggregatesSpec {
  std::vector<BgpAggregateSpec> aggregates{};
  friend bool operator==(const BgpAggregatesSpec&, const BgpAggregatesSpec&) = default;
};

// A prefix and, with lengths, what lies in it.
struct PolicyPrefix {
  Prefix<Space::customer> prefix;
  std::optional<uint8_t> min_length{};
  std::optional<uint8_t> max_length{};
  friend bool operator==(const PolicyPrefix&, const PolicyPrefix&) = default;
};
struct AsnRange {  // both ends included
  uint32_t first = 0;
  uint32_t last = 0;
  friend bool operator==(const AsnRange&, const AsnRange&) = default;
};

// Of each list that is given, one entry has to match. No list: every route matches.
struct PolicyMatchSpec {
  std::vector<PolicyPrefix> prefixes{};
  std::vector<PolicyPrefix> ignore_prefixes{};  // that do not match, whatever `prefixes` says
  std::vector<AsnRange> asn_ranges{};           // an AS of the path
  std::vector<std::string> communities{};       // "65001:100", "no-export", …
  std::vector<IpAddress<Space::customer>> next_hops{};
  friend bool operator==(const PolicyMatchSpec&, const PolicyMatchSpec&) = default;
};
struct PolicySetSpec {
  std::optional<uint32_t> local_preference{};
  std::optional<uint32_t> med{};
  std::optional<uint32_t> weight{};
  std::vector<std::string> add_communities{};
  std::vector<std::string> remove_communities{};
  std::optional<IpAddress<Space::customer>> next_hop{};
  std::vector<uint32_t> prepend_as_path{};  // at most 16
  friend bool operator==(const PolicySetSpec&, const PolicySetSpec&) = default;
};
struct PolicyMapEntrySpec {
  uint32_t sequence = 0;  // 1..65535; the lowest that matches decides
  PolicyAction action = PolicyAction::permit;
  PolicyMatchSpec match{};
  PolicySetSpec set{};  // of permitted ones
  friend bool operator==(const PolicyMapEntrySpec&, const PolicyMapEntrySpec&) = default;
};
// What no entry matches is denied.
struct PolicyMapSpec {
  std::vector<PolicyMapEntrySpec> policy_map_entry_list{};
  friend bool operator==(const PolicyMapSpec&, const PolicyMapSpec&) = default;
};

// All of a domain's.
struct BgpDomainSpec {
  BgpRouterSpec router{};
  std::map<std::string, BgpPeerSpec> peers{};
  std::vector<BgpCustomRouteSpec> custom_routes{};
  std::vector<BgpAggregateSpec> aggregates{};
  std::map<std::string, PolicyMapSpec> policy_maps{};
  friend bool operator==(const BgpDomainSpec&, const BgpDomainSpec&) = default;
};

// Names that may stand in bgpd's configuration: 1..63 letters, digits, '-', '_' and '.'.
[[nodiscard]] bool good_bgp_name(std::string_view name);
// "A:B", each 0..65535, or a well-known name of RFC 1997 and its followers.
[[nodiscard]] bool good_community(std::string_view text);
[[nodiscard]] bool is_external(const BgpRouterSpec& router, const BgpPeerSpec& peer);

// Everything that is wrong with a resource by itself; empty when it is good. Targets are JSON
// pointers into the resource.
[[nodiscard]] std::vector<ErrorDetail> check(const BgpRouterSpec& spec);
[[nodiscard]] std::vector<ErrorDetail> check(const BgpPeerSpec& spec);
[[nodiscard]] std::vector<ErrorDetail> check(const PolicyMapSpec& spec);
// And with all of a domain's, what is wrong between them included. Targets begin with the resource:
// "/bgpPeers/site1/policyMapIn".
[[nodiscard]] std::vector<ErrorDetail> check(const BgpDomainSpec& spec);

}  // namespace hnv
