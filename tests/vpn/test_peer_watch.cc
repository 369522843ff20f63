// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/support/manual_clock.h"
#include "tests/vpn/tunnels.h"
#include "vpn/peer_watch.h"

namespace hnv {
namespace {

using std::chrono::seconds;

struct PeerWatchTest : testing::Test {
  PeerWatchTest() { watch.set(7, seconds(8)); }
  void hear(const char* text, uint32_t ike_sa = 3) { watch.heard(7, ike_sa, text, clock.now()); }
  [[nodiscard]] size_t silent() { return watch.take_silent(clock.now()).size(); }

  ManualClock clock;
  PeerWatch watch;
};

TEST_F(PeerWatchTest, ASiteThatDoesNotAnswerInTimeIsSilentOnce) {
  hear("retransmit 1 of request with message ID 4");  // two seconds after the request
  clock.advance(seconds(3));
  hear("retransmit 2 of request with message ID 4");
  EXPECT_EQ(silent(), 0U);
  clock.advance(seconds(3));
  const auto found = watch.take_silent(clock.now());
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].if_id, 7U);
  EXPECT_EQ(found[0].ike_sa, 3U);
  EXPECT_EQ(silent(), 0U);
}

TEST_F(PeerWatchTest, AnythingAuthenticIsAnAnswer) {
  hear("retransmit 1 of request with message ID 4");
  clock.advance(seconds(3));
  hear("parsed INFORMATIONAL response 4 [ ]");
  clock.advance(seconds(60));
  EXPECT_EQ(silent(), 0U);
  // That of another IKE SA is none.
  hear("retransmit 1 of request with message ID 5");
  hear("parsed INFORMATIONAL response 4 [ ]", 4);
  clock.advance(seconds(6));
  EXPECT_EQ(silent(), 1U);
}

TEST_F(PeerWatchTest, WhatIsGoneIsNotWatched) {
  hear("retransmit 1 of request with message ID 4");
  watch.remove(7);
  clock.advance(seconds(60));
  EXPECT_EQ(silent(), 0U);
  hear("retransmit 1 of request with message ID 4");
  clock.advance(seconds(60));
  EXPECT_EQ(silent(), 0U);
}

TEST(PeerWatch, AskingAndWaitingAreOverWithinTheOutageTime) {
  TunnelSpec spec = psk_tunnel();
  for (const uint32_t outage : {5U, 6U, 15U, 16U, 3600U}) {
    spec.network_outage_time_seconds = outage;
    const Duration all = seconds(silence_before_asking_seconds(spec)) + patience_for_answers(spec);
    // charon may ask up to a second late.
    EXPECT_EQ(all + seconds(1), seconds(outage)) << outage;
  }
  for (const uint32_t outage : {2U, 3U, 4U}) {
    spec.network_outage_time_seconds = outage;
    EXPECT_GE(patience_for_answers(spec), PeerWatch::kFirstWait);
    EXPECT_LE(seconds(silence_before_asking_seconds(spec)) + patience_for_answers(spec),
              seconds(4));
  }
}

}  // namespace
}  // namespace hnv
