// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "bgp/peer_state.h"

namespace hnv {
namespace {

IpAddress<Space::customer> address(const char* text) {
  return IpAddress<Space::customer>::parse(text).value();
}

TEST(PeerState, IsReadFromWhatBgpdSays) {
  // bgpd 8.4.4, shortened.
  const auto all = read_peer_states(R"json({"10.0.0.2":{"remoteAs":65101,"bgpState":"Established",
    "bgpTimerUpMsec":2000,"bgpTimerHoldTimeMsecs":90000,"connectionsEstablished":1,"connectionsDropped":3,
    "lastResetDueTo":"Waiting for peer OPEN",
    "messageStats":{"opensSent":1,"opensRecv":2,"notificationsSent":3,"notificationsRecv":4,
      "updatesSent":7,"updatesRecv":5,"keepalivesSent":8,"keepalivesRecv":9,"routeRefreshSent":10,
      "routeRefreshRecv":11},
    "addressFamilyInfo":{"ipv4Unicast":{"acceptedPrefixCounter":1,"sentPrefixCounter":4},
      "ipv6Unicast":{"acceptedPrefixCounter":2,"sentPrefixCounter":1}},
    "peerBfdInfo":{"status":"Up"}},
    "fd00::2":{"bgpState":"Idle (PfxCt)","bgpTimerUpMsec":5}})json");
  ASSERT_TRUE(all.has_value());
  ASSERT_EQ(all->size(), 2U);
  const BgpPeerState& one = all->at(address("10.0.0.2"));
  EXPECT_TRUE(one.is_established());
  EXPECT_EQ(one.up_milliseconds, 2'000U);
  EXPECT_EQ(one.hold_time_seconds, 90U);
  EXPECT_EQ(one.dropped, 3U);
  EXPECT_EQ(one.last_reset, "Waiting for peer OPEN");
  EXPECT_EQ(one.sent, (BgpMessageCounts{1, 3, 7, 8, 10}));
  EXPECT_EQ(one.received, (BgpMessageCounts{2, 4, 5, 9, 11}));
  EXPECT_EQ(one.prefixes_accepted, 3U);
  EXPECT_EQ(one.prefixes_sent, 5U);
  EXPECT_EQ(one.bfd, "Up");
  const BgpPeerState& two = all->at(address("fd00::2"));
  EXPECT_FALSE(two.is_established());
  EXPECT_EQ(two.connection_state, "Idle (PfxCt)");
  EXPECT_EQ(two.up_milliseconds, 0U) << "of a session that is no more";
}

TEST(PeerState, WhatIsNoAnswerIsNone) {
  for (const char* text : {"", "[]", "{", "% No BGP instance", "{\"10.0.0.2\":{\"bgpState\":"}) {
    EXPECT_FALSE(read_peer_states(text).has_value()) << text;
  }
  // Other things beside the peers, and members of other types.
  const auto all = read_peer_states(
      R"json({"vrfId":1,"10.0.0.2":{"bgpState":5,"messageStats":[],"connectionsDropped":-1},"10.0.0.3":[]})json");
  ASSERT_TRUE(all.has_value());
  ASSERT_EQ(all->size(), 1U);
  EXPECT_EQ(all->begin()->second.connection_state, "Idle");
  EXPECT_TRUE(read_peer_states("{}")->empty());
}

}  // namespace
}  // namespace hnv
