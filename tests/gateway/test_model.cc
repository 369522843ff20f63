// SPDX-License-Identifier: Apache-2.0
//
// What the model does with changes that it takes: what the server chooses, keeps and derives,
// preconditions, batches, records, and what is said to differ afterwards.
#include <algorithm>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "api/resource_json.h"
#include "gateway/model.h"
#include "tests/gateway/model_fixture.h"

namespace hnv {
namespace {

#define CONTOSO "/v1/routingDomains/contoso"
#define WEB CONTOSO "/virtualSubnets/web"
#define EDGE CONTOSO "/virtualSubnets/edge"
#define RECORDS WEB "/lookupRecords/"

Json read(const Model& model, std::string_view path) { return Json::parse(shown(model, path)); }

LookupRecordKey record_key(std::string_view id) { return {"contoso", "web", *parse_record_id(id)}; }
LookupRecordSpec record_spec(std::string_view ca, std::string_view pa) {
  return {LookupRecordType::static_record, IpAddress<Space::customer>::parse(ca),
          *IpAddress<Space::provider>::parse(pa), MacAddress({2, 0, 0x5e, 0, 0, 4})};
}
tl::expected<Transition, ChangeError> try_operation(const ModelPtr& base, Operation operation) {
  return apply(base, Change{{std::move(operation)}}, kTestPorts, test_choices());
}

TEST(Model, ShowsCompleteResources) {
  const auto model = base_model();
  EXPECT_EQ(read(*model, "/v1/providerNetworks/fabric")["mtu"], 1700);
  EXPECT_EQ(read(*model, "/v1/externalNetworks/campus")["mtu"], 1500);
  const Json web = read(*model, WEB);
  EXPECT_EQ(web["mtu"], 1658);
  EXPECT_EQ(web["macAddress"], "02:00:00:00:00:01");
  EXPECT_EQ(web["providerAddress"], "192.0.2.1");
  EXPECT_EQ(web["gatewayAddresses"], Json::array());
  EXPECT_EQ(read(*model, EDGE)["gatewayAddresses"], Json::array({"10.0.255.2"}));
  EXPECT_EQ(read(*model, "/v1/routingDomains/fabrikam/virtualSubnets/web")["gatewayAddresses"],
            Json::array({"10.0.0.1"}));
  EXPECT_EQ(read(*model, CONTOSO "/customerRoutes/branch")["virtualSubnet"], "web");
  EXPECT_EQ(read(*model, CONTOSO "/networkConnections/campus")["l3Configuration"]["macAddress"],
            "02:00:00:00:01:00");
  EXPECT_EQ(index_fault(*model), "");
}

TEST(Model, WhatIsShownCanBePutBack) {
  const auto model = base_model();
  std::vector<Request> requests;
  std::vector<std::pair<std::string, std::string>> text;
  for (const auto& resource : all_resources(*model)) {
    text.emplace_back(resource_path(resource.key), spec_to_json(resource.spec));
  }
  requests.reserve(text.size());
  for (const auto& [path, body] : text) requests.push_back({"PUT", path, body});
  const auto again = must_apply(model, requests);
  for (const auto& [path, body] : text) EXPECT_EQ(shown(*again, path), body) << path;
}

TEST(Model, ChoosesTheLowestFreeVsid) {
  auto model = must_apply(
      base_model(),
      {{"PUT", CONTOSO "/virtualSubnets/a",
        R"({"addressPrefixes":["10.1.0.0/24"],"providerNetwork":"fabric","virtualSubnetId":4097})"},
       {"PUT", CONTOSO "/virtualSubnets/b",
        R"({"addressPrefixes":["10.2.0.0/24"],"providerNetwork":"fabric"})"},
       {"PUT", CONTOSO "/virtualSubnets/c",
        R"({"addressPrefixes":["10.3.0.0/24"],"providerNetwork":"fabric"})"}});
  EXPECT_EQ(model->subnet("contoso", "b")->vsid().value(), 4096U);
  EXPECT_EQ(model->subnet("contoso", "c")->vsid().value(), 4098U);
}

TEST(Model, PutKeepsWhatTheServerChose) {
  const auto before = base_model();
  const auto after = must_apply(
      before,
      {{"PUT", CONTOSO, R"({"description":"d"})"},
       {"PUT", EDGE,
        R"({"addressPrefixes":["10.0.255.0/24"],"kind":"gateway","providerNetwork":"fabric","mtu":1400})"},
       {"PUT", CONTOSO "/networkConnections/campus",
        R"({"connectionType":"L3","l3Configuration":{"externalNetwork":"campus",
            "ipAddresses":["172.16.0.9/24"],"peerIPAddresses":["172.16.0.1"]}})"}});
  EXPECT_EQ(after->domain("contoso")->spec.routing_domain_id,
            before->domain("contoso")->spec.routing_domain_id);
  EXPECT_EQ(after->subnet("contoso", "edge")->vsid(), before->subnet("contoso", "edge")->vsid());
  EXPECT_EQ(after->domain("contoso")->connection("campus")->spec.l3.mac_address,
            before->domain("contoso")->connection("campus")->spec.l3.mac_address);
  EXPECT_EQ(after->inner_mtu(*after->subnet("contoso", "edge")), 1400);
  EXPECT_EQ(index_fault(*after), "");
}

TEST(Model, DerivedGatewayAddressFollowsThePrefixAndAGivenOneDoesNot) {
  auto model = must_apply(
      base_model(),
      {{"PUT", EDGE,
        R"({"addressPrefixes":["10.4.0.0/24"],"kind":"gateway","providerNetwork":"fabric"})"}});
  EXPECT_EQ(read(*model, EDGE)["gatewayAddresses"], Json::array({"10.4.0.2"}));
  model = must_apply(
      model,
      {{"PUT", EDGE,
        R"({"addressPrefixes":["10.4.0.0/24"],"kind":"gateway","gatewayAddresses":["10.4.0.9"],"providerNetwork":"fabric"})"}});
  EXPECT_EQ(read(*model, EDGE)["gatewayAddresses"], Json::array({"10.4.0.9"}));
  model = must_apply(
      model,
      {{"PUT", EDGE,
        R"({"addressPrefixes":["10.4.0.0/31"],"kind":"gateway","providerNetwork":"fabric"})"}});
  EXPECT_EQ(read(*model, EDGE)["gatewayAddresses"], Json::array({"10.4.0.1"}));
}

TEST(Model, SubnetsMtuFollowsTheFabric) {
  const auto model = must_apply(
      base_model(),
      {{"PUT", "/v1/providerNetworks/fabric",
        R"({"port":"fabric0","vlanId":10,"mtu":1600,"providerAddresses":["192.0.2.1/24","192.0.2.2/24"],
                          "routes":[{"destinationPrefix":"198.51.100.0/24","nextHop":"192.0.2.254"}]})"}});
  EXPECT_EQ(read(*model, WEB)["mtu"], 1558);
}

TEST(Model, SubnetKeepsItsProviderAddressWhenTheNetworkGetsAnother) {
  const auto model = must_apply(
      base_model(),
      {{"PUT", "/v1/providerNetworks/fabric",
        R"({"port":"fabric0","vlanId":10,"providerAddresses":["192.0.2.9/24","192.0.2.1/24","192.0.2.2/24"],
                          "routes":[{"destinationPrefix":"198.51.100.0/24","nextHop":"192.0.2.254"}]})"}});
  EXPECT_EQ(read(*model, WEB)["providerAddress"], "192.0.2.1");
}

TEST(Model, BatchSeesItsEarlierOperationsAndIsJudgedAsAWhole) {
  // The distributed subnet stands before the gateway subnet that it needs.
  const auto model = must_apply(
      base_model(),
      {{"PUT", "/v1/routingDomains/n"},
       {"PUT", "/v1/routingDomains/n/virtualSubnets/vm",
        R"({"addressPrefixes":["10.0.0.0/24"],"providerNetwork":"fabric"})"},
       {"PUT", "/v1/routingDomains/n/virtualSubnets/gw",
        R"({"addressPrefixes":["10.0.1.0/24"],"kind":"gateway","providerNetwork":"fabric"})"}});
  EXPECT_EQ(model->domain("n")->gateway_subnets, 1U);
  // And both may go in one batch, gateway subnet first.
  const auto gone = must_apply(model, {{"DELETE", "/v1/routingDomains/n/virtualSubnets/gw"},
                                       {"DELETE", "/v1/routingDomains/n/virtualSubnets/vm"},
                                       {"DELETE", "/v1/routingDomains/n"}});
  EXPECT_EQ(gone->domain("n"), nullptr);
  EXPECT_EQ(index_fault(*gone), "");
}

TEST(Model, FailedBatchSaysWhichOperationAndChangesNothing) {
  const auto base = base_model();
  const auto done = try_apply(base, {{"PUT", "/v1/routingDomains/n"}, {"DELETE", CONTOSO}});
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().operation, 1U);
  EXPECT_EQ(base->domain("n"), nullptr);
}

TEST(Model, AllFaultsOfABodyAreNamed) {
  const auto done = try_apply(
      base_model(), {{"PUT", "/v1/providerNetworks/n",
                      R"({"port":"eth9","providerAddresses":["192.0.2.1/24","192.0.2.130/25"],
                          "routes":[{"destinationPrefix":"10.0.0.0/8","nextHop":"1.1.1.1"}]})"}});
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().error.details.size(), 3U);
}

TEST(Model, RemovedResourcesFreeWhatTheyHeld) {
  auto model = must_apply(base_model(), {{"DELETE", CONTOSO "/customerRoutes/branch"},
                                         {"DELETE", CONTOSO "/customerRoutes/lab"},
                                         {"DELETE", CONTOSO "/networkConnections/campus"},
                                         {"DELETE", WEB},
                                         {"DELETE", EDGE},
                                         {"DELETE", CONTOSO},
                                         {"DELETE", "/v1/externalNetworks/campus"}});
  EXPECT_EQ(index_fault(*model), "");
  // The whole of it can come back under other names.
  model = must_apply(
      model,
      {{"PUT", "/v1/externalNetworks/lab", R"({"port":"wan0","vlanId":20})"},
       {"PUT", "/v1/routingDomains/renamed",
        R"({"routingDomainId":"00000000-0000-4000-8000-000000000001"})"},
       {"PUT", "/v1/routingDomains/renamed/virtualSubnets/edge",
        R"({"virtualSubnetId":5000,"addressPrefixes":["10.0.255.0/24"],"kind":"gateway","providerNetwork":"fabric"})"}});
  EXPECT_EQ(index_fault(*model), "");
}

TEST(Model, DeletingWhatIsNotThereChangesNothing) {
  const auto base = base_model();
  const auto done = try_apply(base, {{"DELETE", "/v1/routingDomains/n/virtualSubnets/s"},
                                     {"DELETE", RECORDS "10.0.0.99"},
                                     {"DELETE", "/v1/providerNetworks/n"}});
  ASSERT_TRUE(done.has_value());
  EXPECT_EQ(done->next, base);
  EXPECT_EQ(done->applied.generation, base->generation());
  for (const auto& item : done->applied.items) EXPECT_EQ(item.outcome, Outcome::already_absent);
}

TEST(Model, SamePutKeepsTheEtag) {
  const auto base = base_model();
  const auto& requests = base_requests();
  const auto done = try_apply(base, requests);
  ASSERT_TRUE(done.has_value());
  EXPECT_EQ(done->next, base);
  for (const auto& item : done->applied.items) {
    EXPECT_EQ(item.outcome, Outcome::replaced);
    EXPECT_EQ(item.resource->etag, 1U);
  }
}

TEST(Model, PreconditionsHoldOrFail) {
  const auto model = must_apply(base_model(), {{"PUT", CONTOSO, R"({"description":"2"})"}});
  struct Case {
    const char* name = nullptr;
    const char* path = nullptr;
    Precondition precondition;
    bool holds = false;
  };
  const Case cases[] = {
      {"its etag", CONTOSO, {{{1, 2}}, false, {}, false}, true},
      {"another etag", CONTOSO, {{{1}}, false, {}, false}, false},
      {"no etag at all", CONTOSO, {std::vector<uint64_t>{}, false, {}, false}, false},
      {"must exist", CONTOSO, {{}, true, {}, false}, true},
      {"must exist, does not", "/v1/routingDomains/n", {{}, true, {}, false}, false},
      {"an etag of what does not exist", "/v1/routingDomains/n", {{{1}}, false, {}, false}, false},
      {"must be new", "/v1/routingDomains/n", {{}, false, {}, true}, true},
      {"must be new, exists", CONTOSO, {{}, false, {}, true}, false},
      {"must differ", CONTOSO, {{}, false, {{1}}, false}, true},
      {"must differ, does not", CONTOSO, {{}, false, {{2}}, false}, false},
  };
  for (const auto& [name, path, precondition, holds] : cases) {
    const auto put =
        try_operation(model, Put{*parse_resource_path(path), RoutingDomainSpec{}, precondition});
    EXPECT_EQ(put.has_value(), holds) << name;
    if (put) continue;
    EXPECT_EQ(put.error().error.code, ErrorCode::precondition_failed) << name;
    EXPECT_EQ(put.error().error.target, path) << name;
    const auto erase = try_operation(model, Delete{*parse_resource_path(path), precondition});
    ASSERT_FALSE(erase.has_value()) << name;
    EXPECT_EQ(erase.error().error.code, ErrorCode::precondition_failed) << name;
  }
}

TEST(Model, RecordsIdentityMustAgree) {
  using Type = LookupRecordType;
  struct Case {
    const char* id;
    Type type;
    const char* ca;  // "" for none
    const char* target;
  };
  const Case cases[] = {
      {"10.0.0.5", Type::gateway_wildcard, "", "/type"},
      {"10.0.0.5", Type::l2_only, "", "/type"},
      {"10.0.0.5", Type::dynamic, "10.0.0.6", "/customerAddress"},
      {"wildcard-v4", Type::static_record, "", "/type"},
      {"wildcard-v4", Type::gateway_wildcard, "10.0.0.5", "/customerAddress"},
      {"l2-02:00:5e:00:00:04", Type::static_record, "", "/type"},
      {"l2-02:00:5e:00:00:04", Type::gateway_wildcard, "", "/type"},
      {"l2-02:00:5e:00:00:05", Type::l2_only, "", "/macAddress"},
      {"l2-02:00:5e:00:00:04", Type::l2_only, "10.0.0.5", "/customerAddress"},
  };
  const auto base = base_model();
  for (const auto& [id, type, ca, target] : cases) {
    auto spec = record_spec(ca, "192.0.2.50");
    spec.type = type;
    const auto done = try_operation(base, Put{record_key(id), spec, {}});
    ASSERT_FALSE(done.has_value()) << id;
    EXPECT_EQ(done.error().error.code, ErrorCode::invalid_value) << id;
    EXPECT_EQ(done.error().error.target, target) << id;
  }
  auto spec = record_spec("10.0.0.5", "192.0.2.50");
  spec.mac_address = MacAddress::broadcast();
  EXPECT_EQ(try_operation(base, Put{record_key("10.0.0.5"), spec, {}}).error().error.target,
            "/macAddress");
}

TEST(Model, WildcardMayNameTheGatewayItself) {
  const auto model = must_apply(
      base_model(),
      {{"PUT", RECORDS "wildcard-v4",
        R"({"type":"GatewayWildcard","customerAddress":"0.0.0.0","providerAddress":"192.0.2.1","macAddress":"02:00:00:00:00:01"})"}});
  EXPECT_FALSE(read(*model, RECORDS "wildcard-v4").contains("customerAddress"));
}

TEST(Model, ReplaceRecordsLeavesExactlyWhatIsGiven) {
  const auto base = must_apply(
      base_model(),
      {{"PUT", RECORDS "10.0.0.5",
        R"({"customerAddress":"10.0.0.5","providerAddress":"192.0.2.51","macAddress":"02:00:5e:00:00:04"})"}});
  const CollectionKey all{Collection::lookup_records, "contoso", "web"};
  const ReplaceRecords replace{
      all,
      {{record_key("10.0.0.6").id, record_spec("10.0.0.6", "192.0.2.50")},
       {record_key("10.0.0.4").id, record_spec("10.0.0.4", "192.0.2.50")}}};
  const auto done = try_operation(base, replace);
  ASSERT_TRUE(done.has_value());
  const auto& records = done->next->subnet("contoso", "web")->records;
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records.begin()->second.etag, 1U) << "what was the same keeps its ETag";
  const std::vector<Touched> expected{TouchedRecord{"contoso", "web", record_key("10.0.0.5").id},
                                      TouchedRecord{"contoso", "web", record_key("10.0.0.6").id}};
  EXPECT_EQ(differences(*base, *done->next), expected);
  EXPECT_EQ(index_fault(*done->next), "");
}

TEST(Model, ReplaceRecordsPointsAtWhatIsWrong) {
  const CollectionKey all{Collection::lookup_records, "contoso", "web"};
  const ReplaceRecords replace{
      all,
      {{record_key("10.0.0.6").id, record_spec("10.0.0.6", "192.0.2.50")},
       {record_key("10.9.0.4").id, record_spec("10.9.0.4", "192.0.2.50")},
       {record_key("10.0.0.6").id, record_spec("10.0.0.6", "192.0.2.50")}}};
  const auto done = try_operation(base_model(), replace);
  ASSERT_FALSE(done.has_value());
  const auto& details = done.error().error.details;
  ASSERT_EQ(details.size(), 2U);
  EXPECT_EQ(details[0].target, "/value/1/customerAddress");
  EXPECT_EQ(details[1].target, "/value/2");
}

struct DifferenceCase {
  const char* name;
  std::vector<Request> requests;
  std::vector<Touched> touched;
};

TEST(Model, DifferencesAreOfTheFinestGrain) {
  const RecordId vm = record_key("10.0.0.4").id;
  const DifferenceCase cases[] = {
      {"a record moves",
       {{"PUT", RECORDS "10.0.0.4",
         R"({"customerAddress":"10.0.0.4","providerAddress":"192.0.2.51","macAddress":"02:00:5e:00:00:04"})"}},
       {TouchedRecord{"contoso", "web", vm}}},
      {"a subnet's spec",
       {{"PUT", WEB,
         R"({"addressPrefixes":["10.0.0.0/24"],"providerNetwork":"fabric","mtu":1400})"}},
       {TouchedDomain{"contoso"}}},
      {"a subnet goes with its records",
       {{"DELETE", CONTOSO "/customerRoutes/branch"}, {"DELETE", WEB}},
       {TouchedDomain{"contoso"}, TouchedRoute{"contoso", "branch"},
        TouchedRecord{"contoso", "web", vm}}},
      {"a route", {{"DELETE", CONTOSO "/customerRoutes/lab"}}, {TouchedRoute{"contoso", "lab"}}},
      {"a connection",
       {{"DELETE", "/v1/routingDomains/fabrikam/networkConnections/private"}},
       {TouchedDomain{"fabrikam"}}},
      {"networks",
       {{"PUT", "/v1/providerNetworks/n",
         R"({"port":"wan1","providerAddresses":["192.0.2.1/24"]})"},
        {"PUT", "/v1/externalNetworks/campus", R"({"port":"wan0","vlanId":21})"}},
       {TouchedProviderNetwork{"n"}, TouchedExternalNetwork{"campus"}}},
      {"there and back", {{"PUT", "/v1/routingDomains/n"}, {"DELETE", "/v1/routingDomains/n"}}, {}},
  };
  const auto base = base_model();
  for (const auto& [name, requests, touched] : cases) {
    const auto after = must_apply(base, requests);
    EXPECT_EQ(differences(*base, *after), touched) << name;
    // What no difference names is shared.
    EXPECT_EQ(base->domains.find("fabrikam") == nullptr, false);
  }
  const auto moved = must_apply(base, cases[0].requests);
  EXPECT_EQ(base->domain("fabrikam"), moved->domain("fabrikam"));
  EXPECT_EQ(base->subnet("contoso", "edge"), moved->subnet("contoso", "edge"));
}

TEST(Model, ListsPageInOrder) {
  const auto model = base_model();
  const auto names = [&](const CollectionKey& collection, std::string_view after, size_t limit) {
    std::string joined;
    const auto page = model->list(collection, after, limit);
    if (!page) return std::string("none");
    for (const auto& resource : *page) joined += resource_id(resource.key) + " ";
    return joined;
  };
  const CollectionKey domains{Collection::routing_domains, "", ""};
  EXPECT_EQ(names(domains, "", 100), "contoso fabrikam ");
  EXPECT_EQ(names(domains, "", 1), "contoso ");
  EXPECT_EQ(names(domains, "contoso", 100), "fabrikam ");
  EXPECT_EQ(names(domains, "d", 100), "fabrikam ");
  EXPECT_EQ(names(domains, "fabrikam", 100), "");
  EXPECT_EQ(names({Collection::virtual_subnets, "contoso", ""}, "", 100), "edge web ");
  EXPECT_EQ(names({Collection::virtual_subnets, "n", ""}, "", 100), "none");
  EXPECT_EQ(names({Collection::lookup_records, "contoso", "web"}, "10.0.0.3", 9), "10.0.0.4 ");
  EXPECT_EQ(names({Collection::lookup_records, "contoso", "web"}, "10.0.0.4", 9), "");
  EXPECT_EQ(names({Collection::lookup_records, "contoso", "n"}, "", 9), "none");
  EXPECT_EQ(model->count({Collection::network_connections, "fabrikam", ""}), 1U);
  EXPECT_EQ(model->count({Collection::network_connections, "n", ""}), std::nullopt);
}

}  // namespace
}  // namespace hnv
