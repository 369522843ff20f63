// SPDX-License-Identifier: Apache-2.0
//
// Answers of bgpd 8.4.4, as it gave them.
#include <gtest/gtest.h>

#include "bgp/bgp_route.h"

namespace hnv {
namespace {

Prefix<Space::customer> prefix(const char* text) {
  return Prefix<Space::customer>::parse(text).value();
}
IpAddress<Space::customer> address(const char* text) {
  return IpAddress<Space::customer>::parse(text).value();
}

TEST(BgpRoute, OfAPeerHasEverything) {
  const auto paths = read_bgp_paths(prefix("10.67.0.0/16"), R"json({
  "prefix":"10.67.0.0/16","version":13,"paths":[{
      "aspath":{"string":"65010 65010 65020","segments":[
          {"type":"as-sequence","list":[65010,65010,65020]}],"length":3},
      "origin":"incomplete","metric":30,"locPrf":200,"weight":7,"valid":true,"version":13,
      "bestpath":{"overall":true,"selectionReason":"First path received"},
      "community":{"string":"65010:7 no-export","list":["65010:7","noExport"]},
      "largeCommunity":{"string":"65010:1:2","list":["65010:1:2"]},
      "lastUpdate":{"epoch":1795299985,"string":"Sat Nov 21 22:26:25 2026\n"},
      "nexthops":[{"ip":"192.168.50.10","hostname":"vm","afi":"ipv4","metric":0,
          "accessible":true,"used":true}],
      "peer":{"peerId":"192.168.50.10","routerId":"192.168.50.10","hostname":"vm",
          "type":"external"}}]})json");
  ASSERT_TRUE(paths && paths->size() == 1);
  const BgpRoute& route = paths->front();
  EXPECT_EQ(route.prefix, prefix("10.67.0.0/16"));
  EXPECT_EQ(route.next_hop, "192.168.50.10");
  EXPECT_EQ(route.peer, address("192.168.50.10"));
  EXPECT_EQ(route.as_path, "65010 65010 65020");
  EXPECT_EQ(route.origin, "incomplete");
  EXPECT_EQ(route.med, 30U);
  EXPECT_EQ(route.local_pref, 200U);
  EXPECT_EQ(route.weight, 7U);
  EXPECT_EQ(route.communities, (std::vector<std::string>{"65010:7", "no-export", "65010:1:2"}));
  EXPECT_TRUE(route.valid && route.best);
  EXPECT_FALSE(route.stale);
  EXPECT_EQ(route.reason, "First path received");
  EXPECT_EQ(route.updated, 1795299985U);
}

TEST(BgpRoute, WhoseNextHopCannotBeReachedSaysSo) {
  const auto paths = read_bgp_paths(prefix("10.68.0.0/16"), R"json({
  "prefix":"10.68.0.0/16","version":0,"paths":[{
      "aspath":{"string":"65010","segments":[{"type":"as-sequence","list":[65010]}],"length":1},
      "origin":"incomplete","valid":false,"version":0,
      "lastUpdate":{"epoch":1795299985,"string":"Sat Nov 21 22:26:25 2026\n"},
      "nexthops":[{"ip":"203.0.113.9","hostname":"vm","afi":"ipv4","accessible":false,"used":true}],
      "peer":{"peerId":"192.168.50.10","routerId":"192.168.50.10","hostname":"vm",
          "type":"external"}}]})json");
  ASSERT_TRUE(paths && paths->size() == 1);
  EXPECT_FALSE(paths->front().valid || paths->front().best);
  EXPECT_EQ(paths->front().reason, "its next hop 203.0.113.9 cannot be reached");
  EXPECT_FALSE(paths->front().med || paths->front().local_pref);
}

TEST(BgpRoute, OfOursHasNoPeerAndNoNextHop) {
  const auto paths = read_bgp_paths(prefix("10.48.0.0/12"), R"json({
  "prefix":"10.48.0.0/12","version":12,"advertisedTo":{"192.168.50.10":{"hostname":"vm"}},
  "paths":[{"aspath":{"string":"Local","segments":[],"length":0},
      "aggregatorAs":65001,"aggregatorId":"192.168.50.1","origin":"incomplete","metric":0,
      "weight":32768,"valid":true,"version":12,"aggregated":true,"local":true,
      "atomicAggregate":true,
      "bestpath":{"overall":true,"selectionReason":"First path received"},
      "lastUpdate":{"epoch":1795299985,"string":"Sat Nov 21 22:26:25 2026\n"},
      "nexthops":[{"ip":"::","hostname":"vm","afi":"ipv6","scope":"global","metric":0,
          "accessible":true,"used":true}],
      "peer":{"peerId":"::","routerId":"192.168.50.1"}},
    {"aspath":{"string":"Local"},"nexthops":[{"ip":"0.0.0.0","used":true}],
      "peer":{"peerId":"0.0.0.0"}}]})json");
  ASSERT_TRUE(paths && paths->size() == 2);
  for (const BgpRoute& route : *paths) {
    EXPECT_FALSE(route.peer);
    EXPECT_EQ(route.next_hop, "");
    EXPECT_EQ(route.as_path, "");
  }
  EXPECT_EQ(paths->front().weight, 32768U);
}

TEST(BgpRoute, APrefixThatIsNotThereHasNone) {
  const auto paths = read_bgp_paths(prefix("11.0.0.0/15"), "{\n}\n");
  ASSERT_TRUE(paths.has_value());
  EXPECT_TRUE(paths->empty());
  for (const char* text : {"", "[]", "% Unknown command", "{"}) {
    EXPECT_FALSE(read_bgp_paths(prefix("11.0.0.0/15"), text)) << text;
  }
  // Members of other types read as none.
  const auto odd = read_bgp_paths(
      prefix("11.0.0.0/15"),
      R"({"paths":[{"aspath":[],"nexthops":[1],"peer":5,"metric":-1,"valid":1},7]})");
  ASSERT_TRUE(odd && odd->size() == 2);
  EXPECT_FALSE(odd->front().valid || odd->front().med || odd->front().peer);
}

TEST(BgpRoute, ThatWasAdvertised) {
  const auto route = read_advertised(prefix("10.0.1.0/24"), R"json({
      "addrPrefix":"10.0.1.0","prefixLen":24,"network":"10.0.1.0/24","nextHop":"0.0.0.0",
      "metric":5,"weight":32768,"path":"65020","bgpOriginCode":"i",
      "appliedStatusSymbols":{"*":true,">":true}})json");
  ASSERT_TRUE(route.has_value());
  EXPECT_EQ(route->next_hop, "");
  EXPECT_EQ(route->med, 5U);
  EXPECT_EQ(route->as_path, "65020");
  EXPECT_EQ(route->origin, "IGP");
  EXPECT_TRUE(route->valid && route->best);
  EXPECT_FALSE(route->peer || route->updated);
  const auto through = read_advertised(
      prefix("2001:db8::/48"), R"json({"nextHopGlobal":"fd00::9","bgpOriginCode":"?"})json");
  ASSERT_TRUE(through.has_value());
  EXPECT_EQ(through->next_hop, "fd00::9");
  EXPECT_EQ(through->origin, "incomplete");
  EXPECT_FALSE(read_advertised(prefix("10.0.1.0/24"), "7"));
}

TEST(BgpRoute, ATableHasASize) {
  constexpr std::string_view kSummary = R"json({
  "routerId":"192.168.50.1","as":65001,"vrfId":1,"vrfName":"d1","tableVersion":14,"ribCount":20,
  "ribMemory":3840,"peerCount":1,"peerMemory":741464,"peers":{
    "192.168.50.10":{"hostname":"vm","remoteAs":65010,"pfxRcd":4,"pfxSnt":10,
      "state":"Established"}}})json";
  const auto size = read_table_size(address("192.168.50.10"), kSummary);
  ASSERT_TRUE(size.has_value());
  EXPECT_EQ(size->nodes, 20U);
  EXPECT_EQ(size->told, 10U);
  EXPECT_EQ(read_table_size(address("192.168.50.11"), kSummary)->told, 0U);
  EXPECT_EQ(read_table_size(std::nullopt, kSummary)->nodes, 20U);
  EXPECT_EQ(read_table_size(std::nullopt, "{}")->nodes, 0U) << "a family without peers";
  EXPECT_FALSE(read_table_size(std::nullopt, ""));
}

}  // namespace
}  // namespace hnv
