// SPDX-License-Identifier: Apache-2.0
//
// IPv6 outside, inside, and both: all four combinations through every door, and what is refused on
// the way. Addresses are the same for both tenants; tables run for each.
#include <gtest/gtest.h>

#include "tests/gateway/line_cases.h"

namespace hnv {
namespace {

using enum DropReason;

constexpr const char* kSixVm = "fd10:0:0:4::41";
constexpr const char* kPeer6Mac = "02:a6:00:00:00:fe";  // of fd07::fe

Frame hop_less6(const std::string& to, const std::string& from = "fd10:0:0:1::11") {
  return Frame(ip6(from, to).with([](Ip6Layer& l) { l.hop_limit = 63; })) / udp(1000, 2000) /
         payload(18);
}
Frame hop_less4(const std::string& to, const std::string& from) {
  return Frame(ip(from, to).with([](IpLayer& l) { l.ttl = 63; })) / udp(1000, 2000) / payload(18);
}
// VM ::11 on the IPv4 fabric sends.
Frame sends6(const Tenant& t, const std::string& to) {
  return fabric() / nvgre(t.gateway) / vm_udp6("fd10:0:0:1::11", to);
}
// VM 41 on the IPv6 fabric sends, in its own subnet.
Frame six_sends(const Tenant& t, const Frame& inner) {
  return fabric6() / nvgre(t.six, kVm41Mac) / inner;
}

const LineCase kIpv6[] = {
    {.name = "inner IPv6 over IPv4, to a VM over IPv4",
     .in = [](const Tenant& t) { return sends6(t, "fd10:0:0:1::12"); },
     .out =
         [](const Tenant& t) {
           const Frame inner = hop_less6("fd10:0:0:1::12");
           return to_vm({.vsid = t.web, .flow_id = flow_of(inner)}) / inner;
         }},
    {.name = "inner IPv6 over IPv4, to a VM over IPv6",
     .in = [](const Tenant& t) { return sends6(t, kSixVm); },
     .out = [](const Tenant& t) { return to_vm6({.vsid = t.six}, hop_less6(kSixVm)); }},
    {.name = "inner IPv6 over IPv6, to a VM over IPv4",
     .in = [](const Tenant& t) { return six_sends(t, vm_udp6(kSixVm, "fd10:0:0:1::12")); },
     .out =
         [](const Tenant& t) {
           const Frame inner = hop_less6("fd10:0:0:1::12", kSixVm);
           return to_vm({.vsid = t.web, .flow_id = flow_of(inner)}) / inner;
         }},
    {.name = "inner IPv6 over IPv6, to a PA behind the fabric's router, FlowID zero",
     .in = [](const Tenant& t) { return six_sends(t, vm_udp6(kSixVm, "fd10:0:0:4::42")); },
     .out =
         [](const Tenant& t) {
           return to_vm6({.host = "fd61::12",
                          .vm_mac = kVm42Mac,
                          .vsid = t.six,
                          .neighbor = "fd60::fe",
                          .zero_flow_id = true},
                         hop_less6("fd10:0:0:4::42", kSixVm));
         }},
    {.name = "inner IPv4 over IPv6, to a VM over IPv4",
     .in = [](const Tenant& t) { return six_sends(t, vm_udp("10.0.4.41", "10.0.1.12")); },
     .out =
         [](const Tenant& t) {
           const Frame inner = hop_less4("10.0.1.12", "10.0.4.41");
           return to_vm({.vsid = t.web, .flow_id = flow_of(inner)}) / inner;
         }},
    {.name = "inner IPv4 over IPv4, to a VM over IPv6",
     .in = [](const Tenant& t) { return from_vm(t, vm_udp("10.0.1.11", "10.0.4.41")); },
     .out =
         [](const Tenant& t) {
           return to_vm6({.vsid = t.six}, hop_less4("10.0.4.41", "10.0.1.11"));
         }},
    {.name = "to the physical network, through its router",
     .in = [](const Tenant& t) { return sends6(t, "fd16::4"); },
     .out =
         [](const Tenant& t) {
           return Frame(eth(kPeer6Mac, kPrivateMac)) / vlan(t.private_vlan) / hop_less6("fd16::4");
         },
     .out_port = kWanPort},
    {.name = "from the physical network",
     .in = [](const Tenant& t) { return private_net(t) / vm_udp6("fd16::4", "fd10:0:0:1::12"); },
     .port = kWanPort,
     .out =
         [](const Tenant& t) {
           const Frame inner = hop_less6("fd10:0:0:1::12", "fd16::4");
           return to_vm({.vsid = t.web, .flow_id = flow_of(inner)}) / inner;
         }},
    {.name = "a customer route through a VM",
     .in = [](const Tenant& t) { return sends6(t, "fd21::5"); },
     .out =
         [](const Tenant& t) {
           const Frame inner = hop_less6("fd21::5");
           return to_vm({.vsid = t.web, .flow_id = flow_of(inner)}) / inner;
         }},
    {.name = "a customer route to whom only wildcard-v6 knows",
     .in = [](const Tenant& t) { return sends6(t, "fd20::5"); },
     .out =
         [](const Tenant& t) {
           return to_vm6({.host = "fd60::77", .vm_mac = kOtherGatewayMac, .vsid = t.six},
                         hop_less6("fd20::5"));
         }},
    {.name = "wildcard-v6 vouches for what lies in no subnet",
     .in =
         [](const Tenant& t) {
           return fabric6("fd60::77") / nvgre(t.six, kOtherGatewayMac) /
                  vm_udp6("fd20::5", "fd10:0:0:1::12");
         },
     .out =
         [](const Tenant& t) {
           const Frame inner = hop_less6("fd10:0:0:1::12", "fd20::5");
           return to_vm({.vsid = t.web, .flow_id = flow_of(inner)}) / inner;
         }},
    {.name = "wildcard-v6 does not vouch for IPv4",
     .in =
         [](const Tenant& t) {
           return fabric6("fd60::77") / nvgre(t.six, kOtherGatewayMac) /
                  vm_udp("172.20.5.5", "10.0.1.12");
         },
     .drop = nvgre_unknown_source},
    {.name = "extension headers pass, outer and inner (RFC 7045)",
     .in =
         [](const Tenant& t) {
           return Frame(eth(kFabricMac, "02:aa:0a:fa:00:0b")) / vlan(60) /
                  ip6("fd60::11", "fd60::1") / extension(60) / nvgre(t.six, kVm41Mac) /
                  ip6(kSixVm, "fd10:0:0:1::12") / extension(0, 16) / extension(43) / udp(7, 8) /
                  payload(4);
         },
     .out =
         [](const Tenant& t) {
           const Frame inner =
               Frame(ip6(kSixVm, "fd10:0:0:1::12").with([](Ip6Layer& l) { l.hop_limit = 63; })) /
               extension(0, 16) / extension(43) / udp(7, 8) / payload(4);
           return to_vm({.vsid = t.web, .flow_id = flow_of(inner)}) / inner;
         }},
    {.name = "Ethernet's padding stays outside",
     .in =
         [](const Tenant& t) {
           return (six_sends(t, Frame(ip6(kSixVm, "fd10:0:0:1::12")) / udp(1, 2))).padded(30);
         },
     .out =
         [](const Tenant& t) {
           const Frame inner =
               Frame(ip6(kSixVm, "fd10:0:0:1::12").with([](Ip6Layer& l) { l.hop_limit = 63; })) /
               udp(1, 2);
           return to_vm({.vsid = t.web, .flow_id = flow_of(inner)}) / inner;
         }},
    // --- outer headers ---
    {.name = "an outer IPv6 header cut short",
     .in =
         [](const Tenant&) {
           return Frame(eth(kFabricMac, "02:aa:0a:fa:00:0b").with([](EthLayer& l) {
                    l.type = 0x86dd;
                  })) /
                  payload(30);
         },
     .drop = frame_short},
    {.name = "a payload length beyond the frame",
     .in =
         [](const Tenant& t) {
           return Frame(eth(kFabricMac, "02:aa:0a:fa:00:0b")) / vlan(60) /
                  ip6("fd60::11", "fd60::1").with([](Ip6Layer& l) { l.payload_length = 900; }) /
                  nvgre(t.six) / vm_udp6();
         },
     .drop = outer_bad_header},
    {.name = "another version",
     .in =
         [](const Tenant& t) {
           return Frame(eth(kFabricMac, "02:aa:0a:fa:00:0b")) / vlan(60) /
                  ip6("fd60::11", "fd60::1").with([](Ip6Layer& l) { l.version = 4; }) /
                  nvgre(t.six) / vm_udp6();
         },
     .drop = outer_bad_header},
    {.name = "a link-local outer source",
     .in = [](const Tenant& t) { return fabric6("fe80::11") / nvgre(t.six) / vm_udp6(); },
     .drop = outer_bad_source},
    {.name = "our own PA as the outer source",
     .in = [](const Tenant& t) { return fabric6("fd60::1") / nvgre(t.six) / vm_udp6(); },
     .drop = outer_bad_source},
    {.name = "somebody else's PA",
     .in =
         [](const Tenant& t) { return fabric6("fd60::11", "fd60::9") / nvgre(t.six) / vm_udp6(); },
     .drop = outer_not_ours},
    {.name = "an outer fragment (RFC 7637 §4.4)",
     .in =
         [](const Tenant& t) {
           return Frame(eth(kFabricMac, "02:aa:0a:fa:00:0b")) / vlan(60) /
                  ip6("fd60::11", "fd60::1") / fragment_header(0, 1) / nvgre(t.six) / vm_udp6();
         },
     .drop = outer_fragment},
    {.name = "an outer chain that runs over the end",
     .in =
         [](const Tenant&) {
           return Frame(eth(kFabricMac, "02:aa:0a:fa:00:0b")) / vlan(60) /
                  ip6("fd60::11", "fd60::1") /
                  extension(60).with([](ExtensionLayer& l) { l.length = 9; }) / payload(20);
         },
     .drop = extension_header_bad},
    {.name = "UDP to a PA",
     .in = [](const Tenant&) { return fabric6() / udp(1, 2) / payload(20); },
     .drop = outer_protocol},
    {.name = "GRE on a shared physical network",
     .in =
         [](const Tenant& t) {
           return Frame(eth(kWanMac, kPeerMac)) / vlan(30) /
                  ip6("2001:db8:30::5", "2001:db8:30::1") / nvgre(t.six) / vm_udp6();
         },
     .port = kWanPort,
     .drop = gre_not_on_fabric},
    {.name = "a VSID of the IPv4 fabric on the IPv6 one",
     .in = [](const Tenant& t) { return fabric6() / nvgre(t.web, kVm11Mac) / vm_udp6(); },
     .drop = nvgre_wrong_network},
    {.name = "GRE that is not NVGRE",
     .in =
         [](const Tenant& t) {
           return fabric6() / gre(t.six).with([](GreLayer& l) { l.flags = 0xa000; }) /
                  eth(kGatewayMac, kVm41Mac) / vm_udp6();
         },
     .drop = nvgre_bad_flags},
    // --- the inner packet and who vouches for it ---
    {.name = "an inner header cut short",
     .in =
         [](const Tenant& t) {
           return fabric() / gre(t.gateway) / eth(kGatewayMac, kVm11Mac).with([](EthLayer& l) {
             l.type = 0x86dd;
           }) / payload(30);
         },
     .drop = inner_bad_header},
    {.name = "an inner payload length beyond the packet",
     .in =
         [](const Tenant& t) {
           return fabric() / nvgre(t.gateway) /
                  ip6("fd10:0:0:1::11", "fd10:0:0:1::12").with([](Ip6Layer& l) {
                    l.payload_length = 400;
                  }) /
                  udp(1, 2);
         },
     .drop = inner_bad_header},
    {.name = "nobody's CA",
     .in =
         [](const Tenant& t) {
           return fabric() / nvgre(t.gateway) / vm_udp6("fd10:0:0:1::99", "fd10:0:0:1::12");
         },
     .drop = nvgre_unknown_source},
    {.name = "from another host than the record's",
     .in =
         [](const Tenant& t) {
           return fabric("10.250.0.12") / nvgre(t.gateway) /
                  vm_udp6("fd10:0:0:1::11", "fd10:0:0:1::12");
         },
     .drop = nvgre_wrong_source_pa},
    {.name = "an IPv6 CA of the IPv6 fabric from the IPv4 one",
     .in =
         [](const Tenant& t) {
           return fabric() / nvgre(t.gateway) / vm_udp6(kSixVm, "fd10:0:0:1::12");
         },
     .drop = nvgre_wrong_source_pa},
    {.name = "an IPv4 CA of the IPv6 fabric from the IPv4 one",
     .in = [](const Tenant& t) { return from_vm(t, vm_udp("10.0.4.41", "10.0.1.12")); },
     .drop = nvgre_wrong_source_pa},
    {.name = "under another VM's MAC in its own subnet",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm42Mac) / vm_udp6(kSixVm, "fd10:0:0:1::12");
         },
     .drop = nvgre_wrong_source_mac},
    {.name = "the gateway's own address as the source",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm41Mac) / vm_udp6("fd10:0:0:4::1", "fd10:0:0:1::12");
         },
     .drop = inner_bad_source},
    {.name = "a link-local source that wants to be routed",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm41Mac) / vm_udp6("fe80::41", "fd10:0:0:1::12");
         },
     .drop = inner_bad_source},
    {.name = "an IPv4-mapped source",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm41Mac) / vm_udp6("::ffff:10.0.4.41", "fd10::2");
         },
     .drop = inner_bad_source},
    {.name = "a link-local destination is not routed",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm41Mac) / vm_udp6(kSixVm, "fe80::1");
         },
     .drop = inner_bad_destination},
    {.name = "nor is the gateway's own",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm41Mac) / ip6(kSixVm, "fe80::ff:fe00:1") /
                  echo_request6() / payload(8);
         },
     .drop = inner_bad_destination},
    {.name = "from one link-local address to another",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm41Mac) / ip6("fe80::41", "fe80::ff:fe00:1") /
                  echo_request6() / payload(8);
         },
     .drop = inner_bad_source},
    {.name = "to a link-local address of the physical network",
     .in = [](const Tenant& t) { return private_net(t) / vm_udp6("fd07::fe", "fe80::ff:fe00:c0"); },
     .port = kWanPort,
     .drop = inner_bad_destination},
    {.name = "a VM that plays the router (RFC 6104)",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm41Mac, "33:33:00:00:00:01") /
                  ip6("fe80::41", "ff02::1").with([](Ip6Layer& l) { l.hop_limit = 255; }) /
                  icmp6(134) / payload(8);
         },
     .drop = nd_not_ours},
    {.name = "a redirect from a VM",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm41Mac) /
                  ip6("fe80::41", "fe80::ff:fe00:1").with([](Ip6Layer& l) { l.hop_limit = 255; }) /
                  icmp6(137) / payload(32);
         },
     .drop = nd_not_ours},
    {.name = "a router solicitation where nothing is advertised",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm41Mac, "33:33:00:00:00:02") /
                  ip6("fe80::41", "ff02::2").with([](Ip6Layer& l) { l.hop_limit = 255; }) /
                  icmp6(133);
         },
     .drop = nd_not_ours},
    {.name = "the link-local address of the fabric's MAC is nobody's tunnel end",
     .in =
         [](const Tenant& t) {
           return fabric6("fd60::11", "fe80::ff:fe00:f0") / nvgre(t.six, kVm41Mac) /
                  vm_udp6(kSixVm, "fd10:0:0:1::12");
         },
     .drop = outer_not_ours},
    {.name = "a group",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm41Mac, "33:33:00:00:01:01") /
                  vm_udp6(kSixVm, "ff0e::101");
         },
     .drop = inner_bad_destination},
    {.name = "flooded on the link, for one address",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm41Mac, "ff:ff:ff:ff:ff:ff") /
                  vm_udp6(kSixVm, "fd10:0:0:1::12");
         },
     .drop = nvgre_inner_mac},
    {.name = "DHCPv6",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm41Mac, "33:33:00:01:00:02") /
                  ip6("fe80::41", "ff02::1:2") / udp(546, 547) / payload(8);
         },
     .drop = dhcp_not_served},
    {.name = "a multicast listener's report (RFC 3810) in a virtual subnet",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm41Mac, "33:33:00:00:00:16") /
                  ip6("fe80::41", "ff02::16") / extension(0) / icmp6(143) / payload(20);
         },
     .drop = mld_ignored},
    {.name = "a multicast listener's report on the fabric",
     .in =
         [](const Tenant&) {
           return Frame(eth("33:33:00:00:00:16", "02:aa:0a:fa:00:0b")) / vlan(60) /
                  ip6("fe80::11", "ff02::16") / extension(0) / icmp6(143) / payload(20);
         },
     .drop = mld_ignored},
    {.name = "reverse path: not from there",
     .in =
         [](const Tenant& t) {
           return private_net(t) / vm_udp6("fd10:0:0:1::11", "fd10:0:0:1::12");
         },
     .port = kWanPort,
     .drop = l3_source_not_routed},
    {.name = "reverse path: our own address",
     .in = [](const Tenant& t) { return private_net(t) / vm_udp6("fd07::1", "fd10:0:0:1::12"); },
     .port = kWanPort,
     .drop = inner_bad_source},
    {.name = "reverse path: a link-local source",
     .in = [](const Tenant& t) { return private_net(t) / vm_udp6("fe80::9", "fd10:0:0:1::12"); },
     .port = kWanPort,
     .drop = inner_bad_source},
    {.name = "a strange MAC on the physical network",
     .in =
         [](const Tenant& t) {
           return Frame(eth("02:00:00:00:99:99", kPeerMac)) / vlan(t.private_vlan) /
                  vm_udp6("fd16::4", "fd10:0:0:1::12");
         },
     .port = kWanPort,
     .drop = mac_not_ours},
};

}  // namespace

std::span<const LineCase> ipv6_cases() { return kIpv6; }

TEST(Ipv6, GoesWhereIpv4Goes) { run_cases(kIpv6); }

// Both families in one vector: each flow keeps its order, and none hinders the other.
TEST(Ipv6, SharesAVectorWithIpv4) {
  TestLine line;
  std::vector<Sent> in;
  for (uint16_t i = 0; i < 12; ++i) {
    const Frame tail = Frame(udp(i, 9)) / payload(8);
    in.push_back(
        {kFabricPort, (fabric() / nvgre(5000) / ip("10.0.1.11", "10.0.1.12") / tail).bytes()});
    in.push_back(
        {kFabricPort,
         (fabric6() / nvgre(5004, kVm41Mac) / ip6(kSixVm, "fd10:0:0:1::12") / tail).bytes()});
  }
  const auto out = line.run(in);
  ASSERT_EQ(out.size(), 24U);
  uint16_t next4 = 0;
  uint16_t next6 = 0;
  for (const Sent& sent : out) {
    const bool v6 = sent.frame[14 + 42] >> 4 == 6;
    const size_t ports = 14 + 42 + (v6 ? 40 : 20);
    const uint16_t port = static_cast<uint16_t>(sent.frame[ports] << 8 | sent.frame[ports + 1]);
    EXPECT_EQ(port, v6 ? next6++ : next4++);
  }
  EXPECT_EQ(line.fault(), "");
}

// An on-link neighbour of the physical network that nobody knows yet: the control thread is asked.
TEST(Ipv6, AsksForAnUnknownNeighbour) {
  TestLine line;
  EXPECT_TRUE(line.run(kFabricPort, sends6(kContoso, "fd07::66")).empty());
  ASSERT_EQ(line.notes().size(), 1U);
  EXPECT_TRUE(line.notes()[0].resolve);
  EXPECT_EQ(line.notes()[0].family, Family::ipv6);
  EXPECT_EQ(line.notes()[0].address, ip6_bytes("fd07::66"));
  EXPECT_EQ(line.fault(), "");
}

// A VM that moved between hosts of the IPv6 fabric is heard from the old one for a second more.
TEST(Ipv6, HearsAMovedVmFromItsOldHost) {
  TestLine line;
  line.network().change({{"routingDomains/contoso/virtualSubnets/six/lookupRecords/fd10:0:0:4::41",
                          R"({"customerAddress":"fd10:0:0:4::41","providerAddress":"fd60::22",
            "macAddress":"00:15:5d:04:00:41"})"}});
  line.network().answer_all();
  EXPECT_EQ(line.run(kFabricPort, six_sends(kContoso, vm_udp6(kSixVm, "fd10:0:0:1::12"))).size(),
            1U);
  EXPECT_EQ(line.network().counters("contoso").moved_record_packets.value(), 1U);
  const auto sent = line.run(kFabricPort, sends6(kContoso, kSixVm));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].frame[18 + 39], 0x22);
  EXPECT_EQ(line.fault(), "");
}

}  // namespace hnv
