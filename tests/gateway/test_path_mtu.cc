// SPDX-License-Identifier: Apache-2.0
//
// What the fabric's routers say about a path's MTU, from the frame that comes in to what is
// believed of it: RFC 1191, RFC 8201, and RFC 5927 §7 on who may say such a thing.
#include <gtest/gtest.h>

#include "gateway/path_mtu.h"
#include "tests/support/twin_tenants.h"

namespace hnv {
namespace {

// A packet of ours as a router quotes it; every field can be a lie.
struct Quoted {
  std::string from = "fd60::1";
  std::string to = "fd60::11";
  uint32_t vsid = kContoso.six;
  uint16_t length = 1600;  // of the whole IP packet
  uint16_t gre_flags = 0x2000;
};

Bytes quote(const Quoted& q) {
  const auto tunnel = gre(q.vsid).with([&](GreLayer& l) { l.flags = q.gre_flags; });
  if (q.from.find(':') == std::string::npos) {
    return (Frame(ip(q.from, q.to).with([&](IpLayer& l) {
              l.protocol = 47;
              l.total_length = q.length;
            })) /
            tunnel)
        .bytes();
  }
  return (Frame(ip6(q.from, q.to).with([&](Ip6Layer& l) {
            l.next_header = 47;
            l.payload_length = static_cast<uint16_t>(q.length - 40);
          })) /
          tunnel)
      .bytes();
}

Frame too_big(uint32_t mtu, const Bytes& quoted) {
  return Frame(eth(kFabricMac, kRouterMac)) / vlan(60) / ip6("fd60::fe", "fd60::1") /
         icmp6(2).with([&](Icmp6Layer& l) {
           l.word0 = static_cast<uint16_t>(mtu >> 16);
           l.word1 = static_cast<uint16_t>(mtu);
         }) /
         raw(quoted);
}

Frame needs_fragmentation(uint16_t mtu, const Bytes& quoted) {
  return Frame(eth(kFabricMac, kRouterMac)) / ip("10.250.0.254", "10.250.0.1") /
         icmp(3, 4).with([&](IcmpLayer& l) { l.word1 = mtu; }) / raw(quoted);
}

// Through the line to the control thread, as it comes on the wire.
std::optional<PathMtu> believed(const Frame& message) {
  TestLine line;
  EXPECT_TRUE(line.run(kFabricPort, message).empty());
  if (line.punts().size() != 1U) return {};
  const SideNote& note = line.notes()[0];
  EXPECT_FALSE(note.resolve);
  const uint8_t* at = line.punts()[0].data() + note.l2_bytes;
  const auto& plane = line.network().plane();
  EXPECT_EQ(line.fault(), "");
  if (at[0] >> 4 == 4) {
    return read_path_mtu(*reinterpret_cast<const wire::Ipv4*>(at), note.attachment, *plane.vsids);
  }
  return read_path_mtu(*reinterpret_cast<const wire::Ipv6*>(at), note.attachment, *plane.vsids);
}

TEST(Rfc8201, S4APacketTooBigLowersThePathToThatHost) {
  const auto path = believed(too_big(1500, quote({})));
  ASSERT_TRUE(path);
  EXPECT_EQ(path->host.to_string(), "fd60::11");
  EXPECT_EQ(path->mtu, 1500);
}

TEST(Rfc8201, S4LessThan1280IsDiscarded) {
  EXPECT_FALSE(believed(too_big(1279, quote({}))));
  EXPECT_FALSE(believed(too_big(0, quote({}))));
  const auto least = believed(too_big(1280, quote({})));
  ASSERT_TRUE(least);
  EXPECT_EQ(least->mtu, 1280);
}

TEST(Rfc8201, S4NothingButWhatIsSmallerThanThePacketIsNews) {
  EXPECT_FALSE(believed(too_big(1600, quote({}))));
  EXPECT_FALSE(believed(too_big(0x10000 + 1400, quote({}))));  // all 32 bits count
}

TEST(Rfc8201, S4OnlyWhatWeSendIsBelieved) {
  EXPECT_FALSE(believed(too_big(1500, quote({.from = "fd60::2"}))));     // not our PA
  EXPECT_FALSE(believed(too_big(1500, quote({.vsid = 7001}))));          // nobody's VSID
  EXPECT_FALSE(believed(too_big(1500, quote({.vsid = 0}))));             // none at all
  EXPECT_FALSE(believed(too_big(1500, quote({.vsid = kContoso.web}))));  // on another network
  EXPECT_FALSE(believed(too_big(1500, quote({.gre_flags = 0xa000}))));   // not NVGRE
  EXPECT_FALSE(believed(too_big(1500, quote({.from = "10.250.0.1", .to = "10.250.0.11"}))));
}

TEST(Rfc8201, S4AQuotationCutShortProvesNothing) {
  Bytes cut = quote({});
  cut.resize(47);  // one byte before the VSID's end
  EXPECT_FALSE(believed(too_big(1500, cut)));
}

TEST(Rfc4443, S23AWrongChecksumIsDiscarded) {
  const Frame damaged = Frame(eth(kFabricMac, kRouterMac)) / vlan(60) / ip6("fd60::fe", "fd60::1") /
                        icmp6(2).with([](Icmp6Layer& l) {
                          l.word1 = 1500;
                          l.checksum = 1;
                        }) /
                        raw(quote({}));
  EXPECT_FALSE(believed(damaged));
}

TEST(Rfc8201, S4ExtensionHeadersBeforeTheMessageAreSkipped) {
  const Frame message = Frame(eth(kFabricMac, kRouterMac)) / vlan(60) / ip6("fd60::fe", "fd60::1") /
                        extension(60) / icmp6(2).with([](Icmp6Layer& l) { l.word1 = 1500; }) /
                        raw(quote({}));
  const auto path = believed(message);
  ASSERT_TRUE(path);
  EXPECT_EQ(path->mtu, 1500);
}

TEST(Rfc8201, S4OnAPhysicalNetworkNobodyIsAsked) {
  TestLine line;
  const Frame message = private_net(kContoso) / ip6("fd07::fe", "fd07::1") /
                        icmp6(2).with([](Icmp6Layer& l) { l.word1 = 1500; }) / raw(quote({}));
  line.run(kWanPort, message);
  EXPECT_TRUE(line.punts().empty());
  EXPECT_EQ(line.fault(), "");
}

TEST(Rfc8201, S4TenantsAreNeverToldLessThan1280) {
  TestLine line;
  line.network().learn_path_mtu("providerNetworks/six", "fd60::11", 1300);  // 1238 inside
  const Frame large = Frame(ip6("fd10:0:0:1::11", "fd10:0:0:4::41")) / udp(1, 2) / payload(1300);
  const auto refused = line.run(kFabricPort, fabric() / nvgre(kContoso.gateway) / large);
  ASSERT_EQ(refused.size(), 1U);
  const auto& icmp =
      *reinterpret_cast<const wire::Icmp*>(refused[0].frame.data() + 14 + 20 + 8 + 14 + 40);
  EXPECT_EQ(icmp.type, wire::icmp6::kPacketTooBig);
  EXPECT_EQ(icmp.word1.value(), 1280);
  EXPECT_EQ(line.drops(DropReason::mtu_exceeded), 1U);
  EXPECT_EQ(line.fault(), "");
}

const Quoted kQuoted4{.from = "10.250.0.1", .to = "10.250.0.11", .vsid = kContoso.web};

TEST(Rfc1191, S4FragmentationNeededLowersThePathToThatHost) {
  const auto path = believed(needs_fragmentation(1500, quote(kQuoted4)));
  ASSERT_TRUE(path);
  EXPECT_EQ(path->host.to_string(), "10.250.0.11");
  EXPECT_EQ(path->mtu, 1500);
}

TEST(Rfc1191, S5ARouterThatTellsNoMtuMeansTheNextPlateau) {
  const auto path = believed(needs_fragmentation(0, quote(kQuoted4)));
  ASSERT_TRUE(path);
  EXPECT_EQ(path->mtu, 1492);
}

TEST(Rfc5927, S7OnlyWhatWeSendIsBelieved) {
  Quoted lie = kQuoted4;
  lie.vsid = kContoso.db;  // which sends from another PA
  EXPECT_FALSE(believed(needs_fragmentation(1500, quote(lie))));
  lie = kQuoted4;
  lie.length = 1500;
  EXPECT_FALSE(believed(needs_fragmentation(1500, quote(lie))));
}

}  // namespace
}  // namespace hnv
