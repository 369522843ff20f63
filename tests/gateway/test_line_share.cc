// SPDX-License-Identifier: Apache-2.0
//
// Routes that share a load, and next hops that are found through other routes.
#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/gateway/line_cases.h"

namespace hnv {
namespace {

constexpr unsigned kFlows = 3000;

TestRequest route(const Tenant& t, const std::string& id, const std::string& prefix,
                  const std::string& next_hop) {
  return {
      fmt::format("routingDomains/{}/customerRoutes/{}", t.name, id),
      fmt::format(R"({{"destinationPrefix":"{}","nextHop":"{}","metric":10}})", prefix, next_hop)};
}
TestRequest without(TestRequest request) {
  request.body.clear();
  return request;
}
void change(TestLine& line, const std::vector<TestRequest>& requests) {
  line.network().change(requests);
  line.network().answer_all();
}

std::string private_link(const Tenant& t) {
  return fmt::format("routingDomains/{}/networkConnections/private", t.name);
}
std::string shared_link(const Tenant& t) {
  return fmt::format("routingDomains/{}/networkConnections/shared", t.name);
}

Frame flow_frame(const Tenant& t, unsigned flow, const std::string& network = "172.30") {
  return fabric() / nvgre(t.gateway) /
         ip("10.0.1.11", fmt::format("{}.{}.{}", network, flow / 200, flow % 200 + 1)) /
         udp(static_cast<uint16_t>(1000 + flow), 2000) / payload(18);
}

// Where each flow goes: the destination MACs of what was sent, in order; "" for what was not.
std::vector<std::string> ways(TestLine& line, const Tenant& t,
                              const std::string& network = "172.30") {
  std::vector<std::string> result;
  for (unsigned flow = 0; flow < kFlows; ++flow) {
    const auto sent = line.run(kFabricPort, flow_frame(t, flow, network));
    std::string mac;
    for (size_t i = 0; i < 6 && sent.size() == 1 && sent[0].port == kWanPort; ++i) {
      mac += fmt::format("{}{:02x}", i == 0 ? "" : ":", sent[0].frame[i]);
    }
    result.push_back(mac);
  }
  return result;
}

std::map<std::string, unsigned> shares(const std::vector<std::string>& ways) {
  std::map<std::string, unsigned> result;
  for (const std::string& way : ways) ++result[way];
  return result;
}

TEST(Share, AMembersLossMovesOnlyItsFlows) {
  for (const Tenant& t : kTwins) {
    TestLine line;
    const TestRequest routes[] = {route(t, "s1", "172.30.0.0/16", "192.168.7.10"),
                                  route(t, "s2", "172.30.0.0/16", "192.168.7.11"),
                                  route(t, "s3", "172.30.0.0/16", "192.168.9.12")};
    change(line, {routes[0], routes[1], routes[2]});
    const auto before = ways(line, t);
    const auto share = shares(before);
    ASSERT_EQ(share.size(), 3U);
    for (const auto& [mac, count] : share) {
      EXPECT_NEAR(count, kFlows / 3.0, kFlows / 3.0 * 0.25) << mac;
    }
    EXPECT_TRUE(share.contains("02:aa:c0:a8:07:0b"));

    change(line, {without(routes[1])});
    const auto during = ways(line, t);
    for (size_t flow = 0; flow < kFlows; ++flow) {
      if (before[flow] == "02:aa:c0:a8:07:0b") {
        EXPECT_NE(during[flow], before[flow]);
        EXPECT_NE(during[flow], "");
      } else {
        EXPECT_EQ(during[flow], before[flow]) << "flow " << flow << " moved without need";
      }
    }
    // Those of the lost one do not all go to one other.
    auto more = shares(during);
    for (const auto& [mac, count] : share) {
      if (mac == "02:aa:c0:a8:07:0b") continue;
      EXPECT_GT(more[mac], count + kFlows / 12) << mac;
    }

    change(line, {routes[1]});
    EXPECT_EQ(ways(line, t), before);
    change(line, {without(routes[0]), without(routes[1])});
    EXPECT_EQ(shares(ways(line, t)).size(), 1U);
    change(line, {without(routes[2])});
    EXPECT_EQ(shares(ways(line, t)), (std::map<std::string, unsigned>{{"", kFlows}}));
    EXPECT_EQ(line.fault(), "");
  }
}

TEST(Share, FragmentsOfAPacketGoTheSameWay) {
  for (const Tenant& t : kTwins) {
    TestLine line;
    change(line, {route(t, "s1", "172.30.0.0/16", "192.168.7.10"),
                  route(t, "s2", "172.30.0.0/16", "192.168.7.11")});
    for (unsigned flow = 0; flow < 100; ++flow) {
      std::vector<Bytes> macs;
      for (const uint16_t fragment : std::array<uint16_t, 3>{0x2000, 0x2003, 0x0006}) {
        const auto inner = ip("10.0.1.11", fmt::format("172.30.7.{}", flow + 1));
        const Frame frame = fabric() / nvgre(t.gateway) /
                            inner.with([&](IpLayer& l) { l.fragment = fragment; }) /
                            udp(static_cast<uint16_t>(fragment + flow), 2000) / payload(18);
        const auto sent = line.run(kFabricPort, frame);
        ASSERT_EQ(sent.size(), 1U);
        macs.push_back(Bytes(sent[0].frame.begin(), sent[0].frame.begin() + 6));
      }
      EXPECT_EQ(macs[0], macs[1]);
      EXPECT_EQ(macs[0], macs[2]);
    }
  }
}

// A next hop that fails moves its flows and no others; when it answers again they come back.
TEST(Share, AMembersFailureMovesOnlyItsFlows) {
  for (const Tenant& t : kTwins) {
    TestLine line;
    change(line, {route(t, "s1", "172.30.0.0/16", "192.168.7.10"),
                  route(t, "s2", "172.30.0.0/16", "192.168.7.11"),
                  route(t, "s3", "172.30.0.0/16", "192.168.9.12")});
    const auto before = ways(line, t);
    ASSERT_EQ(shares(before).size(), 3U);
    const std::string lost = "02:aa:c0:a8:07:0b";
    line.network().let_fail(private_link(t), "192.168.7.11");
    const auto during = ways(line, t);
    for (size_t flow = 0; flow < kFlows; ++flow) {
      if (before[flow] == lost) {
        EXPECT_NE(during[flow], before[flow]);
        EXPECT_NE(during[flow], "");
      } else {
        EXPECT_EQ(during[flow], before[flow]) << "flow " << flow << " moved without need";
      }
    }
    line.network().answer(private_link(t), "192.168.7.11", lost);
    EXPECT_EQ(ways(line, t), before);
    EXPECT_EQ(line.fault(), "");
  }
}

std::map<std::string, unsigned> all_to(const std::string& mac) { return {{mac, kFlows}}; }

TEST(Share, TheNextBestServesWhileAllMembersFail) {
  for (const Tenant& t : kTwins) {
    const Tenant& other = &t == &kTwins[0] ? kTwins[1] : kTwins[0];
    TestLine line;
    for (const Tenant& both : kTwins) {
      auto dearer = route(both, "s3", "172.30.0.0/16", "192.168.9.12");
      dearer.body = R"({"destinationPrefix":"172.30.0.0/16","nextHop":"192.168.9.12","metric":20})";
      change(line, {route(both, "s1", "172.30.0.0/16", "192.168.7.10"),
                    route(both, "s2", "172.30.0.0/16", "192.168.7.11"), dearer});
    }
    const auto others = ways(line, other);
    const auto fail = [&](const char* address) {
      line.network().let_fail(private_link(t), address);
    };
    const auto mend = [&](const char* address, const char* mac) {
      line.network().answer(private_link(t), address, mac);
    };
    fail("192.168.7.10");
    EXPECT_EQ(shares(ways(line, t)), all_to("02:aa:c0:a8:07:0b"));
    fail("192.168.7.11");
    EXPECT_EQ(shares(ways(line, t)), all_to("02:aa:c0:a8:09:0c"));
    // A better one that never answers changes nothing, and nor does its end.
    const auto silent = route(t, "s4", "172.30.0.0/16", "192.168.7.13");
    line.network().change({silent});
    fail("192.168.7.13");
    EXPECT_EQ(shares(ways(line, t)), all_to("02:aa:c0:a8:09:0c"));
    line.network().change({without(silent)});
    EXPECT_EQ(shares(ways(line, t)), all_to("02:aa:c0:a8:09:0c"));
    EXPECT_EQ(ways(line, other), others) << "the other tenant's hops have the same addresses";
    line.network().let_fail(shared_link(t), "192.168.9.12");
    EXPECT_EQ(shares(ways(line, t)), all_to(""));
    EXPECT_EQ(line.drops(DropReason::next_hop_failed), kFlows);
    mend("192.168.7.10", "02:aa:c0:a8:07:0a");
    EXPECT_EQ(shares(ways(line, t)), all_to("02:aa:c0:a8:07:0a"));
    EXPECT_EQ(line.fault(), "");
  }
}

// Strict reverse path: an answer may come by any of the ways that share the load, and by no other.
TEST(Share, AnswersMayComeByAnyMember) {
  for (const Tenant& t : kTwins) {
    TestLine line;
    const auto first = route(t, "s1", "172.30.0.0/16", "192.168.7.10");
    const auto second = route(t, "s2", "172.30.0.0/16", "192.168.9.11");
    change(line, {first, second});
    const auto come = [&](const Frame& door) {
      return line.run(kWanPort, door / vm_udp("172.30.1.1", "10.0.1.12")).size();
    };
    EXPECT_EQ(come(private_net(t)), 1U);
    EXPECT_EQ(come(shared_net(t)), 1U);
    change(line, {without(second)});
    EXPECT_EQ(come(private_net(t)), 1U);
    EXPECT_EQ(come(shared_net(t)), 0U);
    EXPECT_EQ(line.drops(DropReason::l3_source_not_routed), 1U);
    EXPECT_EQ(line.fault(), "");
  }
}

TEST(Share, ANextHopIsFoundThroughOtherRoutes) {
  for (const Tenant& t : kTwins) {
    TestLine line;
    const auto far = route(t, "far", "172.31.0.0/16", "172.30.0.1");
    const auto near1 = route(t, "near1", "172.30.0.0/16", "192.168.7.10");
    const auto near2 = route(t, "near2", "172.30.0.0/16", "192.168.7.11");
    change(line, {far});
    EXPECT_EQ(shares(ways(line, t, "172.31")).begin()->first, "");
    EXPECT_EQ(line.drops(DropReason::route_unreachable), kFlows);
    // Only the other route changes.
    change(line, {near1});
    EXPECT_EQ(shares(ways(line, t, "172.31")),
              (std::map<std::string, unsigned>{{"02:aa:c0:a8:07:0a", kFlows}}));
    change(line, {near2});
    EXPECT_EQ(shares(ways(line, t, "172.31")).size(), 2U);
    change(line, {without(near1)});
    EXPECT_EQ(shares(ways(line, t, "172.31")),
              (std::map<std::string, unsigned>{{"02:aa:c0:a8:07:0b", kFlows}}));
    // A loop leads nowhere, and ends.
    change(line, {without(near2), route(t, "loop", "172.30.0.0/16", "172.31.0.1")});
    EXPECT_EQ(shares(ways(line, t, "172.31")).begin()->first, "");
    EXPECT_EQ(line.fault(), "");
  }
}

}  // namespace
}  // namespace hnv
