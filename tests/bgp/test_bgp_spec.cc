// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "bgp/bgp_spec.h"

namespace hnv {
namespace {

IpAddress<Space::customer> address(const char* text) {
  return IpAddress<Space::customer>::parse(text).value();
}
Prefix<Space::customer> prefix(const char* text) {
  return Prefix<Space::customer>::parse(text).value();
}

BgpDomainSpec good() {
  BgpDomainSpec out;
  out.router.as_number = 4'200'000'001;
  out.router.router_id = address("10.0.0.1").v4();
  BgpPeerSpec& peer = out.peers["site"];
  peer.peer_ip_address = address("10.0.0.2");
  peer.as_number = 64'512;
  peer.policy_map_in = "in";
  PolicyMapEntrySpec entry;
  entry.sequence = 10;
  out.policy_maps["in"].policy_map_entry_list = {entry};
  return out;
}

struct Case {
  const char* target;  // where the one fault is
  std::function<void(BgpDomainSpec&)> spoil;
};

void spoil_all(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    BgpDomainSpec spec = good();
    c.spoil(spec);
    const auto faults = check(spec);
    ASSERT_EQ(faults.size(), 1U) << c.target;
    EXPECT_EQ(faults[0].target, c.target);
    EXPECT_FALSE(faults[0].message.empty());
  }
}

BgpPeerSpec& peer(BgpDomainSpec& spec) { return spec.peers["site"]; }
PolicyMapEntrySpec& entry(BgpDomainSpec& spec) {
  return spec.policy_maps["in"].policy_map_entry_list[0];
}

TEST(BgpSpec, AGoodOneHasNoFault) { EXPECT_TRUE(check(good()).empty()); }

TEST(BgpSpec, FaultsOfARouter) {
  spoil_all({
      {"/bgpRouter/asNumber", [](auto& s) { s.router.as_number = 0; }},
      {"/bgpRouter/asNumber", [](auto& s) { s.router.as_number = 23'456; }},
      {"/bgpRouter/asNumber", [](auto& s) { s.router.as_number = 0xffffffff; }},
      {"/bgpRouter/routerId", [](auto& s) { s.router.router_id = CaAddress(); }},
      {"/bgpRouter/holdTimeSeconds", [](auto& s) { s.router.hold_time_seconds = 2; }},
      {"/bgpRouter/ecmp", [](auto& s) { s.router.ecmp = 17; }},
      {"/bgpRouter/clusterId", [](auto& s) { s.router.cluster_id = CaAddress(); }},
      {"/bgpRouter/dampening/suppress",
       [](auto& s) {
         s.router.dampening = {15, 800, 700, 60};
       }},
      {"/bgpRouter/dampening/maxSuppressMinutes",
       [](auto& s) {
         s.router.dampening = {15, 750, 2'000, 10};
       }},
  });
}

TEST(BgpSpec, FaultsOfAPeer) {
  const auto secret = [](const std::string& text) { return SharedSecret(SecretBytes::of(text)); };
  spoil_all({
      {"/bgpPeers/site/peerIpAddress",
       [](auto& s) { peer(s).peer_ip_address = address("0.0.0.0"); }},
      {"/bgpPeers/site/peerIpAddress",
       [](auto& s) { peer(s).peer_ip_address = address("224.0.0.5"); }},
      {"/bgpPeers/site/peerIpAddress",
       [](auto& s) { peer(s).peer_ip_address = address("fe80::1"); }},
      {"/bgpPeers/site/asNumber", [](auto& s) { peer(s).as_number = 0; }},
      {"/bgpPeers/site/localIPAddress",
       [](auto& s) { peer(s).local_ip_address = address("fd00::1"); }},
      {"/bgpPeers/site/localIPAddress",
       [](auto& s) { peer(s).local_ip_address = address("10.0.0.2"); }},
      {"/bgpPeers/site/holdTimeSeconds", [](auto& s) { peer(s).hold_time_seconds = 0; }},
      {"/bgpPeers/site/maxAllowedPrefix", [](auto& s) { peer(s).max_allowed_prefix = 0; }},
      {"/bgpPeers/site/weight", [](auto& s) { peer(s).weight = 65'536; }},
      {"/bgpPeers/site/password", [&](auto& s) { peer(s).password = secret("two words"); }},
      {"/bgpPeers/site/password", [&](auto& s) { peer(s).password = secret("x\nno router bgp"); }},
      {"/bgpPeers/site/password",
       [&](auto& s) { peer(s).password = secret(std::string(81, 'x')); }},
      {"/bgpPeers/site/ttlSecurity", [](auto& s) { peer(s).ttl_security = 255; }},
      {"/bgpPeers/site/multihop", [](auto& s) { peer(s).multihop = 1; }},
      {"/bgpPeers/site/ttlSecurity", [](auto& s) { peer(s).ttl_security = peer(s).multihop = 2; }},
      {"/bgpPeers/site/bfd/multiplier",
       [](auto& s) {
         peer(s).bfd = {300, 300, 1};
       }},
      {"/bgpPeers/site/bfd/minReceiveMilliseconds",
       [](auto& s) {
         peer(s).bfd = {10, 300, 3};
       }},
  });
}

TEST(BgpSpec, FaultsBetweenResources) {
  spoil_all({
      {"/bgpPeers/site/policyMapOut", [](auto& s) { peer(s).policy_map_out = "none"; }},
      {"/bgpPeers/site/routeReflectorClient",
       [](auto& s) { peer(s).route_reflector_client = BgpSwitch::enabled; }},
      {"/bgpPeers/site/multihop",
       [](auto& s) {
         peer(s).as_number = s.router.as_number;
         peer(s).multihop = 2;
       }},
      {"/bgpPeers/two/peerIpAddress",
       [](auto& s) {
         s.peers["two"] = peer(s);
         s.peers["two"].as_number = 64'513;
       }},
      {"/bgpPeers/a b",
       [](auto& s) {
         s.peers["a b"] = peer(s);
         s.peers["a b"].peer_ip_address = address("10.0.0.3");
       }},
      {"/bgpAggregates/1/prefix",
       [](auto& s) {
         s.aggregates = {{prefix("10.0.0.0/8")}, {prefix("10.0.0.0/8")}};
       }},
      {"/bgpCustomRoutes/1/prefix",
       [](auto& s) {
         s.custom_routes = {{prefix("10.0.0.0/8")}, {prefix("10.0.0.0/8")}};
       }},
  });
}

TEST(BgpSpec, FaultsOfAPolicy) {
  spoil_all({
      {"/policyMaps/in/policyMapEntryList",
       [](auto& s) { s.policy_maps["in"].policy_map_entry_list.clear(); }},
      {"/policyMaps/in/policyMapEntryList/0/sequence", [](auto& s) { entry(s).sequence = 0; }},
      {"/policyMaps/in/policyMapEntryList/1/sequence",
       [](auto& s) { s.policy_maps["in"].policy_map_entry_list.push_back(entry(s)); }},
      {"/policyMaps/in/policyMapEntryList/0/match/prefixes/0",
       [](auto& s) {
         entry(s).match.prefixes = {{prefix("10.0.0.0/16"), 8}};
       }},
      {"/policyMaps/in/policyMapEntryList/0/match/ignorePrefixes/0",
       [](auto& s) {
         entry(s).match.ignore_prefixes = {{prefix("10.0.0.0/16"), 20, 33}};
       }},
      {"/policyMaps/in/policyMapEntryList/0/match/communities/0",
       [](auto& s) { entry(s).match.communities = {"65001:70000"}; }},
      {"/policyMaps/in/policyMapEntryList/0/match/asnRanges/0",
       [](auto& s) {
         entry(s).match.asn_ranges = {{5, 4}};
       }},
      {"/policyMaps/in/policyMapEntryList/0/set",
       [](auto& s) {
         entry(s).action = PolicyAction::deny;
         entry(s).set.med = 1;
       }},
      {"/policyMaps/in/policyMapEntryList/0/set/addCommunities/0",
       [](auto& s) { entry(s).set.add_communities = {"additive"}; }},
      {"/policyMaps/in/policyMapEntryList/0/set/nextHop",
       [](auto& s) { entry(s).set.next_hop = address("fe80::1"); }},
      {"/policyMaps/in/policyMapEntryList/0/set/prependAsPath/0",
       [](auto& s) { entry(s).set.prepend_as_path = {0}; }},
  });
}

TEST(BgpSpec, AsNumbersAreReadInBothForms) {
  EXPECT_EQ(parse_as_number("65001"), 65'001U);
  EXPECT_EQ(parse_as_number("0.64512"), 64'512U);
  EXPECT_EQ(parse_as_number("64086.59905"), 4'200'000'001U);
  for (const char* text : {"", "0", "23456", "65535", "4294967295", "4294967296", "1.65536", "1.",
                           ".1", "1.2.3", "-1", "+1", "01", " 1", "0.23456"}) {
    EXPECT_FALSE(parse_as_number(text)) << text;
  }
}

}  // namespace
}  // namespace hnv
