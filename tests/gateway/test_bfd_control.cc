// SPDX-License-Identifier: Apache-2.0
//
// BFD sessions of twin tenants, whose peers have the same addresses and are played by BfdSession.
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "gateway/bfd_control.h"
#include "gateway/reentry.h"
#include "tests/support/fake_mbufs.h"

namespace hnv {
namespace {

using namespace std::chrono_literals;
using Address = IpAddress<Space::customer>;

constexpr uint64_t kContoso = 71, kFabrikam = 72;
constexpr BfdTimers kFast{.min_transmit = 50ms, .min_receive = 50ms, .multiplier = 3};
constexpr uint32_t kPeersDiscriminator = 900;

Address at(const char* text) { return *Address::parse(text); }

class BfdControlTest : public ::testing::Test {
 protected:
  BfdControlTest()
      : control_(
            mbufs_.pool(), 2, [this](rte_mbuf* mbuf) { return take(mbuf); },
            [this](const BfdControl::Path& path, BfdState state) {
              news_.emplace_back(path.uid, state);
            }) {}
  void TearDown() override { EXPECT_EQ(mbufs_.in_use(), 0U); }

  bool take(rte_mbuf* mbuf) {
    const auto bytes = bytes_of(*mbuf);
    const auto datagram = read_bfd_datagram(bytes);
    EXPECT_TRUE(datagram);
    const SideNote& note = side_note(*mbuf);
    EXPECT_TRUE(note.at_route);
    EXPECT_EQ(note.origin.ingress, Ingress::self);
    if (datagram) sent_.emplace_back(note.origin.compartment_uid, *datagram);
    rte_pktmbuf_free(mbuf);
    return true;
  }
  // As a worker has punted it.
  bool punted(uint64_t uid, const std::vector<uint8_t>& packet) {
    rte_mbuf* mbuf = mbufs_.take(packet);
    side_note(*mbuf) = SideNote{.origin = {.compartment_uid = uid}};
    const bool taken = control_.take(*mbuf, now_);
    rte_pktmbuf_free(mbuf);
    return taken;
  }
  void add_both(const BfdTimers& timers = kFast) {
    for (const uint64_t uid : {kContoso, kFabrikam}) {
      control_.set(path(uid), CompartmentId(static_cast<uint32_t>(uid)), timers, now_);
      peers_.emplace(uid, BfdSession(kPeersDiscriminator, timers, 5, now_));
    }
  }
  BfdControl::Path path(uint64_t uid) const { return {uid, own_, peer_, multihop_}; }
  std::vector<uint8_t> from_peer(const BfdPacket& packet) const {
    return write_bfd_datagram({peer_, own_, multihop_}, 50'000, packet);
  }
  // Both domains' wires, a millisecond at a time; peers that are `silent` neither hear nor speak.
  void run(Duration duration, uint64_t silent = 0) {
    for (const Instant end = now_ + duration; now_ < end; now_ = now_ + 1ms) {
      control_.step(now_);
      for (const auto& [uid, datagram] : std::exchange(sent_, {})) {
        const auto peer = peers_.find(uid);
        if (peer == peers_.end() || uid == silent) continue;
        const auto answer = peer->second.receive(datagram.packet, now_);
        if (!answer) continue;
        EXPECT_TRUE(punted(uid, from_peer(*answer)));
      }
      for (auto& [uid, peer] : peers_) {
        const auto packet = peer.step(now_);
        if (!packet || uid == silent) continue;
        EXPECT_TRUE(punted(uid, from_peer(*packet)));
      }
    }
  }

  FakeMbufs mbufs_;
  std::vector<std::pair<uint64_t, BfdDatagram>> sent_;
  std::vector<std::pair<uint64_t, BfdState>> news_;
  Address own_ = at("192.168.7.1"), peer_ = at("192.168.7.254");
  bool multihop_ = false;
  std::map<uint64_t, BfdSession> peers_;
  Instant now_{1'000'000'000'000};
  BfdControl control_;
};

using News = std::vector<std::pair<uint64_t, BfdState>>;

TEST_F(BfdControlTest, SessionsComeUpAndALostPeerIsToldWithinItsTime) {
  add_both();
  run(3s);
  EXPECT_EQ(news_.size(), 2U);
  for (const uint64_t uid : {kContoso, kFabrikam}) {
    ASSERT_EQ(control_.session(path(uid))->state(), BfdState::up);
    EXPECT_EQ(control_.session(path(uid))->detection_time(), 150ms);
  }
  news_.clear();
  run(100ms, kContoso);
  EXPECT_TRUE(news_.empty());
  run(52ms, kContoso);
  EXPECT_EQ(news_, (News{{kContoso, BfdState::down}}));
  run(3s);
  EXPECT_EQ(news_, (News{{kContoso, BfdState::down}, {kContoso, BfdState::up}}));
  EXPECT_EQ(control_.counts().discarded, 0U);
  EXPECT_EQ(control_.counts().sent_lost, 0U);
}

TEST_F(BfdControlTest, TheSameOfIpv6AndOverSeveralHops) {
  own_ = at("fd07::1");
  peer_ = at("fd16::9");
  multihop_ = true;
  add_both();
  run(3s);
  EXPECT_EQ(control_.session(path(kContoso))->state(), BfdState::up);
}

TEST_F(BfdControlTest, APeerThatEndsBfdIsNotLost) {
  add_both();
  run(3s);
  news_.clear();
  EXPECT_TRUE(punted(kContoso, from_peer(peers_.at(kContoso).farewell())));
  EXPECT_EQ(news_, (News{{kContoso, BfdState::admin_down}}));
}

TEST_F(BfdControlTest, ATenantReachesOnlyItsOwnSessions) {
  add_both();
  run(3s);
  news_.clear();
  BfdPacket down{.state = BfdState::down,
                 .my_discriminator = kPeersDiscriminator,
                 .your_discriminator = control_.session(path(kContoso))->discriminator()};
  // The discriminator is known, the domain is another one.
  EXPECT_TRUE(punted(kFabrikam, from_peer(down)));
  // The domain is right, other addresses; a single hop's packet that came farther; another port.
  EXPECT_TRUE(
      punted(kContoso, write_bfd_datagram({at("192.168.7.253"), own_, false}, 50'000, down)));
  EXPECT_TRUE(punted(kContoso, write_bfd_datagram({peer_, own_, true}, 50'000, down)));
  std::vector<uint8_t> far = from_peer(down);
  far[8] = 254;
  EXPECT_TRUE(punted(kContoso, far));
  std::vector<uint8_t> changed = from_peer(down);
  changed.back() ^= 1;
  EXPECT_TRUE(punted(kContoso, changed));
  EXPECT_EQ(control_.counts().discarded, 5U);
  EXPECT_TRUE(news_.empty());
  EXPECT_TRUE(punted(kContoso, from_peer(down)));
  EXPECT_EQ(news_, (News{{kContoso, BfdState::down}}));
}

TEST_F(BfdControlTest, LeavesTcpToOthers) {
  std::vector<uint8_t> segment = from_peer({.my_discriminator = 1});
  segment[9] = 6;
  EXPECT_FALSE(punted(kContoso, segment));
  EXPECT_FALSE(punted(kContoso, {0x45}));
  EXPECT_EQ(control_.counts().discarded, 0U);
}

TEST_F(BfdControlTest, SaysFarewellWhenASessionGoes) {
  add_both();
  run(3s);
  const auto one = control_.session(path(kContoso))->discriminator();
  const auto two = control_.session(path(kFabrikam))->discriminator();
  EXPECT_NE(one, two);
  sent_.clear();
  control_.remove(path(kContoso));
  control_.remove(path(kContoso));
  control_.remove_domain(kFabrikam);
  ASSERT_EQ(sent_.size(), 2U);
  for (const auto& [uid, datagram] : sent_) {
    EXPECT_EQ(datagram.packet.state, BfdState::admin_down);
    EXPECT_EQ(datagram.ttl, 255);
  }
  EXPECT_EQ(control_.size(), 0U);
  run(3s);
  EXPECT_TRUE(sent_.empty());
}

TEST_F(BfdControlTest, OtherTimesKeepASessionUp) {
  add_both({.min_transmit = 300ms, .min_receive = 300ms, .multiplier = 3});
  run(5s);
  news_.clear();
  control_.set(path(kContoso), CompartmentId(71), kFast, now_);
  run(5s);
  EXPECT_TRUE(news_.empty());
  // The peer still sends every 300 ms: three of those.
  EXPECT_EQ(control_.session(path(kContoso))->detection_time(), 900ms);
  EXPECT_EQ(control_.size(), 2U);
}

}  // namespace
}  // namespace hnv
