// SPDX-License-Identifier: Apache-2.0
//
// Public addresses and NAT in the model: every refusal as a table, over the base state with a
// network that has public addresses, pools, and a NAT in both tenants: with the same addresses
// inside, and with different ones outside.
#include <algorithm>
#include <cctype>
#include <deque>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/gateway/model_fixture.h"

namespace hnv {
namespace {

#define CONTOSO "/v1/routingDomains/contoso"
#define FABRIKAM "/v1/routingDomains/fabrikam"
#define POOLS "/v1/publicIPAddresses/"
#define INTERNET "/v1/externalNetworks/internet"

ModelPtr nat_model() { return must_apply(base_model(), nat_requests()); }

struct Refusal {
  const char* name;
  std::vector<Request> requests;
  ErrorCode code;
  const char* target;
  std::vector<const char*> mentions;  // what the message must say
};
std::ostream& operator<<(std::ostream& out, const Refusal& refusal) { return out << refusal.name; }

class NatRefuses : public ::testing::TestWithParam<Refusal> {};

TEST_P(NatRefuses, WithCodeTargetAndMessage) {
  const auto& refusal = GetParam();
  const auto base = nat_model();
  const auto before = all_resources(*base).size();
  const auto done = try_apply(base, refusal.requests);
  ASSERT_FALSE(done.has_value());
  const auto& [error, operation] = done.error();
  EXPECT_EQ(to_string(error.code), to_string(refusal.code)) << error.message;
  EXPECT_EQ(error.target, refusal.target) << error.message;
  EXPECT_EQ(operation, refusal.requests.size() - 1);
  for (const char* mention : refusal.mentions) {
    EXPECT_NE(error.message.find(mention), std::string::npos) << error.message;
  }
  EXPECT_EQ(all_resources(*base).size(), before);
  EXPECT_EQ(index_fault(*base), "");
}

std::string name_of(const ::testing::TestParamInfo<Refusal>& info) {
  std::string name;
  bool upper = true;
  for (const char* c = info.param.name; *c != '\0'; ++c) {
    const auto letter = static_cast<unsigned char>(*c);
    if (std::isalnum(letter) != 0) name += upper ? static_cast<char>(std::toupper(letter)) : *c;
    upper = std::isalnum(letter) == 0;
  }
  return name;
}

// clang-format off
const Refusal kPools[] = {
  {"pool of no network",
   {{"PUT", POOLS "p", R"({"externalNetwork":"nowhere","publicIPAddresses":["203.0.113.200"]})"}},
   ErrorCode::unfit, "/externalNetwork", {"/v1/externalNetworks/nowhere does not exist"}},
  {"pool outside the network's prefixes",
   {{"PUT", POOLS "p", R"({"externalNetwork":"internet","publicIPAddresses":["203.0.113.200","192.0.2.0/30"]})"}},
   ErrorCode::unfit, "/publicIPAddresses/1",
   {"192.0.2.0/30", INTERNET, "203.0.113.0/24, 2001:db8:f::/48"}},
  {"pool larger than the network's prefix",
   {{"PUT", POOLS "p", R"({"externalNetwork":"internet","publicIPAddresses":["203.0.112.0/23"]})"}},
   ErrorCode::unfit, "/publicIPAddresses/0", {"203.0.112.0/23"}},
  {"pool of a network without public addresses",
   {{"PUT", POOLS "p", R"({"externalNetwork":"campus","publicIPAddresses":["203.0.113.200"]})"}},
   ErrorCode::unfit, "/publicIPAddresses/0", {"/v1/externalNetworks/campus", "it has none"}},
  {"pool for no domain",
   {{"PUT", POOLS "p", R"({"externalNetwork":"internet","publicIPAddresses":["203.0.113.200"],"routingDomain":"x"})"}},
   ErrorCode::unfit, "/routingDomain", {"/v1/routingDomains/x does not exist"}},
  {"pool inside another one",
   {{"PUT", POOLS "p", R"({"externalNetwork":"internet","publicIPAddresses":["203.0.113.3"],"portRange":{"first":2048,"last":4095}})"}},
   ErrorCode::conflict, "/publicIPAddresses/0",
   {"203.0.113.3 with ports 2048 to 4095", "203.0.113.0/28 with ports 1024 to 33791", POOLS "shared"}},
  {"pool around another one",
   {{"PUT", POOLS "p", R"({"externalNetwork":"internet","publicIPAddresses":["203.0.113.200","203.0.113.16/29"]})"}},
   ErrorCode::conflict, "/publicIPAddresses/1", {"203.0.113.16 with", POOLS "contoso-only"}},
  {"pool over a rule's own addresses",
   {{"PUT", POOLS "p", R"({"externalNetwork":"internet","publicIPAddresses":["203.0.113.32/30"],"portRange":{"first":2000,"last":4000}})"}},
   ErrorCode::conflict, "/publicIPAddresses/0", {"ports 1024 to 2047", CONTOSO "/nat (own)"}},
  {"pool over a one to one mapping",
   {{"PUT", POOLS "p", R"({"externalNetwork":"internet","publicIPAddresses":["203.0.113.64/29"]})"}},
   ErrorCode::conflict, "/publicIPAddresses/0", {"203.0.113.64", CONTOSO "/nat (host)"}},
  {"pool changed to be another domain's",
   {{"PUT", POOLS "shared", R"({"externalNetwork":"internet","publicIPAddresses":["203.0.113.128/28"],"portRange":{"first":1024,"last":33791},"routingDomain":"contoso"})"}},
   ErrorCode::conflict, "/routingDomain", {FABRIKAM "/nat (all)"}},
  {"pool changed to be one domain's with another's mapping in it",
   {{"PUT", FABRIKAM "/nat", R"({"staticMappings":[{"name":"m","externalNetwork":"internet","protocol":"UDP",
      "publicAddress":"203.0.113.5","publicPort":5000,"insideAddress":"10.0.0.4","insidePort":53}]})"},
    {"PUT", POOLS "shared", R"({"externalNetwork":"internet","publicIPAddresses":["203.0.113.0/28"],"portRange":{"first":1024,"last":33791},"routingDomain":"contoso"})"}},
   ErrorCode::conflict, "/publicIPAddresses/0", {"203.0.113.5 port 5000", FABRIKAM "/nat (m)"}},
  {"pool that loses ports a rule uses",
   {{"PUT", POOLS "shared", R"({"externalNetwork":"internet","publicIPAddresses":["203.0.113.0/28"],"portRange":{"first":1024,"last":9000}})"}},
   ErrorCode::conflict, "/portRange", {FABRIKAM "/nat (all)", "1024 to 9215"}},
  {"deletion of a pool in use",
   {{"DELETE", POOLS "shared"}},
   ErrorCode::conflict, POOLS "shared", {CONTOSO "/nat (all)"}},
  {"deletion of a domain that has a NAT",
   {{"PUT", "/v1/routingDomains/n"}, {"PUT", "/v1/routingDomains/n/nat"}, {"DELETE", "/v1/routingDomains/n"}},
   ErrorCode::conflict, "/v1/routingDomains/n", {"/v1/routingDomains/n/nat"}},
  {"deletion of a domain that has a pool alone",
   {{"PUT", "/v1/routingDomains/n"},
    {"PUT", POOLS "p", R"({"externalNetwork":"internet","publicIPAddresses":["203.0.113.200"],"routingDomain":"n"})"},
    {"DELETE", "/v1/routingDomains/n"}},
   ErrorCode::conflict, "/v1/routingDomains/n", {POOLS "p"}},
};
const Refusal kExternalNetworks[] = {
  {"deletion of a network that a pool is of",
   {{"DELETE", CONTOSO "/nat"}, {"DELETE", FABRIKAM "/nat"}, {"DELETE", INTERNET}},
   ErrorCode::conflict, INTERNET, {POOLS "contoso-only"}},
  {"deletion of a network that a mapping is of",
   {{"PUT", INTERNET "2", R"({"port":"wan0","vlanId":31,"publicAddressPrefixes":["192.0.2.0/28"]})"},
    {"PUT", "/v1/routingDomains/n"},
    {"PUT", "/v1/routingDomains/n/nat", R"({"staticMappings":[{"name":"m","externalNetwork":"internet2","protocol":"All","publicAddress":"192.0.2.1","insideAddress":"10.0.0.1"}]})"},
    {"DELETE", INTERNET "2"}},
   ErrorCode::conflict, INTERNET "2", {"/v1/routingDomains/n/nat"}},
  {"network that loses a pool's prefix",
   {{"PUT", INTERNET, R"({"port":"wan0","vlanId":30,"publicAddressPrefixes":["203.0.113.0/30"]})"}},
   ErrorCode::conflict, "/publicAddressPrefixes", {POOLS "contoso-only has 203.0.113.16"}},
  {"network that loses a rule's address",
   {{"PUT", INTERNET, R"({"port":"wan0","vlanId":30,"publicAddressPrefixes":["203.0.113.0/27","203.0.113.64/26","2001:db8:f::/48"]})"}},
   ErrorCode::conflict, "/publicAddressPrefixes", {CONTOSO "/nat has 203.0.113.32"}},
  {"network that loses an IPv6 mapping's address",
   {{"PUT", INTERNET, R"({"port":"wan0","vlanId":30,"publicAddressPrefixes":["203.0.113.0/24"]})"}},
   ErrorCode::conflict, "/publicAddressPrefixes", {CONTOSO "/nat has 2001:db8:f::5"}},
};
const Refusal kRules[] = {
  {"NAT in no domain",
   {{"PUT", "/v1/routingDomains/n/nat"}},
   ErrorCode::not_found, "/v1/routingDomains/n", {"does not exist"}},
  {"rule with no such pool",
   {{"PUT", FABRIKAM "/nat", R"({"outboundRules":[{"name":"a","pool":"x"}]})"}},
   ErrorCode::unfit, "/outboundRules/0/pool", {POOLS "x does not exist"}},
  {"rule with another domain's pool",
   {{"PUT", FABRIKAM "/nat", R"({"outboundRules":[{"name":"a","pool":"contoso-only"}]})"}},
   ErrorCode::unfit, "/outboundRules/0/pool", {POOLS "contoso-only", CONTOSO}},
  {"rule with ports its pool does not have",
   {{"PUT", FABRIKAM "/nat", R"({"outboundRules":[{"name":"a","pool":"shared","portRange":{"first":1000,"last":2000}}]})"}},
   ErrorCode::unfit, "/outboundRules/0/portRange", {POOLS "shared", "1024 to 33791"}},
  {"rule with fewer ports than a block",
   {{"PUT", CONTOSO "/nat", R"({"outboundRules":[{"name":"a","pool":"contoso-only","portRange":{"first":1024,"last":1030}}]})"}},
   ErrorCode::unfit, "/outboundRules/0/portRange", {"portBlockSize 64"}},
  {"rule with addresses of no network",
   {{"PUT", FABRIKAM "/nat", R"({"outboundRules":[{"name":"a","externalNetwork":"x","publicAddresses":["203.0.113.200"]}]})"}},
   ErrorCode::unfit, "/outboundRules/0/externalNetwork", {"/v1/externalNetworks/x"}},
  {"rule with addresses the network does not have",
   {{"PUT", FABRIKAM "/nat", R"({"outboundRules":[{"name":"a","externalNetwork":"internet","publicAddresses":["192.0.2.1"]}]})"}},
   ErrorCode::unfit, "/outboundRules/0/publicAddresses/0", {"192.0.2.1", INTERNET}},
  {"rule with a pool's addresses",
   {{"PUT", FABRIKAM "/nat", R"({"outboundRules":[{"name":"a","externalNetwork":"internet","publicAddresses":["203.0.113.0"]}]})"}},
   ErrorCode::conflict, "/outboundRules/0/publicAddresses/0", {POOLS "shared"}},
  {"rule with the other tenant's addresses and ports",
   {{"PUT", FABRIKAM "/nat", R"({"outboundRules":[{"name":"a","externalNetwork":"internet","publicAddresses":["203.0.113.32"],"portRange":{"first":2047,"last":4000}}]})"}},
   ErrorCode::conflict, "/outboundRules/0/publicAddresses/0", {CONTOSO "/nat (own)"}},
  {"two rules with the same addresses and ports",
   {{"PUT", FABRIKAM "/nat", R"({"outboundRules":[
      {"name":"a","externalNetwork":"internet","publicAddresses":["203.0.113.200/30"],"portRange":{"first":1024,"last":4000}},
      {"name":"b","externalNetwork":"internet","publicAddresses":["203.0.113.201"],"portRange":{"first":3000,"last":5000}}]})"}},
   ErrorCode::conflict, "/outboundRules/1/publicAddresses/0", {FABRIKAM "/nat (a)"}},
  {"rule with addresses in which another tenant has a mapping",
   {{"PUT", CONTOSO "/nat", R"({"outboundRules":[{"name":"a","externalNetwork":"internet","publicAddresses":["203.0.113.2"],"portRange":{"first":400,"last":500}}]})"}},
   ErrorCode::conflict, "/outboundRules/0/publicAddresses/0", {"203.0.113.2 port 443", FABRIKAM "/nat (https)"}},
  {"destination in a reserved block",
   {{"PUT", FABRIKAM "/nat", R"({"destinationPrefixes":["127.1.0.0/16"]})"}},
   ErrorCode::unfit, "/destinationPrefixes/0", {"loopback"}},
  {"more routes than the domain may have",
   {{"PUT", FABRIKAM, R"({"limits":{"routes":2}})"},
    {"PUT", FABRIKAM "/nat", R"({"destinationPrefixes":["0.0.0.0/0"],"excludePrefixes":["10.0.0.0/8","172.16.0.0/12"]})"}},
   ErrorCode::limit_reached, "/destinationPrefixes", {"may have 2 routes"}},
};
#define MAPPING(network, protocol, outside, inside) \
  R"({"staticMappings":[{"name":"m","externalNetwork":")" network R"(","protocol":")" protocol \
  R"(","publicAddress":)" outside R"(,"insideAddress":)" inside "}]}"
const Refusal kMappings[] = {
  {"mapping on no network",
   {{"PUT", FABRIKAM "/nat", MAPPING("x", "All", R"("203.0.113.200")", R"("10.0.0.4")")}},
   ErrorCode::unfit, "/staticMappings/0/externalNetwork", {"/v1/externalNetworks/x"}},
  {"mapping of an address the network does not have",
   {{"PUT", FABRIKAM "/nat", MAPPING("internet", "All", R"("192.0.2.7")", R"("10.0.0.4")")}},
   ErrorCode::unfit, "/staticMappings/0/publicAddress", {"192.0.2.7", INTERNET}},
  {"mapping of an IPv6 address the network does not have",
   {{"PUT", FABRIKAM "/nat", MAPPING("internet", "All", R"("2001:db8:e::1")", R"("fd00::1")")}},
   ErrorCode::unfit, "/staticMappings/0/publicAddress", {"2001:db8:e::1", "2001:db8:f::/48"}},
  {"mapping of the other tenant's port",
   {{"PUT", FABRIKAM "/nat", MAPPING("internet", "TCP", R"("203.0.113.1","publicPort":443,"insidePort":443)", R"("10.0.0.4")")}},
   ErrorCode::conflict, "/staticMappings/0/publicAddress", {CONTOSO "/nat (https)", "port 443"}},
  {"mapping of a port of the other tenant's one to one address",
   {{"PUT", FABRIKAM "/nat", MAPPING("internet", "UDP", R"("203.0.113.64","publicPort":53,"insidePort":53)", R"("10.0.0.4")")}},
   ErrorCode::conflict, "/staticMappings/0/publicAddress", {CONTOSO "/nat (host)", "all its ports"}},
  {"one to one mapping of the other tenant's",
   {{"PUT", FABRIKAM "/nat", MAPPING("internet", "All", R"("203.0.113.64")", R"("10.0.0.4")")}},
   ErrorCode::conflict, "/staticMappings/0/publicAddress", {CONTOSO "/nat (host)"}},
  {"one to one mapping of the other tenant's IPv6 address",
   {{"PUT", FABRIKAM "/nat", MAPPING("internet", "All", R"("2001:db8:f::5")", R"("fd00::5")")}},
   ErrorCode::conflict, "/staticMappings/0/publicAddress", {CONTOSO "/nat (host6)"}},
  {"one to one mapping of an address with mapped ports",
   {{"PUT", FABRIKAM "/nat", MAPPING("internet", "All", R"("203.0.113.1")", R"("10.0.0.4")")}},
   ErrorCode::conflict, "/staticMappings/0/publicAddress", {CONTOSO "/nat (https)", "port 443"}},
  {"one to one mapping of a pool's address",
   {{"PUT", FABRIKAM "/nat", MAPPING("internet", "All", R"("203.0.113.9")", R"("10.0.0.4")")}},
   ErrorCode::conflict, "/staticMappings/0/publicAddress", {"ports 0 to 65535", POOLS "shared"}},
  {"mapping in the other tenant's pool",
   {{"PUT", FABRIKAM "/nat", MAPPING("internet", "TCP", R"("203.0.113.17","publicPort":8080,"insidePort":80)", R"("10.0.0.4")")}},
   ErrorCode::conflict, "/staticMappings/0/publicAddress", {POOLS "contoso-only", CONTOSO}},
  {"mapping in the other tenant's rule",
   {{"PUT", FABRIKAM "/nat", MAPPING("internet", "TCP", R"("203.0.113.32","publicPort":2000,"insidePort":80)", R"("10.0.0.4")")}},
   ErrorCode::conflict, "/staticMappings/0/publicAddress", {CONTOSO "/nat", "port 2000"}},
  {"mapping to a subnet's gateway",
   {{"PUT", FABRIKAM "/nat", MAPPING("internet", "All", R"("203.0.113.200")", R"("10.0.0.1")")}},
   ErrorCode::unfit, "/staticMappings/0/insideAddress", {"10.0.0.1", FABRIKAM "/virtualSubnets/web"}},
  {"mapping to a connection's own address",
   {{"PUT", CONTOSO "/nat", MAPPING("internet", "All", R"("203.0.113.200")", R"("172.16.0.2")")}},
   ErrorCode::unfit, "/staticMappings/0/insideAddress", {CONTOSO "/networkConnections/campus"}},
  {"subnet whose gateway would be a mapped host",
   {{"PUT", FABRIKAM "/virtualSubnets/web", R"({"addressPrefixes":["10.0.0.0/24"],"router":"gateway",
      "providerNetwork":"fabric","providerAddress":"192.0.2.2","gatewayAddresses":["10.0.0.9"]})"},
    {"PUT", FABRIKAM "/nat", MAPPING("internet", "All", R"("203.0.113.200")", R"("10.0.0.1")")},
    {"PUT", FABRIKAM "/virtualSubnets/web", R"({"addressPrefixes":["10.0.0.0/24"],"router":"gateway",
      "providerNetwork":"fabric","providerAddress":"192.0.2.2","gatewayAddresses":["10.0.0.1"]})"}},
   ErrorCode::conflict, "/gatewayAddresses", {"10.0.0.1", "mapping m of " FABRIKAM "/nat"}},
  {"connection whose address would be a mapped host's",
   {{"PUT", FABRIKAM "/nat", MAPPING("internet", "All", R"("203.0.113.200")", R"("172.16.0.9")")},
    {"PUT", FABRIKAM "/networkConnections/private", R"({"connectionType":"L3","l3Configuration":{"port":"wan1","vlanId":7,"ipAddresses":["172.16.0.9/24"]}})"}},
   ErrorCode::conflict, "/l3Configuration/ipAddresses", {"172.16.0.9", FABRIKAM "/nat"}},
};
// clang-format on

INSTANTIATE_TEST_SUITE_P(Pools, NatRefuses, ::testing::ValuesIn(kPools), name_of);
INSTANTIATE_TEST_SUITE_P(Networks, NatRefuses, ::testing::ValuesIn(kExternalNetworks), name_of);
INSTANTIATE_TEST_SUITE_P(Rules, NatRefuses, ::testing::ValuesIn(kRules), name_of);
INSTANTIATE_TEST_SUITE_P(Mappings, NatRefuses, ::testing::ValuesIn(kMappings), name_of);

TEST(ModelNat, TwinsShareInsideAddressesAndAPool) {
  const auto model = nat_model();
  EXPECT_EQ(index_fault(*model), "");
  EXPECT_EQ(model->domains_by_pool.size(), 3U);
  const NatSpec& contoso = model->nat("contoso")->spec;
  const NatSpec& fabrikam = model->nat("fabrikam")->spec;
  EXPECT_EQ(contoso.static_mappings[0].inside_address, fabrikam.static_mappings[0].inside_address);
  EXPECT_EQ(contoso.destination_prefixes, std::vector{Prefix<Space::customer>{}});
  EXPECT_EQ(contoso.timeouts, NatTimeouts{});
}

// What the refusals above leave open.
TEST(ModelNat, TakesWhatDoesNotOverlap) {
  const auto after =
      must_apply(nat_model(),
                 {// The same addresses with other ports, inside and around others.
                  {"PUT", POOLS "high",
                   R"({"externalNetwork":"internet","publicIPAddresses":["203.0.113.0/29"],
            "portRange":{"first":33792,"last":65535}})"},
                  {"PUT", POOLS "wide",
                   R"({"externalNetwork":"internet","publicIPAddresses":["203.0.113.32/29"],
            "portRange":{"first":2048,"last":65535}})"},
                  // A port of an own rule's address, of a shared pool; TCP's port as UDP's.
                  {"PUT", CONTOSO "/nat",
                   R"({"outboundRules":[{"name":"own","externalNetwork":"internet",
              "publicAddresses":["203.0.113.32"],"portRange":{"first":1024,"last":2047}}],
            "staticMappings":[
              {"name":"a","externalNetwork":"internet","protocol":"TCP","insidePort":80,
               "publicAddress":"203.0.113.32","publicPort":2000,"insideAddress":"10.0.0.4"},
              {"name":"b","externalNetwork":"internet","protocol":"UDP","insidePort":80,
               "publicAddress":"203.0.113.32","publicPort":2000,"insideAddress":"10.0.0.4"},
              {"name":"c","externalNetwork":"internet","protocol":"TCP","insidePort":81,
               "publicAddress":"203.0.113.4","publicPort":2000,"insideAddress":"10.0.0.4"}]})"},
                  // What contoso gave up is free.
                  {"PUT", FABRIKAM "/nat",
                   R"({"staticMappings":[
              {"name":"a","externalNetwork":"internet","protocol":"All",
               "publicAddress":"203.0.113.64","insideAddress":"10.0.0.4"}]})"}});
  EXPECT_EQ(index_fault(*after), "");
}

// The index against a list, with nested prefixes and ports that begin and end anywhere.
TEST(ModelNat, OverlapsAreFoundAsInAList) {
  std::mt19937 random(1);
  const auto below = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
  size_t taken = 0;
  size_t refused = 0;
  for (int round = 0; round < 20; ++round) {
    DesiredState state;
    std::vector<PublicPorts> list;
    for (int i = 0; i < 300; ++i) {
      const auto length = static_cast<uint8_t>(22 + below(11));
      const Ip4<Space::external> address(0xcb007000U + below(1024));
      const auto first = static_cast<uint16_t>(below(2000));
      PublicPorts wanted{{address, length}, first, static_cast<uint16_t>(first + below(200))};
      if (below(20) == 0) wanted = {{address, 32}, 0, 65535};
      const auto clash = std::any_of(list.begin(), list.end(), [&](const PublicPorts& other) {
        return other.prefix.overlaps(wanted.prefix) && other.first <= wanted.last &&
               wanted.first <= other.last;
      });
      const auto* found = state.public_ports_overlapping(wanted);
      ASSERT_EQ(found != nullptr, clash) << wanted.prefix.to_string();
      if (found != nullptr) {
        EXPECT_TRUE(found->first.prefix.overlaps(wanted.prefix));
        ++refused;
        if (below(4) != 0) continue;
        std::erase(list, found->first);  // and room for others
        const PublicPorts gone = found->first;
        state.public_ports.erase(gone);
        continue;
      }
      state.public_ports.insert_or_assign(wanted, {});
      list.push_back(wanted);
      ++taken;
    }
  }
  EXPECT_GT(taken, 500U);
  EXPECT_GT(refused, 500U);
}

// A change's cost is its own, not that of what there is: many tenants, then one more.
TEST(ModelNat, ChangesOfManyTenantsAreIndependent) {
  constexpr unsigned kTenants = 600;
  std::vector<Request> requests{base_requests()[2]};
  std::deque<std::string> text;  // Request holds views
  const auto keep = [&](std::string s) -> std::string_view {
    return text.emplace_back(std::move(s));
  };
  requests.push_back({"PUT", INTERNET,
                      R"({"port":"wan0","vlanId":30,"publicAddressPrefixes":["198.18.0.0/15"]})"});
  requests.push_back({"PUT", POOLS "shared",
                      R"({"externalNetwork":"internet","publicIPAddresses":["198.18.0.0/24"]})"});
  for (unsigned i = 0; i < kTenants; ++i) {
    const auto domain = fmt::format("/v1/routingDomains/d{}", i);
    requests.push_back({"PUT", keep(domain)});
    requests.push_back(
        {"PUT", keep(domain + "/nat"),
         keep(fmt::format(
             R"({{"outboundRules":[{{"name":"all","pool":"shared"}}],"staticMappings":[
                {{"name":"web","externalNetwork":"internet","protocol":"TCP","publicPort":{},
                  "publicAddress":"198.18.0.1","insideAddress":"10.0.0.4","insidePort":443}},
                {{"name":"host","externalNetwork":"internet","protocol":"All",
                  "publicAddress":"198.19.{}.{}","insideAddress":"10.0.0.5"}}]}})",
             i + 1, i / 256, i % 256))});
  }
  const auto base = must_apply(std::make_shared<Model>(), requests);
  EXPECT_EQ(base->static_mappings.size(), 2U * kTenants);
  EXPECT_EQ(base->domains_by_pool.size(), kTenants);
  EXPECT_EQ(index_fault(*base), "");
  const auto after = must_apply(base, {{"PUT", "/v1/routingDomains/d7/nat"}});
  EXPECT_EQ(differences(*base, *after), std::vector<Touched>{TouchedNat{"d7"}});
  EXPECT_EQ(after->static_mappings.size(), 2U * kTenants - 2);
  EXPECT_EQ(base->domain("d8"), after->domain("d8"));
}

TEST(ModelNat, GoesWithoutATrace) {
  const auto base = base_model();
  const auto after = must_apply(nat_model(), {{"DELETE", CONTOSO "/nat"},
                                              {"DELETE", FABRIKAM "/nat"},
                                              {"DELETE", POOLS "shared"},
                                              {"DELETE", POOLS "contoso-only"},
                                              {"DELETE", INTERNET}});
  EXPECT_EQ(index_fault(*after), "");
  EXPECT_TRUE(after->public_ports.empty());
  EXPECT_TRUE(after->static_mappings.empty());
  EXPECT_EQ(all_resources(*after).size(), all_resources(*base).size());
}

TEST(ModelNat, DifferencesNameIt) {
  const auto base = nat_model();
  const auto touched = [&](const std::vector<Request>& requests) {
    return differences(*base, *must_apply(base, requests));
  };
  using Names = std::vector<Touched>;
  EXPECT_EQ(touched({{"PUT", CONTOSO "/nat"}}), Names{TouchedNat{"contoso"}});
  EXPECT_EQ(touched({{"DELETE", FABRIKAM "/nat"}}), Names{TouchedNat{"fabrikam"}});
  EXPECT_EQ(touched({{"PUT", POOLS "shared",
                      R"({"externalNetwork":"internet","publicIPAddresses":["203.0.113.0/28"],
                          "portRange":{"first":1024,"last":33791},"respondToPing":true})"}}),
            Names{TouchedPool{"shared"}});
  EXPECT_EQ(touched({{"PUT", "/v1/routingDomains/n"}, {"PUT", "/v1/routingDomains/n/nat"}}),
            (Names{TouchedDomain{"n"}, TouchedNat{"n"}}));
  // The same again is nothing.
  EXPECT_EQ(try_apply(base, nat_requests())->next, base);
  // The rest of the domain is shared.
  const auto after = must_apply(base, {{"PUT", CONTOSO "/nat"}});
  EXPECT_EQ(base->subnet("contoso", "web"), after->subnet("contoso", "web"));
  EXPECT_EQ(base->domain("fabrikam"), after->domain("fabrikam"));
}

}  // namespace
}  // namespace hnv
