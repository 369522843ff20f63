// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <regex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "bgp/bgpd_config.h"

namespace hnv {
namespace {

IpAddress<Space::customer> address(const char* text) {
  return IpAddress<Space::customer>::parse(text).value();
}
Prefix<Space::customer> prefix(const char* text) {
  return Prefix<Space::customer>::parse(text).value();
}

BgpDomainSpec domain() {
  BgpDomainSpec out;
  out.router.as_number = 65'001;
  out.router.router_id = address("10.0.0.1").v4();
  BgpPeerSpec& peer = out.peers["site"];
  peer.peer_ip_address = address("10.0.0.2");
  peer.as_number = 65'101;
  return out;
}

BgpDomainSpec with_policy() {
  BgpDomainSpec out = domain();
  PolicyMapEntrySpec entry;
  entry.sequence = 10;
  out.policy_maps["all"].policy_map_entry_list = {entry};
  out.peers["site"].policy_map_in = "all";
  return out;
}

// "place / place: line", one each.
std::vector<std::string> lines(const BgpdBatch& batch) {
  std::vector<std::string> out;
  for (const BgpdBlock& block : batch) {
    std::string place;
    for (const std::string& step : block.context) place += step + ": ";
    for (const BgpdLine& line : block.lines) {
      out.push_back(place + line.text + (line.secret ? "***" : ""));
    }
  }
  return out;
}
bool has(const std::vector<std::string>& in, const std::string& line) {
  return std::find(in.begin(), in.end(), line) != in.end();
}
size_t place(const std::vector<std::string>& in, const std::string& line) {
  return static_cast<size_t>(std::find(in.begin(), in.end(), line) - in.begin());
}

const std::string kRouter = "router bgp 65001 vrf d7: ";
const std::string kFour = kRouter + "address-family ipv4 unicast: ";

TEST(BgpdConfig, APeerIsBoundBeforeItMaySpeak) {
  BgpdConfig config;
  const auto all = lines(config.set(7, domain()));
  EXPECT_TRUE(has(all, "router bgp 65001 vrf d7"));
  EXPECT_TRUE(has(all, kRouter + "bgp router-id 10.0.0.1"));
  EXPECT_TRUE(has(all, kRouter + "neighbor 10.0.0.2 remote-as 65101"));
  const size_t activated = place(all, kFour + "neighbor 10.0.0.2 activate");
  ASSERT_LT(activated, all.size());
  EXPECT_LT(place(all, kFour + "neighbor 10.0.0.2 route-map all:deny in"), activated);
  EXPECT_LT(place(all, kFour + "neighbor 10.0.0.2 maximum-prefix 10000"), activated);
  EXPECT_TRUE(has(all, kFour + "distance bgp 15 200 200"));
  EXPECT_EQ(place(all, kRouter + "neighbor 10.0.0.2 shutdown"),
            place(all, kRouter + "neighbor 10.0.0.2 remote-as 65101") + 1);
  EXPECT_EQ(all.back(), kRouter + "no neighbor 10.0.0.2 shutdown");
  BgpDomainSpec shut = domain();
  shut.peers["site"].admin_status = BgpAdminStatus::disabled;
  BgpdConfig other;
  EXPECT_FALSE(has(lines(other.set(7, shut)), kRouter + "no neighbor 10.0.0.2 shutdown"));
}

TEST(BgpdConfig, NothingOfADomainHasAnothersName) {
  BgpdConfig config;
  BgpDomainSpec spec = domain();
  spec.policy_maps["all"].policy_map_entry_list = {{.sequence = 10}};
  spec.peers["site"].policy_map_in = "all";
  for (const std::string& line : lines(config.set(8, spec))) {
    const bool named = line.find("d8") != std::string::npos;
    EXPECT_TRUE(named) << line;
    EXPECT_EQ(line.find("d7"), std::string::npos) << line;
  }
}

TEST(BgpdConfig, MapsOfAllDomainsAreThereFirst) {
  const auto all = lines(bgpd_prelude());
  for (const char* line :
       {"router bgp 65535", "route-map all:deny deny 30", "route-map all:i4 permit 30",
        "route-map all:i4:nodefault deny 10: match ip address prefix-list all:default4",
        "route-map all:i4:nodefault permit 30",
        "ip prefix-list all:default4 seq 5 permit 0.0.0.0/0",
        "route-map all:i6:nodefault deny 10: match ipv6 address prefix-list all:default6",
        "route-map all:i6:nodefault permit 30: set ipv6 next-hop prefer-global",
        "route-map all:o deny 10: match as-path all:learned", "route-map all:o permit 30",
        "bgp as-path access-list all:learned seq 5 deny ^$", "route-map all:o:transit permit 30"}) {
    EXPECT_TRUE(has(all, line)) << line;
  }
}

// RFC 8212.
TEST(BgpdConfig, AnExternalPeerWithoutAPolicyGetsNothing) {
  BgpdConfig config;
  BgpDomainSpec spec = domain();
  auto all = lines(config.set(7, spec));
  EXPECT_TRUE(has(all, kFour + "neighbor 10.0.0.2 route-map all:deny in"));
  EXPECT_TRUE(has(all, kFour + "neighbor 10.0.0.2 route-map all:deny out"));
  spec.router.ebgp_requires_policy = BgpSwitch::disabled;
  EXPECT_EQ(lines(config.set(7, spec)),
            (std::vector<std::string>{kFour + "neighbor 10.0.0.2 route-map all:i4:nodefault in",
                                      kFour + "neighbor 10.0.0.2 route-map all:o out"}))
      << "replaced, not taken back";
  spec.peers["site"].as_number = 65'001;
  spec.router.ebgp_requires_policy = BgpSwitch::enabled;
  BgpdConfig other;
  EXPECT_TRUE(
      has(lines(other.set(7, spec)), kFour + "neighbor 10.0.0.2 route-map all:o:transit out"))
      << "an internal one needs none";
}

TEST(BgpdConfig, NoDefaultRouteAndNoTransitUnlessAskedFor) {
  BgpdConfig config;
  BgpDomainSpec spec = domain();
  PolicyMapEntrySpec entry;
  entry.sequence = 10;
  spec.policy_maps["all"].policy_map_entry_list = {entry};
  spec.peers["site"].policy_map_in = spec.peers["site"].policy_map_out = "all";
  auto all = lines(config.set(7, spec));
  EXPECT_TRUE(has(all, "route-map d7:i4:site deny 10: match ip address prefix-list all:default4"));
  EXPECT_TRUE(has(all, "route-map d7:o4:site deny 10: match as-path all:learned"));
  EXPECT_TRUE(has(all, "route-map d7:o4:site permit 30: call d7:p4:all"));
  spec.router.transit_routing = BgpSwitch::enabled;
  spec.router.default_gateway_routing = BgpSwitch::enabled;
  all = lines(config.set(7, spec));
  EXPECT_EQ(all, (std::vector<std::string>{"no route-map d7:o4:site deny 10",
                                           "no route-map d7:i4:site deny 10"}));
}

TEST(BgpdConfig, SaysOnlyWhatChanges) {
  BgpdConfig config;
  BgpDomainSpec spec = domain();
  (void)config.set(7, spec);
  EXPECT_TRUE(config.set(7, spec).empty());
  spec.peers["site"].hold_time_seconds = 9;
  EXPECT_EQ(lines(config.set(7, spec)),
            (std::vector<std::string>{kRouter + "neighbor 10.0.0.2 timers 3 9"}));
  spec.peers["site"].hold_time_seconds = 30;
  EXPECT_EQ(lines(config.set(7, spec)),
            (std::vector<std::string>{kRouter + "neighbor 10.0.0.2 timers 10 30"}))
      << "replaced, not taken back";
  spec.peers["site"].hold_time_seconds.reset();
  EXPECT_EQ(lines(config.set(7, spec)),
            (std::vector<std::string>{kRouter + "no neighbor 10.0.0.2 timers"}));
  spec.peers["site"].as_number = 65'102;
  EXPECT_EQ(lines(config.set(7, spec)),
            (std::vector<std::string>{kRouter + "neighbor 10.0.0.2 remote-as 65102"}));
}

TEST(BgpdConfig, APasswordIsASecretAndItsChangeIsAChange) {
  BgpdConfig config;
  BgpDomainSpec spec = domain();
  spec.peers["site"].password = SharedSecret(SecretBytes::of("swordfish"));
  const auto batch = config.set(7, spec);
  EXPECT_TRUE(has(lines(batch), kRouter + "neighbor 10.0.0.2 password ***"));
  spec.peers["site"].password = SharedSecret(SecretBytes::of("swordfish"));
  EXPECT_TRUE(config.set(7, spec).empty());
  spec.peers["site"].password = SharedSecret(SecretBytes::of("marlin"));
  EXPECT_EQ(lines(config.set(7, spec)),
            std::vector<std::string>{kRouter + "neighbor 10.0.0.2 password ***"});
}

TEST(BgpdConfig, WhatEndsWithAnotherIsNotTakenBack) {
  BgpdConfig config;
  BgpDomainSpec spec = domain();
  spec.peers["site"].weight = 5;
  (void)config.set(7, spec);
  spec.peers.erase("site");
  const auto all = lines(config.set(7, spec));
  EXPECT_TRUE(has(all, kRouter + "no neighbor 10.0.0.2"));
  for (const std::string& line : all) EXPECT_EQ(line.find("weight"), std::string::npos) << line;
}

TEST(BgpdConfig, AnotherAsIsAnotherRouter) {
  BgpdConfig config;
  BgpDomainSpec spec = with_policy();
  const size_t whole = lines(config.set(7, spec)).size();
  spec.router.as_number = 65'002;
  const auto all = lines(config.set(7, spec));
  EXPECT_LT(place(all, "no router bgp 65001 vrf d7"), place(all, "router bgp 65002 vrf d7"));
  EXPECT_LT(all.size(), whole) << "its lists stay";
  EXPECT_TRUE(has(all, "router bgp 65002 vrf d7: neighbor 10.0.0.2 remote-as 65101"));
  EXPECT_TRUE(
      has(all, "router bgp 65002 vrf d7: address-family ipv4 unicast: neighbor 10.0.0.2 activate"));
}

TEST(BgpdConfig, RemovalTakesEverythingBackAndEverythingSaysItAgain) {
  BgpdConfig config;
  const auto first = lines(config.set(7, with_policy()));
  EXPECT_EQ(lines(config.everything(7)), first);
  const auto gone = lines(config.remove(7));
  EXPECT_TRUE(has(gone, "no router bgp 65001 vrf d7"));
  EXPECT_TRUE(has(gone, "no route-map d7:i4:site permit 30"));
  EXPECT_TRUE(has(gone, "no route-map d7:p4:all permit 10"));
  EXPECT_EQ(config.find(7), nullptr);
  EXPECT_TRUE(config.everything(7).empty());
  EXPECT_TRUE(config.remove(7).empty());
}

TEST(BgpdConfig, PoliciesAreRenderedForEachFamily) {
  BgpdConfig config;
  BgpDomainSpec spec = domain();
  PolicyMapEntrySpec entry;
  entry.sequence = 10;
  entry.match.prefixes = {{prefix("10.0.0.0/8"), 16, 24}, {prefix("10.1.0.0/16")}};
  entry.match.ignore_prefixes = {{prefix("10.9.0.0/16"), std::nullopt, 32}};
  entry.match.communities = {"65001:100"};
  entry.match.asn_ranges = {{64'512, 65'534}};
  entry.set.local_preference = 200;
  entry.set.med = 5;
  entry.set.add_communities = {"no-export", "65001:7"};
  entry.set.prepend_as_path = {65'001, 65'001};
  spec.policy_maps["in"].policy_map_entry_list = {entry};
  spec.peers["site"].policy_map_in = "in";
  const auto all = lines(config.set(7, spec));
  for (const char* line : {"ip prefix-list d7:l4:in:10 seq 5 deny 10.9.0.0/16 le 32",
                           "ip prefix-list d7:l4:in:10 seq 10 permit 10.0.0.0/8 ge 16 le 24",
                           "ip prefix-list d7:l4:in:10 seq 15 permit 10.1.0.0/16",
                           "bgp community-list standard d7:l4:in:10 seq 5 permit 65001:100",
                           "route-map d7:p4:in permit 10: match ip address prefix-list d7:l4:in:10",
                           "route-map d7:p4:in permit 10: match community d7:l4:in:10",
                           "route-map d7:p4:in permit 10: match as-path d7:l4:in:10",
                           "route-map d7:p4:in permit 10: set local-preference 200",
                           "route-map d7:p4:in permit 10: set metric 5",
                           "route-map d7:p4:in permit 10: set community no-export 65001:7 additive",
                           "route-map d7:p4:in permit 10: set as-path prepend 65001 65001",
                           "route-map d7:i4:site permit 30: call d7:p4:in"}) {
    EXPECT_TRUE(has(all, line)) << line;
  }
  EXPECT_FALSE(has(all, "route-map d7:p6:in permit 10")) << "no prefix of IPv6 can match";
  EXPECT_TRUE(has(all, "route-map d7:p6:in deny 65535"));
}

TEST(BgpdConfig, RegexesOfNumbersMatchExactlyTheRange) {
  const std::pair<uint32_t, uint32_t> ranges[] = {
      {1, 1}, {1, 9}, {1, 10}, {7, 23}, {95, 105}, {64'512, 65'534}, {99, 1'001}, {1, 4'294}};
  for (const auto& [first, last] : ranges) {
    const std::string text = numbers_regex(first, last);
    const std::regex regex(text, std::regex::extended);
    for (uint32_t n = 1; n < 5'000; ++n) {
      ASSERT_EQ(std::regex_match(std::to_string(n), regex), first <= n && n <= last)
          << n << " in " << text;
    }
    for (uint32_t n = 64'000; n < 66'000; ++n) {
      ASSERT_EQ(std::regex_match(std::to_string(n), regex), first <= n && n <= last)
          << n << " in " << text;
    }
  }
  const std::regex all(numbers_regex(1, 0xffffffff), std::regex::extended);
  EXPECT_TRUE(std::regex_match(std::string("4294967295"), all));
  EXPECT_FALSE(std::regex_match(std::string("4294967296"), all));
  EXPECT_LT(numbers_regex(64'512, 0xffffffff).size(), 600U);
}

}  // namespace
}  // namespace hnv
