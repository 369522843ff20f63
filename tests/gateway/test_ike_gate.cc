// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdint>

#include <gtest/gtest.h>

#include "gateway/ike_gate.h"
#include "tests/support/manual_clock.h"

namespace hnv {
namespace {

using Packet = std::array<uint8_t, 60>;

// IPv4, UDP to 500, and the two SPIs of an IKE header.
Packet ike_from(uint32_t source, bool begins) {
  Packet out{};
  out[0] = 0x45;
  for (unsigned i = 0; i < 4; ++i) out[12 + i] = static_cast<uint8_t>(source >> (24 - 8 * i));
  out[22] = 500 >> 8;
  out[23] = 500 & 0xff;
  out[28] = 1;
  out[36] = begins ? 0 : 1;
  return out;
}

struct IkeGateTest : testing::Test {
  unsigned admitted(uint32_t source, bool begins, unsigned of, unsigned waiting = 0) {
    unsigned count = 0;
    const Packet packet = ike_from(source, begins);
    for (unsigned i = 0; i < of; ++i) count += gate.admit(packet, waiting, clock.now()) ? 1 : 0;
    return count;
  }
  ManualClock clock;
  IkeGate gate;
};

TEST_F(IkeGateTest, OneSenderHasItsShareAndTheOthersHaveTheirs) {
  clock.advance(std::chrono::seconds(1));
  EXPECT_EQ(admitted(0xc6336401, true, 100'000), IkeGate::kBeginning.burst);
  // 64 neighbours: two in a thousand places may meet the flood's, not more than a few.
  unsigned served = 0;
  for (uint32_t other = 1; other <= 64; ++other) {
    if (admitted(0xc0000200 + other, true, 20) == 20) ++served;
  }
  EXPECT_GE(served, 60U);
  clock.advance(std::chrono::seconds(1));
  EXPECT_EQ(admitted(0xc6336401, true, 100'000), IkeGate::kBeginning.per_second);
}

TEST_F(IkeGateTest, WhatIsUnderWayDoesNotCountAsBeginning) {
  clock.advance(std::chrono::seconds(1));
  EXPECT_EQ(admitted(0xc6336401, true, 5'000), IkeGate::kBeginning.burst);
  EXPECT_EQ(admitted(0xc6336401, false, 5'000), IkeGate::kUnderWay.burst);
}

TEST_F(IkeGateTest, BehindAFullWayWhatBeginsStopsFirst) {
  clock.advance(std::chrono::seconds(1));
  EXPECT_EQ(admitted(0xc6336401, true, 10, IkeGate::kBeginningUpTo), 0U);
  EXPECT_EQ(admitted(0xc6336401, false, 10, IkeGate::kBeginningUpTo), 10U);
  EXPECT_EQ(admitted(0xc6336401, false, 10, IkeGate::kUnderWayUpTo), 0U);
}

TEST_F(IkeGateTest, APacketOfNoFamilyOrTooShortIsNotIke) {
  clock.advance(std::chrono::seconds(1));
  const std::array<uint8_t, 12> no_packet{};
  EXPECT_FALSE(gate.admit(no_packet, 0, clock.now()));
  Packet six{};
  six[0] = 0x60;
  six[6] = 17;
  EXPECT_TRUE(gate.admit(six, 0, clock.now()));
}

}  // namespace
}  // namespace hnv
