// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "bgp/bgp_table.h"
#include "tests/bgp/fake_bgpd.h"

namespace hnv {
namespace {

using CaPrefix = Prefix<Space::customer>;

const IpAddress<Space::customer> kSite = IpAddress<Space::customer>::parse("192.168.50.10").value();

CaPrefix prefix(const std::string& text) { return CaPrefix::parse(text).value(); }

std::string summary(size_t nodes, size_t told) {
  return fmt::format(R"({{"ribCount":{},"peers":{{"192.168.50.10":{{"pfxSnt":{}}}}}}})", nodes,
                     told);
}
// As bgpd lists it; only the names count.
std::string table(const std::vector<std::string>& prefixes) {
  std::string out = "{\n \"vrfId\": 1,\n \"routes\": { ";
  for (const std::string& one : prefixes) {
    out += fmt::format("{}\"{}\": [{{\"valid\":true,\"path\":\"\"}}]\n",
                       out.back() == '\n' ? "," : "", one);
  }
  return out + " }  } \n";
}
std::string path(const char* peer, bool best, bool valid = true) {
  return fmt::format(R"({{"valid":{},"bestpath":{{"overall":{}}},"peer":{{"peerId":"{}"}}}})",
                     valid, best, peer);
}
std::string paths(std::initializer_list<std::string> all) {
  return fmt::format(R"({{"paths":[{}]}})", fmt::join(all, ","));
}

struct BgpTableTest : testing::Test {
  // A domain with five prefixes of IPv4 and one of IPv6.
  std::map<std::string, FakeBgpd::Answer> answers() const {
    const std::string v4 = "show bgp vrf d7 ipv4 unicast ";
    const std::string v6 = "show bgp vrf d7 ipv6 unicast ";
    return {{v4 + "summary json", {summary(nodes, told)}},
            {v6 + "summary json", {summary(1, 0)}},
            {v4 + "json",
             {table({"0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/16", "10.1.0.0/16", "11.0.0.0/8"})}},
            {v6 + "json", {table({"2001:db8::/48"})}},
            {v4 + "0.0.0.0/0 json", {paths({path("0.0.0.0", true)})}},
            {v4 + "10.0.0.0/8 json",
             {paths({path("192.168.50.10", true), path("192.168.50.11", false)})}},
            {v4 + "10.0.0.0/16 json", {paths({path("192.168.50.11", true)})}},
            {v4 + "10.1.0.0/16 json", {paths({path("192.168.50.10", false, false)})}},
            {v4 + "11.0.0.0/8 json", {paths({path("192.168.50.10", true)})}},
            {v6 + "2001:db8::/48 json", {paths({path("192.168.50.10", true)})}},
            {v4 + "neighbors 192.168.50.10 advertised-routes json", {R"({"advertisedRoutes":{
                "10.0.0.0/8":{"metric":1,"path":"65020","bgpOriginCode":"i"},
                "10.2.0.0/16":{"metric":2,"bgpOriginCode":"i"},
                "10.3.0.0/16":{"metric":3,"bgpOriginCode":"i"}
              },"totalPrefixCounter":3})"}},
            {v6 + "neighbors 192.168.50.10 advertised-routes json",
             {R"({ "warning": "No such neighbor or address family" })", 1}}};
  }
  Result<BgpTablePage> ask(BgpTableQuestion question) {
    question.vrf = "d7";
    FakeBgpd bgpd(answers());
    Result<BgpTablePage> out;
    {
      VtyReader reader(bgpd.connection(), VtyReader::Clock::now() + std::chrono::minutes(1));
      // What has a usable path.
      BgpTable all(reader, [](const auto& after, const BgpTable::Visit& visit) {
        for (const char* one :
             {"0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/16", "11.0.0.0/8", "2001:db8::/48"}) {
          if (after && prefix(one) <= *after) continue;
          if (!visit(prefix(one))) return;
        }
      });
      out = all.page(question);
    }
    asked = bgpd.asked();
    return out;
  }
  // "10.0.0.0/8 10.0.0.0/8 > 10.0.0.0/8": the routes, and behind ">" where the next page begins.
  std::string shown(const BgpTableQuestion& question) {
    const auto page = ask(question);
    if (!page) return page.error().message;
    complete = page->complete;
    std::string text;
    for (const BgpRoute& route : page->routes) text += route.prefix.to_string() + " ";
    return text + (page->next ? "> " + page->next->to_string() : "");
  }
  bool listed() const {
    return std::find(asked.begin(), asked.end(), "show bgp vrf d7 ipv4 unicast json") !=
           asked.end();
  }

  size_t nodes = 9;
  size_t told = 3;
  bool complete = false;
  std::vector<std::string> asked;
};

TEST_F(BgpTableTest, EveryPathOfEveryPrefixInOrder) {
  EXPECT_EQ(shown({}),
            "0.0.0.0/0 10.0.0.0/8 10.0.0.0/8 10.0.0.0/16 10.1.0.0/16 11.0.0.0/8 2001:db8::/48 ");
  EXPECT_TRUE(complete);
  EXPECT_TRUE(listed());
}

TEST_F(BgpTableTest, OnlyWhatFitsTheQuestion) {
  EXPECT_EQ(shown({.type = BgpRouteType::best}),
            "0.0.0.0/0 10.0.0.0/8 10.0.0.0/16 11.0.0.0/8 2001:db8::/48 ");
  EXPECT_EQ(shown({.type = BgpRouteType::received}),
            "10.0.0.0/8 10.0.0.0/8 10.0.0.0/16 10.1.0.0/16 11.0.0.0/8 2001:db8::/48 ");
  EXPECT_EQ(shown({.type = BgpRouteType::received, .peer = kSite}),
            "10.0.0.0/8 10.1.0.0/16 11.0.0.0/8 2001:db8::/48 ");
  EXPECT_EQ(shown({.within = prefix("10.0.0.0/8")}),
            "10.0.0.0/8 10.0.0.0/8 10.0.0.0/16 10.1.0.0/16 ");
  EXPECT_EQ(shown({.within = prefix("10.1.2.0/24")}), "");
}

TEST_F(BgpTableTest, PageByPageItIsTheSame) {
  for (const size_t size : {size_t{9}, size_t{1'000'000}}) {
    nodes = size;
    for (size_t limit = 1; limit < 8; ++limit) {
      std::vector<std::string> all;
      BgpTableQuestion question{.type = BgpRouteType::best, .limit = limit};
      for (int pages = 0; pages < 10; ++pages) {
        const auto page = ask(question);
        ASSERT_TRUE(page.has_value());
        EXPECT_LE(page->routes.size(), limit);
        for (const BgpRoute& route : page->routes) all.push_back(route.prefix.to_string());
        question.after = page->next;
        if (!page->next) break;
      }
      EXPECT_EQ(fmt::format("{}", fmt::join(all, " ")),
                "0.0.0.0/0 10.0.0.0/8 10.0.0.0/16 11.0.0.0/8 2001:db8::/48")
          << limit;
    }
  }
}

TEST_F(BgpTableTest, ALargeTableIsNotListed) {
  nodes = BgpTable::kListed + 1;
  EXPECT_EQ(shown({}), "0.0.0.0/0 10.0.0.0/8 10.0.0.0/8 10.0.0.0/16 11.0.0.0/8 2001:db8::/48 ")
      << "10.1.0.0/16 has no path that can be used";
  EXPECT_FALSE(complete);
  EXPECT_FALSE(listed());
  EXPECT_EQ(shown({.within = prefix("10.1.0.0/16")}), "10.1.0.0/16 ") << "which was asked for";
  EXPECT_EQ(shown({.within = prefix("10.0.0.0/8")}), "10.0.0.0/8 10.0.0.0/8 10.0.0.0/16 ");
  EXPECT_EQ(shown({.within = prefix("2001:db8::/32")}), "2001:db8::/48 ");
  EXPECT_TRUE(complete) << "the other family's table is small";
}

TEST_F(BgpTableTest, WhatAPeerWasTold) {
  const BgpTableQuestion question{.type = BgpRouteType::advertised, .peer = kSite};
  EXPECT_EQ(shown(question), "10.0.0.0/8 10.2.0.0/16 10.3.0.0/16 ");
  BgpTableQuestion two = question;
  two.limit = 2;
  EXPECT_EQ(shown(two), "10.0.0.0/8 10.2.0.0/16 > 10.2.0.0/16");
  two.after = prefix("10.2.0.0/16");
  EXPECT_EQ(shown(two), "10.3.0.0/16 ");
  BgpTableQuestion part = question;
  part.within = prefix("10.2.0.0/15");
  EXPECT_EQ(shown(part), "10.2.0.0/16 10.3.0.0/16 ");
  told = BgpTable::kListed + 1;
  const auto much = ask(question);
  ASSERT_FALSE(much.has_value());
  EXPECT_EQ(much.error().code, ErrorCode::limit_reached);
}

TEST_F(BgpTableTest, AVrfThatBgpdDoesNotKnowIsUnavailable) {
  FakeBgpd bgpd({{"show bgp vrf d8 ipv4 unicast summary json",
                  {"{\n  \"warning\":\"View/Vrf is unknown\"\n}\n", 1}}});
  VtyReader reader(bgpd.connection(), VtyReader::Clock::now() + std::chrono::minutes(1));
  BgpTable table(reader, [](const auto&, const BgpTable::Visit&) {});
  const auto page = table.page({.vrf = "d8"});
  ASSERT_FALSE(page.has_value());
  EXPECT_EQ(page.error().code, ErrorCode::unavailable);
  EXPECT_NE(page.error().message.find("View/Vrf is unknown"), std::string::npos);
}

}  // namespace
}  // namespace hnv
