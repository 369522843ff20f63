// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "api/control.h"

namespace hnv {
namespace {

constexpr std::string_view kPaths[] = {
    "/v1/providerNetworks/fabric",
    "/v1/externalNetworks/inet.1",
    "/v1/routingDomains/contoso",
    "/v1/routingDomains/contoso/virtualSubnets/web",
    "/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/10.0.0.4",
    "/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/2001:db8::4",
    "/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/wildcard-v4",
    "/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/wildcard-v6",
    "/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/l2-02:00:5e:00:00:01",
    "/v1/routingDomains/contoso/customerRoutes/default",
    "/v1/routingDomains/contoso/networkConnections/mpls",
    "/v1/publicIPAddresses/shared",
    "/v1/routingDomains/contoso/nat",
    "/v1/routingDomains/contoso/bgpRouter",
    "/v1/routingDomains/contoso/policyMaps/in",
    "/v1/routingDomains/contoso/bgpPeers/site",
    "/v1/routingDomains/contoso/bgpCustomRoutes",
    "/v1/routingDomains/contoso/bgpAggregates",
};

TEST(ResourcePath, EveryKindReadsBackAsItself) {
  size_t kind = 0;
  for (const auto path : kPaths) {
    const auto key = parse_resource_path(path);
    ASSERT_TRUE(key) << path;
    EXPECT_EQ(resource_path(*key), path);
    kind = std::max(kind, key->index());
  }
  EXPECT_EQ(kind + 1, std::variant_size_v<ResourceKey>);
}

TEST(ResourcePath, SpellsARecordInOneWay) {
  const auto key = parse_resource_path(
      "/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/l2-02-00-5E-00-00-01");
  ASSERT_TRUE(key);
  EXPECT_EQ(resource_path(*key),
            "/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/l2-02:00:5e:00:00:01");
}

TEST(ResourcePath, RefusesWhatIsNoSingleResource) {
  constexpr std::string_view kNone[] = {
      "",
      "/",
      "/v1",
      "/v1/",
      "/v2/routingDomains/contoso",
      "/v1/routingDomains",
      "/v1/routingDomains/",
      "/v1/routingDomains/contoso/",
      "/v1/routingDomains//virtualSubnets/web",
      "/v1/routingDomains/contoso/virtualSubnets",
      "/v1/routingDomains/contoso/virtualSubnets/web/",
      "/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords",
      "/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/10.0.0",
      "/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/10.0.0.4/x",
      "/v1/routingDomains/contoso/customerRoutes/a/lookupRecords/10.0.0.4",
      "/v1/routingDomains/contoso/nat/x",
      "/v1/routingDomains/contoso/nat/",
      "/v1/routingDomains//nat",
      "/v1/routingDomains/-x/nat",
      "/v1/externalNetworks/inet/nat",
      "/v1/publicIPAddresses",
      "/v1/routingDomains/../system",
      "/v1/routingDomains/a b",
      "/v1/unknown/contoso",
  };
  for (const auto path : kNone) EXPECT_FALSE(parse_resource_path(path)) << path;
}

TEST(ResourceName, AllowsSixtyFourLettersDigitsAndMarks) {
  EXPECT_TRUE(valid_resource_name("a"));
  EXPECT_TRUE(valid_resource_name("9-A._z"));
  EXPECT_TRUE(valid_resource_name(std::string(64, 'x')));
  EXPECT_FALSE(valid_resource_name(std::string(65, 'x')));
  for (const auto* bad : {"", ".", "-a", "_a", "a/b", "a b", "ä", "a%20b"}) {
    EXPECT_FALSE(valid_resource_name(bad)) << bad;
  }
}

}  // namespace
}  // namespace hnv
