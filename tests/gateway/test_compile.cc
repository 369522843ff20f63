// SPDX-License-Identifier: Apache-2.0
//
// From the desired state to what workers read, without EAL: apply, compile, and a look at every
// table. What a frame makes of it is the business of the line's tests.
#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/gateway/random_change.h"
#include "tests/support/dataplane_facts.h"
#include "tests/support/twin_tenants.h"

namespace hnv {
namespace {

constexpr const char* kRecord = "routingDomains/contoso/virtualSubnets/web/lookupRecords/10.0.1.11";

std::string to_host(const std::string& pa) {
  return fmt::format(R"({{"customerAddress":"10.0.1.11","providerAddress":"{}",
                          "macAddress":"00:15:5d:01:00:11"}})",
                     pa);
}

TestRequest record(unsigned i, const std::string& pa) {
  const std::string ca = fmt::format("10.0.1.{}", 100 + i);
  return {"routingDomains/contoso/virtualSubnets/web/lookupRecords/" + ca,
          fmt::format(R"({{"customerAddress":"{}","providerAddress":"{}",
                           "macAddress":"00:15:5d:01:01:{:02x}"}})",
                      ca, pa, i)};
}

// The domain and what is in it, the children first.
std::vector<TestRequest> removal_of(const std::string& domain) {
  std::vector<TestRequest> requests;
  for (const TestRequest& made : twin_requests()) {
    if (made.path.starts_with("routingDomains/" + domain)) requests.push_back({made.path, ""});
  }
  std::reverse(requests.begin(), requests.end());
  return requests;
}

class Compile : public testing::Test {
 protected:
  Compile() {
    network_.change(twin_requests());
    network_.answer_all();
  }
  // One fact that contains all of these, or what was found instead.
  std::string fact(const std::vector<std::string>& parts) {
    std::string near;
    for (const std::string& fact : facts(network_)) {
      const auto has = [&](const std::string& part) {
        return fact.find(part) != std::string::npos;
      };
      if (std::all_of(parts.begin(), parts.end(), has)) return "";
      if (has(parts.front())) near += "\n  " + fact;
    }
    return "not found; near:" + near;
  }
  void expect_as_from_nothing() {
    const auto fresh = network_.from_nothing();
    fresh->answer_all();
    network_.answer_all();
    EXPECT_EQ(difference(facts(*fresh), facts(network_)), "");
  }

  TestDataplane network_{twin_ports()};
};

// A few of everything, as an operator wrote it in twin_network.cc.
TEST_F(Compile, MakesOfASubnetItsHeaderAndItsVsid) {
  EXPECT_EQ(fact({"contoso subnet db:", "mtu 1400", "pa 10.250.0.2", "own true", "icmp 10.0.2.1"}),
            "");
  EXPECT_EQ(fact({"contoso subnet web:", "pa 10.250.0.1", "own false", "icmp none"}), "");
  EXPECT_EQ(fact({fmt::format("vsid {}: contoso subnet web at fabric0 vlan 0 to 10.250.0.1",
                              kContoso.web)}),
            "");
  // RFC 7637 §3.2 in hex: the key is VSID and FlowID, the protocol 0x6558.
  EXPECT_EQ(fact({"fabrikam subnet web:", fmt::format("20006558{:06x}00", kFabrikam.web)}), "");
  EXPECT_EQ(fact({"contoso: contoso icmp source 10.0.0.2"}), "") << "the gateway subnet's";
}

TEST_F(Compile, MakesOfARecordItsPlaceAndItsNextHop) {
  EXPECT_EQ(fact({"contoso record 0a00010b", "pa 0afa000b", "mac 00:15:5d:01:00:11", "subnet web",
                  "via 10.250.0.11 on providerNetworks/fabric"}),
            "");
  EXPECT_EQ(fact({"contoso record 0a00031f", "subnet far", "on providerNetworks/tagged"}), "");
  EXPECT_EQ(fact({"contoso wildcard gateway:", "via 10.250.0.77"}), "");
  EXPECT_NE(fact({"contoso wildcard web:"}), "") << "it names the gateway itself";
  EXPECT_EQ(fact({"contoso l2 web", "via 10.250.0.11"}), "");
  EXPECT_EQ(fact({"next hop 10.252.0.13 on providerNetworks/tagged", "state 2"}), "");
}

TEST_F(Compile, LooksUpWhereTheRoutesLead) {
  EXPECT_EQ(fact({"contoso fib 10.0.1.4:", "subnet web"}), "");
  EXPECT_EQ(fact({"contoso fib 10.0.1.255:", "kind 6"}), "") << "a directed broadcast";
  EXPECT_EQ(fact({"contoso fib 10.0.2.1:", "kind 1"}), "") << "the gateway's own";
  EXPECT_EQ(fact({"contoso fib 172.16.0.4:", "via 192.168.7.254", "connection private",
                  "to 192.168.7.254 on routingDomains/contoso/networkConnections/private"}),
            "");
  EXPECT_EQ(fact({"contoso fib 172.21.0.4:", "via 10.0.1.12", "subnet web"}), "");
  EXPECT_EQ(fact({"contoso fib 172.23.0.0:", "no route"}), "");
  EXPECT_EQ(fact({"link routingDomains/contoso/networkConnections/private",
                  fmt::format("vlan {}", kContoso.private_vlan), "own 192.168.7.1/24"}),
            "");
}

// Workers may still have sessions under its number.
TEST_F(Compile, GivesADomainsNumberAnewOnceNatHasForgottenIt) {
  const auto next_number = [&](const Compiled& compiled) {
    return compiled.free_compartments.empty() ? static_cast<uint32_t>(compiled.compartments.size())
                                              : compiled.free_compartments.back().value();
  };
  const std::string path = "routingDomains/third";
  for (const bool together : {true, false}) {
    const uint32_t number = next_number(network_.compiled());
    network_.change({{path, "{}"}, {path + "/nat", "{}"}});
    ASSERT_EQ(network_.compartment("third").id.value(), number);
    if (together) {
      network_.change({{path + "/nat", ""}, {path, ""}});
    } else {
      network_.change({{path + "/nat", ""}});
      network_.change({{path, ""}});
    }
    EXPECT_NE(next_number(network_.compiled()), number) << "together: " << together;
    const auto compiled = std::make_shared<const Compiled>(network_.compiled());
    const uint64_t serial = compiled->nat->plan->serial;
    EXPECT_NE(next_number(*with_nat_swept(compiled, serial - 1)), number);
    EXPECT_EQ(next_number(*with_nat_swept(compiled, serial)), number) << "together: " << together;
  }
}

TEST_F(Compile, GivesNextHopsBackWhenTheChangeIsLost) {
  const auto before = facts(network_);
  const CompartmentView* contoso = &network_.compartment("contoso");
  EXPECT_TRUE(network_.lose({{kRecord, to_host("10.250.0.99")}}));
  EXPECT_TRUE(
      network_.lose({{"routingDomains/third", "{}"},
                     {"routingDomains/contoso/networkConnections/new",
                      R"({"connectionType":"L3","l3Configuration":{"port":"wan0","vlanId":77,
                      "ipAddresses":["192.168.8.1/24"],"peerIPAddresses":["192.168.8.254"]},
                      "routes":[{"destinationPrefix":"172.30.0.0/16"}]})"}}));
  EXPECT_TRUE(network_.lose({{"routingDomains/contoso/virtualSubnets/far", ""}}));
  EXPECT_TRUE(network_.lose(removal_of("fabrikam")));
  EXPECT_EQ(difference(before, facts(network_)), "");
  EXPECT_EQ(&network_.compartment("contoso"), contoso);
  network_.change({{kRecord, to_host("10.250.0.99")}});
  expect_as_from_nothing();
}

TEST_F(Compile, KeepsOneNextHopForAllWhoNameItAndNoneForNobody) {
  const size_t before = network_.next_hops().size();
  network_.change({record(0, "10.250.0.99"), record(1, "10.250.0.99")});
  EXPECT_EQ(network_.next_hops().size(), before + 1);
  network_.change({record(0, "10.250.0.11")});
  EXPECT_EQ(network_.next_hops().size(), before + 1);
  network_.change({{record(1, "").path, ""}});
  EXPECT_EQ(network_.next_hops().size(), before);
  network_.change(removal_of("contoso"));
  network_.change(removal_of("fabrikam"));
  EXPECT_EQ(network_.next_hops().size(), 0U);
  network_.change({{"providerNetworks/fabric", ""}});
  expect_as_from_nothing();
}

TEST_F(Compile, LeavesTheOtherDomainsViewAlone) {
  const CompartmentView* fabrikam = &network_.compartment("fabrikam");
  const auto seen = facts_of(network_, "fabrikam");
  const std::string contoso = "routingDomains/contoso";
  const std::vector<std::vector<TestRequest>> changes = {
      {{kRecord, to_host("10.250.0.12")}},
      {record(0, "10.250.0.99")},
      {{contoso + "/customerRoutes/more",
        R"({"destinationPrefix":"172.24.0.0/16","nextHop":"10.0.1.12"})"}},
      {{contoso + "/virtualSubnets/new",
        R"({"virtualSubnetId":5900,"addressPrefixes":["10.0.9.0/24"],
            "providerNetwork":"fabric"})"}},
      {{contoso + "/networkConnections/private", ""}},
      {{contoso, R"({"routePreferences":{"static":200}})"}},
      {{"routingDomains/third", "{}"}},
      {{contoso + "/virtualSubnets/new", ""}, {contoso + "/customerRoutes/more", ""}},
      removal_of("contoso"),
  };
  for (const auto& requests : changes) {
    network_.change(requests);
    ASSERT_EQ(&network_.compartment("fabrikam"), fabrikam) << requests[0].path;
    ASSERT_EQ(network_.plane().compartment(fabrikam->id), fabrikam) << requests[0].path;
  }
  EXPECT_EQ(difference(seen, facts_of(network_, "fabrikam")), "");
}

// A record's change shares everything but the records; the counters go on whatever changes.
TEST_F(Compile, SharesWhatARecordDoesNotTouch) {
  const CompartmentView before = network_.compartment("contoso");
  network_.change({record(0, "10.250.0.99")});
  const CompartmentView& after = network_.compartment("contoso");
  EXPECT_NE(after.records, before.records);
  EXPECT_EQ(after.fib_owner, before.fib_owner);
  EXPECT_EQ(after.hops, before.hops);
  EXPECT_EQ(after.subnets, before.subnets);
  EXPECT_EQ(after.connections, before.connections);
  EXPECT_EQ(after.counters, before.counters);
  EXPECT_EQ(after.uid, before.uid);
  network_.change({{"routingDomains/contoso/customerRoutes/more",
                    R"({"destinationPrefix":"172.24.0.0/16","nextHop":"10.0.1.12"})"}});
  EXPECT_EQ(network_.compartment("contoso").counters, before.counters);
  EXPECT_EQ(network_.compartment("contoso").uid, before.uid);
  network_.change({{"routingDomains/contoso/customerRoutes/more", ""}});
  network_.change(removal_of("contoso"));
  network_.change({{"routingDomains/contoso", "{}"}});
  EXPECT_NE(network_.compartment("contoso").uid, before.uid) << "another one of the same name";
}

TEST_F(Compile, RemembersForAMoveWhereTheRecordWas) {
  network_.change({{kRecord, to_host("10.250.0.12")}, record(0, "10.250.0.11")});
  const auto& moved = network_.compartment("contoso").moved;
  ASSERT_NE(moved, nullptr);
  EXPECT_EQ(moved->size(), 1U) << "a new record has been nowhere else";
  EXPECT_TRUE(moved->contains({CaAddress(0x0a00010b), PaAddress(0x0afa000b)}));
  EXPECT_EQ(network_.compartment("fabrikam").moved, nullptr);
  // The same place under another MAC is no move.
  network_.change({record(1, "10.250.0.11")});
  network_.change({{record(1, "").path,
                    R"({"customerAddress":"10.0.1.101","providerAddress":"10.250.0.11",
                        "macAddress":"00:15:5d:01:09:09"})"}});
  EXPECT_EQ(network_.compartment("contoso").moved->size(), 1U);
  network_.end_moved("contoso", "10.0.1.11", "10.250.0.11");
  EXPECT_EQ(network_.compartment("contoso").moved, nullptr);
  expect_as_from_nothing();
}

// What belonged to a removed domain is not taken over by the next one of its name.
TEST_F(Compile, ForgetsTheMovesOfARemovedDomain) {
  network_.change({{kRecord, to_host("10.250.0.12")}, record(0, "10.250.0.11")});
  network_.change({record(0, "10.250.0.12")});
  network_.change(removal_of("contoso"));
  network_.change(twin_requests());
  network_.end_moved("contoso", "10.0.1.11", "10.250.0.11");
  EXPECT_EQ(network_.compartment("contoso").moved, nullptr);
}

// A long change is made in steps. What the control loop does between them, it does with the tables
// of before, and the neighbours that are found meanwhile are not lost.
TEST_F(Compile, LetsOthersBeServedBetweenItsSteps) {
  const CompartmentView* before = &network_.compartment("contoso");
  const size_t next_hops = network_.next_hops().size();
  size_t pauses = 0;
  size_t seen = 0;
  network_.on_pause([&] {
    if (++pauses % 7 != 0) return;
    network_.answer_all();
    EXPECT_EQ(&network_.compartment("contoso"), before);
    EXPECT_EQ(network_.plane().compartment(before->id), before);
    EXPECT_GE(network_.next_hops().size(), seen);
    seen = network_.next_hops().size();
  });
  std::vector<TestRequest> requests;
  for (unsigned i = 0; i < 100; ++i)
    requests.push_back(record(i, fmt::format("10.251.1.{}", i + 1)));
  network_.change(requests);
  EXPECT_GE(pauses, requests.size());
  EXPECT_GT(seen, next_hops) << "it has grown before the end";
  EXPECT_EQ(network_.next_hops().size(), next_hops + requests.size());
  network_.on_pause([] {});
  expect_as_from_nothing();
}

// A domain may have a million routes: what a subnet or a connection changes costs its own ones.
TEST_F(Compile, LooksOnlyAtRoutesThatAStructuralChangeConcerns) {
  const std::string contoso = "routingDomains/contoso";
  constexpr unsigned kRoutes = 5000;
  std::vector<TestRequest> requests;
  for (unsigned i = 0; i < kRoutes; ++i) {
    requests.push_back(
        {fmt::format("{}/customerRoutes/many-{}", contoso, i),
         fmt::format(R"({{"destinationPrefix":"172.48.{}.{}/32","nextHop":"10.0.1.{}"}})", i >> 8,
                     i & 255, 12 + i % 2)});
  }
  network_.change(requests);
  size_t pauses = 0;
  network_.on_pause([&] { ++pauses; });
  network_.change({{contoso + "/virtualSubnets/new",
                    R"({"virtualSubnetId":5900,"addressPrefixes":["10.0.9.0/24"],
                        "providerNetwork":"fabric"})"}});
  network_.change({{contoso + "/networkConnections/private", ""}});
  network_.change({{contoso + "/virtualSubnets/new", ""}});
  EXPECT_LT(pauses, kRoutes / 2) << "a step for each route that is looked at";
  // All of them, when all are weighed anew: in steps.
  network_.change({{contoso, R"({"routePreferences":{"static":200}})"}});
  EXPECT_GT(pauses, kRoutes);
  network_.on_pause([] {});
  expect_as_from_nothing();
}

TEST_F(Compile, OneChangeOfEverythingIsThatFromNothing) { expect_as_from_nothing(); }

class CompileRandom : public testing::TestWithParam<unsigned> {};

// Whatever came before: the tables are what they would be if the gateway had just started.
TEST_P(CompileRandom, AgreesWithACompilationFromNothing) {
  RandomChange random(GetParam());
  TestDataplane network({{"fabric0", "02:00:00:00:00:f0", 1700}, {"wan0", "02:00:00:00:00:f1"}});
  const auto next = [&] {
    std::vector<TestRequest> requests(1 + (random.below(4) == 0 ? random.below(3) : 0));
    for (TestRequest& request : requests) {
      const auto text = random.next();
      request = {text.path.substr(std::string_view("/v1/").size()),
                 text.method == "DELETE" ? "" : text.body};
    }
    return requests;
  };
  unsigned taken = 0;
  unsigned lost = 0;
  unsigned failures = 0;
  for (int step = 0; step < 1500; ++step) {
    const auto requests = next();
    if (!network.try_change(requests)) continue;
    ++taken;
    lost += network.lose(next()) ? 1 : 0;
    network.answer_all();
    const auto fresh = network.from_nothing();
    fresh->answer_all();
    const std::string differs = difference(facts(*fresh), facts(network));
    ASSERT_EQ(differs, "") << "step " << step << " after " << requests[0].path << " "
                           << requests[0].body;
    // Next hops that fail take their routes elsewhere, whether the routes or the failure came
    // first.
    std::vector<NeighborKey> neighbors;
    for (const auto& [key, entry] : network.next_hops().neighbors().entries()) {
      if (!network.next_hops().link(key.link)->domain.empty()) neighbors.push_back(key);
    }
    if (neighbors.empty()) continue;
    const NeighborKey key = neighbors[random.below(static_cast<unsigned>(neighbors.size()))];
    const std::string link = network.next_hops().link(key.link)->name;
    network.let_fail(link, key.address.to_string());
    fresh->let_fail(link, key.address.to_string());
    ASSERT_EQ(difference(facts(*fresh), facts(network)), "")
        << "step " << step << ": " << link << " without " << key.address.to_string();
    ++failures;
    if (network.try_change(next())) {
      const auto again = network.from_nothing();
      network.answer_all();
      again->answer_all();
      ASSERT_EQ(difference(facts(*again), facts(network)), "") << "step " << step;
    }
  }
  EXPECT_GT(lost, 100U);
  EXPECT_GT(taken, 200U);
  EXPECT_GT(failures, 100U);
}

INSTANTIATE_TEST_SUITE_P(Seeds, CompileRandom, testing::Values(1U, 2U, 3U, 4U));

}  // namespace
}  // namespace hnv
