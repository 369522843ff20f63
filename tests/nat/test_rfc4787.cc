// SPDX-License-Identifier: Apache-2.0
//
// RFC 4787, NAT behavioral requirements for unicast UDP: one test a requirement.
#include <initializer_list>
#include <set>

#include <gtest/gtest.h>

#include "tests/support/nat_network.h"

namespace hnv {
namespace {

constexpr const char* kVm = "10.0.1.11";
constexpr const char* kOther = "10.0.1.12";
constexpr const char* kServer = "192.0.2.80";
constexpr const char* kStranger = "192.0.2.99";
constexpr uint16_t kMoreFragments = 0x2000;
constexpr uint16_t kDontFragment = 0x4000;

std::string filtering(const char* word) {
  return NatNetwork::rules(std::string(R"("filtering":")") + word + "\"");
}

void share_one_address(NatNetwork& net) {
  net.change({{"publicIPAddresses/shared",
               R"({"externalNetwork":"internet","publicIPAddresses":["198.51.100.4/32"]})"}});
}

// A datagram in two fragments: the first has 24 bytes behind its UDP or ICMP header.
std::pair<NatPacket, NatPacket> fragments_of(NatPacket whole) {
  whole.id = 0x7788;
  NatPacket later = whole;
  whole.fragment = kMoreFragments;
  whole.payload = Bytes(24, 0x31);
  later.fragment = 4;
  later.payload = Bytes(40, 0x32);
  return {whole, later};
}

TEST(Rfc4787, Req1_MapsAnEndpointTheSameForEveryRemote) {
  NatNetwork net;
  std::set<Endpoint> seen;
  for (const Tenant& tenant : kTwins) {
    const Endpoint first = source_of(net.one_from_vm(tenant, nat_udp(kVm, 5000, kServer, 53)));
    EXPECT_EQ(source_of(net.one_from_vm(tenant, nat_udp(kVm, 5000, kServer, 54))), first);
    EXPECT_EQ(source_of(net.one_from_vm(tenant, nat_udp(kVm, 5000, kStranger, 53))), first);
    EXPECT_EQ(source_of(net.one_from_vm(tenant, nat_udp(kVm, 5000, "192.0.2.200", 9))), first);
    EXPECT_NE(source_of(net.one_from_vm(tenant, nat_udp(kVm, 5002, kServer, 53))), first);
    EXPECT_TRUE(seen.insert(first).second);
  }
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc4787, Req2_PairsAnInsideAddressWithOnePublicOne) {
  NatNetwork net;
  for (const Tenant& tenant : kTwins) {
    std::set<std::string> addresses;
    for (uint16_t i = 0; i < 200; ++i) {  // several blocks of ports
      addresses.insert(net.one_from_vm(tenant, nat_udp(kVm, 2000 + i, kServer, 53)).from);
    }
    addresses.insert(net.one_from_vm(tenant, nat_tcp(kVm, 2000, kServer, 80)).from);
    addresses.insert(net.one_from_vm(tenant, nat_echo(kVm, kServer, 7)).from);
    EXPECT_EQ(addresses.size(), 1U);
  }
  // Not all of them have the same one.
  net.add_vms(kContoso, 20, 59);
  std::set<std::string> addresses;
  for (unsigned host = 20; host < 60; ++host) {
    const std::string vm = "10.0.1." + std::to_string(host);
    addresses.insert(net.one_from_vm(kContoso, nat_udp(vm, 5000, kServer, 53)).from);
  }
  EXPECT_EQ(addresses.size(), 4U);
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc4787, Req3_NeverGivesAPortTwice) {
  NatNetwork net;
  share_one_address(net);
  std::set<Endpoint> seen;
  for (const Tenant& tenant : kTwins) {
    for (const char* vm : {kVm, kOther}) {
      for (uint16_t i = 0; i < 250; ++i) {
        // All to one remote: were ports shared by remotes, they would have to be here.
        const NatPacket out = net.one_from_vm(tenant, nat_udp(vm, 3000 + i, kServer, 53));
        EXPECT_GE(out.from_port, 1024);
        EXPECT_TRUE(seen.insert(source_of(out)).second) << out.from_port;
      }
    }
  }
  EXPECT_EQ(seen.size(), 1000U);
}

TEST(Rfc4787, Req4_KeepsParity) {
  NatNetwork net;
  for (const Tenant& tenant : kTwins) {
    for (uint16_t i = 0; i < 60; ++i) {
      const auto port = static_cast<uint16_t>(4000 + i);
      const NatPacket out = net.one_from_vm(tenant, nat_udp(kVm, port, kServer, 53));
      EXPECT_EQ(out.from_port % 2, port % 2) << port;
    }
  }
}

TEST(Rfc4787, Req5_KeepsASilentMappingForFiveMinutes) {
  NatNetwork net;
  std::vector<NatPacket> out;
  for (const Tenant& tenant : kTwins) {
    out.push_back(net.one_from_vm(tenant, nat_udp(kVm, 5000, kServer, 53)));  // well-known, too
    out.push_back(net.one_from_vm(tenant, nat_udp(kVm, 5001, kServer, 40000)));
  }
  net.wait(std::chrono::seconds(295));
  for (const NatPacket& p : out) EXPECT_EQ(net.from_internet(reply_to(p)).size(), 1U);
  net.wait(std::chrono::seconds(15));
  for (const NatPacket& p : out) EXPECT_TRUE(net.from_internet(reply_to(p)).empty());
}

TEST(Rfc4787, Req6_IsRefreshedFromInside) {
  NatNetwork net;
  const NatPacket out = net.one_from_vm(kContoso, nat_udp(kVm, 5000, kServer, 53));
  const NatPacket other = net.one_from_vm(kFabrikam, nat_udp(kVm, 5000, kServer, 53));
  for (int i = 0; i < 4; ++i) {
    net.wait(std::chrono::seconds(200));
    EXPECT_EQ(source_of(net.one_from_vm(kContoso, nat_udp(kVm, 5000, kServer, 53))),
              source_of(out));
    // What comes from outside prolongs nothing (REQ-6a).
    (void)net.from_internet(reply_to(other));
  }
  EXPECT_EQ(net.one_from_internet(reply_to(out)).to_port, 5000);
  EXPECT_TRUE(net.from_internet(reply_to(other)).empty());
}

// Our networks are configured, not learned; what is inside may be numbered as what is outside.
TEST(Rfc4787, Req7_TranslatesInsideAddressesThatConflictWithOutside) {
  NatNetwork net;
  net.change(
      {{"routingDomains/contoso/virtualSubnets/clash",
        R"({"virtualSubnetId":5009,"addressPrefixes":["203.0.113.0/24"],
            "providerNetwork":"fabric"})"},
       {"routingDomains/contoso/virtualSubnets/clash/lookupRecords/203.0.113.254",
        R"({"customerAddress":"203.0.113.254","providerAddress":"10.250.0.11",
            "macAddress":"00:15:5d:01:00:99","type":"Static"})"},
       {"routingDomains/contoso/nat", R"({"outboundRules":[{"name":"all","pool":"shared"}]})"}});
  // It has the address of our own router outside.
  const NatPacket out = net.one_from_vm(kContoso, nat_udp("203.0.113.254", 5000, kServer, 53));
  EXPECT_TRUE(out.from.starts_with("198.51.100."));
  const NatPacket back = net.one_from_internet(reply_to(out));
  EXPECT_EQ(back.to, "203.0.113.254");
  // Who claims outside to be a machine inside is not who it says.
  const NatPacket mapped = net.one_from_vm(kFabrikam, nat_udp(kVm, 5000, kServer, 53));
  EXPECT_TRUE(net.from_internet(nat_udp(kOther, 77, mapped.from, mapped.from_port)).empty());
  EXPECT_EQ(net.drops(DropReason::nat_spoofed), 1U);
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc4787, Req8_FiltersAsConfigured) {
  struct Mode {
    const char* word;
    bool other_port, other_address;
  };
  for (const Mode& mode :
       {Mode{"EndpointIndependent", true, true}, Mode{"AddressDependent", true, false},
        Mode{"AddressAndPortDependent", false, false}}) {
    NatNetwork net;
    for (const Tenant& tenant : kTwins) {
      if (std::string(mode.word) != "EndpointIndependent") net.nat(tenant, filtering(mode.word));
    }
    for (const Tenant& tenant : kTwins) {
      const NatPacket out = net.one_from_vm(tenant, nat_udp(kVm, 5000, kServer, 53));
      const uint64_t filtered = net.drops(DropReason::nat_filtered);
      EXPECT_EQ(net.from_internet(nat_udp(kServer, 53, out.from, out.from_port)).size(), 1U);
      EXPECT_EQ(net.from_internet(nat_udp(kServer, 99, out.from, out.from_port)).size(),
                mode.other_port ? 1U : 0U)
          << mode.word;
      EXPECT_EQ(net.from_internet(nat_udp(kStranger, 53, out.from, out.from_port)).size(),
                mode.other_address ? 1U : 0U)
          << mode.word;
      const uint64_t refused = (mode.other_port ? 0U : 1U) + (mode.other_address ? 0U : 1U);
      EXPECT_EQ(net.drops(DropReason::nat_filtered), filtered + refused);
    }
    EXPECT_EQ(net.fault(), "");
  }
}

TEST(Rfc4787, Req9_HairpinsWithThePublicSource) {
  NatNetwork net;
  share_one_address(net);  // both have the same public address
  for (const Tenant& tenant : kTwins) {
    const NatPacket b = net.one_from_vm(tenant, nat_udp(kOther, 7000, kServer, 53));
    const NatPacket a = net.one_from_vm(tenant, nat_udp(kVm, 6000, kServer, 53));
    const auto seen = net.from_vm(tenant, nat_udp(kVm, 6000, b.from, b.from_port));
    ASSERT_EQ(seen.size(), 1U);
    EXPECT_EQ(seen[0].where, tenant.name);
    EXPECT_EQ(seen[0].fault, "");
    EXPECT_EQ(source_of(seen[0].packet), source_of(a));
    EXPECT_EQ(seen[0].packet.to, kOther);
    const NatPacket back = net.one_from_vm(tenant, reply_to(seen[0].packet));
    EXPECT_EQ(source_of(back), source_of(b));
    EXPECT_EQ(back.to, kVm);
    EXPECT_EQ(back.to_port, 6000);
  }
  // From one tenant to what the other shows outside.
  const NatPacket b = net.one_from_vm(kFabrikam, nat_udp(kOther, 7000, kServer, 53));
  const auto seen = net.from_vm(kContoso, nat_udp(kVm, 6000, b.from, b.from_port));
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].where, "fabrikam");
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc4787, Req9_HairpinsFragments) {
  NatNetwork net;
  share_one_address(net);
  const NatPacket b = net.one_from_vm(kContoso, nat_udp(kOther, 7000, kServer, 53));
  const auto [first, later] = fragments_of(nat_udp(kVm, 6000, b.from, b.from_port));
  EXPECT_EQ(net.one_from_vm(kContoso, first).to, kOther);
  const NatPacket rest = net.one_from_vm(kContoso, later);
  EXPECT_EQ(rest.to, kOther);
  EXPECT_EQ(rest.from, b.from);
  EXPECT_EQ(rest.payload, later.payload);
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc4787, Req10_KeepsItsHandsOffPayloads) {
  NatNetwork net;
  for (const uint16_t port : std::initializer_list<uint16_t>{53, 69, 137, 500, 1719, 3478, 5060}) {
    NatPacket out = nat_udp(kVm, 5060, kServer, port);
    const std::string text = "INVITE sip:10.0.1.11:5060 c=IN IP4 10.0.1.11 m=audio 5004";
    out.payload.assign(text.begin(), text.end());
    const Bytes address = {10, 0, 1, 11};
    out.payload.insert(out.payload.end(), address.begin(), address.end());
    const NatPacket seen = net.one_from_vm(kContoso, out);
    EXPECT_EQ(seen.payload, out.payload) << port;
    EXPECT_EQ(net.one_from_internet(reply_to(seen)).payload, out.payload) << port;
  }
}

TEST(Rfc4787, Req11_BehavesTheSameUnderPressure) {
  NatNetwork net(R"("portRange":{"first":1024,"last":2047})");
  share_one_address(net);
  net.change({{"publicIPAddresses/shared",
               R"({"externalNetwork":"internet","publicIPAddresses":["198.51.100.4/32"],
                   "portRange":{"first":1024,"last":1535}})"}});
  const NatPacket first = net.one_from_vm(kContoso, nat_udp(kVm, 5000, kServer, 53));
  // The same endpoint inside, of the other tenant, and more flows than there are ports.
  (void)net.one_from_vm(kFabrikam, nat_udp(kVm, 5000, kServer, 53));
  unsigned refused = 0;
  for (uint16_t i = 0; i < 600; ++i) {
    const auto seen = net.from_vm(kContoso, nat_udp(kOther, 10000 + i, kServer, 53));
    refused += seen.empty() || seen[0].where != "internet" ? 1 : 0;
  }
  EXPECT_GT(refused, 0U);
  EXPECT_EQ(net.drops(DropReason::nat_no_port), refused);
  EXPECT_EQ(source_of(net.one_from_vm(kContoso, nat_udp(kVm, 5000, kStranger, 9))),
            source_of(first));
  EXPECT_EQ(net.one_from_internet(nat_udp("192.0.2.123", 9, first.from, first.from_port)).to_port,
            5000);
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc4787, Req12_SurvivesIcmpErrors) {
  NatNetwork net;
  for (const Tenant& tenant : kTwins) {
    const NatPacket out = net.one_from_vm(tenant, nat_udp(kVm, 5000, kServer, 53));
    const uint32_t sessions = net.table().size();
    for (uint8_t code = 0; code < 16; ++code) {
      EXPECT_EQ(net.from_internet(error_about(out, kServer, 3, code, 576)).size(), 1U);
    }
    for (const uint8_t type : std::initializer_list<uint8_t>{11, 12}) {
      EXPECT_EQ(net.from_internet(error_about(out, "192.0.2.1", type, 0)).size(), 1U);
    }
    const NatPacket back = net.one_from_internet(reply_to(out));
    EXPECT_EQ(net.from_vm(tenant, error_about(back, kVm, 3, 3)).size(), 1U);
    EXPECT_EQ(net.table().size(), sessions);
    EXPECT_EQ(net.one_from_internet(reply_to(out)).to_port, 5000);
    EXPECT_EQ(source_of(net.one_from_vm(tenant, nat_udp(kVm, 5000, kStranger, 1))), source_of(out));
  }
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc4787, Req13_TellsOrCutsWhatIsTooLarge) {
  NatNetwork net;
  NatPacket large = nat_udp(kVm, 5000, kServer, 53);
  large.payload = Bytes(1550, 0x5a);
  large.fragment = kDontFragment;
  const auto told = net.from_vm(kContoso, large);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].where, "contoso");
  EXPECT_EQ(told[0].fault, "");
  EXPECT_EQ(told[0].packet.to, kVm);
  EXPECT_EQ(told[0].packet.icmp_type, 3);
  EXPECT_EQ(told[0].packet.icmp_code, 4);
  EXPECT_EQ(told[0].packet.icmp_mtu, 1500);

  large.fragment = 0;
  const auto cut = net.from_vm(kContoso, large);
  ASSERT_EQ(cut.size(), 2U);  // REQ-13a: in order
  Bytes payload;
  for (const NatSeen& seen : cut) {
    EXPECT_EQ(seen.where, "internet");
    EXPECT_EQ(seen.fault, "");
    EXPECT_EQ(seen.packet.from, cut[0].packet.from);
    payload.insert(payload.end(), seen.packet.payload.begin(), seen.packet.payload.end());
  }
  EXPECT_EQ(cut[0].packet.fragment, kMoreFragments);
  EXPECT_GT(cut[1].packet.fragment, 0);
  EXPECT_EQ(payload, large.payload);
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc4787, Req14_TakesFragmentsInAnyOrder) {
  NatNetwork net;
  for (const Tenant& tenant : kTwins) {
    for (const NatPacket& whole : {nat_udp(kVm, 5000, kServer, 53), nat_echo(kVm, kServer, 1234)}) {
      const auto [first, later] = fragments_of(whole);
      // In order, then the other way round.
      const NatPacket out = net.one_from_vm(tenant, first);
      EXPECT_EQ(net.one_from_vm(tenant, later).from, out.from);
      NatPacket second_first = first;
      NatPacket second_later = later;
      second_first.id = second_later.id = 0x7799;
      EXPECT_TRUE(net.from_vm(tenant, second_later).empty());
      EXPECT_EQ(net.line().line().held(), 1U);
      const auto both = net.from_vm(tenant, second_first);
      ASSERT_EQ(both.size(), 2U);
      for (const NatSeen& seen : both) {
        EXPECT_EQ(seen.where, "internet");
        EXPECT_EQ(seen.fault, "");
        EXPECT_EQ(seen.packet.from, out.from);
      }
      // And back.
      const auto [answer, rest] = fragments_of(reply_to(out));
      EXPECT_TRUE(net.from_internet(rest).empty());
      const auto back = net.from_internet(answer);
      ASSERT_EQ(back.size(), 2U);
      for (const NatSeen& seen : back) {
        EXPECT_EQ(seen.where, tenant.name);
        EXPECT_EQ(seen.fault, "");
        EXPECT_EQ(seen.packet.to, kVm);
      }
    }
  }
  EXPECT_EQ(net.fault(), "");
}

// REQ-14a: strangers' fragments do not keep out what comes in order.
TEST(Rfc4787, Req14_IsNotBlockedByFragmentsThatWait) {
  NatNetwork net;
  const NatPacket out = net.one_from_vm(kContoso, nat_udp(kVm, 5000, kServer, 53));
  const auto [answer, rest] = fragments_of(reply_to(out));
  for (unsigned i = 0; i < 3000; ++i) {
    NatPacket junk = rest;
    junk.from = "192.0.2." + std::to_string(i % 250);
    junk.id = static_cast<uint16_t>(i);
    EXPECT_TRUE(net.from_internet(junk).empty());
  }
  EXPECT_GT(net.drops(DropReason::nat_fragment_lost), 2000U);
  for (unsigned i = 0; i < 200; ++i) {
    NatPacket first = answer;
    NatPacket later = rest;
    first.id = later.id = static_cast<uint16_t>(0x9000 + i);
    EXPECT_EQ(net.one_from_internet(first).to, kVm);
    EXPECT_EQ(net.one_from_internet(later).to, kVm) << i;
    EXPECT_EQ(net.one_from_internet(reply_to(out)).to_port, 5000);
  }
  net.wait(std::chrono::seconds(12));
  EXPECT_EQ(net.line().line().held(), 0U);
  EXPECT_EQ(net.fault(), "");
}

}  // namespace
}  // namespace hnv
