// SPDX-License-Identifier: Apache-2.0
//
// From the desired state to what the workers read. `compile` takes what was compiled before, the
// two models and their differences, and builds only what differs; everything else is shared. It
// changes nothing but the next hops' user counts, which it takes back when the change is not
// committed (Compiled::abandon), so that a failure at any arrow leaves the generation before
// untouched.
//
//   a lookup record   → one page of its domain's CustomerMap
//   a customer route  → one entry of its domain's route table and FIB
//   routes of BGP     → likewise, many at once, without a change of the model
//   a domain          → its CompartmentView: subnets, connections, and the routes that they offer
//   a network, or a subnet or connection that comes or goes → the tables of VSIDs, MACs,
//   attachments
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "bgp/bgp_spec.h"
#include "compartments/clock.h"
#include "compartments/cow_array.h"
#include "compartments/cow_map.h"
#include "compartments/route_table.h"
#include "compartments/router_advertisement.h"
#include "gateway/dataplane.h"
#include "gateway/hop_table.h"
#include "gateway/model.h"
#include "gateway/next_hops.h"
#include "nat/nat_plan.h"

namespace hnv {

// Which offer of a route: no two are the same in all of it.
struct RouteKey {
  Prefix<Space::customer> prefix;
  RouteSource source = RouteSource::local;
  RouteOrigin origin{};
  friend auto operator<=>(const RouteKey&, const RouteKey&) = default;
};

// What a virtual subnet's hosts are told by us as their router.
struct AdvertisedSubnet {
  std::string name;
  RouterAdvertisement advertisement;
  Duration interval{};  // the longest between two
  friend bool operator==(const AdvertisedSubnet&, const AdvertisedSubnet&) = default;
};

// What a domain asks of BGP, and what BGP needs to know of the domain.
struct CompiledBgp {
  BgpDomainSpec spec;
  std::vector<InterfaceAddress<Space::customer>> addresses;  // the gateway's own in the domain
  uint16_t mtu = 1500;  // that every interface of the domain carries
  friend bool operator==(const CompiledBgp&, const CompiledBgp&) = default;
};

// Control side of one domain's compiled form. Immutable, as everything below.
struct CompiledDomain {
  std::shared_ptr<const CompartmentView> view;
  std::map<std::string, SubnetId> subnets;
  std::map<std::string, ConnectionId> connections;
  CowMap<std::string, RouteOrigin> origins;  // of customer routes, by id
  uint32_t next_origin = 0;
  std::vector<RouteKey> of_nat;         // likewise, of NAT
  std::vector<RouteKey> of_interfaces;  // what subnets and connections offer, sorted
  std::vector<CaKey> own;               // own addresses in the view's records
  std::shared_ptr<const RouteTable> routes;
  HopTable hops;
  std::vector<VsidSpec> vsids;
  std::map<SubnetId, AdvertisedSubnet> advertised;
  std::shared_ptr<const CompiledBgp> bgp;  // null: it has none; the same while nothing differs
};

// External networks. They keep their numbers, those that are gone too: there are few.
struct CompiledOutside {
  std::shared_ptr<const OutsideNetworks> networks = std::make_shared<const OutsideNetworks>();
  std::map<std::string, OutsideNetworkId> ids;
  std::vector<NextHopId> next_hops;  // their routers
};

// Control side of the NatPlan: which number is whose. What is gone keeps its number, and rests in
// the plan, until every worker has ended what it had there (NatTable::swept).
struct CompiledNat {
  std::shared_ptr<const NatPlan> plan = NatPlan::nothing();
  std::map<std::string, NatPoolId> pools;                        // by NatPool::name
  std::map<std::pair<NatPoolId, uint32_t>, PortSpaceId> spaces;  // by pool and raw address
  uint32_t next_rules = 1, next_stamp = 1;
  std::vector<PortSpaceId> free_spaces;
  std::vector<NatPoolId> free_pools;
  // Since which plan they rest.
  std::vector<std::pair<PortSpaceId, uint64_t>> resting_spaces;
  std::vector<std::pair<NatPoolId, uint64_t>> resting_pools;
  std::vector<std::pair<CompartmentId, uint64_t>> resting_domains;  // their rules are disabled
  // Whether something has rested long enough, when that plan has been swept.
  [[nodiscard]] bool rests_until(uint64_t swept) const {
    const auto any = [swept](const auto& resting) {
      return std::any_of(resting.begin(), resting.end(),
                         [swept](const auto& one) { return one.second <= swept; });
    };
    return any(resting_spaces) || any(resting_pools) || any(resting_domains);
  }
};

// Control side of one tunnel.
struct CompiledTunnel {
  std::string domain, connection;
  std::shared_ptr<const ConnectionModel> model;
  bool up = false;  // its routes lead somewhere
  friend bool operator==(const CompiledTunnel&, const CompiledTunnel&) = default;
};

// Control side of the IpsecPlan. SAs are not in it: they come from IKE.
struct CompiledIpsec {
  uint64_t serial = 0;  // counts changes
  CowArray<std::shared_ptr<const TunnelView>> views;
  CowMap<TunnelId, CompiledTunnel> tunnels;
  VpnAddresses addresses;
  std::map<IpAddress<Space::external>, OutsideNetworkId> own;  // the addresses, and where they are
  // Numbers are used again long after the tunnel went: what IKE had under way by then has ended.
  std::deque<std::pair<TunnelId, Instant>> resting;
  uint32_t count = 0;  // ever in use at once
};
[[nodiscard]] std::shared_ptr<const IpsecPlan> plan_of(const CompiledIpsec& ipsec,
                                                       const SaTable& sas);

// A record that moved to another PA: until when the old one is accepted.
struct MovedUntil {
  Instant until;  // set when the change goes live
  std::string domain;
  uint64_t compartment_uid = 0;
  MovedRecord record;
};

struct Compiled {
  uint64_t generation = 0;
  CowMap<std::string, std::shared_ptr<const CompiledDomain>> domains;
  CowArray<std::shared_ptr<const CompartmentView>> compartments;
  std::vector<CompartmentId> free_compartments;
  std::shared_ptr<const VsidTable> vsids;
  std::shared_ptr<const L3Table> l3;
  std::shared_ptr<const AttachmentTable> attachments;
  std::shared_ptr<const CompiledOutside> outside = std::make_shared<const CompiledOutside>();
  std::shared_ptr<const CompiledNat> nat = std::make_shared<const CompiledNat>();
  std::shared_ptr<const CompiledIpsec> ipsec = std::make_shared<const CompiledIpsec>();
  std::map<PortVlan, AttachmentId> attachment_ids;
  std::map<std::string, LinkId> link_ids;        // by OutLink::name
  std::map<AttachmentId, LinkId> network_links;  // of provider and external networks
  std::vector<LinkId> free_links;
  uint32_t link_count = 0;  // ever in use at once
};

// What of it workers read, but for next hops and their links. SAs stay as they are.
void copy_tables(const Compiled& compiled, Dataplane& plane);

// What a compilation leaves to be done when it is committed, or undone when it is not.
struct Compilation {
  std::shared_ptr<const Compiled> next;
  std::vector<NextHopId> acquired;  // release these when it is abandoned
  std::vector<NextHopId> released;  // release these once it is published
  std::vector<std::shared_ptr<const OutLink>> new_links;
  std::vector<LinkId> gone_links;
  std::vector<MovedUntil> moved;
  std::vector<std::string> structural;  // domains whose subnets were compiled anew, or are gone
  Neighbors::Actions actions;  // requests to send: next hops resolve as soon as they are known
};

// What compile needs of the process.
struct CompileContext {
  struct PortFacts {
    PortId id{};
    wire::Mac mac{};
    uint16_t mtu = 1500;
  };
  std::map<std::string, PortFacts> ports;  // by name
  unsigned workers = 1;
  uint64_t* next_uid = nullptr;  // for compartments
  // Called between two steps of a long compilation, as gateway/model.h says of Pause. Takes over
  // what has to be asked of neighbours so far.
  std::function<void(Neighbors::Actions&)> pause{};
};

// REQUIRES models accepted by `apply`. Control thread.
[[nodiscard]] Compilation compile(const std::shared_ptr<const Compiled>& before,
                                  const DesiredState& old_model, const DesiredState& new_model,
                                  const std::vector<Touched>& touched,
                                  const CompileContext& context, NextHops& next_hops, Instant now);

// `before`, where these tunnels are up or down. REQUIRES the model that it is of.
using TurnedTunnels = std::map<TunnelId, bool>;  // whether it is up
[[nodiscard]] Compilation compile_turned(const std::shared_ptr<const Compiled>& before,
                                         const DesiredState& model, const TurnedTunnels& turned,
                                         const CompileContext& context, NextHops& next_hops,
                                         Instant now);

// What BGP chose for a prefix.
struct LearnedRoute {
  Prefix<Space::customer> prefix;
  bool withdrawn = false;  // then the rest means nothing
  RouteSource source = RouteSource::ebgp;
  // Found in the domain's table, at most kMaxSharing; none: packets are refused (an aggregate).
  std::vector<IpAddress<Space::customer>> next_hops{};
  uint32_t metric = 0;
};
// By domain, each prefix once. Domains that are not there are left out.
using LearnedRoutes = std::map<std::string, std::vector<LearnedRoute>>;
// `before`, with these routes in the domains' tables. REQUIRES the model that it is of.
[[nodiscard]] Compilation compile_learned(const std::shared_ptr<const Compiled>& before,
                                          const DesiredState& model, const LearnedRoutes& learned,
                                          const CompileContext& context, NextHops& next_hops,
                                          Instant now);

// The first one: nothing is configured.
[[nodiscard]] std::shared_ptr<const Compiled> compile_nothing(const CompileContext& context);

// `before`, where routes take those of these next hops that work now; the same when that changes
// nothing. Costs what the domains have of hops, however many routes lead there.
[[nodiscard]] std::shared_ptr<const Compiled> with_turned(
    const std::shared_ptr<const Compiled>& before, const std::vector<NextHopTarget>& turned,
    const NextHops& next_hops);

// `before`, where these domains have exactly those of `moved` that are theirs. What belongs to a
// domain that was removed since is left out.
[[nodiscard]] std::shared_ptr<const Compiled> with_moved(
    const std::shared_ptr<const Compiled>& before, const std::set<std::string>& domains,
    const std::deque<MovedUntil>& moved);

// `before`, without what has rested in NAT's plan since a plan that every worker has swept.
[[nodiscard]] std::shared_ptr<const Compiled> with_nat_swept(
    const std::shared_ptr<const Compiled>& before, uint64_t swept);

}  // namespace hnv
