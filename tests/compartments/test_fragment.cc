// SPDX-License-Identifier: Apache-2.0
//
// IPv4 fragmentation: what comes out, put together again by a reference that knows only RFC 791.
#include <array>
#include <map>

#include <gtest/gtest.h>

#include "compartments/checksum.h"
#include "compartments/line/departure.h"
#include "compartments/line/fragment.h"
#include "tests/support/fake_mbufs.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

Bytes packet(unsigned payload, const Bytes& options, uint16_t fragment, Random& random) {
  const auto header = static_cast<unsigned>(sizeof(wire::Ipv4) + options.size());
  Bytes bytes(header + payload);
  for (auto& byte : bytes) byte = static_cast<uint8_t>(random());
  auto& ip = *reinterpret_cast<wire::Ipv4*>(bytes.data());
  ip.version_ihl = static_cast<uint8_t>(0x40 | header / 4);
  ip.total_length = be16{static_cast<uint16_t>(bytes.size())};
  ip.fragment = be16{fragment};
  std::copy(options.begin(), options.end(), bytes.begin() + sizeof ip);
  set_checksum(ip);
  return bytes;
}

constexpr uint32_t kMeter = 3;

std::vector<Bytes> cut(FakeMbufs& mbufs, const Bytes& whole, uint16_t mtu) {
  rte_mbuf* mbuf = mbufs.take(whole);
  set_departure(*mbuf, {.tick = 7, .meter = kMeter});
  std::vector<rte_mbuf*> pieces(fragments_needed(*rte_pktmbuf_mtod(mbuf, const wire::Ipv4*), mtu));
  EXPECT_TRUE(fragment(*mbuf, mtu, pieces));
  std::vector<Bytes> out;
  for (rte_mbuf* piece : pieces) {
    EXPECT_EQ(departure_of(*piece).meter, kMeter) << "none leaves before the packet would";
    const auto bytes = bytes_of(*piece);
    out.emplace_back(bytes.begin(), bytes.end());
    rte_pktmbuf_free(piece);
  }
  return out;
}

const wire::Ipv4& header_of(const Bytes& piece) {
  return *reinterpret_cast<const wire::Ipv4*>(piece.data());
}

// Each piece is sound by itself, fits, and all together hold the payload once.
void expect_whole(const Bytes& whole, const std::vector<Bytes>& pieces, uint16_t mtu) {
  const wire::Ipv4& before = header_of(whole);
  const uint16_t first_offset = before.fragment.value() & 0x1fff;
  const bool more_behind = (before.fragment.value() & 0x2000) != 0;
  Bytes payload;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const wire::Ipv4& ip = header_of(pieces[i]);
    ASSERT_LE(pieces[i].size(), mtu);
    ASSERT_EQ(ip.total_length.value(), pieces[i].size());
    ASSERT_TRUE(checksum_right(ip));
    ASSERT_EQ(ip.id, before.id);
    ASSERT_EQ(ip.tos, before.tos);
    ASSERT_EQ(ip.ttl, before.ttl);
    ASSERT_EQ(ip.protocol, before.protocol);
    ASSERT_EQ(ip.source, before.source);
    ASSERT_EQ(ip.destination, before.destination);
    const bool last = i + 1 == pieces.size();
    ASSERT_EQ((ip.fragment.value() & 0x2000) != 0, !last || more_behind);
    ASSERT_EQ((ip.fragment.value() & 0x1fff) - first_offset, payload.size() / 8);
    const size_t bytes = pieces[i].size() - ip.header_bytes();
    if (!last) {
      ASSERT_EQ(bytes % 8, 0U);
      // No smaller than it must be (RFC 791 §3.2: as large as fits).
      ASSERT_GT(pieces[i].size() + 8, mtu);
    }
    payload.insert(payload.end(), pieces[i].begin() + ip.header_bytes(), pieces[i].end());
  }
  ASSERT_EQ(payload, Bytes(whole.begin() + before.header_bytes(), whole.end()));
}

TEST(Rfc791, FragmentsHoldThePacketOnce) {
  FakeMbufs mbufs;
  Random random(4);
  for (unsigned round = 0; round < 3000; ++round) {
    const auto mtu = static_cast<uint16_t>(68 + random.below(1500));
    const auto payload = static_cast<unsigned>(1 + random.below(1900));
    // Now and then itself a fragment, the last one or not.
    const auto offset = static_cast<uint16_t>(random.below(3) == 0 ? random.below(5000) : 0);
    const uint16_t more = random.below(3) == 0 ? 0x2000 : 0;
    const Bytes whole = packet(payload, {}, offset | more, random);
    const auto pieces = cut(mbufs, whole, mtu);
    expect_whole(whole, pieces, mtu);
    if (HasFatalFailure()) FAIL() << "mtu " << mtu << ", payload " << payload;
  }
  EXPECT_EQ(mbufs.in_use(), 0U);
}

TEST(Rfc791, OnlyOptionsThatSaySoAreCopied) {
  FakeMbufs mbufs;
  Random random(5);
  // Record route (7, not copied), router alert (0x94, copied), no operation, end of list.
  const Bytes options{0x07, 0x07, 0x04, 0, 0, 0, 0, 0x01, 0x94, 0x04, 0, 0, 0, 0, 0, 0};
  const Bytes whole = packet(500, options, 0, random);
  const auto pieces = cut(mbufs, whole, 200);
  expect_whole(whole, pieces, 200);
  ASSERT_GE(pieces.size(), 3U);
  EXPECT_EQ(header_of(pieces[0]).header_bytes(), 36U);
  for (size_t i = 1; i < pieces.size(); ++i) {
    ASSERT_EQ(header_of(pieces[i]).header_bytes(), 24U);
    EXPECT_EQ(Bytes(pieces[i].begin() + 20, pieces[i].begin() + 24), (Bytes{0x94, 0x04, 0, 0}));
  }
}

TEST(Rfc791, MalformedOptionsDoNoHarm) {
  FakeMbufs mbufs;
  Random random(6);
  for (unsigned round = 0; round < 2000; ++round) {
    Bytes options(4 * size_t{1 + random.below(10)});
    for (auto& byte : options) byte = static_cast<uint8_t>(random());
    const Bytes whole = packet(static_cast<unsigned>(200 + random.below(1000)), options, 0, random);
    const auto mtu = static_cast<uint16_t>(68 + random.below(300));
    expect_whole(whole, cut(mbufs, whole, mtu), mtu);
    if (HasFatalFailure()) return;
  }
  EXPECT_EQ(mbufs.in_use(), 0U);
}

TEST(Rfc791, NoPieceBeginsBeyondTheLongestDatagram) {
  Random random(6);
  // Begins at 8 * 8000 = 64,000: 1,535 bytes with the header are the most there can be.
  for (const auto& [payload, pieces] : {std::pair{1515U, 2U}, std::pair{1516U, 0U}}) {
    const Bytes whole = packet(payload, {}, 8000, random);
    EXPECT_EQ(fragments_needed(header_of(whole), 1000), pieces) << payload;
  }
  // What fits as it is is not looked at.
  EXPECT_EQ(fragments_needed(header_of(packet(1516, {}, 8000, random)), 1600), 1U);
}

TEST(Rfc791, WithoutBuffersNothingChanges) {
  FakeMbufs mbufs(2);
  Random random(7);
  const Bytes whole = packet(1000, {}, 0, random);
  rte_mbuf* mbuf = mbufs.take(whole);
  std::array<rte_mbuf*, 6> pieces{};
  const unsigned needed = fragments_needed(header_of(whole), 200);
  ASSERT_LE(needed, pieces.size());
  EXPECT_FALSE(fragment(*mbuf, 200, {pieces.data(), needed}));
  const auto after = bytes_of(*mbuf);
  EXPECT_EQ(Bytes(after.begin(), after.end()), whole);
  rte_pktmbuf_free(mbuf);
  EXPECT_EQ(mbufs.in_use(), 0U);
}

}  // namespace
}  // namespace hnv
