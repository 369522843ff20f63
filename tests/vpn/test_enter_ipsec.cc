// SPDX-License-Identifier: Apache-2.0
//
// The IPsec door, inbound: what a site sends, and what others send in its name.
#include <gtest/gtest.h>

#include "compartments/checksum.h"
#include "compartments/ecn.h"
#include "tests/support/ipsec_network.h"
#include "tests/support/nat_network.h"

namespace hnv {
namespace {

constexpr const char* kVm = "10.0.1.11";
constexpr const char* kSite = "172.16.5.5";
constexpr const char* kVm6 = "fd10:0:0:1::11";
constexpr const char* kSite6 = "fd16::5";

Bytes routed(Bytes ip) {
  if (ip[0] >> 4 == 6) {
    --ip[7];
    return ip;
  }
  decrement_ttl(*reinterpret_cast<wire::Ipv4*>(ip.data()));
  return ip;
}

Bytes to_vm() { return udp_packet(kSite, kVm); }

::testing::AssertionResult arrives(const std::vector<IpsecSeen>& seen, const Tenant& tenant,
                                   const Bytes& packet) {
  if (seen.size() != 1) return ::testing::AssertionFailure() << seen.size() << " came out";
  if (seen[0].where != tenant.name) return ::testing::AssertionFailure() << "to " << seen[0].where;
  if (seen[0].packet != packet) return ::testing::AssertionFailure() << "another packet";
  return ::testing::AssertionSuccess();
}

struct Transform {
  SaCipher cipher;
  SaIntegrity integrity;
};
constexpr Transform kTransforms[] = {
    {SaCipher::aes_gcm, SaIntegrity::none},
    {SaCipher::chacha20_poly1305, SaIntegrity::none},
    {SaCipher::aes_cbc, SaIntegrity::hmac_sha256_128},
    {SaCipher::aes_cbc, SaIntegrity::hmac_sha384_192},
    {SaCipher::triple_des_cbc, SaIntegrity::hmac_sha1_96},
};

TEST(EnterIpsec, BringsTheSitesPacketsToTheirTenantInEveryShape) {
  for (const Transform& transform : kTransforms) {
    for (unsigned shape = 0; shape < 8; ++shape) {
      SCOPED_TRACE(testing::Message() << static_cast<int>(transform.cipher) << " " << shape);
      IpsecOptions options{.cipher = transform.cipher, .integrity = transform.integrity};
      options.outer_ipv6 = (shape & 1) != 0;
      options.encapsulation = (shape & 2) != 0 ? SaEncapsulation::udp : SaEncapsulation::none;
      options.sequence = (shape & 4) != 0 ? SaSequence::extended : SaSequence::bits32;
      IpsecNetwork net(options);
      for (const Tenant& tenant : kTwins) {
        for (const Bytes& packet : {to_vm(), udp_packet(kSite6, kVm6, 33)}) {
          EXPECT_TRUE(arrives(net.from_site(tenant, packet), tenant, routed(packet)));
        }
        EXPECT_EQ(net.traffic(tenant).in_packets.value(), 2U);
        EXPECT_EQ(net.inbound(tenant).state->use().packets, 2U);
      }
      EXPECT_EQ(net.fault(), "");
    }
  }
}

struct Fault {
  const char* name;
  SiteSends how;
  Bytes inner;
  DropReason reason;
};

TEST(EnterIpsec, DropsEachFaultUnderItsReason) {
  Bytes short_length = to_vm();
  short_length[3] = 10;
  Bytes wrong_checksum = to_vm();
  wrong_checksum[10] ^= 1;
  const Fault faults[] = {
      {"ICV", {.wrong_icv = true}, to_vm(), DropReason::ipsec_bad_icv},
      {"number 0", {.sequence = 0}, to_vm(), DropReason::ipsec_replayed},
      {"padding",
       {.more_padding = 8, .wrong_padding = true},
       to_vm(),
       DropReason::ipsec_bad_padding},
      {"TCP in transport mode", {.next_header = 6}, to_vm(), DropReason::ipsec_next_header},
      {"IPv6 said, IPv4 there", {.next_header = 41}, to_vm(), DropReason::inner_bad_header},
      {"no packet at all", {.next_header = 4}, Bytes(6, 0), DropReason::inner_bad_header},
      {"total length", {}, short_length, DropReason::inner_bad_header},
      {"checksum", {}, wrong_checksum, DropReason::inner_bad_checksum},
      {"loopback source", {}, udp_packet("127.0.0.1", kVm), DropReason::inner_bad_source},
      {"link-local source", {}, udp_packet("fe80::5", kVm6), DropReason::inner_bad_source},
      {"our own source", {}, udp_packet("10.0.0.2", kVm), DropReason::inner_bad_source},
      {"a VM's source", {}, udp_packet("10.0.1.12", kVm), DropReason::ipsec_source_not_routed},
      {"somebody else's source",
       {},
       udp_packet("9.9.9.9", kVm),
       DropReason::ipsec_source_not_routed},
      {"IPv6 source", {}, udp_packet("fd77::1", kVm6), DropReason::ipsec_source_not_routed},
      {"congestion for who knows none", {.tos = 3}, to_vm(), DropReason::ecn_congestion},
  };
  for (const Fault& fault : faults) {
    SCOPED_TRACE(fault.name);
    IpsecNetwork net;
    for (const Tenant& tenant : kTwins) {
      const uint64_t before = net.count(fault.reason);
      EXPECT_TRUE(net.from_site(tenant, fault.inner, fault.how).empty());
      EXPECT_EQ(net.count(fault.reason), before + 1);
      EXPECT_EQ(net.drops(tenant).in_dropped.value(), 1U);
      EXPECT_EQ(
          net.network().counters(tenant.name).drops[static_cast<size_t>(fault.reason)].value(), 1U);
      EXPECT_TRUE(arrives(net.from_site(tenant, to_vm()), tenant, routed(to_vm())));
    }
    EXPECT_EQ(net.fault(), "");
  }
}

TEST(EnterIpsec, KnowsAnSaByItsWholeSpiAtItsAddressOfItsNetworkOnly) {
  IpsecNetwork net;
  const Bytes good = net.seal(kContoso, to_vm());
  Bytes other_spi = good;
  other_spi[20] ^= 1;  // the index stays
  EXPECT_TRUE(net.from_internet(other_spi).empty());
  Bytes no_such = good;
  no_such[23] ^= 0x40;
  EXPECT_TRUE(net.from_internet(no_such).empty());
  EXPECT_EQ(net.count(DropReason::ipsec_unknown_spi), 2U);
  // The same SA's packet in the other family's header.
  IpsecNetwork six({.outer_ipv6 = true});
  const Bytes over6 = six.seal(kContoso, to_vm());
  Bytes as4 = good;
  as4.resize(20);
  as4.insert(as4.end(), over6.begin() + 40, over6.end());
  as4[2] = static_cast<uint8_t>(as4.size() >> 8);
  as4[3] = static_cast<uint8_t>(as4.size());
  set_checksum(*reinterpret_cast<wire::Ipv4*>(as4.data()));
  EXPECT_TRUE(six.from_internet(as4).empty());
  EXPECT_EQ(six.count(DropReason::ipsec_unknown_spi), 1U);
  EXPECT_TRUE(arrives(net.from_internet(good), kContoso, routed(to_vm())));
  EXPECT_EQ(net.fault(), "");
}

// The other tenant's SA with one's own SPI: its key does not fit, and nothing of it comes in.
TEST(EnterIpsec, OneTenantsPacketUnderTheOthersSpiFailsItsCheck) {
  IpsecNetwork net;
  Bytes packet = net.seal(kContoso, to_vm());
  const Bytes others = net.seal(kFabrikam, to_vm());
  std::copy(others.begin() + 20, others.begin() + 24, packet.begin() + 20);
  EXPECT_TRUE(net.from_internet(packet).empty());
  EXPECT_EQ(net.drops(kFabrikam).of(DropReason::ipsec_bad_icv).value(), 1U);
  EXPECT_EQ(net.drops(kContoso).in_dropped.value(), 0U);
}

TEST(EnterIpsec, TakesEachNumberOnceWithinItsWindow) {
  IpsecNetwork net({.replay_window = 64});
  const auto send = [&](uint64_t sequence) {
    return net.from_site(kContoso, to_vm(), {.sequence = sequence}).size();
  };
  EXPECT_EQ(send(100), 1U);
  EXPECT_EQ(send(100), 0U);
  EXPECT_EQ(send(99), 1U);
  EXPECT_EQ(send(37), 1U);
  EXPECT_EQ(send(36), 0U);
  EXPECT_EQ(send(1000), 1U);
  EXPECT_EQ(send(100), 0U);
  EXPECT_EQ(net.count(DropReason::ipsec_replayed), 3U);
  // A forged number does not move the window.
  EXPECT_TRUE(net.from_site(kContoso, to_vm(), {.sequence = 5000, .wrong_icv = true}).empty());
  EXPECT_EQ(send(999), 1U);
  EXPECT_EQ(net.fault(), "");
}

// Twice in one vector: the window is asked again when the ICV is known to be right.
TEST(EnterIpsec, TakesANumberOnceEvenWithinAVector) {
  IpsecNetwork net;
  const Bytes packet = net.seal(kContoso, to_vm());
  const auto tag = vlan(kInternetVlan).with([](VlanLayer& l) { l.type = uint16_t{0x0800}; });
  const Bytes frame = (Frame(eth(kWanMac, "02:aa:cb:00:71:fe")) / tag / raw(packet)).bytes();
  EXPECT_EQ(net.line().run({{kWanPort, frame}, {kWanPort, frame}}).size(), 1U);
  EXPECT_EQ(net.count(DropReason::ipsec_replayed), 1U);
  EXPECT_EQ(net.fault(), "");
}

TEST(EnterIpsec, ExtendedNumbersCrossInto33Bits) {
  IpsecNetwork net({.sequence = SaSequence::extended});
  for (const uint64_t sequence :
       {uint64_t{0x80000000}, uint64_t{0xfffffff0}, uint64_t{0x100000005}, uint64_t{0xfffffff5}}) {
    EXPECT_EQ(net.from_site(kContoso, to_vm(), {.sequence = sequence}).size(), 1U) << sequence;
  }
  EXPECT_TRUE(net.from_site(kContoso, to_vm(), {.sequence = 0x100000005}).empty());
}

TEST(EnterIpsec, IgnoresWhatHidesALengthAndTakesInDummies) {
  IpsecNetwork net;
  EXPECT_TRUE(arrives(net.from_site(kContoso, to_vm(), {.traffic_flow_padding = 300}), kContoso,
                      routed(to_vm())));
  EXPECT_TRUE(
      arrives(net.from_site(kContoso, to_vm(), {.more_padding = 200}), kContoso, routed(to_vm())));
  EXPECT_TRUE(net.from_site(kContoso, Bytes(40, 0), {.next_header = 59}).empty());
  const auto& consumed = net.line().line().counters().consumed;
  EXPECT_EQ(consumed[static_cast<size_t>(ConsumeReason::esp_dummy)].value(), 1U);
  EXPECT_EQ(net.drops(kContoso).in_dropped.value(), 0U);
  EXPECT_EQ(net.fault(), "");
}

TEST(EnterIpsec, TakesOverTheCongestionMark) {
  IpsecNetwork net;
  const auto seen = net.from_site(kContoso, udp_packet(kSite, kVm, 18, 0xb8 | kEcnCapable0),
                                  {.tos = kEcnCongestion});
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].packet[1], 0xb8 | kEcnCongestion);
  std::string fault;
  (void)parse_packet(seen[0].packet, fault);
  EXPECT_EQ(fault, "");
}

TEST(EnterIpsec, DropsWhatTheSelectorsDoNotCover) {
  IpsecOptions options;
  options.theirs = {{.from = *IpAddress<Space::customer>::parse("172.16.5.0"),
                     .to = *IpAddress<Space::customer>::parse("172.16.5.255")}};
  IpsecNetwork net(options);
  EXPECT_EQ(net.from_site(kContoso, to_vm()).size(), 1U);
  EXPECT_TRUE(net.from_site(kContoso, udp_packet("172.16.6.5", kVm)).empty());
  EXPECT_TRUE(net.from_site(kContoso, udp_packet(kSite6, kVm6)).empty());
  EXPECT_EQ(net.drops(kContoso).of(DropReason::ipsec_policy_mismatch).value(), 2U);
}

TEST(EnterIpsec, SourceValidationCanBeLooseOrOff) {
  IpsecNetwork loose({.source_validation = SourceValidation::loose});
  EXPECT_EQ(loose.from_site(kContoso, udp_packet("10.0.1.12", kVm)).size(), 1U);
  EXPECT_TRUE(loose.from_site(kContoso, udp_packet("fd77::1", kVm6)).empty());
  IpsecNetwork off({.source_validation = SourceValidation::off});
  EXPECT_EQ(off.from_site(kContoso, udp_packet("fd77::1", kVm6)).size(), 1U);
  EXPECT_TRUE(off.from_site(kContoso, udp_packet("10.0.0.2", kVm)).empty()) << "our own";
}

TEST(EnterIpsec, ShapesToTheRateBehindDecryption) {
  IpsecNetwork net({.inbound = TunnelRate(5'120, 4'000)});
  unsigned received = 0;
  for (unsigned i = 0; i < 40; ++i) {
    received += static_cast<unsigned>(net.from_site(kContoso, udp_packet(kSite, kVm, 972)).size());
  }
  EXPECT_EQ(received, 4U);
  EXPECT_EQ(net.line().line().held(), 25U) << "40 ms are 25,600 bytes";
  EXPECT_EQ(net.drops(kContoso).in_rate_limited.value(), 11U);
  EXPECT_EQ(net.count(DropReason::ipsec_rate_limited), 11U);
  EXPECT_EQ(net.from_site(kFabrikam, to_vm()).size(), 1U);
  EXPECT_EQ(net.fault(), "");
  for (unsigned i = 0; i < 25; ++i) {
    net.network().clock().advance(std::chrono::microseconds(1'700));
    for (const IpsecSeen& seen : net.breathe()) {
      EXPECT_EQ(seen.where, kContoso.name);
      EXPECT_EQ(seen.packet.size(), 1'000U);
      EXPECT_EQ(seen.packet[8], udp_packet(kSite, kVm)[8] - 1) << "its TTL is lowered once";
      ++received;
    }
  }
  EXPECT_EQ(received, 29U);
  EXPECT_EQ(net.traffic(kContoso).in_packets.value(), 29U);
  EXPECT_EQ(net.traffic(kContoso).in_bytes.value(), 29'000U);
  EXPECT_EQ(net.fault(), "");
}

TEST(EnterIpsec, WhatWaitsEndsWithItsTunnel) {
  IpsecNetwork net({.inbound = TunnelRate(5'120, 4'000)});
  for (unsigned i = 0; i < 8; ++i) (void)net.from_site(kContoso, udp_packet(kSite, kVm, 972));
  EXPECT_EQ(net.line().line().held(), 4U);
  net.remove_tunnel(kContoso);
  net.network().clock().advance(std::chrono::milliseconds(8));
  EXPECT_TRUE(net.breathe().empty());
  EXPECT_EQ(net.count(DropReason::ipsec_tunnel_gone), 4U);
  EXPECT_EQ(net.line().line().held(), 0U);
  EXPECT_EQ(net.fault(), "");
}

TEST(EnterIpsec, WhatWaitsEndsWithItsDomainAndIsNotTheNextOnes) {
  IpsecNetwork net({.inbound = TunnelRate(5'120, 4'000)});
  for (unsigned i = 0; i < 8; ++i) (void)net.from_site(kContoso, udp_packet(kSite, kVm, 972));
  EXPECT_EQ(net.line().line().held(), 4U);
  net.replace_domain(kContoso);
  net.network().clock().advance(std::chrono::milliseconds(8));
  EXPECT_TRUE(net.breathe().empty());
  EXPECT_EQ(net.count(DropReason::ipsec_tunnel_gone), 4U);
  EXPECT_EQ(net.line().line().held(), 0U);
  EXPECT_EQ(net.fault(), "");
}

TEST(EnterIpsec, TellsWhereASiteBehindNatIsNow) {
  IpsecNetwork net({.encapsulation = SaEncapsulation::udp});
  EXPECT_EQ(net.from_site(kContoso, to_vm()).size(), 1U);
  EXPECT_TRUE(net.notices().empty());
  const SaEndpoint moved{*IpAddress<Space::external>::parse("198.51.100.99"), 61'000};
  // Neither a forged packet nor an old one says where it is.
  EXPECT_TRUE(net.from_site(kContoso, to_vm(), {.wrong_icv = true, .from = moved}).empty());
  EXPECT_EQ(net.from_site(kContoso, to_vm(), {.sequence = 20}).size(), 1U);
  EXPECT_EQ(net.from_site(kContoso, to_vm(), {.sequence = 10, .from = moved}).size(), 1U);
  EXPECT_TRUE(net.notices().empty());
  EXPECT_EQ(net.from_site(kContoso, to_vm(), {.from = moved}).size(), 1U);
  EXPECT_EQ(net.from_site(kContoso, to_vm(), {.from = moved}).size(), 1U);
  const auto notices = net.notices();
  ASSERT_EQ(notices.size(), 1U);
  EXPECT_EQ(notices[0].kind, IpsecNotice::Kind::moved);
  EXPECT_EQ(notices[0].remote, moved);
  EXPECT_EQ(notices[0].sa_uid, net.inbound(kContoso).uid);
}

// What comes to a VPN address, and what to others.
TEST(ClassifyIpsec, SortsIkeEspAndKeepalives) {
  IpsecNetwork net;
  const auto udp = [&](uint16_t port, const Bytes& payload, uint16_t fragment = 0) {
    NatPacket packet = nat_udp("198.51.100.77", 500, "203.0.113.1", port);
    packet.payload = payload;
    packet.fragment = fragment;
    return packet.bytes();
  };
  const Bytes marked = {0, 0, 0, 0, 1, 2, 3, 4};
  for (const Bytes& ike : {udp(500, Bytes(28, 1)), udp(4500, marked), udp(4500, {0, 0, 0, 0}),
                           udp(500, Bytes(48, 1), 0x2000), udp(0, Bytes(48, 1), 6)}) {
    EXPECT_TRUE(net.from_internet(ike).empty());
    ASSERT_EQ(net.line().punts().size(), 1U);
    EXPECT_EQ(net.line().notes()[0].punt_for, PuntFor::charon);
    EXPECT_FALSE(net.line().notes()[0].resolve);
    EXPECT_EQ(net.line().notes()[0].l2_bytes, 18);
    EXPECT_EQ(Bytes(net.line().punts()[0].begin() + 18, net.line().punts()[0].end()), ike);
    net.line().punts().clear();
    net.line().notes().clear();
  }
  EXPECT_TRUE(net.from_internet(udp(4500, {0xff})).empty());
  EXPECT_EQ(net.line()
                .line()
                .counters()
                .consumed[static_cast<size_t>(ConsumeReason::nat_keepalive)]
                .value(),
            1U);
  EXPECT_TRUE(net.from_internet(udp(4500, {1, 2, 3})).empty());
  EXPECT_EQ(net.count(DropReason::ipsec_short), 1U);
  EXPECT_TRUE(net.from_internet(udp(4500, Bytes(60, 9))).empty());
  EXPECT_EQ(net.count(DropReason::ipsec_unknown_spi), 1U);
  EXPECT_TRUE(net.from_internet(udp(53, Bytes(60, 9))).empty());
  EXPECT_EQ(net.count(DropReason::outer_protocol), 1U);
  EXPECT_TRUE(net.line().punts().empty());
  EXPECT_EQ(net.fault(), "");
}

TEST(ClassifyIpsec, EspFragmentsAndEspElsewhereEnd) {
  IpsecNetwork net;
  Bytes fragment = net.seal(kContoso, to_vm());
  fragment[6] = 0x20;
  set_checksum(*reinterpret_cast<wire::Ipv4*>(fragment.data()));
  EXPECT_TRUE(net.from_internet(fragment).empty());
  EXPECT_EQ(net.count(DropReason::outer_fragment), 1U);
  // To a public address of NAT's it is no IPsec.
  Bytes elsewhere = net.seal(kContoso, to_vm());
  elsewhere[16] = 198;
  elsewhere[17] = 51;
  elsewhere[18] = 100;
  elsewhere[19] = 4;
  set_checksum(*reinterpret_cast<wire::Ipv4*>(elsewhere.data()));
  EXPECT_TRUE(net.from_internet(elsewhere).empty());
  EXPECT_EQ(net.count(DropReason::nat_protocol), 1U);
  EXPECT_EQ(net.fault(), "");
}

// Every cut of a good packet ends somewhere, with the ledger right.
TEST(EnterIpsec, SurvivesEveryCut) {
  for (const SaCipher cipher : {SaCipher::aes_gcm, SaCipher::aes_cbc}) {
    IpsecNetwork net({.cipher = cipher,
                      .integrity = cipher == SaCipher::aes_gcm ? SaIntegrity::none
                                                               : SaIntegrity::hmac_sha256_128});
    const Bytes whole = net.seal(kContoso, to_vm());
    for (size_t size = 20; size < whole.size(); ++size) {
      Bytes cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
      cut[2] = 0;
      cut[3] = static_cast<uint8_t>(size);
      set_checksum(*reinterpret_cast<wire::Ipv4*>(cut.data()));
      EXPECT_TRUE(net.from_internet(cut).empty()) << size;
    }
    EXPECT_GT(net.count(DropReason::ipsec_short), 0U);
    EXPECT_GT(net.count(DropReason::ipsec_bad_icv), 0U);
    EXPECT_EQ(net.fault(), "");
  }
}

}  // namespace
}  // namespace hnv
