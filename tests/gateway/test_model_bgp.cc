// SPDX-License-Identifier: Apache-2.0
//
// BGP in the model: every refusal as a table, over the base state with the same router, peer,
// policies and routes in both tenants.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "api/resource_json.h"
#include "tests/gateway/model_fixture.h"

namespace hnv {
namespace {

#define CONTOSO "/v1/routingDomains/contoso"
#define FABRIKAM "/v1/routingDomains/fabrikam"

// clang-format off
constexpr const char* kRouter = R"({"asNumber":65001,"routerId":"10.0.9.2"})";
constexpr const char* kSite = R"({"peerIpAddress":"172.16.0.1","asNumber":65010,"password":"swordfish","policyMapIn":"in"})";
constexpr const char* kIn = R"({"policyMapEntryList":[{"sequence":10,"match":{"prefixes":[{"prefix":"10.50.0.0/16","maxLength":24}]}}]})";

ModelPtr routers() {
  std::vector<Request> requests;
  static std::vector<std::string> paths;
  paths.clear();
  for (const char* domain : {CONTOSO, FABRIKAM}) {
    for (const char* path : {"/bgpRouter", "/policyMaps/in", "/bgpPeers/site", "/bgpCustomRoutes", "/bgpAggregates"}) {
      paths.push_back(std::string(domain) + path);
    }
  }
  const char* bodies[] = {kRouter, kIn, kSite, R"({"routes":[{"prefix":"10.0.0.0/24"}]})",
                          R"({"aggregates":[{"prefix":"10.0.0.0/16","summaryOnly":"Enabled"}]})"};
  for (size_t i = 0; i < paths.size(); ++i) requests.push_back({"PUT", paths[i], bodies[i % 5]});
  return must_apply(base_model(), requests);
}

struct Refusal {
  const char* name;
  std::vector<Request> requests;
  ErrorCode code;
  const char* target;
  std::vector<const char*> mentions;  // what the message must say
};
std::ostream& operator<<(std::ostream& out, const Refusal& refusal) { return out << refusal.name; }

const Refusal kRefusals[] = {
  {"a router of no domain",
   {{"PUT", "/v1/routingDomains/none/bgpRouter", kRouter}}, ErrorCode::not_found, "/v1/routingDomains/none", {}},
  {"a peer without a router",
   {{"PUT", "/v1/routingDomains/new"}, {"PUT", "/v1/routingDomains/new/bgpPeers/site", R"({"peerIpAddress":"10.0.0.9","asNumber":1})"}},
   ErrorCode::unfit, "", {"/v1/routingDomains/new/bgpRouter", "create it first"}},
  {"custom routes without a router",
   {{"PUT", "/v1/routingDomains/new"}, {"PUT", "/v1/routingDomains/new/bgpCustomRoutes", R"({"routes":[]})"}},
   ErrorCode::unfit, "", {"bgpRouter"}},
  {"aggregates without a router",
   {{"PUT", "/v1/routingDomains/new"}, {"PUT", "/v1/routingDomains/new/bgpAggregates", R"({"aggregates":[]})"}},
   ErrorCode::unfit, "", {"bgpRouter"}},
  {"a router that peers need",
   {{"DELETE", CONTOSO "/bgpRouter"}}, ErrorCode::conflict, CONTOSO "/bgpRouter", {CONTOSO "/bgpPeers/site"}},
  {"a router that routes need",
   {{"DELETE", CONTOSO "/bgpPeers/site"}, {"DELETE", CONTOSO "/bgpRouter"}},
   ErrorCode::conflict, CONTOSO "/bgpRouter", {CONTOSO "/bgpCustomRoutes"}},
  {"a policy map that a peer names",
   {{"DELETE", CONTOSO "/policyMaps/in"}}, ErrorCode::conflict, CONTOSO "/policyMaps/in", {CONTOSO "/bgpPeers/site"}},
  {"a peer with a policy map that is not there",
   {{"PUT", CONTOSO "/bgpPeers/other", R"({"peerIpAddress":"172.16.0.5","asNumber":65011,"policyMapOut":"none"})"}},
   ErrorCode::unfit, "/policyMapOut", {"no policy map none"}},
  {"two peers with one address",
   {{"PUT", CONTOSO "/bgpPeers/twin", R"({"peerIpAddress":"172.16.0.1","asNumber":65011})"}},
   ErrorCode::unfit, "/peerIpAddress", {"site"}},
  {"a router reflector's client of another AS",
   {{"PUT", CONTOSO "/bgpPeers/site", R"({"peerIpAddress":"172.16.0.1","asNumber":65011,"routeReflectorClient":"Enabled"})"}},
   ErrorCode::unfit, "/routeReflectorClient", {"our own AS"}},
  {"an AS number with which a peer's multihop does not go",
   {{"PUT", CONTOSO "/bgpPeers/site", R"({"peerIpAddress":"172.16.0.1","asNumber":65010,"multihop":3})"},
    {"PUT", CONTOSO "/bgpRouter", R"({"asNumber":65010,"routerId":"10.0.9.2"})"}},
   ErrorCode::conflict, "", {CONTOSO "/bgpPeers/site/multihop", "another AS"}},
  {"a custom route twice",
   {{"PUT", CONTOSO "/bgpCustomRoutes", R"({"routes":[{"prefix":"10.0.0.0/24"},{"prefix":"10.0.0.0/24"}]})"}},
   ErrorCode::unfit, "/routes/1/prefix", {"10.0.0.0/24"}},
  {"an aggregate twice",
   {{"PUT", CONTOSO "/bgpAggregates", R"({"aggregates":[{"prefix":"10.0.0.0/8"},{"prefix":"10.0.0.0/8"}]})"}},
   ErrorCode::unfit, "/aggregates/1/prefix", {"10.0.0.0/8"}},
  {"a domain with a policy map",
   {{"PUT", "/v1/routingDomains/new"}, {"PUT", "/v1/routingDomains/new/policyMaps/in", kIn}, {"DELETE", "/v1/routingDomains/new"}},
   ErrorCode::conflict, "/v1/routingDomains/new", {"/v1/routingDomains/new/policyMaps/in"}},
  {"a domain with a router",
   {{"PUT", "/v1/routingDomains/new"}, {"PUT", "/v1/routingDomains/new/bgpRouter", kRouter}, {"DELETE", "/v1/routingDomains/new"}},
   ErrorCode::conflict, "/v1/routingDomains/new", {"/v1/routingDomains/new/bgpRouter"}},
};
// clang-format on

class BgpRefuses : public ::testing::TestWithParam<Refusal> {};

TEST_P(BgpRefuses, WithCodeTargetAndMessage) {
  const Refusal& refusal = GetParam();
  const auto base = routers();
  const auto done = try_apply(base, refusal.requests);
  ASSERT_FALSE(done.has_value());
  const auto& [error, operation] = done.error();
  EXPECT_EQ(to_string(error.code), to_string(refusal.code)) << error.message;
  EXPECT_EQ(error.target, refusal.target) << error.message;
  EXPECT_EQ(operation, refusal.requests.size() - 1) << error.message;
  for (const char* mention : refusal.mentions) {
    EXPECT_NE(error.message.find(mention), std::string::npos) << error.message;
  }
  EXPECT_EQ(error.message.find("swordfish"), std::string::npos) << error.message;
}
INSTANTIATE_TEST_SUITE_P(Routers, BgpRefuses, ::testing::ValuesIn(kRefusals));

TEST(ModelBgp, IsAllOfADomainsTogether) {
  const auto model = routers();
  const auto contoso = bgp_of(*model->domain("contoso"));
  ASSERT_TRUE(contoso);
  EXPECT_EQ(contoso->router.as_number, 65'001U);
  EXPECT_EQ(contoso->peers.at("site").policy_map_in, "in");
  EXPECT_TRUE(contoso->policy_maps.contains("in"));
  EXPECT_EQ(contoso->custom_routes.size(), 1U);
  EXPECT_EQ(contoso->aggregates.at(0).summary_only, BgpSwitch::enabled);
  EXPECT_EQ(contoso, bgp_of(*model->domain("fabrikam"))) << "tenants do not see each other";
  EXPECT_FALSE(bgp_of(*base_model()->domain("contoso")));
}

TEST(ModelBgp, APasswordThatIsNotMentionedStays) {
  const auto base = routers();
  const auto password = [](const Model& model) {
    return model.domain("contoso")->bgp_peers.find("site")->get()->spec.password;
  };
  const char* quiet = R"({"peerIpAddress":"172.16.0.1","asNumber":65010,"policyMapIn":"in"})";
  const auto same = try_apply(base, {{"PUT", CONTOSO "/bgpPeers/site", quiet}});
  ASSERT_TRUE(same);
  EXPECT_EQ(same->next, base) << "nothing differs";
  const auto heavier = must_apply(
      base, {{"PUT", CONTOSO "/bgpPeers/site",
              R"({"peerIpAddress":"172.16.0.1","asNumber":65010,"policyMapIn":"in","weight":9})"}});
  ASSERT_TRUE(password(*heavier));
  EXPECT_EQ(password(*heavier)->reveal_text(), "swordfish");
  const auto without =
      must_apply(heavier, {{"PUT", CONTOSO "/bgpPeers/site",
                            R"({"peerIpAddress":"172.16.0.1","asNumber":65010,"password":null})"}});
  EXPECT_FALSE(password(*without));
}

TEST(ModelBgp, IsNoChangeOfAnythingElse) {
  const auto base = routers();
  const auto changed =
      must_apply(base, {{"PUT", CONTOSO "/bgpPeers/site",
                         R"({"peerIpAddress":"172.16.0.9","asNumber":65010,"policyMapIn":"in"})"}});
  EXPECT_EQ(differences(*base, *changed), (std::vector<Touched>{TouchedBgp{"contoso"}}));
  EXPECT_EQ(index_fault(*changed), "");
}

TEST(ModelBgp, IsTheSameOutOfAStore) {
  const auto base = routers();
  const auto again = restore(base->generation(), all_resources(*base), kTestPorts, test_choices());
  ASSERT_TRUE(again) << again.error().message;
  for (const char* domain : {"contoso", "fabrikam"}) {
    EXPECT_EQ(bgp_of(*(*again)->domain(domain)), bgp_of(*base->domain(domain)));
  }
  EXPECT_EQ(all_resources(**again).size(), all_resources(*base).size());
}

TEST(ModelBgp, GoesWithoutATrace) {
  const auto gone = must_apply(routers(), {{"DELETE", CONTOSO "/bgpPeers/site"},
                                           {"DELETE", CONTOSO "/bgpCustomRoutes"},
                                           {"DELETE", CONTOSO "/bgpAggregates"},
                                           {"DELETE", CONTOSO "/policyMaps/in"},
                                           {"DELETE", CONTOSO "/bgpRouter"},
                                           {"DELETE", CONTOSO "/bgpRouter"}});
  EXPECT_FALSE(bgp_of(*gone->domain("contoso")));
  EXPECT_EQ(shown(*gone, CONTOSO "/bgpPeers/site"), "");
  EXPECT_NE(shown(*gone, FABRIKAM "/bgpPeers/site"), "");
  EXPECT_EQ(gone->count({Collection::bgp_peers, "contoso", ""}), 0U);
  EXPECT_EQ(gone->count({Collection::policy_maps, "fabrikam", ""}), 1U);
}

}  // namespace
}  // namespace hnv
