// SPDX-License-Identifier: Apache-2.0
//
// Router advertisements as bytes, by the clauses of RFC 4861 and RFC 4862 that hosts check.
#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include "compartments/checksum.h"
#include "compartments/ip6_checks.h"
#include "compartments/router_advertisement.h"

namespace hnv {
namespace {

wire::Address6 a6(const char* text) { return *address_text::parse6(text); }

RouterAdvertisement full() {
  return {.mac = wire::Mac{{2, 0, 0, 0, 0, 1}},
          .managed = true,
          .other_config = false,
          .router_lifetime = 1800,
          .mtu = 1658,
          .prefixes = {{.prefix = a6("fd10:0:0:1::"),
                        .length = 64,
                        .on_link = true,
                        .autonomous = true,
                        .valid_lifetime = 2'592'000,
                        .preferred_lifetime = 604'800},
                       {.prefix = a6("fd10:0:0:2::"),
                        .length = 80,
                        .on_link = false,
                        .autonomous = false,
                        .valid_lifetime = UINT32_MAX,
                        .preferred_lifetime = 0}}};
}

using Bytes = std::vector<uint8_t>;

const wire::Ipv6& ip_of(const Bytes& packet) {
  return *reinterpret_cast<const wire::Ipv6*>(packet.data());
}
Bytes part(const Bytes& packet, size_t at, size_t bytes) {
  const auto begin = packet.begin() + static_cast<std::ptrdiff_t>(at);
  return {begin, begin + static_cast<std::ptrdiff_t>(bytes)};
}
// The option of this type, the `nth` of them; nothing: there is none. Walks as §4.6 says.
std::optional<Bytes> option(const Bytes& packet, uint8_t type, int nth = 0) {
  for (size_t at = sizeof(wire::Ipv6) + 16; at < packet.size();) {
    const size_t bytes = size_t{packet[at + 1]} * 8;
    if (bytes == 0 || at + bytes > packet.size()) return std::nullopt;
    if (packet[at] == type && nth-- == 0) return part(packet, at, bytes);
    at += bytes;
  }
  return std::nullopt;
}

TEST(Rfc4861Message, Section6_1_2_WhatAHostChecksOfAnAdvertisement) {
  for (const char* to : {"ff02::1", "fe80::215:5dff:fe01:11"}) {
    const Bytes packet = packet_of(full(), a6(to));
    const wire::Ipv6& ip = ip_of(packet);
    EXPECT_TRUE(is_link_local6(ip.source)) << "MUST be a link-local address";
    EXPECT_EQ(ip.source, a6("fe80::ff:fe00:1"));
    EXPECT_EQ(ip.destination, a6(to));
    EXPECT_EQ(ip.hop_limit, 255);
    EXPECT_EQ(ip.next_header, wire::ip_protocol::kIcmpV6);
    EXPECT_EQ(ip.total_length(), packet.size());
    const uint8_t* icmp = packet.data() + sizeof ip;
    EXPECT_EQ(checksum_fold(checksum_sum6(ip.source, ip.destination, wire::ip_protocol::kIcmpV6,
                                          icmp, ip.payload_length.value())),
              0xffff);
    EXPECT_EQ(icmp[0], 134);
    EXPECT_EQ(icmp[1], 0) << "code";
    EXPECT_GE(ip.payload_length.value(), 16);
  }
}

TEST(Rfc4861Message, Section4_2_TheMessage) {
  const Bytes packet = packet_of(full(), kAllNodes);
  // Current hop limit, flags, router lifetime, reachable time, retransmission timer.
  EXPECT_EQ(part(packet, 44, 12), (Bytes{64, 0x80, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0}));
  RouterAdvertisement other = full();
  other.managed = false;
  other.other_config = true;
  other.router_lifetime = 0;
  EXPECT_EQ(part(packet_of(other, kAllNodes), 44, 4), (Bytes{64, 0x40, 0, 0}));
}

TEST(Rfc4861Message, Section4_6_1_OurMacIsTold) {
  EXPECT_EQ(option(packet_of(full(), kAllNodes), 1), (Bytes{1, 1, 2, 0, 0, 0, 0, 1}));
}

TEST(Rfc4861Message, Section4_6_2_Prefixes) {
  const Bytes packet = packet_of(full(), kAllNodes);
  const auto first = option(packet, 3, 0);
  ASSERT_TRUE(first);
  EXPECT_EQ(part(*first, 0, 16),
            (Bytes{3, 4, 64, 0xc0, 0, 0x27, 0x8d, 0, 0, 0x09, 0x3a, 0x80, 0, 0, 0, 0}));
  const wire::Address6 prefix = a6("fd10:0:0:1::");
  EXPECT_EQ(part(*first, 16, 16), Bytes(prefix.begin(), prefix.end()));
  const auto second = option(packet, 3, 1);
  ASSERT_TRUE(second);
  EXPECT_EQ(part(*second, 0, 12), (Bytes{3, 4, 80, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}));
  EXPECT_FALSE(option(packet, 3, 2));
}

TEST(Rfc4861Message, Section4_6_4_TheMtuIsToldWhenAsked) {
  EXPECT_EQ(option(packet_of(full(), kAllNodes), 5), (Bytes{5, 1, 0, 0, 0, 0, 0x06, 0x7a}));
  RouterAdvertisement without = full();
  without.mtu = 0;
  EXPECT_FALSE(option(packet_of(without, kAllNodes), 5));
}

TEST(Rfc4861Message, Section6_2_5_TheLastOneIsNobodysRouter) {
  const Bytes packet = packet_of(final_of(full()), kAllNodes);
  EXPECT_EQ(part(packet, 46, 2), (Bytes{0, 0})) << "router lifetime";
  EXPECT_EQ(ip_of(packet).source, a6("fe80::ff:fe00:1")) << "the same router";
  EXPECT_FALSE(option(packet, 3)) << "no prefix's lifetime changes";
}

TEST(Rfc8200, Section5_TheLargestFitsIntoEveryLink) {
  RouterAdvertisement large = full();
  large.prefixes.resize(RouterAdvertisement::kMaxPrefixes);
  EXPECT_LE(packet_of(large, kAllNodes).size(), 1280U);
}

}  // namespace
}  // namespace hnv
