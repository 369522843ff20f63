// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "bgp/bfd_packet.h"

namespace hnv {
namespace {

using Bytes = std::vector<uint8_t>;

// Version 1, diagnostic 3, Up, Poll, independent; 3; 24; 0x11223344, 0x55667788; 0.3 s, 0.05 s, 0.
const Bytes kPacket = {0x23, 0xe8, 3,    24,   0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
                       0x00, 0x04, 0x93, 0xe0, 0x00, 0x00, 0xc3, 0x50, 0,    0,    0,    0};
const BfdPacket kValue{.state = BfdState::up,
                       .diagnostic = BfdDiagnostic::neighbor_signaled_down,
                       .poll = true,
                       .control_plane_independent = true,
                       .multiplier = 3,
                       .my_discriminator = 0x11223344,
                       .your_discriminator = 0x55667788,
                       .desired_min_transmit = 300'000,
                       .required_min_receive = 50'000};

TEST(BfdPacket, IsReadAndWrittenAsRfc5880Draws) {
  EXPECT_EQ(read_bfd(kPacket), kValue);
  const auto written = write_bfd(kValue);
  EXPECT_EQ(Bytes(written.begin(), written.end()), kPacket);
}

TEST(BfdPacket, KeepsEveryField) {
  for (const BfdState state :
       {BfdState::admin_down, BfdState::down, BfdState::init, BfdState::up}) {
    for (unsigned flags = 0; flags < 16; ++flags) {
      BfdPacket packet = kValue;
      packet.state = state;
      packet.poll = (flags & 1) != 0;
      packet.final = (flags & 2) != 0;
      packet.control_plane_independent = (flags & 4) != 0;
      packet.demand = (flags & 8) != 0;
      packet.diagnostic = static_cast<BfdDiagnostic>(flags * 2 + 1);
      EXPECT_EQ(read_bfd(write_bfd(packet)), packet);
    }
  }
}

TEST(BfdPacket, DiscardsWhatRfc5880Section6_8_6Discards) {
  struct Case {
    const char* name;
    std::function<void(Bytes&)> change;
  };
  const Case cases[] = {
      {"version 0", [](Bytes& b) { b[0] = 0x03; }},
      {"version 2", [](Bytes& b) { b[0] = 0x43; }},
      {"its length says 23", [](Bytes& b) { b[3] = 23; }},
      {"its length is more than the datagram's", [](Bytes& b) { b[3] = 25; }},
      {"cut", [](Bytes& b) { b.pop_back(); }},
      {"nothing", [](Bytes& b) { b.clear(); }},
      {"multiplier 0", [](Bytes& b) { b[2] = 0; }},
      {"multipoint", [](Bytes& b) { b[1] |= 0x01; }},
      {"authentication, which is not in use", [](Bytes& b) { b[1] |= 0x04; }},
      {"my discriminator 0", [](Bytes& b) { b[4] = b[5] = b[6] = b[7] = 0; }},
      {"your discriminator 0, and Up", [](Bytes& b) { b[8] = b[9] = b[10] = b[11] = 0; }},
      {"your discriminator 0, and Init",
       [](Bytes& b) {
         b[8] = b[9] = b[10] = b[11] = 0;
         b[1] = 0x80;
       }},
  };
  for (const Case& c : cases) {
    Bytes bytes = kPacket;
    c.change(bytes);
    EXPECT_EQ(read_bfd(bytes), std::nullopt) << c.name;
  }
  // Down and AdminDown may come from one that does not know us yet; bytes behind count for nothing.
  for (const uint8_t flags : {uint8_t{0x40}, uint8_t{0x00}}) {
    Bytes bytes = kPacket;
    bytes[8] = bytes[9] = bytes[10] = bytes[11] = 0;
    bytes[1] = flags;
    bytes.push_back(7);
    EXPECT_NE(read_bfd(bytes), std::nullopt);
  }
}

}  // namespace
}  // namespace hnv
