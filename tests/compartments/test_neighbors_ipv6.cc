// SPDX-License-Identifier: Apache-2.0
//
// Neighbour unreachability detection as RFC 4861 asks for it, clause by clause.
#include <gtest/gtest.h>

#include "compartments/neighbors.h"

namespace hnv {
namespace {

using namespace std::chrono_literals;
using Trust = Neighbors::Trust;
using Advertisement = Neighbors::Advertisement;

constexpr LinkId kLink{1};
const NeighborKey kKey{kLink, *LinkAddress::parse("fd00:250::11")};
const MacAddress kMac({2, 0, 0, 0, 0, 1});
const MacAddress kNewMac({2, 0, 0, 0, 0, 2});
constexpr Instant kStart{1'000'000'000'000};

class Rfc4861 : public ::testing::Test {
 protected:
  Neighbors::Actions run_for(Duration duration) {
    Neighbors::Actions all;
    for (const Instant end = now_ + duration; now_ < end;) {
      now_ = now_ + 100ms;
      neighbors_.tick(now_, all);
    }
    return all;
  }
  bool advertise(const Advertisement& a, Trust trust = Trust::any) {
    actions_ = {};
    return neighbors_.advertised(kKey, a, trust, now_, actions_);
  }
  void make_reachable() {
    neighbors_.pin(kKey, now_, actions_);
    ASSERT_TRUE(advertise({.mac = kMac, .solicited = true, .overrides = true}));
  }
  const Neighbors::Entry& entry() const { return *neighbors_.find(kKey); }

  Neighbors neighbors_;
  Instant now_ = kStart;
  Neighbors::Actions actions_;
};

TEST_F(Rfc4861, S722ResolutionBeginsWithASolicitationToTheGroup) {
  neighbors_.pin(kKey, now_, actions_);
  ASSERT_EQ(actions_.requests.size(), 1U);
  EXPECT_EQ(actions_.requests[0].key, kKey);
  EXPECT_FALSE(actions_.requests[0].to) << "no unicast while nothing is known";
}

TEST_F(Rfc4861, S722ThreeSolicitationsOneSecondApartThenItFails) {
  neighbors_.resolve(kKey, now_, actions_);
  EXPECT_EQ(run_for(900ms).requests.size(), 0U);
  EXPECT_EQ(run_for(100ms).requests.size(), 1U);
  EXPECT_EQ(run_for(1s).requests.size(), 1U);
  const auto last = run_for(1s);
  EXPECT_EQ(last.requests.size(), 0U);
  ASSERT_EQ(last.changes.size(), 1U);
  EXPECT_EQ(last.changes[0].status, NeighborStatus::failed);
}

TEST_F(Rfc4861, S725AnAdvertisementMakesNoEntry) {
  EXPECT_FALSE(advertise({.mac = kMac, .solicited = true, .overrides = true}));
  EXPECT_EQ(neighbors_.find(kKey), nullptr);
}

TEST_F(Rfc4861, S725IncompleteWithoutALinkLayerAddressIsIgnored) {
  neighbors_.pin(kKey, now_, actions_);
  EXPECT_FALSE(advertise({.solicited = true, .overrides = true}));
  EXPECT_EQ(entry().status, NeighborStatus::incomplete);
}

TEST_F(Rfc4861, S725IncompleteAndSolicitedIsReachable) {
  neighbors_.pin(kKey, now_, actions_);
  EXPECT_TRUE(advertise({.mac = kMac, .router = true, .solicited = true}));
  EXPECT_EQ(entry().status, NeighborStatus::reachable);
  EXPECT_EQ(entry().mac, kMac);
  EXPECT_TRUE(entry().router);
  ASSERT_EQ(actions_.changes.size(), 1U);
  EXPECT_EQ(actions_.changes[0].mac, kMac);
}

TEST_F(Rfc4861, S725IncompleteAndUnsolicitedIsUsedAndProbed) {
  neighbors_.pin(kKey, now_, actions_);
  EXPECT_TRUE(advertise({.mac = kMac, .overrides = true}));
  EXPECT_EQ(entry().status, NeighborStatus::probe);
  EXPECT_EQ(entry().mac, kMac);
  ASSERT_EQ(actions_.requests.size(), 1U);
  EXPECT_EQ(actions_.requests[0].to, kMac);
}

TEST_F(Rfc4861, S725AnotherAddressWithoutOverrideOnlyRaisesDoubt) {
  make_reachable();
  EXPECT_FALSE(advertise({.mac = kNewMac, .solicited = true}));
  EXPECT_EQ(entry().mac, kMac);
  EXPECT_EQ(entry().status, NeighborStatus::probe);
  ASSERT_EQ(actions_.requests.size(), 1U);
  EXPECT_EQ(actions_.requests[0].to, kMac);
}

TEST_F(Rfc4861, S725AnotherAddressWithOverrideIsTaken) {
  make_reachable();
  EXPECT_TRUE(advertise({.mac = kNewMac, .solicited = true, .overrides = true}));
  EXPECT_EQ(entry().mac, kNewMac);
  EXPECT_EQ(entry().status, NeighborStatus::reachable);
}

TEST_F(Rfc4861, S726AnUnsolicitedTakeoverIsUsedAtOnceAndProbed) {
  make_reachable();
  EXPECT_TRUE(advertise({.mac = kNewMac, .overrides = true}));
  EXPECT_EQ(entry().mac, kNewMac);
  EXPECT_EQ(entry().status, NeighborStatus::probe);
  ASSERT_FALSE(actions_.changes.empty());
  EXPECT_EQ(actions_.changes.back().mac, kNewMac);
  ASSERT_EQ(actions_.requests.size(), 1U);
  EXPECT_EQ(actions_.requests[0].to, kNewMac);
}

TEST_F(Rfc4861, S725TheSameAddressUnsolicitedChangesNothingButTheRouterFlag) {
  make_reachable();
  EXPECT_TRUE(advertise({.mac = kMac, .router = true}));
  EXPECT_TRUE(entry().router);
  EXPECT_EQ(entry().status, NeighborStatus::reachable);
  EXPECT_TRUE(actions_.changes.empty());
  EXPECT_TRUE(advertise({.mac = kMac, .router = false}));
  EXPECT_FALSE(entry().router);
}

TEST_F(Rfc4861, S733ProbesAreUnicastAndTheAddressIsUsedMeanwhile) {
  make_reachable();
  Neighbors::Actions seen;
  for (int i = 0; i < 460 && seen.requests.empty(); ++i) seen = run_for(100ms);
  ASSERT_FALSE(seen.requests.empty());
  EXPECT_EQ(seen.requests[0].to, kMac);
  EXPECT_EQ(entry().mac, kMac);
  EXPECT_TRUE(advertise({.solicited = true})) << "§7.2.5: the answer needs no option";
  EXPECT_EQ(entry().status, NeighborStatus::reachable);
}

TEST_F(Rfc4861, S733ProbesInVainFailIt) {
  make_reachable();
  const auto seen = run_for(50s);
  ASSERT_FALSE(seen.changes.empty());
  EXPECT_EQ(seen.changes[0].status, NeighborStatus::failed);
  EXPECT_EQ(seen.requests[0].to, kMac);
  EXPECT_TRUE(advertise({.mac = kMac, .solicited = true})) << "an answer mends it";
  EXPECT_EQ(entry().status, NeighborStatus::reachable);
}

// Where tenants' machines speak, only the answer to an open question counts.
TEST_F(Rfc4861, AnUntrustedLinkTakesOnlyAnswers) {
  neighbors_.pin(kKey, now_, actions_);
  EXPECT_FALSE(advertise({.mac = kMac, .overrides = true}, Trust::answers_only));
  EXPECT_EQ(entry().status, NeighborStatus::incomplete);
  EXPECT_TRUE(advertise({.mac = kMac, .solicited = true}, Trust::answers_only));
  EXPECT_FALSE(
      advertise({.mac = kNewMac, .solicited = true, .overrides = true}, Trust::answers_only));
  EXPECT_EQ(entry().mac, kMac);
}

TEST_F(Rfc4861, BothFamiliesLiveSideBySideOnOneLink) {
  const NeighborKey v4{kLink, Ip4<Space::external>(0x0a000001)};
  neighbors_.pin(kKey, now_, actions_);
  neighbors_.pin(v4, now_, actions_);
  EXPECT_EQ(neighbors_.incomplete(kLink), 2U);
  EXPECT_TRUE(neighbors_.learn(v4, kMac, Trust::any, now_, actions_));
  EXPECT_EQ(entry().status, NeighborStatus::incomplete);
  neighbors_.forget_link(kLink, actions_);
  EXPECT_TRUE(neighbors_.entries().empty());
}

}  // namespace
}  // namespace hnv
