// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "api/routes.h"
#include "tests/api/api_fixture.h"

namespace hnv {
namespace {

using Routes = ApiFixture;

std::string record(std::string_view ca, std::string_view pa = "192.0.2.11") {
  return Json{{"customerAddress", ca}, {"providerAddress", pa}, {"macAddress", "02:00:00:00:00:04"}}
      .dump();
}

TEST_F(Routes, PutCreatesThenReplacesThenDeleteRemoves) {
  const auto created = call("PUT", "/v1/routingDomains/contoso", R"({"description":"a"})");
  EXPECT_EQ(created.status, 201);
  EXPECT_EQ(created.headers.at("etag"), "\"1\"");
  EXPECT_EQ(created.headers.at("location"), "/v1/routingDomains/contoso");
  EXPECT_EQ(created.json()["etag"], "1");
  EXPECT_EQ(created.json()["resourceId"], "contoso");
  EXPECT_EQ(created.json()["provisioningState"], "Succeeded");
  EXPECT_EQ(created.json()["configurationState"]["status"], "Success");
  const auto replaced = call("PUT", "/v1/routingDomains/contoso", R"({"description":"b"})");
  EXPECT_EQ(replaced.status, 200);
  EXPECT_EQ(replaced.headers.at("etag"), "\"2\"");
  const auto read = call("GET", "/v1/routingDomains/contoso");
  EXPECT_EQ(read.status, 200);
  EXPECT_EQ(read.json(), replaced.json());
  EXPECT_EQ(call("DELETE", "/v1/routingDomains/contoso").status, 204);
  EXPECT_EQ(call("DELETE", "/v1/routingDomains/contoso").status, 204);
  const auto gone = call("GET", "/v1/routingDomains/contoso");
  EXPECT_EQ(gone.status, 404);
  EXPECT_EQ(gone.code(), "notFound");
  EXPECT_EQ(gone.target(), "/v1/routingDomains/contoso");
}

TEST_F(Routes, TakeBackWhatTheyAnswered) {
  create_subnet();
  const auto read = call("GET", kSubnet);
  EXPECT_EQ(call("PUT", kSubnet, read.body).status, 200);
}

TEST_F(Routes, ConditionsHoldAsHttpSays) {
  call("PUT", "/v1/routingDomains/a", "{}");
  const auto put = [&](const Headers& headers) {
    return call("PUT", "/v1/routingDomains/a", "{}", headers).status;
  };
  EXPECT_EQ(put({{"If-Match", "\"9\""}}), 412);
  EXPECT_EQ(put({{"If-None-Match", "*"}}), 412);
  EXPECT_EQ(put({{"If-Match", "\"7\", \"1\""}}), 200);
  EXPECT_EQ(put({{"If-Match", "*"}}), 200);
  EXPECT_EQ(put({{"If-Match", "W/\"3\""}}), 412);
  EXPECT_EQ(put({{"If-Match", "\"3"}}), 400);
  const auto get = [&](const Headers& headers) {
    return call("GET", "/v1/routingDomains/a", "", headers).status;
  };
  EXPECT_EQ(get({{"If-None-Match", "\"3\""}}), 304);
  EXPECT_EQ(get({{"If-None-Match", "W/\"3\""}}), 304);
  EXPECT_EQ(get({{"If-None-Match", "\"2\""}}), 200);
  EXPECT_EQ(get({{"If-Match", "\"2\""}}), 412);
  EXPECT_EQ(call("DELETE", "/v1/routingDomains/a", "", {{"If-Match", "\"1\""}}).status, 412);
  EXPECT_EQ(call("DELETE", "/v1/routingDomains/a", "", {{"If-Match", "3"}}).status, 204);
}

TEST_F(Routes, EveryFaultOfABodyIsNamedAndNothingChanges) {
  const auto reply = call("PUT", "/v1/providerNetworks/f",
                          R"({"port":"p","providerAddresses":["fe80::1/64"],"x":1,"vlanId":-1})");
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.code(), "invalidValue");
  EXPECT_EQ(reply.target(), "/vlanId");
  EXPECT_EQ(reply.json()["error"]["details"].size(), 3U);
  EXPECT_EQ(reply.json()["error"]["details"][1]["code"], "invalidValue");
  EXPECT_EQ(control_.changes(), 0U);
}

struct Refusal {
  std::string_view method, path, body;
  int status;
  std::string_view code;
};

TEST_F(Routes, RefusalsSayWhy) {
  create_subnet();
  const Refusal refusals[] = {
      {"GET", "/", "", 404, "notFound"},
      {"GET", "/v1/nothing", "", 404, "notFound"},
      {"GET", "/v1/routingDomains/", "", 404, "notFound"},
      {"DELETE", "/v1/system", "", 405, "methodNotAllowed"},
      {"POST", "/v1/routingDomains/contoso", "{}", 405, "methodNotAllowed"},
      {"OPTIONS", "/v1/system", "", 405, "methodNotAllowed"},
      {"BREW", "/v1/system", "", 400, "invalidValue"},
      {"PUT", "/v1/routingDomains/-x", "{}", 400, "invalidValue"},
      {"GET", "/v1/routingDomains/fabrikam/virtualSubnets", "", 404, "notFound"},
      {"GET", "/v1/routingDomains/fabrikam/routes", "", 404, "notFound"},
      {"GET", "/v1/routingDomains/fabrikam/neighbors", "", 404, "notFound"},
      {"GET", "/v1/routingDomains/fabrikam/statistics", "", 404, "notFound"},
      {"GET", "/v1/routingDomains/fabrikam/lookup?address=10.0.0.1", "", 404, "notFound"},
      {"GET", "/v1/routingDomains/contoso/lookup", "", 400, "invalidValue"},
      {"GET", "/v1/routingDomains/contoso/lookup?address=:::1", "", 400, "invalidValue"},
      {"GET", "/v1/routingDomains?limit=0", "", 400, "invalidValue"},
      {"GET", "/v1/routingDomains?limit=x", "", 400, "invalidValue"},
      {"PUT", "/v1/routingDomains/contoso", "", 400, "invalidValue"},
      {"PUT", "/v1/routingDomains/contoso", "{}x", 400, "invalidValue"},
      {"PUT", "/v1/routingDomains/contoso/bgpRouter", "{}", 400, "invalidValue"},
      {"PUT", "/v1/trace", R"({"routingDomain":"fabrikam"})", 422, "unfit"},
      {"PUT", "/v1/trace", R"({"protocol":300})", 400, "invalidValue"},
  };
  for (const auto& refusal : refusals) {
    const auto reply = call(refusal.method, refusal.path, refusal.body);
    EXPECT_EQ(reply.status, refusal.status) << refusal.method << " " << refusal.path;
    EXPECT_EQ(reply.code(), refusal.code) << refusal.method << " " << refusal.path;
  }
  EXPECT_EQ(call("PUT", std::string(kRecords) + "/2001:db8:::1", "{}").status, 400);
  EXPECT_EQ(call("PUT", std::string(kRecords) + "/10.0.0", "{}").status, 400);
  EXPECT_EQ(call("DELETE", "/v1/system").headers.at("allow"), "GET");
}

TEST_F(Routes, TheModelsErrorsPassThrough) {
  const std::pair<ErrorCode, int> codes[] = {
      {ErrorCode::conflict, 409},    {ErrorCode::immutable, 409},
      {ErrorCode::unfit, 422},       {ErrorCode::limit_reached, 422},
      {ErrorCode::unavailable, 503}, {ErrorCode::insufficient_storage, 507},
      {ErrorCode::internal, 500}};
  for (const auto& [code, status] : codes) {
    control_.fail_next({{code, "why", "/v1/providerNetworks/f", {}}, 0});
    const auto reply = call("PUT", "/v1/routingDomains/a", "{}");
    EXPECT_EQ(reply.status, status);
    EXPECT_EQ(reply.code(), to_string(code));
    EXPECT_EQ(reply.target(), "/v1/providerNetworks/f");
  }
}

TEST_F(Routes, CollectionsPage) {
  for (const auto* name : {"c", "a", "b"}) {
    call("PUT", std::string("/v1/routingDomains/") + name, "{}");
  }
  const auto names = [](const Reply& reply) {
    std::string text;
    const Json json = reply.json();
    for (const auto& item : json["value"]) text += item["resourceId"].get<std::string>();
    return text;
  };
  const auto all = call("GET", "/v1/routingDomains");
  EXPECT_EQ(names(all), "abc");
  EXPECT_FALSE(all.json().contains("nextAfter"));
  const auto first = call("GET", "/v1/routingDomains?limit=2");
  EXPECT_EQ(names(first), "ab");
  EXPECT_EQ(first.json()["nextAfter"], "b");
  const auto rest = call("GET", "/v1/routingDomains?limit=2&after=b");
  EXPECT_EQ(names(rest), "c");
  EXPECT_FALSE(rest.json().contains("nextAfter"));
}

TEST_F(Routes, TheRouteTablePagesByPrefix) {
  call("PUT", "/v1/routingDomains/contoso", "{}");
  const std::string path = "/v1/routingDomains/contoso/routes";
  std::string seen;
  std::string after;
  for (int page = 0; page < 5; ++page) {
    const Json json = call("GET", fmt::format("{}?limit=1{}", path, after)).json();
    ASSERT_EQ(json["value"].size(), 1U) << json;
    seen += json["value"][0]["destinationPrefix"].get<std::string>() + " ";
    if (!json.contains("nextAfter")) break;
    after = "&after=" + json["nextAfter"].get<std::string>();
  }
  EXPECT_EQ(seen, "10.0.0.0/24 10.0.1.0/24 2001:db8::/64 ");
  EXPECT_EQ(call("GET", path).json()["value"].size(), 3U);
  EXPECT_EQ(call("GET", path + "?limit=3").json().contains("nextAfter"), false);
  // Between two prefixes, and behind all.
  EXPECT_EQ(call("GET", path + "?after=10.0.0.128/25").json()["value"].size(), 2U);
  EXPECT_EQ(call("GET", path + "?after=ffff::/16").json()["value"].size(), 0U);
  for (const auto* wrong : {"?after=10.0.0.0", "?after=x", "?limit=0", "?limit=-1"}) {
    EXPECT_EQ(call("GET", path + wrong).status, 400) << wrong;
  }
}

TEST_F(Routes, RecordsArePutAndPatchedInBulk) {
  create_subnet();
  const std::string all = R"({"value":[)" + record("10.0.0.4") + "," + record("10.0.0.5") +
                          R"(,{"type":"GatewayWildcard","providerAddress":"192.0.2.1",
                               "macAddress":"02:00:00:00:00:09"}]})";
  const auto put = call("PUT", kRecords, all);
  EXPECT_EQ(put.status, 200) << put.body;
  EXPECT_EQ(put.json()["count"], 3);
  const auto list = call("GET", kRecords);
  EXPECT_EQ(list.json()["value"].size(), 3U);
  EXPECT_EQ(call("PUT", kRecords, list.body).status, 200);  // what was read can be written
  const auto patch = call("PATCH", kRecords,
                          R"([{"op":"delete","id":"10.0.0.4"},{"op":"delete","id":"10.0.0.99"},
                              {"op":"put","record":)" +
                              record("10.0.0.6") + "}]");
  EXPECT_EQ(patch.status, 200) << patch.body;
  EXPECT_EQ(patch.json()[0]["status"], 204);
  EXPECT_EQ(patch.json()[2]["status"], 201);
  EXPECT_EQ(patch.json()[2]["path"], std::string(kRecords) + "/10.0.0.6");
  EXPECT_EQ(call("GET", std::string(kRecords) + "/10.0.0.4").status, 404);
  EXPECT_EQ(call("GET", std::string(kRecords) + "/wildcard-v4").status, 200);
}

TEST_F(Routes, BulkRecordsAreAllOrNothingAndFaultsArePlaced) {
  create_subnet();
  const size_t before = control_.changes();
  const auto twice =
      call("PUT", kRecords, R"({"value":[)" + record("10.0.0.4") + "," + record("10.0.0.4") + "]}");
  EXPECT_EQ(twice.status, 400);
  EXPECT_EQ(twice.target(), "/value/1");
  const auto bad = call("PATCH", kRecords,
                        R"([{"op":"put","record":)" + record("10.0.0.4") +
                            R"(},{"op":"put","record":)" + record("10.0.0.5", "fabric") + "}]");
  EXPECT_EQ(bad.target(), "/1/record/providerAddress");
  EXPECT_EQ(call("PATCH", kRecords, R"([{"op":"move"}])").target(), "/0/op");
  EXPECT_EQ(call("PUT", kRecords, "[]").status, 400);
  EXPECT_EQ(call("PUT", kRecords, R"({"value":[]})", {{"If-Match", "\"1\""}}).status, 400);
  EXPECT_EQ(
      call("PUT", "/v1/routingDomains/x/virtualSubnets/y/lookupRecords", R"({"value":[]})").status,
      404);
  EXPECT_EQ(control_.changes(), before);
  control_.fail_next({{ErrorCode::unfit, "why", "/customerAddress", {}}, 1});
  const auto unfit =
      call("PATCH", kRecords,
           R"([{"op":"delete","id":"10.0.0.4"},{"op":"put","record":)" + record("10.9.0.5") + "}]");
  EXPECT_EQ(unfit.target(), "/1/record/customerAddress");
}

TEST_F(Routes, NeighborsPageByNetworkAndAddress) {
  std::vector<std::string> seen;
  std::string after;
  for (int page = 0; page < 5; ++page) {
    const auto reply = call("GET", "/v1/neighbors?limit=3" + after);
    ASSERT_EQ(reply.status, 200) << reply.body;
    const nlohmann::json table = reply.json();
    for (const auto& row : table["value"]) seen.push_back(row["ipAddress"]);
    if (!table.contains("nextAfter")) break;
    EXPECT_EQ(table["nextAfter"], "providerNetworks/fabric/192.0.2.254");
    after = "&after=" + table["nextAfter"].get<std::string>();
  }
  EXPECT_EQ(seen,
            (std::vector<std::string>{"192.0.2.252", "192.0.2.253", "192.0.2.254", "2001:db8::1"}));
  for (const char* wrong : {"fabric", "providerNetworks/fabric/", "providerNetworks/10.0.0"}) {
    const auto reply = call("GET", std::string("/v1/neighbors?after=") + wrong);
    EXPECT_EQ(reply.status, 400) << wrong;
    EXPECT_EQ(reply.target(), "after") << wrong;
  }
  EXPECT_EQ(call("GET", "/v1/neighbors?limit=0").status, 400);
}

TEST_F(Routes, EveryFaultyOperationOfAPatchIsNamedByItsPointer) {
  create_subnet();
  const size_t before = control_.changes();
  const std::string good = R"({"op":"put","record":)" + record("10.0.0.4") + "}";
  const std::pair<std::string, std::vector<std::string>> operations[] = {
      {good, {}},
      {"7", {"/1"}},
      {R"({"op":"replace"})", {"/2/op"}},
      {R"({"op":"put"})", {"/3/record"}},
      {R"({"op":"put","record":[]})", {"/4/record"}},
      {R"({"op":"put","id":"10.0.0.4","record":)" + record("10.0.0.5") + "}", {"/5/id"}},
      {R"({"op":"put","record":{"customerAddress":"10.0.0","macAddress":"01:00:00:00:00:01",
           "providerAddress":"192.0.2.11"}})",
       {"/6/record/customerAddress", "/6/record/macAddress"}},
      {R"({"op":"put","record":{"resourceId":"10.0.0.8","customerAddress":"10.0.0.7",
           "macAddress":"02:00:00:00:00:07","providerAddress":"192.0.2.11"}})",
       {"/7/record/customerAddress"}},
      {R"({"op":"delete"})", {"/8/id"}},
      {R"({"op":"delete","id":"nobody"})", {"/9/id"}},
      {R"({"op":"delete","id":4})", {"/10/id"}},
      {R"({"op":"delete","id":"10.0.0.4","force":true})", {"/11/force"}},
      {good, {}},
  };
  std::string body;
  std::vector<std::string> wanted;
  for (const auto& [operation, targets] : operations) {
    body += (body.empty() ? "[" : ",") + operation;
    wanted.insert(wanted.end(), targets.begin(), targets.end());
  }
  const auto reply = call("PATCH", kRecords, body + "]");
  EXPECT_EQ(reply.status, 400);
  const nlohmann::json error = reply.json()["error"];
  std::vector<std::string> named;
  for (const auto& fault : error["details"]) {
    named.push_back(fault["target"]);
    EXPECT_NE(fault["message"], "");
  }
  EXPECT_EQ(named, wanted) << error.dump(2);
  EXPECT_EQ(error["target"], "/1") << "the first one";
  EXPECT_EQ(control_.changes(), before) << "nothing was even tried";
  EXPECT_EQ(call("GET", kRecords).json()["value"].size(), 0U);
}

TEST_F(Routes, ABatchIsOneChange) {
  const auto reply =
      call("POST", "/v1/batch",
           R"([{"method":"PUT","path":"/v1/routingDomains/a","body":{},"ifNoneMatch":"*"},
          {"method":"PUT","path":"/v1/routingDomains/a/virtualSubnets/s",
           "body":{"addressPrefixes":["10.0.0.0/24"],"providerNetwork":"f"}},
          {"method":"PUT","path":"/v1/routingDomains/a/virtualSubnets/s/lookupRecords","body":{"value":[]}},
          {"method":"DELETE","path":"/v1/routingDomains/b"}])");
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(control_.changes(), 1U);
  const Json json = reply.json();
  EXPECT_EQ(json[0]["status"], 201);
  EXPECT_EQ(json[0]["path"], "/v1/routingDomains/a");
  EXPECT_EQ(json[0]["etag"], "1");
  EXPECT_EQ(json[1]["body"]["addressPrefixes"][0], "10.0.0.0/24");
  EXPECT_EQ(json[2]["status"], 200);
  EXPECT_EQ(json[3]["status"], 204);
}

TEST_F(Routes, ABatchPlacesItsFaults) {
  const auto target = [&](std::string_view body) {
    return call("POST", "/v1/batch", body).target();
  };
  EXPECT_EQ(target("{}"), "");
  EXPECT_EQ(target(R"([{"method":"PUT","path":"/v1/routingDomains/a","body":{}},7])"), "/1");
  EXPECT_EQ(target(R"([{"method":"GET","path":"/v1/system"}])"), "/0/method");
  EXPECT_EQ(target(R"([{"method":"PUT","path":"/v1/system","body":{}}])"), "/0/path");
  EXPECT_EQ(target(R"([{"method":"PUT","path":"/v1/routingDomains/a"}])"), "/0/body");
  EXPECT_EQ(
      target(R"([{"method":"PUT","path":"/v1/routingDomains/a","body":{"limits":{"routes":-1}}}])"),
      "/0/body/limits/routes");
  EXPECT_EQ(control_.changes(), 0U);
  constexpr std::string_view kTwo = R"([{"method":"DELETE","path":"/v1/routingDomains/b"},
      {"method":"PUT","path":"/v1/routingDomains/a","body":{},"ifMatch":"\"4\""}])";
  control_.fail_next({{ErrorCode::conflict, "why", "/routingDomainId", {}}, 1});
  EXPECT_EQ(target(kTwo), "/1/body/routingDomainId");
  control_.fail_next({{ErrorCode::unfit, "why", "", {}}, 1});
  EXPECT_EQ(target(kTwo), "/1");
  const auto stale = call("POST", "/v1/batch", kTwo);
  EXPECT_EQ(stale.status, 412);
  EXPECT_EQ(stale.target(), "/v1/routingDomains/a");
}

TEST_F(Routes, StateIsShown) {
  create_subnet();
  EXPECT_EQ(call("GET", "/v1/system").json()["version"], "0.1.0");
  EXPECT_EQ(call("GET", "/v1/ports").json()["value"][0]["rxPackets"], 7);
  EXPECT_EQ(call("GET", "/v1/drops").json()["drops"]["nvgre_unknown_vsid"], 3);
  EXPECT_EQ(call("GET", "/v1/drops").json()["ledger"]["balanced"], true);
  EXPECT_EQ(call("GET", "/v1/statistics").json()["workers"].size(), 2U);
  EXPECT_EQ(call("GET", "/v1/statistics").json()["routingDomains"][0]["inboundPackets"], 5);
  EXPECT_EQ(call("GET", "/v1/neighbors").json()["value"][0]["macAddress"], nullptr);
  const std::string domain = "/v1/routingDomains/contoso";
  EXPECT_EQ(call("GET", domain + "/routes").json()["value"][0]["candidates"][0]["best"], true);
  EXPECT_EQ(call("GET", domain + "/neighbors").json()["value"].size(), 0U);
  EXPECT_EQ(call("GET", domain + "/statistics").json()["drops"]["no_route"], 2);
  EXPECT_EQ(call("GET", domain + "/lookup?address=10.0.0.7").json()["verdict"],
            "dropped: no_route");
}

TEST_F(Routes, TheTraceIsSwitchedOnAndOff) {
  create_subnet();
  const auto on = call(
      "PUT", "/v1/trace",
      R"({"routingDomain":"contoso","source":"10.0.0.4","protocol":"tcp","destinationPort":80})");
  ASSERT_EQ(on.status, 200) << on.body;
  EXPECT_EQ(on.json()["filter"]["protocol"], 6);
  EXPECT_EQ(on.json()["events"][0]["next"], "enter_nvgre");
  EXPECT_EQ(call("DELETE", "/v1/trace").status, 204);
  EXPECT_EQ(call("GET", "/v1/trace").json()["filter"], nullptr);
}

TEST_F(Routes, MetricsAreServedAsText) {
  create_subnet();
  const auto reply = call("GET", "/metrics");
  EXPECT_EQ(reply.status, 200);
  EXPECT_TRUE(reply.headers.at("content-type").starts_with("text/plain; version=0.0.4"));
  for (const auto* line : {"hnv_drops_total{reason=\"nvgre_unknown_vsid\"} 3\n",
                           "hnv_port_rx_packets_total{port=\"fab0\"} 7\n",
                           "hnv_station_packets_total{station=\"route\"} 16\n",
                           "hnv_domain_inbound_packets_total{domain=\"contoso\"} 5\n",
                           "hnv_domain_drops_total{domain=\"contoso\",reason=\"no_route\"} 2\n",
                           "hnv_ledger_balanced 1\n", "# TYPE hnv_drops_total counter\n"}) {
    EXPECT_NE(reply.body.find(line), std::string::npos) << line << reply.body;
  }
}

}  // namespace
}  // namespace hnv
