// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "compartments/neighbors.h"

namespace hnv {
namespace {

using namespace std::chrono_literals;

constexpr LinkId kLink{1};
constexpr LinkId kOther{2};
constexpr NeighborKey kKey{kLink, Ip4<Space::external>(0x0a000001)};
const MacAddress kMac({2, 0, 0, 0, 0, 1});
const MacAddress kNewMac({2, 0, 0, 0, 0, 2});
constexpr Instant kStart{1'000'000'000'000};

// The state machine with its clock, stepped as the control loop steps it.
class NeighborsTest : public ::testing::Test {
 protected:
  Neighbors::Actions run_for(Duration duration) {
    Neighbors::Actions all;
    for (const Instant end = now_ + duration; now_ < end;) {
      now_ = now_ + 100ms;
      neighbors_.tick(now_, all);
    }
    return all;
  }
  NeighborStatus status() const { return neighbors_.find(kKey)->status; }

  Neighbors neighbors_;
  Instant now_ = kStart;
  Neighbors::Actions actions_;
};

TEST_F(NeighborsTest, AsksAtOnceByBroadcast) {
  neighbors_.pin(kKey, now_, actions_);
  ASSERT_EQ(actions_.requests.size(), 1U);
  EXPECT_EQ(actions_.requests[0].key, kKey);
  EXPECT_FALSE(actions_.requests[0].to);
  EXPECT_EQ(neighbors_.incomplete(kLink), 1U);
  EXPECT_EQ(neighbors_.incomplete(kOther), 0U);
}

TEST_F(NeighborsTest, AnAnswerMakesItReachable) {
  neighbors_.pin(kKey, now_, actions_);
  EXPECT_TRUE(neighbors_.learn(kKey, kMac, Neighbors::Trust::any, now_, actions_));
  ASSERT_EQ(actions_.changes.size(), 1U);
  EXPECT_EQ(actions_.changes[0].status, NeighborStatus::reachable);
  EXPECT_EQ(actions_.changes[0].mac, kMac);
  EXPECT_EQ(neighbors_.incomplete(kLink), 0U);
}

TEST_F(NeighborsTest, LearnsNobodyItDidNotAskFor) {
  EXPECT_FALSE(neighbors_.learn(kKey, kMac, Neighbors::Trust::any, now_, actions_));
  EXPECT_EQ(neighbors_.find(kKey), nullptr);
}

TEST_F(NeighborsTest, ThreeRequestsInVainFailAPinnedOneWhichIsAskedForAgain) {
  neighbors_.pin(kKey, now_, actions_);
  const auto first = run_for(2900ms);
  EXPECT_EQ(first.requests.size(), 2U);  // with the one at once, three
  EXPECT_TRUE(first.changes.empty());
  const auto then = run_for(200ms);
  ASSERT_EQ(then.changes.size(), 1U);
  EXPECT_EQ(then.changes[0].status, NeighborStatus::failed);
  EXPECT_FALSE(then.changes[0].forgotten);
  EXPECT_EQ(run_for(10s).requests.size(), 2U);  // every five seconds
  EXPECT_TRUE(neighbors_.learn(kKey, kMac, Neighbors::Trust::any, now_, actions_));
  EXPECT_EQ(status(), NeighborStatus::reachable);
}

TEST_F(NeighborsTest, OneThatPacketsAskedForIsForgotten) {
  neighbors_.resolve(kKey, now_, actions_);
  const auto seen = run_for(10s);
  ASSERT_EQ(seen.changes.size(), 2U);
  EXPECT_EQ(seen.changes[0].status, NeighborStatus::failed);
  EXPECT_TRUE(seen.changes[1].forgotten);
  EXPECT_EQ(neighbors_.find(kKey), nullptr);
  EXPECT_EQ(neighbors_.incomplete(kLink), 0U);
}

TEST_F(NeighborsTest, ProbesByUnicastAndKeepsTheMacMeanwhile) {
  neighbors_.pin(kKey, now_, actions_);
  neighbors_.learn(kKey, kMac, Neighbors::Trust::any, now_, actions_);
  const auto seen = run_for(46s);  // 15 to 45 s after the answer, by address
  ASSERT_FALSE(seen.requests.empty());
  EXPECT_EQ(seen.requests[0].to, kMac);
  EXPECT_EQ(neighbors_.find(kKey)->mac, kMac);
  neighbors_.learn(kKey, kMac, Neighbors::Trust::any, now_, actions_);
  EXPECT_EQ(status(), NeighborStatus::reachable);
}

TEST_F(NeighborsTest, ANewMacIsAChange) {
  neighbors_.pin(kKey, now_, actions_);
  neighbors_.learn(kKey, kMac, Neighbors::Trust::any, now_, actions_);
  actions_ = {};
  neighbors_.learn(kKey, kMac, Neighbors::Trust::any, now_, actions_);
  EXPECT_TRUE(actions_.changes.empty());
  neighbors_.learn(kKey, kNewMac, Neighbors::Trust::any, now_, actions_);
  ASSERT_EQ(actions_.changes.size(), 1U);
  EXPECT_EQ(actions_.changes[0].mac, kNewMac);
}

TEST_F(NeighborsTest, AnAnswerNobodyAskedForCountsOnlyOnATrustedLink) {
  neighbors_.pin(kKey, now_, actions_);
  EXPECT_TRUE(neighbors_.learn(kKey, kMac, Neighbors::Trust::answers_only, now_, actions_));
  EXPECT_FALSE(neighbors_.learn(kKey, kNewMac, Neighbors::Trust::answers_only, now_, actions_));
  EXPECT_EQ(neighbors_.find(kKey)->mac, kMac);
  EXPECT_TRUE(neighbors_.learn(kKey, kNewMac, Neighbors::Trust::any, now_, actions_));
  EXPECT_EQ(neighbors_.find(kKey)->mac, kNewMac);
}

TEST_F(NeighborsTest, ForgetsALinkAndOnlyThat) {
  const NeighborKey elsewhere{kOther, kKey.address};
  neighbors_.pin(kKey, now_, actions_);
  neighbors_.pin(elsewhere, now_, actions_);
  actions_ = {};
  neighbors_.forget_link(kLink, actions_);
  ASSERT_EQ(actions_.changes.size(), 1U);
  EXPECT_TRUE(actions_.changes[0].forgotten);
  EXPECT_EQ(neighbors_.find(kKey), nullptr);
  EXPECT_NE(neighbors_.find(elsewhere), nullptr);
}

TEST_F(NeighborsTest, ForgetSparesWhoIsPinned) {
  neighbors_.pin(kKey, now_, actions_);
  neighbors_.forget(kKey);
  EXPECT_NE(neighbors_.find(kKey), nullptr);
  neighbors_.unpin(kKey);
  neighbors_.forget(kKey);
  EXPECT_EQ(neighbors_.find(kKey), nullptr);
}

}  // namespace
}  // namespace hnv
