// SPDX-License-Identifier: Apache-2.0
//
// A domain's BGP routes over HTTP: what is shown of one, the query, and pages.
#include <fmt/format.h>

#include "api/bgp_routes.h"
#include "tests/api/api_fixture.h"

namespace hnv {
namespace {

class BgpRoutes : public ApiFixture {
 protected:
  BgpRoutes() {
    EXPECT_EQ(call("PUT", "/v1/routingDomains/contoso", "{}").status, 201);
    EXPECT_EQ(call("PUT", "/v1/routingDomains/contoso/bgpRouter",
                   R"({"asNumber":65001,"routerId":"10.0.0.1"})")
                  .status,
              201);
  }
  Reply routes(std::string_view query) {
    return call("GET", fmt::format("/v1/routingDomains/contoso/bgpRoutes{}", query));
  }
  std::string shown(std::string_view query) {
    const auto reply = routes(query);
    EXPECT_EQ(reply.status, 200) << reply.body;
    std::string text;
    const Json json = reply.json();
    for (const auto& route : json["value"]) {
      text += route["prefix"].get<std::string>() + "=" + route["peerIpAddress"].get<std::string>() +
              " ";
    }
    return text + json.value("nextAfter", "");
  }
};

TEST_F(BgpRoutes, AreShownWithEverythingKnown) {
  const Json json = routes("?limit=1").json();
  EXPECT_EQ(json["value"][0], Json::parse(R"({"prefix":"10.1.0.0/16","nextHop":"172.16.0.1",
      "peer":"site","peerIpAddress":"172.16.0.1","asPath":"65010 65020","origin":"IGP",
      "localPref":200,"med":30,"weight":0,"communities":["65010:7","no-export"],"valid":true,
      "best":true,"stale":false,"reason":"","age":5.0})"));
  EXPECT_EQ(json["complete"], true);
  for (const char* unknown : {"localPref", "med", "age"}) {
    EXPECT_FALSE(json["value"][1].contains(unknown)) << unknown;
  }
}

TEST_F(BgpRoutes, AreChosenByTheQuery) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "10.1.0.0/16=172.16.0.1 10.1.0.0/16=172.16.0.9 10.2.0.0/16= 2001:db8::/48=172.16.0.1 "},
      {"?type=best", "10.1.0.0/16=172.16.0.1 10.2.0.0/16= 2001:db8::/48=172.16.0.1 "},
      {"?type=received&peer=site", "10.1.0.0/16=172.16.0.1 2001:db8::/48=172.16.0.1 "},
      {"?prefix=10.2.0.0/16", "10.2.0.0/16= "},
      {"?prefix=10.2.0.1", "10.2.0.0/16= "},
      {"?prefix=2001:db8::/32", "2001:db8::/48=172.16.0.1 "},
      {"?limit=1", "10.1.0.0/16=172.16.0.1 10.1.0.0/16=172.16.0.9 10.1.0.0/16"},
      {"?limit=1&after=10.1.0.0/16", "10.2.0.0/16= 10.2.0.0/16"},
      {"?after=10.2.0.0/16", "2001:db8::/48=172.16.0.1 "},
      {"?after=2001:db8::/48", ""},
  };
  for (const auto& [query, expected] : cases) EXPECT_EQ(shown(query), expected) << query;
}

TEST_F(BgpRoutes, AQueryThatIsNoneIsRefused) {
  const std::pair<const char*, const char*> cases[] = {
      {"?type=worst", "the query's \"type\" must be one of"},
      {"?type=advertised", "needs \"peer\""},
      {"?prefix=10.2.0.1/16", "the query's \"prefix\" must be a prefix"},
      {"?after=x", "the query's \"after\" must be a prefix"},
      {"?limit=0", "must be a whole number"},
      {"?colour=red", "colour"},
  };
  for (const auto& [query, expected] : cases) {
    const auto reply = routes(query);
    EXPECT_EQ(reply.status, 400) << query;
    EXPECT_NE(reply.json()["error"]["message"].get<std::string>().find(expected), std::string::npos)
        << query << reply.body;
  }
  EXPECT_EQ(call("GET", "/v1/routingDomains/none/bgpRoutes").status, 404);
}

}  // namespace
}  // namespace hnv
