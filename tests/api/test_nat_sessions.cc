// SPDX-License-Identifier: Apache-2.0
//
// NAT over HTTP: the resources with their state, the sessions of a domain, and ending them.
#include <fmt/format.h>

#include "api/nat_sessions.h"
#include "tests/api/api_fixture.h"

namespace hnv {
namespace {

class NatSessions : public ApiFixture {
 protected:
  // Both tenants have the same addresses inside; contoso has sessions 1 to 5, fabrikam 1 and 2.
  NatSessions() {
    control_.have_sessions("contoso", 5);
    control_.have_sessions("fabrikam", 2);
  }
  // The inside ports of what a query shows.
  std::string ports(std::string_view domain, std::string_view query) {
    const auto reply =
        call("GET", fmt::format("/v1/routingDomains/{}/natSessions{}", domain, query));
    EXPECT_EQ(reply.status, 200) << reply.body;
    std::string text;
    const Json json = reply.json();
    for (const auto& session : json["value"]) {
      text += fmt::format("{} ", session["insidePort"].get<int>());
    }
    return text;
  }
  Reply end(std::string_view domain, std::string_view query) {
    return call("DELETE", fmt::format("/v1/routingDomains/{}/natSessions{}", domain, query));
  }
};

TEST_F(NatSessions, AreShownWithEverythingKnown) {
  const Json json = call("GET", "/v1/routingDomains/contoso/natSessions?limit=1").json();
  const Json expected = Json::parse(R"({"protocol":"TCP","insideAddress":"10.0.0.1",
      "insidePort":1001,"outsideAddress":"203.0.113.4","outsidePort":2001,
      "remoteAddress":"198.51.100.7","remotePort":443,"state":"established","mapping":"dynamic",
      "age":0.0,"idle":0.0,"inboundPackets":0,"inboundBytes":0,"outboundPackets":1,
      "outboundBytes":0})");
  EXPECT_EQ(json["value"][0], expected);
}

TEST_F(NatSessions, AreChosenByEveryPartOfTheFilter) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "1001 1002 1003 1004 1005 "},
      {"?protocol=TCP", "1001 1003 1005 "},
      {"?protocol=17", "1002 1004 "},
      {"?protocol=ICMP", ""},
      {"?inside=10.0.0.3", "1003 "},
      {"?inside=10.0.0.4/30", "1004 1005 "},
      {"?insidePort=1002", "1002 "},
      {"?outside=203.0.113.0/24&outsidePort=2005", "1005 "},
      {"?outside=203.0.113.5", ""},
      {"?remote=198.51.100.7&remotePort=443&protocol=UDP", "1002 1004 "},
      {"?remotePort=80", ""},
      {"?inside=fd00::/8", ""},
  };
  for (const auto& [query, expected] : cases) EXPECT_EQ(ports("contoso", query), expected) << query;
  EXPECT_EQ(ports("fabrikam", ""), "1001 1002 ");
}

TEST_F(NatSessions, ComePageByPage) {
  std::string seen;
  std::string after;
  for (int page = 0; page < 5; ++page) {
    const std::string query = "?protocol=TCP&limit=2" + after;
    seen += ports("contoso", query) + "| ";
    const Json json = call("GET", "/v1/routingDomains/contoso/natSessions" + query).json();
    if (!json.contains("nextAfter")) break;
    after = "&after=" + json["nextAfter"].get<std::string>();
  }
  EXPECT_EQ(seen, "1001 1003 | 1005 | ");
}

TEST_F(NatSessions, RefuseWhatIsNoFilter) {
  const std::pair<const char*, const char*> cases[] = {
      {"protocol=tcp", "protocol"},
      {"protocol=256", "protocol"},
      {"inside=10.0.0", "inside"},
      {"inside=10.0.0.1/24", "inside"},
      {"insidePort=x", "insidePort"},
      {"outsidePort=65536", "outsidePort"},
      {"remotePort=-1", "remotePort"},
      {"remote=", "remote"},
      {"outside=203.0.113", "outside"},
      {"insde=10.0.0.1", "insde"},
      {"limit=0", "limit"},
      {"limit=x", "limit"},
  };
  for (const auto& [query, target] : cases) {
    const auto reply = call("GET", fmt::format("/v1/routingDomains/contoso/natSessions?{}", query));
    EXPECT_EQ(reply.status, 400) << query;
    EXPECT_EQ(reply.target(), target) << query;
    EXPECT_NE(reply.body.find(target), std::string::npos) << reply.body;
  }
  const auto both = call("GET", "/v1/routingDomains/contoso/natSessions?inside=x&remotePort=y");
  EXPECT_EQ(both.json()["error"]["details"].size(), 2U);
  EXPECT_EQ(call("GET", "/v1/routingDomains/contoso/natSessions?after=x").status, 400);
  EXPECT_EQ(call("GET", "/v1/routingDomains/none/natSessions").status, 404);
}

TEST_F(NatSessions, EndByFilterAndNeverByMistake) {
  for (const auto* query : {"", "?all=yes", "?all=true&inside=10.0.0.1", "?insde=10.0.0.1",
                            "?all=true&insde=10.0.0.1", "?limit=1"}) {
    EXPECT_EQ(end("contoso", query).status, 400) << query;
  }
  EXPECT_EQ(ports("contoso", ""), "1001 1002 1003 1004 1005 ");
  EXPECT_EQ(end("contoso", "?inside=10.0.0.2").json()["ended"], 1);
  EXPECT_EQ(end("contoso", "?inside=10.0.0.2").json()["ended"], 0);
  EXPECT_EQ(ports("contoso", ""), "1001 1003 1004 1005 ");
  EXPECT_EQ(end("contoso", "?all=true").json()["ended"], 4);
  // The twin's are untouched.
  EXPECT_EQ(ports("fabrikam", ""), "1001 1002 ");
  EXPECT_EQ(end("none", "?all=true").status, 404);
}

TEST_F(NatSessions, ResourcesShowTheirState) {
  ASSERT_EQ(call("PUT", "/v1/publicIPAddresses/p",
                 R"({"externalNetwork":"inet","publicIPAddresses":["203.0.113.0/30"],
                     "portRange":{"first":1024,"last":2047},"portBlockSize":64})")
                .status,
            201);
  const Json pool = call("GET", "/v1/publicIPAddresses/p").json();
  EXPECT_EQ(pool["status"], Json::parse(R"({"addresses":4,"portBlocks":64,"portBlocksInUse":2,
                                            "portsInUse":7,"routingDomains":2})"));
  EXPECT_EQ(call("GET", "/v1/publicIPAddresses").json()["value"][0], pool);
  EXPECT_EQ(call("PUT", "/v1/publicIPAddresses/p", pool.dump()).status, 200);

  ASSERT_EQ(call("PUT", "/v1/routingDomains/contoso/nat", "{}").status, 201);
  const Json nat = call("GET", "/v1/routingDomains/contoso/nat").json();
  EXPECT_EQ(nat["resourceId"], "nat");
  EXPECT_EQ(nat["status"]["sessions"], 5);
  EXPECT_EQ(nat["status"]["refused"]["pool"], 4);
  EXPECT_EQ(nat["status"]["statistics"]["outboundPackets"], 15);
  EXPECT_EQ(call("PUT", "/v1/routingDomains/contoso/nat", nat.dump()).status, 200);
  EXPECT_EQ(call("DELETE", "/v1/routingDomains/contoso/nat").status, 204);
  EXPECT_EQ(call("GET", "/v1/routingDomains/contoso/nat").status, 404);
  EXPECT_EQ(call("GET", "/v1/routingDomains/-x/nat").status, 400);
  EXPECT_EQ(call("POST", "/v1/routingDomains/contoso/nat", "{}").status, 405);
}

TEST_F(NatSessions, AreInTheMetrics) {
  call("PUT", "/v1/routingDomains/contoso", "{}");
  call("PUT", "/v1/publicIPAddresses/p",
       R"({"externalNetwork":"inet","publicIPAddresses":["203.0.113.4"]})");
  const auto reply = call("GET", "/metrics");
  for (const auto* line :
       {"hnv_nat_sessions{domain=\"contoso\"} 5\n", "hnv_nat_port_blocks{domain=\"contoso\"} 5\n",
        "hnv_nat_refused_total{domain=\"contoso\",limit=\"pool\"} 4\n",
        "hnv_nat_outbound_packets_total{domain=\"contoso\"} 15\n",
        "hnv_nat_pool_port_blocks{pool=\"p\"} 1008\n",
        "hnv_nat_pool_port_blocks_in_use{pool=\"p\"} 2\n"}) {
    EXPECT_NE(reply.body.find(line), std::string::npos) << line << reply.body;
  }
}

}  // namespace
}  // namespace hnv
