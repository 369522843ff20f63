// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <utility>

#include <gtest/gtest.h>

#include "tests/support/manual_clock.h"
#include "vpn/charon/sa_protocol.h"
#include "vpn/sa_database.h"

namespace hnv {
namespace {

using std::chrono::seconds;

constexpr CharonId kCharon = 0;
constexpr uint32_t kContoso = 7;
constexpr uint32_t kFabrikam = 8;
constexpr Duration kGrace = seconds(60);

IpAddress<Space::external> address(uint8_t last) {
  return Ip4<Space::external>(0xcb007100U | last);  // 203.0.113.x
}

// Both tenants' sites are at one address.
struct SaDatabaseTest : testing::Test {
  SaDatabaseTest() : sas(kGrace) {
    sas.add_charon(kCharon, {0, 1000});
    sas.add_tunnel(kContoso, kCharon);
    sas.add_tunnel(kFabrikam, kCharon);
    sas.connected(kCharon);
    sas.synced(kCharon, clock.now());
  }
  static SaSpec spec(SaDirection direction, uint32_t spi, uint32_t if_id) {
    SaSpec out;
    out.direction = direction;
    out.spi = spi;
    out.if_id = if_id;
    out.source = {direction == SaDirection::inbound ? address(9) : address(1), 500};
    out.destination = {direction == SaDirection::inbound ? address(1) : address(9), 500};
    out.keys = std::make_shared<const SaKeys>(
        SaKeys{SecretBytes::of("0123456789abcdef"), SecretBytes::of("salt"), {}});
    return out;
  }
  static SaSpec inbound(uint32_t index, uint32_t if_id, uint32_t tag = 1) {
    return spec(SaDirection::inbound, sa_protocol::make_spi(tag, index), if_id);
  }
  static SaSpec outbound(uint32_t spi, uint32_t if_id) {
    return spec(SaDirection::outbound, spi, if_id);
  }
  static SaName name(const SaSpec& of) { return {of.direction, of.spi, of.destination.address}; }
  auto add(SaSpec what, SaDatabase::Origin origin = SaDatabase::Origin::fresh,
           Duration hard = Duration::zero()) {
    return sas.add(kCharon, std::move(what), origin, hard, clock.now());
  }
  [[nodiscard]] uint32_t used_spi(uint32_t if_id) const {
    const auto& sa = sas.table().outbound[if_id];
    return sa == nullptr ? 0 : sa->spec.spi;
  }
  [[nodiscard]] uint32_t inbound_at(uint32_t index) const {
    const auto& sa = sas.table().inbound[index];
    return sa == nullptr ? 0 : sa->spec.spi;
  }

  ManualClock clock;
  SaDatabase sas;
};

TEST_F(SaDatabaseTest, FindsInboundByIndexAndOutboundByTunnel) {
  ASSERT_TRUE(add(inbound(3, kContoso)));
  ASSERT_TRUE(add(outbound(0xc0ffee01, kContoso)));
  EXPECT_EQ(inbound_at(3), sa_protocol::make_spi(1, 3));
  EXPECT_EQ(inbound_at(4), 0U);
  EXPECT_EQ(used_spi(kContoso), 0xc0ffee01U);
  EXPECT_EQ(used_spi(kFabrikam), 0U);
  EXPECT_EQ(sas.tunnel(kContoso).inbound, 1U);
  EXPECT_EQ(sas.take_changed_tunnels(), std::set<uint32_t>{kContoso});
  EXPECT_TRUE(sas.take_changed_tunnels().empty());
}

TEST_F(SaDatabaseTest, TwinTenantsMayHaveTheSamePeerAndSpiApartByAddressOnly) {
  ASSERT_TRUE(add(outbound(0xc0ffee01, kContoso)));
  // The same SPI to the same address is the same SA to the peer.
  EXPECT_FALSE(add(outbound(0xc0ffee01, kFabrikam)));
  auto elsewhere = outbound(0xc0ffee01, kFabrikam);
  elsewhere.destination.address = address(10);
  ASSERT_TRUE(add(std::move(elsewhere)));
  EXPECT_EQ(sas.table().outbound[kContoso]->spec.if_id, kContoso);
  EXPECT_EQ(sas.table().outbound[kFabrikam]->spec.if_id, kFabrikam);
}

TEST_F(SaDatabaseTest, NewestOutboundWinsAndDeletingItFallsBack) {
  ASSERT_TRUE(add(outbound(1001, kContoso)));
  ASSERT_TRUE(add(outbound(1002, kContoso)));
  EXPECT_EQ(used_spi(kContoso), 1002U);
  EXPECT_TRUE(sas.remove(kCharon, name(outbound(1002, kContoso))));
  EXPECT_EQ(used_spi(kContoso), 1001U);
  EXPECT_TRUE(sas.remove(kCharon, name(outbound(1001, kContoso))));
  EXPECT_EQ(used_spi(kContoso), 0U);
  EXPECT_EQ(sas.tunnel(kContoso).outbound, TunnelSas::Outbound::none);
}

TEST_F(SaDatabaseTest, BothInboundLiveDuringARekey) {
  ASSERT_TRUE(add(inbound(3, kContoso)));
  ASSERT_TRUE(add(inbound(4, kContoso)));
  EXPECT_EQ(sas.tunnel(kContoso).inbound, 2U);
  EXPECT_TRUE(sas.remove(kCharon, name(inbound(3, kContoso))));
  EXPECT_EQ(inbound_at(3), 0U);
  EXPECT_NE(inbound_at(4), 0U);
}

TEST_F(SaDatabaseTest, DeletingWhatWasNeverAddedIsNoFault) {
  const uint64_t before = sas.table().generation;
  EXPECT_FALSE(sas.remove(kCharon, name(inbound(3, kContoso))));
  EXPECT_EQ(sas.table().generation, before);
}

TEST_F(SaDatabaseTest, ATableThatWasReadStaysAsItWas) {
  ASSERT_TRUE(add(inbound(3, kContoso)));
  ASSERT_TRUE(add(outbound(1001, kContoso)));
  const SaTable before = sas.table();
  sas.flush(kCharon);
  EXPECT_EQ(sas.size(), 0U);
  EXPECT_EQ(before.inbound[3]->spec.keys->encryption.reveal_text(), "0123456789abcdef");
  EXPECT_EQ(before.outbound[kContoso]->spec.spi, 1001U);
  EXPECT_GT(sas.table().generation, before.generation);
}

TEST_F(SaDatabaseTest, WhatChangesWithEveryPacketOutlivesAnUpdateAndNoDeletion) {
  ASSERT_TRUE(add(outbound(1001, kContoso)));
  SaState* const state = sas.table().outbound[kContoso]->state;
  state->sequence = 77;
  ASSERT_TRUE(sas.update(kCharon, name(outbound(1001, kContoso)), {address(1), 4500},
                         {address(77), 40287}, SaEncapsulation::udp));
  EXPECT_EQ(sas.table().outbound[kContoso]->state, state);
  auto moved = outbound(1001, kContoso);
  moved.destination.address = address(77);
  ASSERT_TRUE(sas.remove(kCharon, name(moved)));
  ASSERT_TRUE(add(outbound(1001, kContoso)));
  EXPECT_EQ(sas.table().outbound[kContoso]->state->sequence, 0U);
}

TEST_F(SaDatabaseTest, CountsWhatTheWorkersCounted) {
  auto limited = outbound(1001, kContoso);
  limited.volumes.soft_packets = 10;
  ASSERT_TRUE(add(std::move(limited)));
  const Sa& sa = *sas.table().outbound[kContoso];
  sa.state->packets.add(11);
  sa.state->bytes.add(1100);
  sa.state->last.add(5'000'000'000);
  sas.count_all();
  ASSERT_NE(sas.use_of(sa.uid), nullptr);
  EXPECT_EQ(sas.use_of(sa.uid)->bytes, 1100U);
  EXPECT_EQ(sas.use_of(sa.uid)->last, Instant{5'000'000'000});
  EXPECT_EQ(sas.take_expiries(kCharon).size(), 1U);
  EXPECT_EQ(sas.take_reports(kCharon).size(), 1U);
}

TEST_F(SaDatabaseTest, AnUpdateMovesTheEndpointsAndKeepsTheIdentity) {
  ASSERT_TRUE(add(outbound(1001, kContoso)));
  const uint64_t uid = sas.table().outbound[kContoso]->uid;
  const SaEndpoint there{address(77), 40287};
  ASSERT_TRUE(sas.update(kCharon, name(outbound(1001, kContoso)), {address(1), 4500}, there,
                         SaEncapsulation::udp));
  const auto& sa = sas.table().outbound[kContoso];
  EXPECT_EQ(sa->uid, uid);
  EXPECT_EQ(sa->spec.destination, there);
  EXPECT_EQ(sa->spec.encapsulation, SaEncapsulation::udp);
  // It has another name now.
  EXPECT_FALSE(sas.remove(kCharon, name(outbound(1001, kContoso))));
  EXPECT_TRUE(sas.remove(kCharon, {SaDirection::outbound, 1001, address(77)}));
}

TEST_F(SaDatabaseTest, AnUpdateOntoAnotherSaIsRefused) {
  ASSERT_TRUE(add(outbound(1001, kContoso)));
  auto other = outbound(1001, kFabrikam);
  other.destination.address = address(77);
  ASSERT_TRUE(add(std::move(other)));
  EXPECT_FALSE(sas.update(kCharon, name(outbound(1001, kContoso)), {address(1), 500},
                          {address(77), 500}, SaEncapsulation::none));
  EXPECT_EQ(sas.table().outbound[kContoso]->spec.destination.address, address(9));
}

TEST_F(SaDatabaseTest, WhatIsReplayedAfterARestartReadsButDoesNotWrite) {
  ASSERT_EQ(add(inbound(3, kContoso), SaDatabase::Origin::replayed), SaDatabase::Added::open);
  auto without_keys = outbound(1001, kContoso);
  without_keys.keys = nullptr;
  ASSERT_EQ(add(std::move(without_keys), SaDatabase::Origin::replayed), SaDatabase::Added::closed);
  EXPECT_NE(inbound_at(3), 0U);
  EXPECT_EQ(used_spi(kContoso), 0U);
  EXPECT_EQ(sas.tunnel(kContoso).outbound, TunnelSas::Outbound::closed);
  // Rekeyed.
  ASSERT_TRUE(add(outbound(1002, kContoso)));
  EXPECT_EQ(used_spi(kContoso), 1002U);
  EXPECT_EQ(sas.tunnel(kContoso).outbound, TunnelSas::Outbound::open);
  // Never back to the closed one.
  EXPECT_TRUE(sas.remove(kCharon, name(outbound(1002, kContoso))));
  EXPECT_EQ(used_spi(kContoso), 0U);
}

TEST_F(SaDatabaseTest, AReplayedOutboundSaWithKeysStaysClosedToo) {
  ASSERT_EQ(add(outbound(1001, kContoso), SaDatabase::Origin::replayed), SaDatabase::Added::closed);
  EXPECT_EQ(used_spi(kContoso), 0U);
}

TEST_F(SaDatabaseTest, WhatItStillHasGoesOnWhenTheChannelComesBack) {
  ASSERT_TRUE(add(inbound(3, kContoso)));
  ASSERT_TRUE(add(outbound(1001, kContoso)));
  const uint64_t uid = sas.table().inbound[3]->uid;
  sas.connected(kCharon);
  EXPECT_EQ(add(inbound(3, kContoso), SaDatabase::Origin::replayed), SaDatabase::Added::open);
  EXPECT_EQ(add(outbound(1001, kContoso), SaDatabase::Origin::replayed), SaDatabase::Added::open);
  sas.synced(kCharon, clock.now());
  clock.advance(kGrace * 2);
  sas.tick(clock.now());
  EXPECT_EQ(sas.table().inbound[3]->uid, uid) << "its window must not begin anew";
  EXPECT_EQ(used_spi(kContoso), 1001U);
}

TEST_F(SaDatabaseTest, AFreshCharonsSyncIsTheTruthAfterTheGrace) {
  ASSERT_TRUE(add(inbound(3, kContoso)));
  ASSERT_TRUE(add(outbound(1001, kContoso)));
  ASSERT_TRUE(add(inbound(4, kFabrikam)));
  sas.connected(kCharon);  // another incarnation: it has nothing
  sas.synced(kCharon, clock.now());
  EXPECT_EQ(used_spi(kContoso), 1001U) << "forwarding goes on meanwhile";
  ASSERT_TRUE(add(inbound(10, kContoso)));
  ASSERT_TRUE(add(outbound(1002, kContoso)));
  EXPECT_EQ(used_spi(kContoso), 1002U);
  clock.advance(kGrace - seconds(1));
  sas.tick(clock.now());
  EXPECT_NE(inbound_at(3), 0U);
  clock.advance(seconds(1));
  sas.tick(clock.now());
  EXPECT_EQ(inbound_at(3), 0U);
  EXPECT_EQ(inbound_at(4), 0U);
  EXPECT_NE(inbound_at(10), 0U);
  EXPECT_EQ(used_spi(kContoso), 1002U);
  EXPECT_EQ(sas.size(), 2U);
}

TEST_F(SaDatabaseTest, ANewSaTakesTheIndexOfAStaleOneButNotOfALiveOne) {
  ASSERT_TRUE(add(inbound(3, kContoso, 1)));
  EXPECT_FALSE(add(inbound(3, kContoso, 2)));
  sas.connected(kCharon);
  ASSERT_TRUE(add(inbound(3, kContoso, 2)));
  EXPECT_EQ(inbound_at(3), sa_protocol::make_spi(2, 3));
  EXPECT_EQ(sas.size(), 1U);
}

TEST_F(SaDatabaseTest, ANewCharonBeginsBehindTheIndexesInUse) {
  EXPECT_EQ(sas.next_index(kCharon), 1U);
  ASSERT_TRUE(add(inbound(41, kContoso)));
  EXPECT_EQ(sas.next_index(kCharon), 42U);
  ASSERT_TRUE(add(inbound(999, kContoso)));
  EXPECT_EQ(sas.next_index(kCharon), 0U);
}

TEST_F(SaDatabaseTest, HardLifetimesEndWithoutCharon) {
  ASSERT_TRUE(add(inbound(3, kContoso), SaDatabase::Origin::fresh, seconds(10)));
  ASSERT_TRUE(add(outbound(1001, kContoso), SaDatabase::Origin::fresh, seconds(20)));
  clock.advance(seconds(9));
  sas.tick(clock.now());
  EXPECT_NE(inbound_at(3), 0U);
  clock.advance(seconds(1));
  sas.tick(clock.now());
  EXPECT_EQ(inbound_at(3), 0U);
  EXPECT_EQ(used_spi(kContoso), 1001U);
  clock.advance(seconds(10));
  sas.tick(clock.now());
  EXPECT_EQ(used_spi(kContoso), 0U);
}

TEST_F(SaDatabaseTest, VolumeIsToldOnceSoftAndStopsAtHard) {
  auto limited = outbound(1001, kContoso);
  limited.volumes = {.soft_bytes = 1000, .hard_bytes = 2000};
  ASSERT_TRUE(add(std::move(limited)));
  const uint64_t uid = sas.table().outbound[kContoso]->uid;
  sas.count(uid, {.bytes = 999, .packets = 1, .last = clock.now()});
  EXPECT_TRUE(sas.take_expiries(kCharon).empty());
  sas.count(uid, {.bytes = 1000, .packets = 2, .last = clock.now()});
  sas.count(uid, {.bytes = 1500, .packets = 3, .last = clock.now()});
  const auto soft = sas.take_expiries(kCharon);
  ASSERT_EQ(soft.size(), 1U);
  EXPECT_EQ(soft[0].kind, SaExpiry::Kind::soft);
  EXPECT_EQ(soft[0].name, name(outbound(1001, kContoso)));
  EXPECT_EQ(used_spi(kContoso), 1001U);
  sas.count(uid, {.bytes = 2000, .packets = 4, .last = clock.now()});
  const auto hard = sas.take_expiries(kCharon);
  ASSERT_EQ(hard.size(), 1U);
  EXPECT_EQ(hard[0].kind, SaExpiry::Kind::hard);
  EXPECT_EQ(used_spi(kContoso), 0U);
}

TEST_F(SaDatabaseTest, AnExhaustedInboundSaStaysShutWhenItsPeerMoves) {
  auto limited = inbound(3, kContoso);
  limited.volumes.hard_packets = 10;
  ASSERT_TRUE(add(std::move(limited)));
  sas.count(sas.table().inbound[3]->uid, {.bytes = 1, .packets = 10, .last = clock.now()});
  EXPECT_EQ(inbound_at(3), 0U);
  ASSERT_TRUE(sas.update(kCharon, name(inbound(3, kContoso)), {address(77), 1}, {address(1), 4500},
                         SaEncapsulation::udp));
  EXPECT_EQ(inbound_at(3), 0U);
  EXPECT_TRUE(sas.remove(kCharon, name(inbound(3, kContoso))));
}

// RFC 4303 §3.3.3.
TEST_F(SaDatabaseTest, SequenceNumbersOf32BitsDoNotCycle) {
  ASSERT_TRUE(add(outbound(1001, kContoso)));
  const auto& sa = sas.table().outbound[kContoso];
  EXPECT_EQ(sa->spec.volumes.hard_packets, 0xffffffffU);
  EXPECT_LT(sa->spec.volumes.soft_packets, 0xf0000000U);
  auto extended = outbound(1002, kContoso);
  extended.sequence = SaSequence::extended;
  ASSERT_TRUE(add(std::move(extended)));
  EXPECT_EQ(sas.table().outbound[kContoso]->spec.volumes.hard_packets, 0U);
}

TEST_F(SaDatabaseTest, ReportsWhatWasUsedSinceTheLastTime) {
  ASSERT_TRUE(add(inbound(3, kContoso)));
  ASSERT_TRUE(add(inbound(4, kFabrikam)));
  const uint64_t uid = sas.table().inbound[3]->uid;
  sas.count(uid, {.bytes = 84, .packets = 1, .last = clock.now()});
  sas.count(uid, {.bytes = 168, .packets = 2, .last = clock.now()});
  const auto reports = sas.take_reports(kCharon);
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].name.spi, sa_protocol::make_spi(1, 3));
  EXPECT_EQ(reports[0].use.bytes, 168U);
  sas.count(uid, {.bytes = 168, .packets = 2, .last = clock.now()});
  EXPECT_TRUE(sas.take_reports(kCharon).empty());
}

TEST_F(SaDatabaseTest, OnlyAnnouncedTunnelsOfThatCharonHaveSas) {
  EXPECT_FALSE(add(inbound(3, 99)));
  sas.add_charon(1, {1000, 100});
  EXPECT_FALSE(sas.add(1, inbound(1001, kContoso), SaDatabase::Origin::fresh, {}, clock.now()));
  sas.add_tunnel(9, 1);
  EXPECT_FALSE(sas.add(1, inbound(3, 9), SaDatabase::Origin::fresh, {}, clock.now()))
      << "an index of the other charon";
  ASSERT_TRUE(sas.add(1, inbound(1001, 9), SaDatabase::Origin::fresh, {}, clock.now()));
  EXPECT_FALSE(sas.remove(kCharon, name(inbound(1001, 9)))) << "not its own";
  sas.remove_charon(1);
  EXPECT_EQ(sas.size(), 0U);
}

TEST_F(SaDatabaseTest, ARemovedTunnelLeavesNoSa) {
  ASSERT_TRUE(add(inbound(3, kContoso)));
  ASSERT_TRUE(add(outbound(1001, kContoso)));
  ASSERT_TRUE(add(outbound(1002, kFabrikam)));
  sas.remove_tunnel(kContoso);
  EXPECT_EQ(inbound_at(3), 0U);
  EXPECT_EQ(used_spi(kContoso), 0U);
  EXPECT_EQ(used_spi(kFabrikam), 1002U);
}

TEST_F(SaDatabaseTest, AnInboundSaWithoutKeysIsRefused) {
  auto bare = inbound(3, kContoso);
  bare.keys = nullptr;
  EXPECT_FALSE(add(std::move(bare), SaDatabase::Origin::replayed));
  auto fresh = outbound(1001, kContoso);
  fresh.keys = nullptr;
  EXPECT_FALSE(add(std::move(fresh)));
}

}  // namespace
}  // namespace hnv
