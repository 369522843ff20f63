// SPDX-License-Identifier: Apache-2.0
//
// IPv6 in the desired state: what is taken, what the server derives from it, and every rule that is
// IPv6's own.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/gateway/model_fixture.h"

namespace hnv {
namespace {

#define DOMAIN "/v1/routingDomains/contoso"
#define SIX DOMAIN "/virtualSubnets/six"

const Request kFabric6{
    "PUT", "/v1/providerNetworks/fabric6",
    R"({"port":"wan0","vlanId":66,"providerAddresses":["2001:db8:66::1/64","192.0.66.1/24"],
        "routes":[{"destinationPrefix":"2001:db8:67::/64","nextHop":"2001:db8:66::fe"}]})"};
const Request kSix{"PUT", SIX,
                   R"({"addressPrefixes":["fd00:6::/64","10.66.0.0/24"],"router":"gateway",
                       "providerNetwork":"fabric6"})"};

nlohmann::json look(const Model& model, std::string_view path) {
  return nlohmann::json::parse(shown(model, path));
}

ModelPtr model_with_ipv6() { return must_apply(base_model(), {kFabric6, kSix}); }

constexpr std::string_view kRecord9 =
    R"({"customerAddress":"fd00:6::9","providerAddress":"2001:db8:66::9",
        "macAddress":"02:00:00:00:00:09"})";

// A new subnet's hosts are of a family that nobody knows yet; records tell.
TEST(ModelIpv6, ANetworksFirstAddressOfTheRecordsFamilyIsTheDefault) {
  const Request mixed{
      "PUT", "/v1/providerNetworks/mixed",
      R"({"port":"wan0","vlanId":77,"providerAddresses":["192.0.77.1/24","2001:db8:77::1/64"],
          "routes":[{"destinationPrefix":"2001:db8:66::/64","nextHop":"2001:db8:77::fe"}]})"};
  const Request moved{"PUT", SIX,
                      R"({"addressPrefixes":["fd00:6::/64","10.66.0.0/24"],"router":"gateway",
                          "providerNetwork":"mixed"})"};
  const auto without = must_apply(model_with_ipv6(), {mixed, moved});
  EXPECT_EQ(look(*without, SIX)["providerAddress"], "192.0.77.1");
  const auto with = must_apply(model_with_ipv6(),
                               {mixed, {"PUT", SIX "/lookupRecords/fd00:6::9", kRecord9}, moved});
  EXPECT_EQ(look(*with, SIX)["providerAddress"], "2001:db8:77::1");
}

TEST(ModelIpv6, TakesBothFamiliesAndDerivesTheSame) {
  const auto model = model_with_ipv6();
  const auto subnet = look(*model, SIX);
  EXPECT_EQ(subnet["providerAddress"], "2001:db8:66::1") << "the network's first";
  EXPECT_EQ(subnet["gatewayAddresses"], (nlohmann::json{"fd00:6::1", "10.66.0.1"}));
  EXPECT_EQ(subnet["mtu"], look(*model, "/v1/providerNetworks/fabric6")["mtu"].get<int>() - 62);
}

TEST(ModelIpv6, TheGatewaySubnetHasTheSecondAddress) {
  const auto model = must_apply(
      model_with_ipv6(), {{"PUT", DOMAIN "/virtualSubnets/six2",
                           R"({"addressPrefixes":["fd00:7::/64","fd00:8::/127"],"kind":"gateway",
                               "providerNetwork":"fabric6"})"}});
  EXPECT_EQ(look(*model, DOMAIN "/virtualSubnets/six2")["gatewayAddresses"],
            (nlohmann::json{"fd00:7::2", "fd00:8::1"}))
      << "RFC 6164: both addresses of a /127 are hosts'";
}

TEST(ModelIpv6, RecordsRoutesAndConnections) {
  const auto model = must_apply(
      model_with_ipv6(),
      {{"PUT", SIX "/lookupRecords/fd00:6::9", kRecord9},
       {"PUT", SIX "/lookupRecords/fd00:6::a",
        R"({"customerAddress":"fd00:6::a","providerAddress":"2001:db8:67::9",
            "macAddress":"02:00:00:00:00:09"})"},
       {"PUT", SIX "/lookupRecords/wildcard-v6",
        R"({"type":"GatewayWildcard","customerAddress":"::","providerAddress":"2001:db8:66::7",
            "macAddress":"02:00:00:00:00:07"})"},
       {"PUT", DOMAIN "/networkConnections/six",
        R"({"connectionType":"L3","l3Configuration":{"port":"wan0","vlanId":67,
            "ipAddresses":["fd00:9::1/64"],"peerIPAddresses":["fd00:9::fe"]},
            "routes":[{"destinationPrefix":"2001:db8:1000::/36"}]})"},
       {"PUT", DOMAIN "/customerRoutes/r6",
        R"({"destinationPrefix":"fd01::/16","nextHop":"fd00:6::9"})"},
       {"PUT", DOMAIN "/customerRoutes/r7",
        R"({"destinationPrefix":"::/0","networkConnection":"six"})"}});
  EXPECT_EQ(look(*model, DOMAIN "/customerRoutes/r6")["virtualSubnet"], "six");
  // And back from a store, through the same checks.
  const auto again =
      restore(model->generation(), all_resources(*model), kTestPorts, test_choices());
  ASSERT_TRUE(again.has_value()) << again.error().message;
  EXPECT_EQ(shown(**again, SIX "/lookupRecords/wildcard-v6"),
            shown(*model, SIX "/lookupRecords/wildcard-v6"));
}

struct Refusal {
  const char* name = "";
  Request request;
  ErrorCode code = ErrorCode::internal;
  const char* target = "";
};

TEST(ModelIpv6, EveryRuleOfItsOwnRefuses) {
  const Refusal cases[] = {
      {"a link-local prefix",
       {"PUT", DOMAIN "/virtualSubnets/l",
        R"({"addressPrefixes":["fe80::/64"],"providerNetwork":"fabric6"})"},
       ErrorCode::unfit,
       "/addressPrefixes/0"},
      {"a multicast prefix",
       {"PUT", DOMAIN "/virtualSubnets/l",
        R"({"addressPrefixes":["ff05::/64"],"providerNetwork":"fabric6"})"},
       ErrorCode::unfit,
       "/addressPrefixes/0"},
      {"IPv4-mapped addresses",
       {"PUT", DOMAIN "/virtualSubnets/l",
        R"({"addressPrefixes":["::ffff:10.0.0.0/120"],"providerNetwork":"fabric6"})"},
       ErrorCode::unfit,
       "/addressPrefixes/0"},
      {"an MTU that IPv6 cannot live with",
       {"PUT", DOMAIN "/virtualSubnets/l",
        R"({"addressPrefixes":["fd00:a::/64"],"providerNetwork":"fabric6","mtu":1279})"},
       ErrorCode::unfit,
       "/mtu"},
      {"the anycast address as the gateway's",
       {"PUT", DOMAIN "/virtualSubnets/l",
        R"({"addressPrefixes":["fd00:a::/64"],"gatewayAddresses":["fd00:a::"],"router":"gateway",
            "providerNetwork":"fabric6"})"},
       ErrorCode::unfit,
       "/gatewayAddresses/0"},
      {"a record for the anycast address",
       {"PUT", SIX "/lookupRecords/fd00:6::",
        R"({"customerAddress":"fd00:6::","providerAddress":"2001:db8:66::9",
            "macAddress":"02:00:00:00:00:09"})"},
       ErrorCode::unfit,
       "/customerAddress"},
      {"a record for the gateway's own",
       {"PUT", SIX "/lookupRecords/fd00:6::1",
        R"({"customerAddress":"fd00:6::1","providerAddress":"2001:db8:66::9",
            "macAddress":"02:00:00:00:00:09"})"},
       ErrorCode::conflict,
       "/customerAddress"},
      {"a PA of the other family than the subnet's",
       {"PUT", SIX "/lookupRecords/fd00:6::9",
        R"({"customerAddress":"fd00:6::9","providerAddress":"192.0.66.9",
            "macAddress":"02:00:00:00:00:09"})"},
       ErrorCode::unfit,
       "/providerAddress"},
      {"a PA that nobody routes to",
       {"PUT", SIX "/lookupRecords/fd00:6::9",
        R"({"customerAddress":"fd00:6::9","providerAddress":"2001:db8:99::9",
            "macAddress":"02:00:00:00:00:09"})"},
       ErrorCode::unfit,
       "/providerAddress"},
      {"a route over the other family's next hop",
       {"PUT", DOMAIN "/customerRoutes/r",
        R"({"destinationPrefix":"fd01::/16","nextHop":"10.66.0.9"})"},
       ErrorCode::unfit,
       "/nextHop"},
      {"a route to a link-local prefix",
       {"PUT", DOMAIN "/customerRoutes/r",
        R"({"destinationPrefix":"fe80::/64","nextHop":"fd00:6::9"})"},
       ErrorCode::unfit,
       "/destinationPrefix"},
      {"a connection without a router of the route's family",
       {"PUT", DOMAIN "/networkConnections/c",
        R"({"connectionType":"L3","l3Configuration":{"port":"wan0","vlanId":68,
            "ipAddresses":["fd00:c::1/64"],"peerIPAddresses":["fd00:c::fe"]},
            "routes":[{"destinationPrefix":"172.30.0.0/16"}]})"},
       ErrorCode::unfit,
       "/routes/0"},
      {"a fabric too small for IPv6",
       {"PUT", "/v1/providerNetworks/fabric6",
        R"({"port":"wan0","vlanId":66,"providerAddresses":["2001:db8:66::1/64"],"mtu":1279})"},
       ErrorCode::unfit,
       "/mtu"},
      {"a fabric that becomes too small for a subnet with IPv6",
       {"PUT", "/v1/providerNetworks/fabric6",
        R"({"port":"wan0","vlanId":66,"providerAddresses":["2001:db8:66::1/64","192.0.66.1/24"],
            "mtu":1300})"},
       ErrorCode::conflict,
       "/mtu"},
  };
  for (const Refusal& c : cases) {
    const auto done = try_apply(model_with_ipv6(), {c.request});
    ASSERT_FALSE(done.has_value()) << c.name;
    EXPECT_EQ(done.error().error.code, c.code) << c.name << ": " << done.error().error.message;
    EXPECT_EQ(done.error().error.target, c.target) << c.name;
  }
}

TEST(ModelIpv6, ASubnetWithRecordsKeepsItsFamily) {
  const auto model =
      must_apply(model_with_ipv6(), {{"PUT", SIX "/lookupRecords/fd00:6::9", kRecord9}});
  const auto done =
      try_apply(model, {{"PUT", SIX,
                         R"({"addressPrefixes":["fd00:6::/64","10.66.0.0/24"],"router":"gateway",
                   "providerNetwork":"fabric6","providerAddress":"192.0.66.1"})"}});
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().error.code, ErrorCode::conflict);
  EXPECT_EQ(done.error().error.target, "/providerAddress");
}

}  // namespace
}  // namespace hnv
