// SPDX-License-Identifier: Apache-2.0
//
// Routes that BGP brings, in the tables that workers read, and what of the configuration BGP is
// told. Over two tenants with the same addresses.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "compartments/terminated.h"
#include "tests/support/dataplane_facts.h"
#include "tests/support/twin_tenants.h"

namespace hnv {
namespace {

using Ca = IpAddress<Space::customer>;
using CaPrefix = Prefix<Space::customer>;

#define CONTOSO "routingDomains/contoso"

CaPrefix prefix(const char* text) { return CaPrefix::parse(text).value(); }

LearnedRoute learned(const char* to, const std::vector<const char*>& next_hops,
                     RouteSource source = RouteSource::ebgp) {
  LearnedRoute out{.prefix = prefix(to), .source = source};
  for (const char* via : next_hops) out.next_hops.push_back(Ca::parse(via).value());
  return out;
}
LearnedRoute withdrawn(const char* to) { return {.prefix = prefix(to), .withdrawn = true}; }

class CompileBgp : public testing::Test {
 protected:
  CompileBgp() {
    network_.change(twin_requests());
    network_.answer_all();
  }
  void learn(std::vector<LearnedRoute> routes) {
    LearnedRoutes all;
    all["contoso"] = std::move(routes);
    network_.learn(all);
    network_.answer_all();
  }
  [[nodiscard]] const CompiledDomain& contoso() const {
    return **network_.compiled().domains.find("contoso");
  }
  [[nodiscard]] const RouteTable& table() const { return *contoso().routes; }
  // Where packets to the address go, as the FIB says.
  [[nodiscard]] Hop hop(const char* to) const {
    const CompartmentView& view = *contoso().view;
    return view.hop(view.fib_owner->lookup(Ca::parse(to).value().v4().value()));
  }
  TestDataplane network_{twin_ports()};
};

// 192.168.7.254 is the router of contoso's connection "private".
TEST_F(CompileBgp, LeadsPacketsWhereTheNextHopIs) {
  const auto before = facts(network_);
  learn({learned("172.23.0.0/16", {"192.168.7.254"})});
  EXPECT_EQ(hop("172.23.0.9").kind, HopKind::connection_via);
  const RouteCandidate* best = table().best(prefix("172.23.0.0/16"));
  ASSERT_NE(best, nullptr);
  EXPECT_EQ(best->source, RouteSource::ebgp);
  learn({withdrawn("172.23.0.0/16")});
  EXPECT_EQ(table().best(prefix("172.23.0.0/16")), nullptr);
  EXPECT_EQ(difference(before, facts(network_)), "") << "as if nothing had been";
}

TEST_F(CompileBgp, SharesTheLoadOfSeveralNextHops) {
  learn({learned("172.23.0.0/16", {"192.168.7.254", "192.168.7.253"})});
  EXPECT_EQ(table().choice(prefix("172.23.0.0/16"))->ways.first.size(), 2U);
  learn({learned("172.23.0.0/16", {"192.168.7.253"})});
  EXPECT_EQ(table().choice(prefix("172.23.0.0/16"))->ways.first.size(), 1U);
  EXPECT_EQ(table().explain(prefix("172.23.0.0/16")).size(), 1U) << "the other one is gone";
  learn({learned("172.23.0.0/16", {})});
  EXPECT_EQ(hop("172.23.0.9").kind, HopKind::unreachable) << "an aggregate";
}

TEST_F(CompileBgp, IsWeighedAgainstOtherSources) {
  learn({learned("172.23.0.0/16", {"192.168.7.254"})});
  learn({learned("172.23.0.0/16", {"192.168.7.253"}, RouteSource::ibgp)});
  const auto all = table().explain(prefix("172.23.0.0/16"));
  ASSERT_EQ(all.size(), 1U) << "bgpd has chosen: one offer a prefix";
  EXPECT_EQ(all[0].preference, 200U);
  network_.change({{CONTOSO "/customerRoutes/own",
                    R"({"destinationPrefix":"172.23.0.0/16","nextHop":"10.0.1.12"})"}});
  EXPECT_EQ(table().best(prefix("172.23.0.0/16"))->source, RouteSource::static_route);
  EXPECT_EQ(hop("172.23.0.9").kind, HopKind::subnet_via);
  network_.change({{CONTOSO "/customerRoutes/own", ""}});
  EXPECT_EQ(table().best(prefix("172.23.0.0/16"))->source, RouteSource::ibgp);
  EXPECT_EQ(hop("172.23.0.9").kind, HopKind::connection_via);
}

TEST_F(CompileBgp, StaysWhateverElseChanges) {
  learn({learned("172.23.0.0/16", {"192.168.7.254"})});
  network_.change({{CONTOSO "/virtualSubnets/new",
                    R"({"virtualSubnetId":5900,"addressPrefixes":["10.0.9.0/24"],
                        "providerNetwork":"fabric"})"}});
  EXPECT_EQ(hop("172.23.0.9").kind, HopKind::connection_via) << "a structural change";
  network_.change({{CONTOSO, R"({"routePreferences":{"static":20}})"}});
  EXPECT_EQ(hop("172.23.0.9").kind, HopKind::connection_via) << "all weighed anew";
  network_.change({{CONTOSO "/customerRoutes/far",
                    R"({"destinationPrefix":"172.23.0.0/16","nextHop":"10.0.1.12"})"}});
  EXPECT_EQ(hop("172.23.0.9").kind, HopKind::connection_via) << "15 beats 20";
}

// A tenant may say what it likes of itself: it is nobody else's, and not the gateway's.
TEST_F(CompileBgp, HarmsNobodyElse) {
  const auto fabrikam = facts_of(network_, "fabrikam");
  learn({learned("0.0.0.0/0", {"192.168.7.254"}), learned("10.0.0.0/8", {"192.168.7.254"}),
         learned("10.0.2.1/32", {"192.168.7.254"}), learned("10.250.0.1/32", {"192.168.7.254"}),
         learned("172.24.0.0/16", {"10.99.0.1"}), learned("172.25.0.1/32", {"172.25.0.1"})});
  EXPECT_EQ(difference(fabrikam, facts_of(network_, "fabrikam")), "");
  EXPECT_EQ(hop("10.0.2.1").kind, HopKind::local) << "still the gateway's own";
  EXPECT_EQ(hop("172.25.0.1").kind, HopKind::unreachable) << "its next hop leads back to it";
  LearnedRoutes nobody;
  nobody["northwind"] = {learned("10.0.0.0/8", {"10.0.0.1"})};
  const auto before = facts(network_);
  network_.learn(nobody);
  EXPECT_EQ(difference(before, facts(network_)), "") << "a domain that is not there";
}

TEST_F(CompileBgp, IsToldItsDomainsAddresses) {
  EXPECT_EQ(contoso().bgp, nullptr);
  network_.change(
      {{CONTOSO "/bgpRouter", R"({"asNumber":65001,"routerId":"10.0.0.2"})"},
       {CONTOSO "/bgpPeers/site", R"({"peerIpAddress":"192.168.7.254","asNumber":65010})"}});
  const auto told = contoso().bgp;
  ASSERT_NE(told, nullptr);
  EXPECT_EQ(told->spec.router.as_number, 65'001U);
  EXPECT_TRUE(told->spec.peers.contains("site"));
  const auto has = [](const CompiledBgp& bgp, const char* own) {
    const auto wanted = InterfaceAddress<Space::customer>::parse(own).value();
    return std::find(bgp.addresses.begin(), bgp.addresses.end(), wanted) != bgp.addresses.end();
  };
  EXPECT_TRUE(has(*told, "192.168.7.1/24")) << "of a connection";
  EXPECT_TRUE(has(*told, "10.0.2.1/24")) << "of a virtual subnet";
  const auto terminated = contoso().view->terminated;
  ASSERT_NE(terminated, nullptr);
  EXPECT_EQ(terminated->peers().at(0).peer.to_string(), "192.168.7.254");
  EXPECT_EQ(terminated->peers().size(), 1U);
  EXPECT_LE(told->mtu, 1400) << "of the smallest interface";
  network_.change({{CONTOSO "/customerRoutes/x",
                    R"({"destinationPrefix":"172.29.0.0/16","nextHop":"10.0.1.12"})"}});
  EXPECT_EQ(contoso().bgp, told) << "nothing differs for BGP";
  EXPECT_EQ(contoso().view->terminated, terminated);
  network_.change({{CONTOSO "/virtualSubnets/new",
                    R"({"virtualSubnetId":5900,"addressPrefixes":["10.0.9.0/24"],"kind":"gateway",
                        "providerNetwork":"fabric"})"}});
  EXPECT_NE(contoso().bgp, told);
  EXPECT_TRUE(has(*contoso().bgp, "10.0.9.2/24"));
  network_.change({{CONTOSO "/bgpPeers/site",
                    R"({"peerIpAddress":"192.168.7.254","asNumber":65010,"ttlSecurity":1,
            "localIPAddress":"192.168.7.1"})"}});
  const TerminatedPeer guarded = contoso().view->terminated->peers().at(0);
  EXPECT_EQ(guarded.min_ttl, 255) << "RFC 5082: one hop away";
  EXPECT_EQ(guarded.own->to_string(), "192.168.7.1");
  network_.change(
      {{CONTOSO "/bgpPeers/site",
        R"({"peerIpAddress":"192.168.7.254","asNumber":65010,"adminStatus":"disabled"})"}});
  EXPECT_EQ(contoso().view->terminated, nullptr) << "nobody may speak";
  network_.change({{CONTOSO "/bgpPeers/site", ""}, {CONTOSO "/bgpRouter", ""}});
  EXPECT_EQ(contoso().bgp, nullptr);
}

TEST_F(CompileBgp, LetsBfdInOfPeersThatHaveIt) {
  network_.change(
      {{CONTOSO "/bgpRouter", R"({"asNumber":65001,"routerId":"10.0.0.2"})"},
       {CONTOSO "/bgpPeers/site",
        R"({"peerIpAddress":"192.168.7.254","asNumber":65010,"bfd":{},"ttlSecurity":1})"},
       {CONTOSO "/bgpPeers/far", R"({"peerIpAddress":"10.99.0.1","asNumber":65011})"}});
  const auto site = Ca::parse("192.168.7.254").value();
  std::vector<TerminatedService> services;
  for (const TerminatedPeer& one : contoso().view->terminated->peers()) {
    if (one.peer != site) continue;
    services.push_back(one.service);
    EXPECT_EQ(one.min_ttl, one.service == TerminatedService::bgp ? 255 : 0);
  }
  EXPECT_EQ(services, (std::vector{TerminatedService::bgp, TerminatedService::bfd_single_hop,
                                   TerminatedService::bfd_multihop}));
  EXPECT_EQ(contoso().view->terminated->peers().size(), 4U);
}

}  // namespace
}  // namespace hnv
