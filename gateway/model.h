// SPDX-License-Identifier: Apache-2.0
//
// The desired state: everything that operators asked for, at one generation, immutable.
//
//   DesiredState ─┬─ provider networks, external networks           by name
//                 ├─ public address pools                           by name
//                 ├─ domains ── subnets ── lookup records           by name, by RecordId
//                 │         ├── customer routes, connections        by name
//                 │         ├── NAT, BGP router and its routes      one
//                 │         └── BGP peers, policy maps              by name
//                 └─ indexes: VSID, routing domain GUID, (port, VLAN), users of a network, of a
//                    pool, of public addresses and ports
//
// Every level is shared between generations (CowMap and shared_ptr to const): a change copies the
// path from the root to what it touches, nothing else. The indexes are kept by the same path
// copies, so that `apply` (gateway/model_apply.cc) decides by lookups and never walks the model.
//
// Specs in here are complete and checked; nobody has to check them again. What the server derives
// from other resources (a subnet's gateway addresses and MTU) is kept apart from what was asked
// for, so that it follows when its source changes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "api/control.h"
#include "bgp/bgp_spec.h"
#include "compartments/cow_map.h"
#include "compartments/result.h"
#include "compartments/spec.h"
#include "nat/nat_spec.h"

namespace hnv {

// In every struct below, `etag` is the generation that last changed that resource itself (not what
// lies below it).

struct ProviderNetworkModel {
  std::string name;
  ProviderNetworkSpec spec;  // mtu absent: the port's
  uint16_t mtu = 0;          // the one that holds: largest IP packet on the fabric
  uint64_t etag = 0;
  // What a PA may be: own prefixes and routes' destinations, ascending, none inside another.
  std::vector<Prefix<Space::provider>> reachable;

  [[nodiscard]] bool reaches(const IpAddress<Space::provider>& pa) const;
  [[nodiscard]] bool owns(const IpAddress<Space::provider>& pa) const;  // one of providerAddresses
};

struct ExternalNetworkModel {
  std::string name;
  ExternalNetworkSpec spec;  // mtu absent: the port's
  uint16_t mtu = 0;          // the one that holds
  uint64_t etag = 0;
};

// One lookup record, compact: its key in the map below is the rest of it.
struct LookupRecord {
  IpAddress<Space::provider> provider_address;
  MacAddress mac_address;
  LookupRecordType type = LookupRecordType::static_record;
  uint64_t etag = 0;
  friend bool operator==(const LookupRecord&, const LookupRecord&) = default;
};
using LookupRecords = CowMap<RecordId, LookupRecord>;  // ordered: CAs ascending, wildcards, MACs

struct SubnetModel {
  std::string name;
  // virtual_subnet_id, mac_address and provider_address are always set. gateway_addresses and mtu
  // are set only when the operator gave them: use the members below and DesiredState::inner_mtu.
  VirtualSubnetSpec spec;
  std::vector<IpAddress<Space::customer>> gateway_addresses;  // the gateway's own; may be empty
  uint64_t etag = 0;
  LookupRecords records;

  [[nodiscard]] Vsid vsid() const { return *spec.virtual_subnet_id; }
  // The prefix of this subnet that holds `ca`, or nullptr.
  [[nodiscard]] const Prefix<Space::customer>* prefix_of(
      const IpAddress<Space::customer>& ca) const;
  [[nodiscard]] bool owns(const IpAddress<Space::customer>& ca) const;  // a gateway address
  [[nodiscard]] bool has_ipv6() const;                                  // an IPv6 prefix
  // It gives the gateway an address in the domain: kind gateway, or router gateway.
  [[nodiscard]] bool has_gateway() const {
    return spec.kind == SubnetKind::gateway || spec.router == SubnetRouter::gateway;
  }
};

struct CustomerRouteModel {
  CustomerRouteSpec spec;  // with next_hop, virtual_subnet is always set
  uint64_t etag = 0;
};

struct ConnectionModel {
  std::string name;
  NetworkConnectionSpec spec;  // of type L3: l3.mac_address is always set
  uint64_t etag = 0;
  // Of a tunnel: its number (charon's if_id), which no other has had since the process started;
  // and the external network that has its source address.
  uint32_t tunnel = 0;
  std::string network{};

  // The router that routes of this family lead through, or nullptr: the first of its family.
  [[nodiscard]] const IpAddress<Space::customer>* peer_of(Family family) const;
};

struct PublicAddressPoolModel {
  std::string name;
  PublicAddressPoolSpec spec;
  uint64_t etag = 0;
};

struct NatModel {
  NatSpec spec;
  uint64_t etag = 0;
};

template <class Spec>
struct BgpModel {
  Spec spec;
  uint64_t etag = 0;
  BgpModel(Spec asked, uint64_t changed) : spec(std::move(asked)), etag(changed) {}
};

// What a prefix that is on-link in a domain belongs to. Prefixes of a domain never overlap.
struct OnLink {
  Prefix<Space::customer> prefix;
  enum class Owner : uint8_t { subnet, connection } owner = Owner::subnet;
  std::string name;
  friend bool operator==(const OnLink&, const OnLink&) = default;
};

// Where a customer route goes: a next hop, or a connection's name. No two routes of a domain have
// the same prefix and the same `via`.
struct RouteVia {
  std::variant<IpAddress<Space::customer>, std::string> via;
  Prefix<Space::customer> prefix;
  friend auto operator<=>(const RouteVia&, const RouteVia&) = default;
};

// Key of an index: what inside a domain static mappings lead to. Protocol any has port 0.
struct InsidePort {
  IpAddress<Space::customer> address;
  NatProtocol protocol = NatProtocol::tcp;
  uint16_t port = 0;
  friend auto operator<=>(const InsidePort&, const InsidePort&) = default;
};

struct DomainModel {
  std::string name;
  RoutingDomainSpec spec;  // routing_domain_id is always set
  uint64_t etag = 0;
  CowMap<std::string, std::shared_ptr<const SubnetModel>> subnets;
  CowMap<std::string, std::shared_ptr<const CustomerRouteModel>> routes;
  CowMap<std::string, std::shared_ptr<const ConnectionModel>> connections;
  std::shared_ptr<const NatModel> nat;  // or nullptr
  // BGP. The router, or nullptr: then there is none of the others but policy maps.
  std::shared_ptr<const BgpModel<BgpRouterSpec>> bgp_router;
  CowMap<std::string, std::shared_ptr<const BgpModel<PolicyMapSpec>>> policy_maps;
  CowMap<std::string, std::shared_ptr<const BgpModel<BgpPeerSpec>>> bgp_peers;
  std::shared_ptr<const BgpModel<BgpCustomRoutesSpec>> bgp_custom_routes;  // or nullptr
  std::shared_ptr<const BgpModel<BgpAggregatesSpec>> bgp_aggregates;       // or nullptr

  CowMap<IpAddress<Space::customer>, OnLink> on_link;  // index, by the prefix's first address
  CowMap<RouteVia, std::string> routes_by_via;         // index: the route's id
  CowMap<InsidePort, std::string> mappings_by_inside;  // index: the static mapping's name
  size_t record_count = 0;                             // in all subnets
  size_t route_count = 0;      // customer routes, connections' routes, NAT's destinations
  size_t gateway_subnets = 0;  // subnets that has_gateway()

  [[nodiscard]] const SubnetModel* subnet(std::string_view subnet_name) const;
  [[nodiscard]] const CustomerRouteModel* route(std::string_view id) const;
  [[nodiscard]] const ConnectionModel* connection(std::string_view connection_name) const;
  // What holds `ca` on-link, or nullptr.
  [[nodiscard]] const OnLink* on_link_with(const IpAddress<Space::customer>& ca) const;
  // An on-link prefix that overlaps this one, or nullptr.
  [[nodiscard]] const OnLink* on_link_overlapping(const Prefix<Space::customer>& prefix) const;
  // The subnet or connection where `ca` is the gateway's own address; nullopt where it is not.
  [[nodiscard]] std::optional<ResourceKey> owner_of(const IpAddress<Space::customer>& ca) const;
};

// All that a domain's BGP is asked for; nothing without a router.
[[nodiscard]] std::optional<BgpDomainSpec> bgp_of(const DomainModel& domain);

struct PortVlan {
  std::string port;
  VlanId vlan_id;
  friend auto operator<=>(const PortVlan&, const PortVlan&) = default;
};
struct ProviderNetworkUse {  // key of an index: which subnets use a provider network
  std::string network;
  Vsid vsid;
  friend auto operator<=>(const ProviderNetworkUse&, const ProviderNetworkUse&) = default;
};
struct ExternalNetworkUse {  // key of an index: which connection has a MAC on a shared network
  std::string network;
  MacAddress mac_address;
  friend auto operator<=>(const ExternalNetworkUse&, const ExternalNetworkUse&) = default;
};

struct TunnelSource {  // key of an index: which tunnels have an own address of a network
  IpAddress<Space::external> address;
  std::string network;
  NetworkConnectionKey connection;
  friend auto operator<=>(const TunnelSource&, const TunnelSource&) = default;
};

struct NatNetworkUse {  // key of an index: which pools and NATs have addresses of a network
  std::string network;
  ResourceKey user;  // PublicAddressPoolKey, or NatKey for what its rules and mappings name
  friend auto operator<=>(const NatNetworkUse&, const NatNetworkUse&) = default;
};
struct PoolUse {  // key of an index: which domains' NATs use a pool
  std::string pool, domain;
  friend auto operator<=>(const PoolUse&, const PoolUse&) = default;
};
struct PoolOwner {  // key of an index: which pools only this domain may use
  std::string domain, pool;
  friend auto operator<=>(const PoolOwner&, const PoolOwner&) = default;
};
// Key of an index: ports `first` to `last` of every address of a prefix, which one pool, outbound
// rule or one-to-one mapping (ports 0 to 65535) has alone.
struct PublicPorts {
  Prefix<Space::external> prefix;
  uint16_t first = 0, last = 65535;
  friend auto operator<=>(const PublicPorts&, const PublicPorts&) = default;
};
struct PublicPortsUser {
  ResourceKey user;  // PublicAddressPoolKey or NatKey
  std::string name;  // of the rule or mapping in a NAT
  friend bool operator==(const PublicPortsUser&, const PublicPortsUser&) = default;
};
// Key of an index: what static mappings give to something inside. Protocol any has port 0.
struct PublicPort {
  IpAddress<Space::external> address;
  NatProtocol protocol = NatProtocol::tcp;
  uint16_t port = 0;
  friend auto operator<=>(const PublicPort&, const PublicPort&) = default;
};
struct MappingName {
  std::string domain, name;
  friend bool operator==(const MappingName&, const MappingName&) = default;
};

struct DesiredState {
  uint64_t generation = 0;
  CowMap<std::string, std::shared_ptr<const ProviderNetworkModel>> provider_networks;
  CowMap<std::string, std::shared_ptr<const ExternalNetworkModel>> external_networks;
  CowMap<std::string, std::shared_ptr<const PublicAddressPoolModel>> public_address_pools;
  CowMap<std::string, std::shared_ptr<const DomainModel>> domains;

  CowMap<Vsid, VirtualSubnetKey> subnets_by_vsid;
  CowMap<Guid, std::string> domains_by_id;
  // The one provider network, external network or private L3 connection there.
  CowMap<PortVlan, ResourceKey> users_of_ports;
  CowMap<ProviderNetworkUse, VirtualSubnetKey> subnets_by_provider_network;
  CowMap<ExternalNetworkUse, NetworkConnectionKey> connections_by_external_network;
  CowMap<TunnelSource, std::monostate> tunnels_by_source;
  TunnelIdentities tunnel_identities;
  uint32_t next_tunnel = 1;
  CowMap<NatNetworkUse, std::monostate> nat_by_external_network;
  CowMap<PoolUse, std::string> domains_by_pool;  // the first rule that names it
  CowMap<PoolOwner, std::monostate> pools_by_owner;
  CowMap<PublicPorts, PublicPortsUser> public_ports;  // no two overlap
  CowMap<PublicPort, MappingName> static_mappings;

  // nullptr where there is none.
  [[nodiscard]] const ProviderNetworkModel* provider_network(std::string_view name) const;
  [[nodiscard]] const ExternalNetworkModel* external_network(std::string_view name) const;
  [[nodiscard]] const DomainModel* domain(std::string_view name) const;
  [[nodiscard]] const SubnetModel* subnet(std::string_view domain, std::string_view name) const;
  [[nodiscard]] const PublicAddressPoolModel* public_address_pool(std::string_view name) const;
  [[nodiscard]] const NatModel* nat(std::string_view domain) const;
  // Something in `public_ports` that has an address and port of these, or nullptr.
  [[nodiscard]] const std::pair<PublicPorts, PublicPortsUser>* public_ports_overlapping(
      const PublicPorts& wanted) const;

  // The largest inner IP packet of a subnet: what was asked for, or its fabric's MTU minus the
  // encapsulation.
  [[nodiscard]] uint16_t inner_mtu(const SubnetModel& subnet) const;

  // The resource as the API shows it: complete. nullopt where there is none.
  [[nodiscard]] std::optional<Resource> resource(const ResourceKey& key) const;
  [[nodiscard]] std::optional<uint64_t> etag_of(const ResourceKey& key) const;
};

// RFC 7637 §3.2: what NVGRE adds to an inner IP packet: outer IP header, GRE header with key, inner
// Ethernet header.
[[nodiscard]] constexpr uint16_t nvgre_overhead(Family outer) {
  return outer == Family::ipv4 ? 20 + 8 + 14 : 40 + 8 + 14;
}

// One generation. Any thread may read it for as long as it likes.
class Model final : public ConfigSnapshot, public DesiredState {
 public:
  Model() = default;  // generation 0: nothing
  explicit Model(DesiredState state) : DesiredState(std::move(state)) {}

  [[nodiscard]] uint64_t generation() const override { return DesiredState::generation; }
  [[nodiscard]] std::optional<Resource> find(const ResourceKey& key) const override {
    return resource(key);
  }
  [[nodiscard]] std::optional<std::vector<Resource>> list(const CollectionKey& collection,
                                                          std::string_view after,
                                                          size_t limit) const override;
  [[nodiscard]] std::optional<size_t> count(const CollectionKey& collection) const override;
};
using ModelPtr = std::shared_ptr<const Model>;

// The ports of the bootstrap file: what networks can be attached to.
struct PortInfo {
  std::string name;
  uint16_t mtu = 1500;                    // largest IP packet
  std::optional<MacAddress> mac_address;  // no connection may take it for its own
};
using PortCatalog = std::vector<PortInfo>;

// What the server chooses where a body leaves it out. Replaced in tests to be predictable.
struct ServerChoices {
  std::function<Guid()> guid = &Guid::random;
  std::function<MacAddress()> mac_address = &MacAddress::random_local;  // of L3 connections
  MacAddress gateway_mac;  // of virtual subnets: one per gateway, kept in the store
};

struct Transition {
  ModelPtr next;  // `base` itself when the change changed nothing
  Applied applied;
};

// Called between any two steps of a long change, so that the control thread can look after others
// meanwhile. It sees nothing of the change and changes nothing of the models. May be empty.
using Pause = std::function<void()>;

// The model after a change, or why it cannot be. All or nothing; each operation sees what the
// earlier ones did. Pure but for `choices`. Errors: gateway/ARCHITECTURE.md, "The desired state".
// Cost: the operations' own, by index; replacing a provider network with one that reaches less also
// looks at the subnets and records on it, an external network that loses public addresses or a pool
// that loses ports or gets an owner at the NATs that use it.
[[nodiscard]] tl::expected<Transition, ChangeError> apply(const ModelPtr& base,
                                                          const Change& change,
                                                          const PortCatalog& ports,
                                                          const ServerChoices& choices,
                                                          const Pause& pause = {});

// The model that a store kept, with every check of `apply`. `resources` in any order. The error
// names the resource that does not fit, for the operator who starts the gateway.
[[nodiscard]] Result<ModelPtr> restore(uint64_t generation, const std::vector<Resource>& resources,
                                       const PortCatalog& ports, const ServerChoices& choices);

// What differs between two generations, at the finest grain that the dataplane can use. Each thing
// is named once.
struct TouchedProviderNetwork {
  // Its spec differs, or it came or went. Everything that depends on it (its subnets' MTU, their
  // records' next hops) is touched by implication: `subnets_by_provider_network` names it.
  std::string name;
  friend bool operator==(const TouchedProviderNetwork&, const TouchedProviderNetwork&) = default;
};
struct TouchedExternalNetwork {
  // Likewise, with `connections_by_external_network` and `nat_by_external_network`.
  std::string name;
  friend bool operator==(const TouchedExternalNetwork&, const TouchedExternalNetwork&) = default;
};
struct TouchedDomain {
  // The domain came or went, or its spec, a subnet's spec or a connection differs (or came, or
  // went). Routes and records are not covered: they have their own entries below, also those that
  // came or went with their domain or subnet.
  std::string name;
  friend bool operator==(const TouchedDomain&, const TouchedDomain&) = default;
};
struct TouchedRoute {
  // The customer route came, went or differs.
  std::string domain, id;
  friend bool operator==(const TouchedRoute&, const TouchedRoute&) = default;
};
struct TouchedRecord {
  // The record came, went or differs: look it up in the old and in the new model.
  std::string domain, subnet;
  RecordId id;
  friend bool operator==(const TouchedRecord&, const TouchedRecord&) = default;
};
struct TouchedPool {
  // The pool came, went or differs. The NATs that use it are touched by implication:
  // `domains_by_pool` names them.
  std::string name;
  friend bool operator==(const TouchedPool&, const TouchedPool&) = default;
};
struct TouchedNat {
  // The domain's NAT came, went or differs, its routes (destinationPrefixes, excludePrefixes) among
  // it; also when it came or went with its domain.
  std::string domain;
  friend bool operator==(const TouchedNat&, const TouchedNat&) = default;
};
struct TouchedBgp {
  // Something of the domain's BGP came, went or differs; also when it came or went with its domain.
  std::string domain;
  friend bool operator==(const TouchedBgp&, const TouchedBgp&) = default;
};
using Touched = std::variant<TouchedProviderNetwork, TouchedExternalNetwork, TouchedDomain,
                             TouchedRoute, TouchedRecord, TouchedPool, TouchedNat, TouchedBgp>;

// In this order: provider networks, external networks, pools, then domain by domain (itself first,
// then its NAT, its BGP, its routes, its records by subnet). Cost: that of what differs, not of
// what there is. The two need not be neighbouring generations.
[[nodiscard]] std::vector<Touched> differences(const DesiredState& before,
                                               const DesiredState& after, const Pause& pause = {});

}  // namespace hnv
