// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "gateway/next_hops.h"

namespace hnv {
namespace {

using namespace std::chrono_literals;

constexpr LinkId kFabric{0};
constexpr LinkId kTenant{1};
constexpr LinkAddress host(uint32_t host_order) { return Ip4<Space::external>(host_order); }
constexpr LinkAddress after(const LinkAddress& a, int n) {
  return host(a.v4().value() + static_cast<uint32_t>(n));
}
constexpr LinkAddress kHost = host(0x0a090001);     // 10.9.0.1, on-link
constexpr LinkAddress kFarHost = host(0x0a0a0001);  // 10.10.0.1, through the router
constexpr LinkAddress kRouter = host(0x0a0900fe);   // 10.9.0.254
constexpr LinkAddress kNowhere = host(0xc0000201);  // 192.0.2.1
const MacAddress kMac({2, 0, 0, 0, 0, 1});
const MacAddress kOtherMac({2, 0, 0, 0, 0, 2});
constexpr Instant kNow{1'000'000'000'000};

std::shared_ptr<OutLink> fabric() {
  auto link = std::make_shared<OutLink>();
  link->id = kFabric;
  link->name = "providerNetworks/fabric";
  link->port = PortId(0);
  link->mac = wire::Mac::of(MacAddress({2, 0, 0, 0, 0, 0xfe}));
  link->own.push_back({host(0x0a090002), 24});
  link->routes.push_back({.prefix = {host(0x0a0a0000), 16}, .metric = 1, .next_hop = kRouter});
  link->trusted = true;
  return link;
}

class NextHopsTest : public ::testing::Test {
 protected:
  NextHopsTest() { hops_.set_link(fabric(), kNow, actions_); }
  const NextHop& seen(NextHopId id) {
    hops_.publish_into(array_, links_);
    return array_[id.value()];
  }
  void learn(const LinkAddress& address, const MacAddress& mac) {
    Neighbors::Actions actions;
    hops_.learn(kFabric, address, mac, kNow, actions);
    hops_.apply(actions.changes);
  }
  Neighbors::Actions run_for(Duration duration, Instant from = kNow) {
    Neighbors::Actions actions;
    for (Instant at = from; at < from + duration; at = at + 100ms) hops_.tick(at, actions);
    hops_.apply(actions.changes);
    return actions;
  }

  NextHops hops_;
  CowArray<NextHop> array_;
  CowArray<std::shared_ptr<const CustomerMap>> links_;
  Neighbors::Actions actions_;
};

TEST_F(NextHopsTest, AnyPathMtuIsForgottenAfterTenMinutes) {  // RFC 1191 §6.3
  const NextHopId id = hops_.acquire({kFabric, kHost}, kNow, actions_);
  learn(kHost, kMac);
  EXPECT_EQ(seen(id).largest_inner, 0xffff);
  EXPECT_FALSE(hops_.learn_path_mtu({kFabric, kFarHost}, 1400, kNow));  // nobody sends there
  EXPECT_TRUE(hops_.learn_path_mtu({kFabric, kHost}, 1400, kNow));
  EXPECT_EQ(seen(id).largest_inner, 1358);
  EXPECT_FALSE(hops_.learn_path_mtu({kFabric, kHost}, 1450, kNow));  // never raised
  EXPECT_TRUE(hops_.learn_path_mtu({kFabric, kHost}, 1300, kNow));
  EXPECT_EQ(seen(id).largest_inner, 1258);
  EXPECT_EQ(hops_.path_mtu_of({kFabric, kHost}), 1300);
  Neighbors::Actions actions;
  hops_.tick(kNow + 599s, actions);
  EXPECT_EQ(seen(id).largest_inner, 1258);
  hops_.tick(kNow + 600s, actions);
  EXPECT_EQ(seen(id).largest_inner, 0xffff);
  EXPECT_EQ(hops_.path_mtu_of({kFabric, kHost}), std::nullopt);
}

TEST_F(NextHopsTest, AsksForAnOnLinkTargetAsSoonAsItIsNamed) {
  const NextHopId id = hops_.acquire({kFabric, kHost}, kNow, actions_);
  ASSERT_EQ(actions_.requests.size(), 1U);
  EXPECT_EQ(actions_.requests[0].key.address, kHost);
  EXPECT_EQ(seen(id).state, NextHopState::resolving);
  learn(kHost, kMac);
  EXPECT_EQ(seen(id).state, NextHopState::resolved);
  EXPECT_EQ(seen(id).header_bytes, 14);
  EXPECT_EQ(seen(id).header[5], 1);
  EXPECT_EQ(seen(id).header[11], 0xfe);
}

TEST_F(NextHopsTest, OneIdForATargetHoweverManyNameIt) {
  const NextHopId first = hops_.acquire({kFabric, kHost}, kNow, actions_);
  const NextHopId second = hops_.acquire({kFabric, kHost}, kNow, actions_);
  EXPECT_EQ(first, second);
  EXPECT_EQ(actions_.requests.size(), 1U);
  hops_.release(first, actions_);
  EXPECT_EQ(seen(first).state, NextHopState::resolving);
  hops_.release(second, actions_);
  EXPECT_EQ(seen(first).state, NextHopState::absent);
  EXPECT_TRUE(hops_.neighbors().entries().empty());
}

TEST_F(NextHopsTest, TargetsBehindARouterShareItsNeighbour) {
  const NextHopId far = hops_.acquire({kFabric, kFarHost}, kNow, actions_);
  const NextHopId farther = hops_.acquire({kFabric, after(kFarHost, 1)}, kNow, actions_);
  ASSERT_EQ(actions_.requests.size(), 1U);
  EXPECT_EQ(actions_.requests[0].key.address, kRouter);
  learn(kRouter, kMac);
  EXPECT_EQ(seen(far).state, NextHopState::resolved);
  EXPECT_EQ(seen(farther).state, NextHopState::resolved);
}

TEST_F(NextHopsTest, ATargetNobodyRoutesToFails) {
  const NextHopId id = hops_.acquire({kFabric, kNowhere}, kNow, actions_);
  EXPECT_TRUE(actions_.requests.empty());
  EXPECT_EQ(seen(id).state, NextHopState::failed);
}

TEST_F(NextHopsTest, AnotherRouteMovesTheTargetToAnotherNeighbour) {
  const NextHopId id = hops_.acquire({kFabric, kFarHost}, kNow, actions_);
  learn(kRouter, kMac);
  auto link = fabric();
  link->routes[0].next_hop = after(kRouter, -1);
  hops_.set_link(link, kNow, actions_);
  EXPECT_EQ(seen(id).state, NextHopState::resolving);
  learn(after(kRouter, -1), kOtherMac);
  EXPECT_EQ(seen(id).header[5], 2);
  EXPECT_EQ(hops_.neighbors().entries().size(), 1U);
}

TEST_F(NextHopsTest, SilenceFailsItAndAnAnswerMendsIt) {
  const NextHopId id = hops_.acquire({kFabric, kHost}, kNow, actions_);
  run_for(4s);
  EXPECT_EQ(seen(id).state, NextHopState::failed);
  learn(kHost, kMac);
  EXPECT_EQ(seen(id).state, NextHopState::resolved);
}

TEST_F(NextHopsTest, ANewHolderOfAnIdHasAnotherUid) {
  const NextHopId id = hops_.acquire({kFabric, kHost}, kNow, actions_);
  const uint64_t uid = hops_.uid(id);
  hops_.release(id, actions_);
  const NextHopId again = hops_.acquire({kFabric, after(kHost, 1)}, kNow, actions_);
  ASSERT_EQ(id, again);
  EXPECT_NE(hops_.uid(again), uid);
}

TEST_F(NextHopsTest, TagsAndFlowIdComeFromTheLink) {
  auto link = fabric();
  link->vlan = *VlanId::from(60);
  link->flow_id_overrides.push_back({{kHost, 32}, true});
  hops_.set_link(link, kNow, actions_);
  const NextHopId id = hops_.acquire({kFabric, kHost}, kNow, actions_);
  const NextHopId other = hops_.acquire({kFabric, after(kHost, 4)}, kNow, actions_);
  learn(kHost, kMac);
  learn(after(kHost, 4), kMac);
  EXPECT_EQ(seen(id).header_bytes, 18);
  EXPECT_EQ(seen(id).header[12], 0x81);
  EXPECT_EQ(seen(id).header[15], 60);
  EXPECT_EQ(seen(id).zero_flow_id_at, wire::kFlowIdBehindIpv4);
  EXPECT_EQ(seen(other).zero_flow_id_at, 0);
}

class DemandTest : public NextHopsTest {
 protected:
  DemandTest() { set_limit(4096); }
  void set_limit(uint32_t max) {
    auto link = std::make_shared<OutLink>();
    link->id = kTenant;
    link->own.push_back({host(0xc0a83201), 24});  // 192.168.50.1/24
    link->max_neighbors = max;
    hops_.set_link(link, kNow, actions_);
  }
  NextHopId demand(const LinkAddress& address) {
    return hops_.demand({kTenant, address}, kNow, actions_);
  }
};
constexpr LinkAddress kServer = host(0xc0a8320a);

TEST_F(DemandTest, MakesANeighbourThatTheWorkersFind) {
  const NextHopId id = demand(kServer);
  ASSERT_TRUE(id.valid());
  EXPECT_EQ(demand(kServer), id);
  EXPECT_EQ(seen(id).state, NextHopState::resolving);
  const CustomerRecord* record =
      links_[kTenant.value()]->find(CaKey(CaAddress(kServer.v4().value())));
  ASSERT_NE(record, nullptr);
  EXPECT_EQ(record->next_hop, id);
}

TEST_F(DemandTest, ForgetsWhoNeverAnswers) {
  const NextHopId id = demand(kServer);
  (void)seen(id);
  run_for(10s);
  EXPECT_EQ(seen(id).state, NextHopState::absent);
  EXPECT_EQ(links_[kTenant.value()]->find(CaKey(CaAddress(kServer.v4().value()))), nullptr);
  EXPECT_EQ(hops_.size(), 0U);
}

TEST_F(DemandTest, RefusesWhatIsNotOnTheLinkAndWhatIsTooMuch) {
  EXPECT_FALSE(demand(kHost).valid());
  set_limit(2);
  EXPECT_TRUE(demand(kServer).valid());
  EXPECT_TRUE(demand(after(kServer, 1)).valid());
  EXPECT_FALSE(demand(after(kServer, 2)).valid());
}

TEST_F(DemandTest, AConfiguredPeerThatPacketsAskForTooOutlivesEitherUse) {
  const NextHopId configured = hops_.acquire({kTenant, kServer}, kNow, actions_);
  const NextHopId demanded = demand(kServer);
  EXPECT_EQ(configured, demanded);
  hops_.release(configured, actions_);
  EXPECT_EQ(seen(demanded).state, NextHopState::resolving);
  run_for(10s);
  EXPECT_EQ(seen(demanded).state, NextHopState::absent);
}

TEST_F(DemandTest, TheLinksEndIsTheirs) {
  const NextHopId id = demand(kServer);
  (void)seen(id);
  hops_.remove_link(kTenant, actions_);
  EXPECT_EQ(seen(id).state, NextHopState::absent);
  EXPECT_EQ(links_[kTenant.value()], nullptr);
  EXPECT_TRUE(hops_.neighbors().entries().empty());
}

}  // namespace
}  // namespace hnv
