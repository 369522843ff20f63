// SPDX-License-Identifier: Apache-2.0
//
// The inside of compile.h, shared by its source files: one compilation under way.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gateway/compile.h"

namespace hnv {

// What differs inside a domain.
struct TouchedInDomain {
  std::vector<std::string> routes;  // customer routes, by id
  std::vector<const TouchedRecord*> records;
  bool nat = false;
  bool tunnels = false;                                // some are up or down now
  bool bgp = false;                                    // what is asked of it
  const std::vector<LearnedRoute>* learned = nullptr;  // or what it says
};

class Compiler {
 public:
  Compiler(const std::shared_ptr<const Compiled>& before, const DesiredState& old_model,
           const DesiredState& new_model, const CompileContext& context, NextHops& next_hops,
           Instant now)
      : before_(*before),
        old_(old_model),
        new_(new_model),
        context_(context),
        next_hops_(next_hops),
        now_(now),
        next_(*before),
        resting_tunnels_(before->ipsec->resting),
        tunnel_count_(before->ipsec->count) {}

  [[nodiscard]] Compilation run(const std::vector<Touched>& touched);
  [[nodiscard]] Compilation turn(const TurnedTunnels& turned);
  [[nodiscard]] Compilation learn(const LearnedRoutes& learned);

  // --- for DomainCompiler ---
  [[nodiscard]] const DesiredState& old_model() const { return old_; }
  [[nodiscard]] const DesiredState& new_model() const { return new_; }
  [[nodiscard]] const CompileContext& context() const { return context_; }
  [[nodiscard]] Compilation& out() { return out_; }
  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] LinkId link_of(const std::string& name);
  void give_up_link(const std::string& name);
  [[nodiscard]] AttachmentId attachment_at(const std::string& port, VlanId vlan) const;
  NextHopId acquire(LinkId link, const LinkAddress& address);
  void release(NextHopId id) { out_.released.push_back(id); }
  // A number for a tunnel that has none yet.
  [[nodiscard]] TunnelId new_tunnel();
  [[nodiscard]] bool is_up(TunnelId tunnel) const;
  [[nodiscard]] bool has_failed(NextHopId id) const { return next_hops_.has_failed(id); }
  void pause() {
    if (context_.pause) context_.pause(out_.actions);
  }

 private:
  void compile_networks();
  template <class Spec>
  [[nodiscard]] OutLink network_link(const std::string& name, const Spec& spec);
  void add_network_links();
  void compile_attachments();
  void compile_l3_table();
  void compile_vsids();
  void compile_outside();
  [[nodiscard]] OutsideNetwork outside_network(const ExternalNetworkModel& model,
                                               std::vector<NextHopId>& routers);
  void compile_nat();
  [[nodiscard]] bool nat_tables_differ() const;
  void compile_ipsec();
  void compile_tunnels_of(const std::string& domain, CompiledIpsec& next);
  [[nodiscard]] std::shared_ptr<const TunnelView> tunnel_view(const std::string& domain,
                                                              const CompiledDomain& compiled,
                                                              const ConnectionModel& model) const;
  void compile_vpn_addresses(CompiledIpsec& next) const;
  void compile_domain(const std::string& name, bool structural, const TouchedInDomain& touched);
  void remove_domain(const std::string& name);
  void sort_out(const std::vector<Touched>& touched);

  const Compiled& before_;
  const DesiredState& old_;
  const DesiredState& new_;
  const CompileContext& context_;
  NextHops& next_hops_;
  Instant now_;
  Compiled next_;
  Compilation out_;

  bool networks_touched_ = false;
  bool connections_touched_ = false;
  bool vsids_touched_ = false;
  bool nat_touched_ = false;
  bool pools_touched_ = false;
  bool outside_touched_ = false;  // external networks
  std::set<std::string> nat_of_;  // domains whose rules are made anew
  std::deque<std::pair<TunnelId, Instant>> resting_tunnels_;
  uint32_t tunnel_count_;
  const TurnedTunnels* turned_ = nullptr;
  std::set<std::string> structural_;
  std::map<std::string, TouchedInDomain> inside_;
};

[[nodiscard]] std::string provider_link_name(const std::string& network);
[[nodiscard]] std::string external_link_name(const std::string& network);
[[nodiscard]] std::string connection_link_name(const std::string& domain,
                                               const std::string& connection);

// One domain: its view, made from the one before and what differs.
class DomainCompiler {
 public:
  DomainCompiler(Compiler& compiler, const std::string& name, const CompiledDomain* before,
                 CompartmentId id);

  // Subnets and connections, with the routes that they offer.
  void structure();
  // These customer routes, and what structure() has to say of routes; it goes first.
  void routes(const TouchedInDomain& touched);
  void record(const TouchedRecord& touched);
  // What BGP is asked for, once the interfaces are made.
  void bgp();
  [[nodiscard]] std::shared_ptr<const CompiledDomain> finish();

 private:
  void number_children();
  void subnets();
  void connections();
  void own_addresses();
  void wildcards_and_l2();
  void put_record(const SubnetModel& subnet, const IpAddress<Space::customer>& ca,
                  const LookupRecord& record);
  void erase_record(const IpAddress<Space::customer>& ca, SubnetId subnet);
  void reput_records_of(const SubnetModel& subnet);
  [[nodiscard]] CustomerRecord filled(const SubnetModel& subnet, const LookupRecord& record);
  static void outer_header(const IpAddress<Space::provider>& own, SubnetView& view);
  [[nodiscard]] SubnetView subnet_view(const SubnetModel& subnet) const;
  [[nodiscard]] static AdvertisedSubnet advertised(const SubnetModel& subnet, uint16_t mtu);
  [[nodiscard]] ConnectionView connection_view(const ConnectionModel& connection);
  [[nodiscard]] ConnectionView tunnel_view(const ConnectionModel& connection,
                                           const ConnectionView* before);
  [[nodiscard]] bool leads_somewhere(const TunnelHop& hop) const;
  [[nodiscard]] std::shared_ptr<const OutLink> connection_link(const ConnectionModel& connection,
                                                               const ConnectionView& view) const;
  using Prefixes = std::set<Prefix<Space::customer>>;
  [[nodiscard]] std::vector<RouteCandidate> interface_candidates() const;
  void offer_connection(const ConnectionModel& connection, ConnectionId id,
                        std::vector<RouteCandidate>& out) const;
  void offer_interfaces(RouteTable& table, Prefixes& touched);
  void offer_nat(RouteTable& table, Prefixes& touched);
  void offer_routes(const std::vector<std::string>& ids, RouteTable& table, Prefixes& touched);
  void offer_learned(const std::vector<LearnedRoute>& learned, RouteTable& table,
                     Prefixes& touched);
  [[nodiscard]] std::vector<std::string> rerouted() const;
  template <class Route>
  [[nodiscard]] RoutesIn<Route> routes_in(const RouteTable& table);
  void on_link_candidates(const Prefix<Space::customer>& prefix, const RouteHop& hop,
                          std::vector<RouteCandidate>& out) const;
  [[nodiscard]] RouteCandidate customer_route(const CustomerRouteModel& route, RouteOrigin origin);
  [[nodiscard]] RouteOrigin origin_of(const std::string& id);
  void fibs(RouteTable& table);
  void change_fibs(const RouteTable& before, RouteTable& after, const Prefixes& touched);
  void judge_tunnels(RouteTable& table, HopTable::Editor& hops) const;
  [[nodiscard]] HopTable::Editor edit_hops(HopTable base, RouteTable& table);
  [[nodiscard]] Hop hop_of(const RouteHop& hop);

  Compiler& compiler_;
  const std::string& name_;
  const CompiledDomain* before_;
  const DomainModel& model_;
  std::shared_ptr<CompartmentView> view_;
  CompiledDomain next_;
  CustomerMap::Editor records_;
  std::vector<MovedRecord> moved_;  // in this compilation
  bool structural_ = false;
  bool tunnels_turned_ = false;
  bool records_touched_ = false;
  bool children_touched_ = false;  // a wildcard or L2Only record
};

}  // namespace hnv
