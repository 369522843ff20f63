// SPDX-License-Identifier: Apache-2.0
//
// Tunnels in the model: every refusal as a table, over the base state with two tunnels, one in each
// tenant, from one address of ours to one address of their sites', with the same routes.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "api/resource_json.h"
#include "tests/gateway/model_fixture.h"

namespace hnv {
namespace {

#define CONTOSO "/v1/routingDomains/contoso"
#define FABRIKAM "/v1/routingDomains/fabrikam"
#define BRANCH "/networkConnections/branch"
#define INTERNET "/v1/externalNetworks/internet"
#define POOLS "/v1/publicIPAddresses/"

// clang-format off
constexpr const char* kContoso = R"({"connectionType":"IPSec","ipSecConfiguration":{"sourceIPAddress":"198.51.100.2",
  "destinationIPAddress":"192.0.2.10","remoteIdentity":"site.contoso.example","sharedSecret":"contoso-swordfish"},
  "routes":[{"destinationPrefix":"10.200.0.0/16"}]})";
constexpr const char* kFabrikam = R"({"connectionType":"IPSec","ipSecConfiguration":{"sourceIPAddress":"198.51.100.2",
  "destinationIPAddress":"192.0.2.10","remoteIdentity":"site.fabrikam.example","sharedSecret":"fabrikam-swordfish"},
  "routes":[{"destinationPrefix":"10.200.0.0/16","persistent":true}]})";
constexpr const char* kInternet =
  R"({"port":"wan0","vlanId":30,"ipAddresses":["198.51.100.2/24","198.51.100.3/24"],"publicAddressPrefixes":["198.51.100.0/25"]})";

ModelPtr tunnels() {
  return must_apply(base_model(), {{"PUT", INTERNET, kInternet},
                                   {"PUT", CONTOSO BRANCH, kContoso},
                                   {"PUT", FABRIKAM BRANCH, kFabrikam}});
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
  {"a source address that is not ours",
   {{"PUT", CONTOSO BRANCH, R"({"connectionType":"IPSec","ipSecConfiguration":{"sourceIPAddress":"198.51.100.9","destinationIPAddress":"192.0.2.10"}})"}},
   ErrorCode::unfit, "/ipSecConfiguration/sourceIPAddress", {"198.51.100.9", "own addresses"}},
  {"a source address that two networks have",
   {{"PUT", INTERNET "2", R"({"port":"wan0","vlanId":31,"ipAddresses":["198.51.100.4/24"]})"},
    {"PUT", INTERNET "3", R"({"port":"wan0","vlanId":32,"ipAddresses":["198.51.100.4/24"]})"},
    {"PUT", CONTOSO BRANCH, R"({"connectionType":"IPSec","ipSecConfiguration":{"sourceIPAddress":"198.51.100.4","destinationIPAddress":"192.0.2.10"}})"}},
   ErrorCode::unfit, "/ipSecConfiguration/sourceIPAddress", {"internet2", "internet3"}},
  {"no secret, and none stored",
   {{"PUT", CONTOSO "/networkConnections/new", R"({"connectionType":"IPSec","ipSecConfiguration":{"sourceIPAddress":"198.51.100.2","destinationIPAddress":"192.0.2.11"}})"}},
   ErrorCode::invalid_value, "/ipSecConfiguration/sharedSecret", {"8 to 256"}},
  {"a secret that is taken away",
   {{"PUT", CONTOSO BRANCH, R"({"connectionType":"IPSec","ipSecConfiguration":{"sourceIPAddress":"198.51.100.2","destinationIPAddress":"192.0.2.10",
      "remoteIdentity":"site.contoso.example","sharedSecret":"swordfish"}})"},
    {"PUT", CONTOSO "/networkConnections/new", R"({"connectionType":"IPSec","ipSecConfiguration":{"sourceIPAddress":"198.51.100.2","destinationIPAddress":"192.0.2.11"}})"}},
   ErrorCode::invalid_value, "/ipSecConfiguration/sharedSecret", {}},
  {"another tenant's identity",
   {{"PUT", FABRIKAM "/networkConnections/new", R"({"connectionType":"IPSec","ipSecConfiguration":{"sourceIPAddress":"198.51.100.3",
      "destinationIPAddress":"192.0.2.99","remoteIdentity":"Site.Contoso.Example","sharedSecret":"fabrikam-swordfish"}})"}},
   ErrorCode::conflict, "/ipSecConfiguration/remoteIdentity", {"site.contoso.example", "identity of its own", "certificates"}},
  {"a route twice",
   {{"PUT", CONTOSO BRANCH, R"({"connectionType":"IPSec","ipSecConfiguration":{"sourceIPAddress":"198.51.100.2","destinationIPAddress":"192.0.2.10",
      "remoteIdentity":"site.contoso.example"},"routes":[{"destinationPrefix":"10.200.0.0/16"},{"destinationPrefix":"10.200.0.0/16"}]})"}},
   ErrorCode::unfit, "/routes", {"10.200.0.0/16"}},
  {"a route into multicast",
   {{"PUT", CONTOSO BRANCH, R"({"connectionType":"IPSec","ipSecConfiguration":{"sourceIPAddress":"198.51.100.2","destinationIPAddress":"192.0.2.10",
      "remoteIdentity":"site.contoso.example"},"routes":[{"destinationPrefix":"224.0.0.0/8"}]})"}},
   ErrorCode::unfit, "/routes/0/destinationPrefix", {"multicast"}},
  {"a network that loses the address",
   {{"PUT", INTERNET, R"({"port":"wan0","vlanId":30,"ipAddresses":["198.51.100.3/24"]})"}},
   ErrorCode::conflict, "/ipAddresses", {"198.51.100.2", CONTOSO BRANCH}},
  {"a network that goes",
   {{"DELETE", INTERNET}}, ErrorCode::conflict, INTERNET, {CONTOSO BRANCH}},
  {"a pool with IKE's ports",
   {{"PUT", POOLS "p", R"({"externalNetwork":"internet","publicIPAddresses":["198.51.100.0/30"]})"}},
   ErrorCode::conflict, "/publicIPAddresses/0", {"198.51.100.2", "500 and 4500"}},
  {"a tunnel from a pool's address",
   {{"PUT", POOLS "p", R"({"externalNetwork":"internet","publicIPAddresses":["198.51.100.3"]})"},
    {"PUT", CONTOSO "/networkConnections/new", R"({"connectionType":"IPSec","ipSecConfiguration":{"sourceIPAddress":"198.51.100.3","destinationIPAddress":"192.0.2.11",
      "sharedSecret":"swordfish"}})"}},
   ErrorCode::conflict, "/ipSecConfiguration/sourceIPAddress", {POOLS "p", "4500"}},
  {"a connection that a customer route leads through",
   {{"PUT", CONTOSO "/customerRoutes/far", R"({"destinationPrefix":"10.201.0.0/16","networkConnection":"branch"})"},
    {"DELETE", CONTOSO BRANCH}},
   ErrorCode::conflict, CONTOSO BRANCH, {CONTOSO "/customerRoutes/far"}},
};
// clang-format on

class IpsecRefuses : public ::testing::TestWithParam<Refusal> {};

TEST_P(IpsecRefuses, WithCodeTargetAndMessage) {
  const Refusal& refusal = GetParam();
  const auto base = tunnels();
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
  EXPECT_EQ(index_fault(*base), "");
}
INSTANTIATE_TEST_SUITE_P(Tunnels, IpsecRefuses, ::testing::ValuesIn(kRefusals));

const ConnectionModel& branch(const Model& model, const char* domain) {
  return *model.domain(domain)->connection("branch");
}

TEST(ModelIpsec, TwoTenantsHaveTheSameSitesAddressAndRoutes) {
  const auto model = tunnels();
  EXPECT_EQ(index_fault(*model), "");
  EXPECT_NE(branch(*model, "contoso").tunnel, branch(*model, "fabrikam").tunnel);
  EXPECT_EQ(branch(*model, "contoso").network, "internet");
  EXPECT_EQ(model->domain("fabrikam")->route_count, 1U);
}

TEST(ModelIpsec, ASecretThatIsNotMentionedStays) {
  const auto base = tunnels();
  const uint32_t number = branch(*base, "contoso").tunnel;
  std::string quiet = kContoso;
  quiet.erase(quiet.find(R"(,"sharedSecret":"contoso-swordfish")"),
              std::string_view(R"(,"sharedSecret":"contoso-swordfish")").size());
  const Change same = [&] {
    Faults faults;
    const auto key = *parse_resource_path(CONTOSO BRANCH);
    Change change;
    change.operations.emplace_back(
        Put{key, decode_resource(key, Place{}, Json::parse(quiet), faults), {}});
    EXPECT_TRUE(faults.empty());
    return change;
  }();
  const auto unchanged = apply(base, same, kTestPorts, test_choices());
  ASSERT_TRUE(unchanged) << unchanged.error().error.message;
  EXPECT_EQ(unchanged->next, base) << "nothing differs";

  Change faster = same;
  auto& spec = std::get<NetworkConnectionSpec>(std::get<Put>(faster.operations[0]).spec);
  spec.tunnel->outbound_kilobits_per_second = 9;
  const auto changed = apply(base, faster, kTestPorts, test_choices());
  ASSERT_TRUE(changed);
  const ConnectionModel& after = branch(*changed->next, "contoso");
  EXPECT_EQ(after.spec.tunnel->shared_secret->reveal_text(), "contoso-swordfish");
  EXPECT_EQ(after.tunnel, number) << "it is still the same tunnel";

  spec.tunnel->shared_secret = SharedSecret(SecretBytes());
  const auto refused = apply(base, faster, kTestPorts, test_choices());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error.target, "/ipSecConfiguration/sharedSecret");
}

TEST(ModelIpsec, GoesWithoutATrace) {
  const auto base = tunnels();
  const auto gone = must_apply(base, {{"DELETE", CONTOSO BRANCH}, {"DELETE", FABRIKAM BRANCH}});
  EXPECT_EQ(index_fault(*gone), "");
  EXPECT_TRUE(gone->tunnels_by_source.empty());
  // Identities are free again, for anybody.
  const auto again = must_apply(gone, {{"PUT", FABRIKAM BRANCH, kContoso}});
  EXPECT_GT(branch(*again, "fabrikam").tunnel, branch(*base, "fabrikam").tunnel)
      << "a number is never given twice";
  EXPECT_EQ(index_fault(*must_apply(gone, {{"DELETE", INTERNET}})), "");
}

TEST(ModelIpsec, TurnsIntoAnL3ConnectionAndBack) {
  const auto base = tunnels();
  const auto l3 = must_apply(base, {{"PUT", FABRIKAM BRANCH,
                                     R"({"connectionType":"L3","l3Configuration":{"port":"wan1",
                                         "vlanId":9,"ipAddresses":["172.31.0.2/24"]}})"}});
  EXPECT_EQ(index_fault(*l3), "");
  const auto back = must_apply(l3, {{"PUT", FABRIKAM BRANCH, kFabrikam}});
  EXPECT_EQ(index_fault(*back), "");
  EXPECT_FALSE(branch(*back, "fabrikam").spec.l3.mac_address);
}

TEST(ModelIpsec, IsTheSameOutOfAStore) {
  const auto base = tunnels();
  const auto again = restore(base->generation(), all_resources(*base), kTestPorts, test_choices());
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(branch(**again, "contoso").spec, branch(*base, "contoso").spec);
  EXPECT_EQ(index_fault(**again), "");
}

}  // namespace
}  // namespace hnv
