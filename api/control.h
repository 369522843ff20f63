// SPDX-License-Identifier: Apache-2.0
//
// What the API asks of the gateway: change the desired state, read it, read the run-time state.
// `gateway` implements it (gateway/control_loop.h). Every function may be called from any thread of
// the http pool and blocks until answered; none is called on the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "api/state.h"
#include "bgp/bgp_spec.h"
#include "compartments/result.h"
#include "compartments/spec.h"
#include "nat/nat_spec.h"
#include "vpn/connection_spec.h"

namespace hnv {

// Names of resources: 1..64 characters of [A-Za-z0-9._-], beginning with a letter or digit. The API
// checks them before it builds a key.
[[nodiscard]] bool valid_resource_name(std::string_view name);

struct ProviderNetworkKey {
  std::string name;
  friend auto operator<=>(const ProviderNetworkKey&, const ProviderNetworkKey&) = default;
};
struct ExternalNetworkKey {
  std::string name;
  friend auto operator<=>(const ExternalNetworkKey&, const ExternalNetworkKey&) = default;
};
struct RoutingDomainKey {
  std::string domain;
  friend auto operator<=>(const RoutingDomainKey&, const RoutingDomainKey&) = default;
};
struct VirtualSubnetKey {
  std::string domain, name;
  friend auto operator<=>(const VirtualSubnetKey&, const VirtualSubnetKey&) = default;
};
struct LookupRecordKey {
  std::string domain, subnet;
  RecordId id;
  friend auto operator<=>(const LookupRecordKey&, const LookupRecordKey&) = default;
};
struct CustomerRouteKey {
  std::string domain, id;
  friend auto operator<=>(const CustomerRouteKey&, const CustomerRouteKey&) = default;
};
struct NetworkConnectionKey {
  std::string domain, name;
  friend auto operator<=>(const NetworkConnectionKey&, const NetworkConnectionKey&) = default;
};
struct PublicAddressPoolKey {
  std::string name;
  friend auto operator<=>(const PublicAddressPoolKey&, const PublicAddressPoolKey&) = default;
};
struct NatKey {  // a domain has one at most: there is no collection
  std::string domain;
  friend auto operator<=>(const NatKey&, const NatKey&) = default;
};

struct BgpRouterKey {  // likewise
  std::string domain;
  friend auto operator<=>(const BgpRouterKey&, const BgpRouterKey&) = default;
};
struct PolicyMapKey {
  std::string domain, name;
  friend auto operator<=>(const PolicyMapKey&, const PolicyMapKey&) = default;
};
struct BgpPeerKey {
  std::string domain, name;
  friend auto operator<=>(const BgpPeerKey&, const BgpPeerKey&) = default;
};
struct BgpCustomRoutesKey {  // a domain has one list at most
  std::string domain;
  friend auto operator<=>(const BgpCustomRoutesKey&, const BgpCustomRoutesKey&) = default;
};
struct BgpAggregatesKey {  // likewise
  std::string domain;
  friend auto operator<=>(const BgpAggregatesKey&, const BgpAggregatesKey&) = default;
};

using ResourceKey = std::variant<ProviderNetworkKey, ExternalNetworkKey, RoutingDomainKey,
                                 VirtualSubnetKey, LookupRecordKey, CustomerRouteKey,
                                 NetworkConnectionKey, PublicAddressPoolKey, NatKey, BgpRouterKey,
                                 PolicyMapKey, BgpPeerKey, BgpCustomRoutesKey, BgpAggregatesKey>;
// The alternatives stand in the order of ResourceKey's.
using ResourceSpec =
    std::variant<ProviderNetworkSpec, ExternalNetworkSpec, RoutingDomainSpec, VirtualSubnetSpec,
                 LookupRecordSpec, CustomerRouteSpec, NetworkConnectionSpec, PublicAddressPoolSpec,
                 NatSpec, BgpRouterSpec, PolicyMapSpec, BgpPeerSpec, BgpCustomRoutesSpec,
                 BgpAggregatesSpec>;

// "/v1/routingDomains/contoso/virtualSubnets/web", as in URLs, errors and the store.
[[nodiscard]] std::string resource_path(const ResourceKey& key);
// The reverse; nullopt for what is not a path of a single resource.
[[nodiscard]] std::optional<ResourceKey> parse_resource_path(std::string_view path);

// The collection that a path without its last segment names. Lists come in the order of keys.
enum class Collection : uint8_t {
  provider_networks,
  external_networks,
  routing_domains,
  virtual_subnets,
  lookup_records,
  customer_routes,
  network_connections,
  public_address_pools,
  policy_maps,
  bgp_peers,
};
struct CollectionKey {
  Collection collection = Collection::provider_networks;
  std::string domain;  // where the collection lies inside a domain
  std::string subnet;  // lookup_records
};

struct Resource {
  ResourceKey key;
  ResourceSpec spec;  // complete: with what the server chose
  uint64_t etag = 0;  // the generation that last changed it; shown as "17" in quotes
};

// If-Match and If-None-Match, already parsed.
struct Precondition {
  std::optional<std::vector<uint64_t>> if_match;       // any of these; empty list: matches nothing
  bool if_match_any = false;                           // If-Match: * (must exist)
  std::optional<std::vector<uint64_t>> if_none_match;  // none of these
  bool if_none_match_any = false;                      // If-None-Match: * (must not exist)
};

struct Put {
  ResourceKey key;
  ResourceSpec spec;
  Precondition precondition;
};
struct Delete {
  ResourceKey key;
  Precondition precondition;
};
// PUT of a whole collection of lookup records: what is not in `records` goes.
struct ReplaceRecords {
  CollectionKey subnet;
  std::vector<std::pair<RecordId, LookupRecordSpec>> records;
};
using Operation = std::variant<Put, Delete, ReplaceRecords>;

// One transaction: all or nothing, durable before the answer, one publish. Errors of operation i
// carry `operation = i`; their target is a resource path or a pointer into that operation's body.
struct Change {
  std::vector<Operation> operations;
};

struct ChangeError {
  Error error;
  size_t operation = 0;
};

enum class Outcome : uint8_t { created, replaced, deleted, already_absent };

struct Applied {
  struct Item {
    Outcome outcome = Outcome::created;
    std::optional<Resource> resource;  // after a Put
  };
  uint64_t generation = 0;
  std::vector<Item> items;  // one per operation; ReplaceRecords has outcome replaced
};

// An immutable picture of the desired state at one generation. Any thread; cheap to hold.
class ConfigSnapshot {
 public:
  ConfigSnapshot() = default;
  ConfigSnapshot(const ConfigSnapshot&) = delete;
  ConfigSnapshot& operator=(const ConfigSnapshot&) = delete;
  ConfigSnapshot(ConfigSnapshot&&) = delete;
  ConfigSnapshot& operator=(ConfigSnapshot&&) = delete;
  virtual ~ConfigSnapshot() = default;

  [[nodiscard]] virtual uint64_t generation() const = 0;
  [[nodiscard]] virtual std::optional<Resource> find(const ResourceKey& key) const = 0;
  // Up to `limit` resources whose last path segment comes after `after` in the collection's order
  // (names bytewise; records by RecordId). An empty `after` begins at the start. nullopt when the
  // domain or subnet does not exist. `after` need not exist.
  [[nodiscard]] virtual std::optional<std::vector<Resource>> list(const CollectionKey& collection,
                                                                  std::string_view after,
                                                                  size_t limit) const = 0;
  [[nodiscard]] virtual std::optional<size_t> count(const CollectionKey& collection) const = 0;
};

enum class TunnelAction : uint8_t { connect, disconnect, rekey };

class Control {
 public:
  Control() = default;
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;
  Control(Control&&) = delete;
  Control& operator=(Control&&) = delete;
  virtual ~Control() = default;

  // Durable and live in the dataplane when it returns; on an error nothing has changed.
  [[nodiscard]] virtual tl::expected<Applied, ChangeError> apply(Change change) = 0;
  [[nodiscard]] virtual std::shared_ptr<const ConfigSnapshot> config() const = 0;

  // Run-time state. The domain's functions give nullopt for a domain that does not exist.
  [[nodiscard]] virtual SystemState system() const = 0;
  [[nodiscard]] virtual std::vector<PortState> ports() const = 0;
  [[nodiscard]] virtual StatisticsState statistics() const = 0;
  [[nodiscard]] virtual DropsState drops() const = 0;
  [[nodiscard]] virtual std::optional<RouteTableState> routes(std::string_view domain,
                                                              const RoutePage& page) const = 0;
  [[nodiscard]] virtual std::optional<NeighborTable> neighbors(std::string_view domain,
                                                               const NeighborPage& page) const = 0;
  // The fabric's and external networks' neighbours.
  [[nodiscard]] virtual NeighborTable outside_neighbors(const NeighborPage& page) const = 0;
  [[nodiscard]] virtual std::optional<DomainStatistics> domain_statistics(
      std::string_view domain) const = 0;
  [[nodiscard]] virtual std::vector<DomainStatistics> all_domain_statistics() const = 0;
  // How a resource fares in the dataplane; nullopt where it has no run-time state.
  [[nodiscard]] virtual std::optional<ConfigurationState> configuration_state(
      const ResourceKey& key) const = 0;
  [[nodiscard]] virtual std::optional<ConnectionState> connection_state(
      const NetworkConnectionKey& key) const = 0;
  // nullopt: no such peer.
  [[nodiscard]] virtual std::optional<BgpPeerStatus> bgp_peer_state(
      const BgpPeerKey& key) const = 0;
  // A page of what bgpd has of a domain (`advertised` needs a peer); waits for bgpd. not_found: no
  // such domain, or no BGP router in it. unfit: no such peer. limit_reached: more than can be
  // listed. unavailable: bgpd does not work, or is too slow.
  [[nodiscard]] virtual Result<BgpRouteList> bgp_routes(std::string_view domain,
                                                        const BgpRouteQuestion& question) const = 0;
  // What an operator does to a tunnel by hand. The error: no such connection (not_found), not of
  // type IPSec or disabled (unfit), or IPsec is off (unavailable).
  [[nodiscard]] virtual Result<void> act_on_tunnel(const NetworkConnectionKey& key,
                                                   TunnelAction action) = 0;
  // Why a tunnel is not up. The errors are those of act_on_tunnel, but a disabled one has an
  // answer.
  [[nodiscard]] virtual Result<TunnelDoctorState> tunnel_doctor(
      const NetworkConnectionKey& key) const = 0;
  // IKE's faults that belong to no tunnel, the youngest first; at most 64.
  [[nodiscard]] virtual std::vector<IkeFaultState> ike_faults() const = 0;
  // Why a packet to `destination` in this domain goes where it goes: the route, the record, the
  // next hop. The answer of `hnvctl lookup`.
  [[nodiscard]] virtual Result<LookupExplanation> explain(
      std::string_view domain, const IpAddress<Space::customer>& destination) const = 0;

  // Sessions in an order of their own that stays while they live; those that begin or end between
  // two pages may be in either or in none. not_found: no such domain, or no NAT in it.
  // invalid_value: the page's cursor is none of ours. unavailable: nobody can say just now.
  [[nodiscard]] virtual Result<NatSessionList> nat_sessions(std::string_view domain,
                                                            const NatSessionFilter& filter,
                                                            const NatSessionPage& page) const = 0;
  // Ends every session that fits, and says how many those were. An empty filter fits all.
  [[nodiscard]] virtual Result<uint64_t> end_nat_sessions(std::string_view domain,
                                                          const NatSessionFilter& filter) = 0;
  // nullopt: no such domain or pool, no NAT in the domain, or nothing known of it.
  [[nodiscard]] virtual std::optional<NatDomainState> nat_state(std::string_view domain) const = 0;
  [[nodiscard]] virtual std::optional<NatPoolState> nat_pool_state(std::string_view name) const = 0;

  // The packet trace: one filter at a time; nullopt switches it off.
  virtual Result<void> set_trace(std::optional<TraceFilter> filter) = 0;
  [[nodiscard]] virtual TraceState trace() const = 0;
};

}  // namespace hnv
