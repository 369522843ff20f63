// SPDX-License-Identifier: Apache-2.0
//
// The IPsec door, outbound: what a VM sends to its tenant's site, opened by the site.
#include <gtest/gtest.h>

#include "compartments/checksum.h"
#include "tests/support/ipsec_network.h"
#include "tests/support/nat_network.h"

namespace hnv {
namespace {

constexpr const char* kVm = "10.0.1.11";
constexpr const char* kSite = "172.16.5.5";
constexpr const char* kVm6 = "fd10:0:0:1::11";
constexpr const char* kSite6 = "fd16::5";

uint16_t get16(const Bytes& in, size_t at) {
  return static_cast<uint16_t>(in[at] << 8 | in[at + 1]);
}

// What the packet is once it was routed.
Bytes routed(Bytes ip) {
  if (ip[0] >> 4 == 6) {
    --ip[7];
    return ip;
  }
  auto& header = *reinterpret_cast<wire::Ipv4*>(ip.data());
  decrement_ttl(header);
  return ip;
}

Bytes the_one(const std::vector<IpsecSeen>& seen, const std::string& where) {
  if (seen.size() != 1 || seen[0].where != where) {
    ADD_FAILURE() << seen.size() << " packets came out, the first to "
                  << (seen.empty() ? "nobody" : seen[0].where);
    return Bytes(64, 0);
  }
  return seen[0].packet;
}

struct Transform {
  SaCipher cipher;
  SaIntegrity integrity;
};
constexpr Transform kTransforms[] = {
    {SaCipher::aes_gcm, SaIntegrity::none},
    {SaCipher::chacha20_poly1305, SaIntegrity::none},
    {SaCipher::aes_cbc, SaIntegrity::hmac_sha256_128},
    {SaCipher::aes_cbc, SaIntegrity::hmac_sha512_256},
    {SaCipher::triple_des_cbc, SaIntegrity::hmac_sha1_96},
};

// Twins: the same addresses, the same peer, and each site opens only its own tenant's.
TEST(LeaveIpsec, SealsForTheTenantsOwnSiteInEveryShape) {
  for (const Transform& transform : kTransforms) {
    for (unsigned shape = 0; shape < 8; ++shape) {
      SCOPED_TRACE(testing::Message() << static_cast<int>(transform.cipher) << " " << shape);
      IpsecOptions options{.cipher = transform.cipher, .integrity = transform.integrity};
      options.outer_ipv6 = (shape & 1) != 0;
      options.encapsulation = (shape & 2) != 0 ? SaEncapsulation::udp : SaEncapsulation::none;
      options.sequence = (shape & 4) != 0 ? SaSequence::extended : SaSequence::bits32;
      IpsecNetwork net(options);
      for (const Tenant& tenant : kTwins) {
        const Tenant& other = tenant.name == "contoso" ? kFabrikam : kContoso;
        for (const Bytes& packet : {udp_packet(kVm, kSite), udp_packet(kVm6, kSite6, 31)}) {
          const Bytes outer = the_one(net.from_vm(tenant, packet), "site");
          EXPECT_EQ(net.open(tenant, outer), routed(packet));
          EXPECT_FALSE(net.open(other, outer));
        }
        EXPECT_EQ(net.traffic(tenant).out_packets.value(), 2U);
        EXPECT_EQ(net.outbound(tenant).state->use().packets, 2U);
        EXPECT_EQ(net.outbound(tenant).state->sequence, 2U);
      }
      EXPECT_EQ(net.fault(), "");
    }
  }
}

TEST(LeaveIpsec, WritesTheOuterHeader) {
  IpsecNetwork net;
  const Bytes packet = udp_packet(kVm, kSite, 100);
  const Bytes outer = the_one(net.from_vm(kContoso, packet), "site");
  std::string fault;
  const NatPacket ip = parse_packet(outer, fault);
  EXPECT_EQ(fault, "");
  EXPECT_EQ(ip.from, "203.0.113.1");
  EXPECT_EQ(ip.to, "198.51.100.77");
  EXPECT_EQ(ip.protocol, 50);
  EXPECT_EQ(get16(outer, 2), outer.size());
  EXPECT_EQ(ip.ttl, 64);
  EXPECT_EQ(ip.fragment, 0);
  EXPECT_EQ(get16(outer, 26), 1U) << "sequence numbers begin with 1 (RFC 4303 3.3.2)";
  // Alignment, padding 1, 2, 3 …, IPv4 inside.
  Bytes trailer;
  ASSERT_TRUE(net.open(kContoso, outer, &trailer));
  EXPECT_EQ((packet.size() + trailer.size()) % 4, 0U);
  for (size_t i = 0; i + 2 < trailer.size(); ++i) EXPECT_EQ(trailer[i], i + 1);
  EXPECT_EQ(trailer.back(), 4);
  EXPECT_EQ(get16(the_one(net.from_vm(kContoso, packet), "site"), 26), 2U);
}

TEST(LeaveIpsec, UdpEncapsulationHasPortsLengthAndTheFamilysChecksum) {
  for (const bool ipv6 : {false, true}) {
    IpsecNetwork net({.encapsulation = SaEncapsulation::udp, .outer_ipv6 = ipv6});
    const Bytes outer = the_one(net.from_vm(kFabrikam, udp_packet(kVm, kSite)), "site");
    const size_t udp = ipv6 ? 40 : 20;
    EXPECT_EQ(get16(outer, udp), 4500);
    EXPECT_EQ(get16(outer, udp + 2), 4502);
    EXPECT_EQ(get16(outer, udp + 4), outer.size() - udp);
    if (!ipv6) {
      EXPECT_EQ(get16(outer, udp + 6), 0);
      continue;
    }
    const auto& ip = *reinterpret_cast<const wire::Ipv6*>(outer.data());
    EXPECT_EQ(checksum_fold(checksum_sum6(ip.source, ip.destination, 17, outer.data() + udp,
                                          static_cast<uint32_t>(outer.size() - udp))),
              0xffff);
  }
}

TEST(LeaveIpsec, CopiesMarkCodePointAndDontFragmentAsTheSaSays) {
  constexpr uint8_t kClass = 0xb8 | 2;  // EF, ECT(0)
  struct Case {
    bool ecn, dscp, df;
    uint8_t wanted;
  };
  for (const Case& c : {Case{true, false, false, 2}, Case{true, true, true, kClass},
                        Case{false, false, true, 0}, Case{false, true, false, 0xb8}}) {
    for (const bool outer_ipv6 : {false, true}) {
      IpsecNetwork net(
          {.outer_ipv6 = outer_ipv6, .copy_df = c.df, .copy_ecn = c.ecn, .copy_dscp = c.dscp});
      const Bytes outer =
          the_one(net.from_vm(kContoso, udp_packet(kVm, kSite, 18, kClass, true)), "site");
      if (outer_ipv6) {
        EXPECT_EQ(static_cast<uint8_t>(get16(outer, 0) >> 4), c.wanted);
        continue;
      }
      EXPECT_EQ(outer[1], c.wanted);
      EXPECT_EQ(get16(outer, 6), c.df ? 0x4000 : 0);
      std::string fault;
      (void)parse_packet(outer, fault);
      EXPECT_EQ(fault, "");
    }
  }
}

// The largest packet that passes fills the outside MTU as far as the cipher's blocks let it; one
// byte more is refused with exactly that.
TEST(LeaveIpsec, TellsTheTrueInnerMtu) {
  for (const Transform& transform : kTransforms) {
    for (const bool udp : {false, true}) {
      IpsecNetwork net({.cipher = transform.cipher,
                        .integrity = transform.integrity,
                        .encapsulation = udp ? SaEncapsulation::udp : SaEncapsulation::none});
      const auto refused = net.from_vm(kContoso, udp_packet(kVm, kSite, 1470, 0, true));
      const Bytes error = the_one(refused, "contoso");
      ASSERT_EQ(error[20], 3);
      ASSERT_EQ(error[21], 4);
      const uint16_t mtu = get16(error, 26);
      const Bytes full =
          the_one(net.from_vm(kContoso, udp_packet(kVm, kSite, mtu - 28U, 0, true)), "site");
      EXPECT_LE(full.size(), 1500U);
      EXPECT_GT(full.size() + net.outbound(kContoso).format.alignment, 1500U);
      const Bytes again =
          the_one(net.from_vm(kContoso, udp_packet(kVm, kSite, mtu - 27U, 0, true)), "contoso");
      EXPECT_EQ(get16(again, 26), mtu);
      const Bytes error6 =
          the_one(net.from_vm(kContoso, udp_packet(kVm6, kSite6, 1440)), "contoso");
      EXPECT_EQ(error6[40], 2);
      EXPECT_EQ(get16(error6, 46), mtu);
      EXPECT_EQ(net.count(DropReason::mtu_exceeded), 3U);
      EXPECT_EQ(net.fault(), "");
    }
  }
}

TEST(LeaveIpsec, CutsWhatMayBeCut) {
  IpsecNetwork net;
  const auto seen = net.from_vm(kContoso, udp_packet(kVm, kSite, 1470));
  ASSERT_EQ(seen.size(), 2U);
  size_t bytes = 0;
  for (const IpsecSeen& one : seen) {
    const auto inner = net.open(kContoso, one.packet);
    ASSERT_TRUE(inner);
    bytes += inner->size() - 20;
  }
  EXPECT_EQ(bytes, 1478U);
  EXPECT_EQ(net.fault(), "");
}

TEST(LeaveIpsec, ClampsTheMssToWhatTheTunnelCarries) {
  IpsecNetwork net;
  NatPacket syn = nat_tcp(kVm, 40000, kSite, 80);
  syn.mss = 1460;
  const auto inner = net.open(kContoso, the_one(net.from_vm(kContoso, syn.bytes()), "site"));
  ASSERT_TRUE(inner);
  std::string fault;
  const NatPacket seen = parse_packet(*inner, fault);
  EXPECT_EQ(fault, "");
  ASSERT_TRUE(seen.mss);
  EXPECT_EQ(*seen.mss, net.outbound(kContoso).inner_mtu(1500) - 40);
  syn.mss = 1000;
  fault.clear();
  EXPECT_EQ(
      parse_packet(*net.open(kContoso, the_one(net.from_vm(kContoso, syn.bytes()), "site")), fault)
          .mss,
      1000);
}

TEST(LeaveIpsec, RefusesWhatTheSelectorsDoNotCover) {
  IpsecOptions options;
  options.theirs = {{.from = *IpAddress<Space::customer>::parse("172.16.5.0"),
                     .to = *IpAddress<Space::customer>::parse("172.16.5.255"),
                     .protocol = 17,
                     .from_port = 2000,
                     .to_port = 2000}};
  IpsecNetwork net(options);
  EXPECT_TRUE(net.open(kContoso, the_one(net.from_vm(kContoso, udp_packet(kVm, kSite)), "site")));
  for (const Bytes& packet :
       {udp_packet(kVm, "172.16.6.5"), nat_udp(kVm, 1000, kSite, 2001).bytes(),
        nat_tcp(kVm, 1000, kSite, 2000).bytes()}) {
    const Bytes error = the_one(net.from_vm(kContoso, packet), "contoso");
    EXPECT_EQ(error[20], 3);
    EXPECT_EQ(error[21], 1);
  }
  EXPECT_EQ(net.count(DropReason::ipsec_policy_mismatch), 3U);
  EXPECT_EQ(net.drops(kContoso).of(DropReason::ipsec_policy_mismatch).value(), 3U);
  EXPECT_EQ(net.drops(kContoso).out_dropped.value(), 3U);
  EXPECT_EQ(net.drops(kFabrikam).out_dropped.value(), 0U);
  EXPECT_EQ(net.fault(), "");
}

// Sends 1,000 bytes often; how many of them came out at once.
unsigned send_at_once(IpsecNetwork& net, const Tenant& tenant, unsigned packets) {
  unsigned sent = 0;
  for (unsigned i = 0; i < packets; ++i) {
    sent += static_cast<unsigned>(net.from_vm(tenant, udp_packet(kVm, kSite, 972)).size());
  }
  return sent;
}

TEST(LeaveIpsec, ShapesToTheRate) {
  IpsecNetwork net({.outbound = TunnelRate(5'120, 4'000)});
  EXPECT_EQ(send_at_once(net, kContoso, 20), 4U) << "from a burst of 4,000 bytes";
  EXPECT_EQ(net.fault(), "") << "what waits is held";
  EXPECT_EQ(net.line().line().held(), 16U);
  EXPECT_EQ(net.meters(kContoso).outbound.delay(net.network().clock().now()),
            std::chrono::milliseconds(25));
  // The other tenant has its own bucket, and its own queue.
  EXPECT_EQ(send_at_once(net, kFabrikam, 5), 4U);
  // 1,000 bytes take 1.5625 ms.
  unsigned came = 0;
  for (unsigned i = 0; i < 34; ++i) {
    net.network().clock().advance(std::chrono::microseconds(782));
    for (const IpsecSeen& seen : net.breathe()) {
      EXPECT_EQ(seen.where, "site");
      const auto inner = net.open(kContoso, seen.packet);
      if (!inner) continue;
      EXPECT_EQ(inner->size(), 1'000U);
      EXPECT_EQ((*inner)[8], udp_packet(kVm, kSite)[8] - 1) << "its TTL is lowered once";
      ++came;
    }
    EXPECT_LE(came, i / 2 + 1);
  }
  EXPECT_EQ(came, 16U);
  EXPECT_EQ(net.outbound(kContoso).state->sequence, 20U);
  EXPECT_EQ(net.traffic(kContoso).out_packets.value(), 20U);
  EXPECT_EQ(net.traffic(kFabrikam).out_packets.value(), 5U);
  EXPECT_EQ(net.count(DropReason::ipsec_rate_limited), 0U);
  EXPECT_EQ(net.line().line().held(), 0U);
  EXPECT_EQ(net.fault(), "");
}

TEST(LeaveIpsec, HoldsNoMoreThanFortyMillisecondsOfTheRate) {
  IpsecNetwork net({.outbound = TunnelRate(5'120, 4'000)});
  EXPECT_EQ(send_at_once(net, kContoso, 40), 4U);
  EXPECT_EQ(net.line().line().held(), 25U) << "40 ms are 25,600 bytes";
  EXPECT_EQ(net.count(DropReason::ipsec_rate_limited), 11U);
  EXPECT_EQ(net.drops(kContoso).out_rate_limited.value(), 11U);
  EXPECT_EQ(net.drops(kContoso).out_dropped.value(), 11U);
  EXPECT_EQ(net.drops(kFabrikam).out_dropped.value(), 0U);
  EXPECT_EQ(send_at_once(net, kFabrikam, 4), 4U) << "a neighbour's flood is nothing to it";
  EXPECT_EQ(net.fault(), "");
}

TEST(LeaveIpsec, WhatWaitsIsEncryptedAlready) {
  IpsecNetwork net({.outbound = TunnelRate(5'120, 4'000)});
  EXPECT_EQ(send_at_once(net, kContoso, 8), 4U);
  EXPECT_EQ(net.outbound(kContoso).state->sequence, 8U);
  net.take_sas(kContoso);
  net.network().clock().advance(std::chrono::milliseconds(7));
  EXPECT_EQ(net.breathe().size(), 4U) << "a rekeying does not lose it";
  EXPECT_EQ(net.fault(), "");
}

TEST(LeaveIpsec, WhatWaitsEndsWithItsTunnelOrAtTheEnd) {
  IpsecNetwork net({.outbound = TunnelRate(5'120, 4'000)});
  EXPECT_EQ(send_at_once(net, kContoso, 8), 4U);
  EXPECT_EQ(send_at_once(net, kFabrikam, 8), 4U);
  net.remove_tunnel(kContoso);
  net.network().clock().advance(std::chrono::milliseconds(4));
  EXPECT_EQ(net.breathe().size(), 2U) << "the other tenant's";
  EXPECT_EQ(net.count(DropReason::ipsec_tunnel_gone), 2U);
  EXPECT_EQ(net.line().line().held(), 4U);
  EXPECT_EQ(net.fault(), "");
  net.line().line().drain();
  EXPECT_EQ(net.count(DropReason::draining), 4U);
  EXPECT_EQ(net.line().line().held(), 0U);
  EXPECT_EQ(net.fault(), "");
}

TEST(LeaveIpsec, WhatWaitsEndsWithItsDomainAndIsNotTheNextOnes) {
  IpsecNetwork net({.outbound = TunnelRate(5'120, 4'000)});
  EXPECT_EQ(send_at_once(net, kContoso, 8), 4U);
  EXPECT_EQ(send_at_once(net, kFabrikam, 8), 4U);
  net.replace_domain(kContoso);
  net.network().clock().advance(std::chrono::milliseconds(4));
  for (const IpsecSeen& seen : net.breathe()) {
    EXPECT_TRUE(net.open(kFabrikam, seen.packet)) << "not the other tenant's";
  }
  EXPECT_EQ(net.count(DropReason::ipsec_tunnel_gone), 2U) << "those whose turn it was";
  EXPECT_EQ(net.line().line().held(), 4U);
  net.network().clock().advance(std::chrono::milliseconds(4));
  (void)net.breathe();
  EXPECT_EQ(net.count(DropReason::ipsec_tunnel_gone), 4U);
  EXPECT_EQ(net.traffic(kFabrikam).out_packets.value(), 8U);
  EXPECT_EQ(net.line().line().held(), 0U);
  EXPECT_EQ(net.fault(), "");
}

TEST(LeaveIpsec, AnotherRateKeepsWhatWaits) {
  IpsecNetwork net({.outbound = TunnelRate(5'120, 4'000)});
  EXPECT_EQ(send_at_once(net, kContoso, 20), 4U);
  net.set_rates(kContoso, TunnelRate(20'480, 4'000), TunnelRate());
  net.network().clock().advance(std::chrono::microseconds(3'200));
  EXPECT_EQ(net.breathe().size(), 2U) << "at its old time";
  net.set_rates(kContoso, TunnelRate(), TunnelRate());
  net.network().clock().advance(std::chrono::milliseconds(22));
  EXPECT_EQ(net.breathe().size(), 14U);
  EXPECT_EQ(net.line().line().held(), 0U);
  net.network().clock().advance(std::chrono::milliseconds(4));
  EXPECT_EQ(send_at_once(net, kContoso, 20), 20U);
  EXPECT_EQ(net.fault(), "");
}

TEST(LeaveIpsec, StopsWhenTheNumbersAreUsedUp) {
  IpsecNetwork net;
  net.outbound(kContoso).state->sequence = 0xfffffffe;
  EXPECT_EQ(net.from_vm(kContoso, udp_packet(kVm, kSite)).size(), 1U);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(net.from_vm(kContoso, udp_packet(kVm, kSite)).empty());
  EXPECT_EQ(net.count(DropReason::ipsec_sequence_exhausted), 3U);
  const auto notices = net.notices();
  ASSERT_EQ(notices.size(), 1U) << "told once a second";
  EXPECT_EQ(notices[0].kind, IpsecNotice::Kind::exhausted);
  EXPECT_EQ(notices[0].sa_uid, net.outbound(kContoso).uid);
  EXPECT_EQ(net.fault(), "");
}

TEST(LeaveIpsec, ExtendedNumbersGoOnBehind32Bits) {
  IpsecNetwork net({.sequence = SaSequence::extended});
  net.outbound(kContoso).state->sequence = 0xffffffff;
  EXPECT_EQ(net.from_vm(kContoso, udp_packet(kVm, kSite)).size(), 1U);
  EXPECT_EQ(net.outbound(kContoso).state->sequence, 0x100000000U);
}

TEST(LeaveIpsec, RefusesWhileTheTunnelIsDown) {
  IpsecNetwork net;
  net.take_sas(kContoso);
  const Bytes error = the_one(net.from_vm(kContoso, udp_packet(kVm, kSite)), "contoso");
  EXPECT_EQ(error[20], 3);
  EXPECT_EQ(net.count(DropReason::ipsec_no_sa), 1U);
  EXPECT_EQ(net.from_vm(kFabrikam, udp_packet(kVm, kSite)).size(), 1U);
  EXPECT_TRUE(net.notices().empty());
  EXPECT_EQ(net.fault(), "");
}

TEST(LeaveIpsec, OnDemandSixteenPacketsWaitForTheTunnel) {
  IpsecNetwork net({.on_demand = true});
  net.take_sas(kContoso);
  for (unsigned i = 0; i < 20; ++i) {
    EXPECT_TRUE(net.from_vm(kContoso, udp_packet(kVm, kSite, 20 + i)).empty());
  }
  EXPECT_EQ(net.line().line().held(), 16U);
  EXPECT_EQ(net.count(DropReason::ipsec_no_sa), 4U);
  const auto notices = net.notices();
  ASSERT_EQ(notices.size(), 1U);
  EXPECT_EQ(notices[0].kind, IpsecNotice::Kind::wanted);
  EXPECT_EQ(notices[0].tunnel, TunnelId(0));
  net.give_sas(kContoso);
  std::vector<IpsecSeen> seen;
  for (int i = 0; i < 4; ++i) {
    for (auto& one : net.breathe()) seen.push_back(std::move(one));
  }
  ASSERT_EQ(seen.size(), 16U);
  for (unsigned i = 0; i < 16; ++i) {
    EXPECT_EQ(net.open(kContoso, seen[i].packet), routed(udp_packet(kVm, kSite, 20 + i)));
  }
  EXPECT_EQ(net.line().line().held(), 0U);
  EXPECT_EQ(net.fault(), "");
}

TEST(LeaveIpsec, OnDemandNobodyWaitsLongerThanThreeSeconds) {
  IpsecNetwork net({.on_demand = true});
  net.take_sas(kContoso);
  EXPECT_TRUE(net.from_vm(kContoso, udp_packet(kVm, kSite)).empty());
  net.network().clock().advance(std::chrono::milliseconds(2'900));
  EXPECT_TRUE(net.breathe().empty());
  EXPECT_EQ(net.count(DropReason::ipsec_no_sa), 0U);
  net.network().clock().advance(std::chrono::milliseconds(200));
  EXPECT_TRUE(net.breathe().empty());
  EXPECT_EQ(net.count(DropReason::ipsec_no_sa), 1U);
  EXPECT_EQ(net.line().line().held(), 0U);
  // The place is free again.
  for (unsigned i = 0; i < 16; ++i) (void)net.from_vm(kContoso, udp_packet(kVm, kSite));
  EXPECT_EQ(net.line().line().held(), 16U);
  net.line().line().drain();
  EXPECT_EQ(net.count(DropReason::draining), 16U);
  EXPECT_EQ(net.fault(), "");
}

// Make before break: the newest SA is taken, and what the site sends under either comes in.
TEST(LeaveIpsec, RekeysWithoutALoss) {
  IpsecNetwork net;
  const Bytes packet = udp_packet(kVm, kSite);
  EXPECT_TRUE(net.open(kContoso, the_one(net.from_vm(kContoso, packet), "site")));
  const uint32_t before = net.outbound(kContoso).spi;
  net.take_sas(kContoso);
  net.give_sas(kContoso);
  EXPECT_NE(net.outbound(kContoso).spi, before);
  EXPECT_TRUE(net.open(kContoso, the_one(net.from_vm(kContoso, packet), "site")));
  EXPECT_EQ(net.outbound(kContoso).state->sequence, 1U);
}

// The connection is gone from the plan before its routes, or its SAs, are.
TEST(LeaveIpsec, EndsWithItsTunnel) {
  IpsecNetwork net;
  net.remove_tunnel(kContoso);
  EXPECT_TRUE(net.from_vm(kContoso, udp_packet(kVm, kSite)).empty());
  EXPECT_TRUE(net.from_site(kContoso, udp_packet(kSite, kVm)).empty());
  EXPECT_EQ(net.count(DropReason::ipsec_tunnel_gone), 2U);
  EXPECT_EQ(net.from_vm(kFabrikam, udp_packet(kVm, kSite)).size(), 1U);
  EXPECT_EQ(net.fault(), "");
}

TEST(LeaveIpsec, RefusesWhereTheNetworkHasNoRoute) {
  for (const bool outer_ipv6 : {false, true}) {
    IpsecNetwork net({.outer_ipv6 = outer_ipv6});
    net.network().change(
        {{"externalNetworks/internet",
          R"({"port":"wan0","vlanId":40,"ipAddresses":["203.0.113.1/24","2001:db8:40::1/64"],
              "publicAddressPrefixes":["198.51.100.0/28"]})"}});
    net.publish();
    const Bytes error = the_one(net.from_vm(kContoso, udp_packet(kVm, kSite)), "contoso");
    EXPECT_EQ(error[20], 3);
    EXPECT_EQ(net.count(DropReason::ipsec_no_outside_route), 1U);
    EXPECT_EQ(net.outbound(kContoso).state->sequence, 0U);
    EXPECT_EQ(net.fault(), "");
  }
}

TEST(LeaveIpsec, BehindASilentRouterNothingIsSent) {
  IpsecNetwork net;
  net.network().let_fail("externalNetworks/internet", "203.0.113.254");
  net.publish();
  EXPECT_TRUE(net.from_vm(kContoso, udp_packet(kVm, kSite)).empty());
  EXPECT_EQ(net.count(DropReason::next_hop_failed), 1U);
  EXPECT_EQ(net.fault(), "");
}

}  // namespace
}  // namespace hnv
