// SPDX-License-Identifier: Apache-2.0
//
// What is larger than the door: cut when its sender allows it (RFC 1812 §4.2.2.7), and the path MTU
// that the fabric has told of (RFC 1191).
#include <gtest/gtest.h>

#include "compartments/checksum.h"
#include "tests/gateway/line_cases.h"

namespace hnv {
namespace {

constexpr size_t kInnerIp = 14 + 42;
constexpr size_t kTaggedIp = 18;

Frame large(const char* from, const char* to, size_t bytes, uint16_t fragment = 0) {
  return Frame(ip(from, to).with([&](IpLayer& l) {
           l.id = 77;
           l.fragment = fragment;
         })) /
         udp(1000, 2000) / payload(bytes - 28);
}

const wire::Ipv4& ip_at(const Bytes& frame, size_t offset) {
  return *reinterpret_cast<const wire::Ipv4*>(frame.data() + offset);
}

uint64_t fragmented(TestLine& line) {
  return line.line().counters().consumed[static_cast<size_t>(ConsumeReason::fragmented)].value();
}
uint64_t fragments(TestLine& line) {
  return line.line().counters().originated[static_cast<size_t>(OriginReason::fragment)].value();
}

// The pieces hold the packet's payload, in order, one hop older.
void expect_pieces(const std::vector<Sent>& sent, size_t offset, const Bytes& whole) {
  Bytes payload;
  for (const Sent& piece : sent) {
    const wire::Ipv4& header = ip_at(piece.frame, offset);
    EXPECT_TRUE(checksum_right(header));
    EXPECT_EQ(header.ttl, 63);
    EXPECT_EQ(header.id.value(), 77);
    EXPECT_EQ((header.fragment.value() & 0x1fff) * 8, payload.size());
    const auto begin = piece.frame.begin() + static_cast<long>(offset);
    payload.insert(payload.end(), begin + 20, begin + header.total_length.value());
  }
  EXPECT_EQ(payload, Bytes(whole.begin() + 20, whole.end()));
}

TEST(Rfc1812, FragmentsForAVirtualSubnet) {
  for (const Tenant& t : kTwins) {
    TestLine line;
    const Frame packet = large("10.0.1.11", "10.0.2.21", 1700);
    const auto sent = line.run(kFabricPort, from_vm(t, packet));
    ASSERT_EQ(sent.size(), 2U);
    EXPECT_EQ(ip_at(sent[0].frame, kInnerIp).total_length.value(), 1396);
    EXPECT_EQ(ip_at(sent[0].frame, kInnerIp).fragment.value(), 0x2000);
    EXPECT_EQ(ip_at(sent[1].frame, kInnerIp).total_length.value(), 324);
    expect_pieces(sent, kInnerIp, packet.bytes());
    for (const Sent& piece : sent) {
      EXPECT_EQ(ip_at(piece.frame, 14).fragment.value(), 0x4000);  // never the outer one
    }
    EXPECT_EQ(fragmented(line), 1U);
    EXPECT_EQ(fragments(line), 2U);
    EXPECT_EQ(line.fault(), "");
  }
}

TEST(Rfc1812, FragmentsForAPhysicalNetwork) {
  TestLine line;
  const Frame packet = large("10.0.1.11", "172.16.4.4", 1800);
  const auto sent = line.run(kFabricPort, from_vm(kContoso, packet));
  ASSERT_EQ(sent.size(), 2U);
  expect_pieces(sent, kTaggedIp, packet.bytes());
  EXPECT_EQ(line.fault(), "");
}

TEST(Rfc1812, FragmentsFragments) {
  TestLine line;
  const auto sent =
      line.run(kFabricPort, from_vm(kContoso, large("10.0.1.11", "10.0.2.21", 1700, 0x2000 | 100)));
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(ip_at(sent[0].frame, kInnerIp).fragment.value(), 0x2000 | 100);
  EXPECT_EQ(ip_at(sent[1].frame, kInnerIp).fragment.value(), 0x2000 | (100 + 1376 / 8));
  EXPECT_EQ(line.fault(), "");
}

TEST(Rfc1812, FragmentsWholeOrNotAtAll) {
  TestLine line;
  std::vector<rte_mbuf*> taken;
  while (line.mbufs().in_use() < 4095) taken.push_back(line.mbufs().take());
  EXPECT_TRUE(
      line.run(kFabricPort, from_vm(kContoso, large("10.0.1.11", "10.0.2.21", 1700))).empty());
  EXPECT_EQ(line.drops(DropReason::fragment_no_buffer), 1U);
  EXPECT_EQ(fragmented(line), 0U);
  for (rte_mbuf* mbuf : taken) rte_pktmbuf_free(mbuf);
  EXPECT_EQ(line.fault(), "");
}

TEST(Rfc1812, AFullBreathOfFragmentsComesOutInOrder) {
  TestLine line;
  const Bytes frame = from_vm(kContoso, large("10.0.1.11", "10.0.2.21", 1700)).bytes();
  for (unsigned i = 0; i < kVector; ++i) line.receive(kFabricPort, frame);
  EXPECT_TRUE(line.breathe().empty());
  EXPECT_EQ(line.line().held(), 2U * kVector);
  EXPECT_EQ(line.line().room(), 0U);
  EXPECT_EQ(line.breathe().size(), size_t{kVector});
  EXPECT_EQ(line.breathe().size(), size_t{kVector});
  EXPECT_EQ(line.line().room(), kVector);
  EXPECT_EQ(line.fault(), "");
}

TEST(Rfc1191, TheLearnedPathMtuRefusesWhatDoesNotFit) {
  TestLine line;
  line.network().learn_path_mtu("providerNetworks/fabric", "10.250.0.12", 1300);
  const auto refused =
      line.run(kFabricPort, from_vm(kContoso, large("10.0.1.11", "10.0.1.12", 1259, 0x4000)));
  ASSERT_EQ(refused.size(), 1U);
  const auto& icmp = *reinterpret_cast<const wire::Icmp*>(refused[0].frame.data() + kInnerIp + 20);
  EXPECT_EQ(icmp.type, 3);
  EXPECT_EQ(icmp.code, 4);
  EXPECT_EQ(icmp.word1.value(), 1258);  // 1300 - 42
  // What fits goes, another host is not concerned, and what may be cut is.
  EXPECT_EQ(line.run(kFabricPort, from_vm(kContoso, large("10.0.1.11", "10.0.1.12", 1258, 0x4000)))
                .size(),
            1U);
  EXPECT_EQ(line.run(kFabricPort, from_vm(kContoso, large("10.0.1.11", "10.0.1.11", 1300, 0x4000)))
                .size(),
            1U);
  EXPECT_EQ(line.run(kFabricPort, from_vm(kContoso, large("10.0.1.11", "10.0.1.12", 1300))).size(),
            2U);
  EXPECT_EQ(line.fault(), "");
}

TEST(Rfc1191, FragmentationNeededOnTheFabricGoesToControl) {
  TestLine line;
  const Frame message = Frame(eth(kFabricMac, kRouterMac)) / ip("10.250.0.9", "10.250.0.1") /
                        icmp(3, 4).with([](IcmpLayer& l) { l.word1 = 1400; });
  EXPECT_TRUE(line.run(kFabricPort, message / payload(28)).empty());
  EXPECT_EQ(line.punts().size(), 1U);
  EXPECT_EQ(line.fault(), "");
}

}  // namespace
}  // namespace hnv
