// SPDX-License-Identifier: Apache-2.0
//
// The outer headers: which frames get as far as a door, and what the outside networks are answered.
#include <gtest/gtest.h>

#include "tests/gateway/line_cases.h"

namespace hnv {
namespace {

using enum DropReason;

constexpr const char* kStranger = "02:00:00:00:00:99";

Frame outer_ip(const Tenant& t, void (*change)(IpLayer&)) {
  return Frame(eth(kFabricMac, kStranger)) /
         ip("10.250.0.11", "10.250.0.1").with([&](IpLayer& l) { change(l); }) / nvgre(t.gateway) /
         vm_udp();
}
Frame arp_to(const char* destination, const ArpLayer& arp) {
  return Frame(eth(destination, kStranger)) / arp;
}
ArpLayer asks_for(const std::string& target) {
  return arp_request(kStranger, "10.250.0.11", target);
}

constexpr const char* kBroadcast = "ff:ff:ff:ff:ff:ff";

const LineCase kCases[] = {
    {.name = "17 bytes",
     .in = [](const Tenant&) -> Frame { return payload(17); },
     .drop = frame_short},
    {.name = "Ethernet only",
     .in = [](const Tenant&) -> Frame {
       return Frame(eth(kFabricMac, kStranger).with([](EthLayer& l) { l.type = 0x0800; })) /
              payload(19);
     },
     .drop = frame_short},
    {.name = "unknown VLAN",
     .in =
         [](const Tenant& t) {
           return Frame(eth(kFabricMac, kStranger)) / vlan(51) / ip("10.252.0.13", "10.252.0.1") /
                  nvgre(t.far) / vm_udp();
         },
     .drop = vlan_unknown},
    {.name = "VLAN 4095",
     .in = [](const Tenant&) { return Frame(eth(kFabricMac, kStranger)) / vlan(4095) / vm_udp(); },
     .drop = vlan_unknown},
    {.name = "nothing untagged on this port",
     .in = [](const Tenant&) { return Frame(eth(kWanMac, kStranger)) / vm_udp(); },
     .port = kWanPort,
     .drop = vlan_unknown},
    {.name = "two tags",
     .in =
         [](const Tenant&) {
           return Frame(eth(kFabricMac, kStranger)) /
                  vlan(50).with([](VlanLayer& l) { l.type = 0x8100; }) / vlan(50) / vm_udp();
         },
     .drop = vlan_stacked},
    {.name = "service tag",
     .in =
         [](const Tenant&) {
           return Frame(eth(kFabricMac, kStranger)) /
                  vlan(50).with([](VlanLayer& l) { l.tpid = 0x88a8; }) / vm_udp();
         },
     .drop = vlan_stacked},
    {.name = "another MAC",
     .in =
         [](const Tenant& t) {
           return Frame(eth(kStranger, kStranger)) / ip("10.250.0.11", "10.250.0.1") /
                  nvgre(t.gateway) / vm_udp();
         },
     .drop = mac_not_ours},
    {.name = "broadcast IP",
     .in =
         [](const Tenant&) {
           return Frame(eth(kBroadcast, kStranger)) / ip("10.250.0.11", "10.250.0.255") /
                  udp(68, 67);
         },
     .drop = mac_not_ours},
    {.name = "another MAC on a private VLAN",
     .in =
         [](const Tenant& t) {
           return Frame(eth(kStranger, kPeerMac)) / vlan(t.private_vlan) /
                  vm_udp("192.168.7.9", "10.0.1.11");
         },
     .port = kWanPort,
     .drop = mac_not_ours},
    {.name = "MAC zero on a private VLAN, whose attachment has none",
     .in =
         [](const Tenant& t) {
           return Frame(eth("00:00:00:00:00:00", kPeerMac)) / vlan(t.private_vlan) /
                  vm_udp("192.168.7.9", "10.0.1.11");
         },
     .port = kWanPort,
     .drop = mac_not_ours},
    {.name = "LLDP",
     .in =
         [](const Tenant&) {
           return Frame(eth("01:80:c2:00:00:0e", kStranger).with([](EthLayer& l) {
                    l.type = 0x88cc;
                  })) /
                  payload(46);
         },
     .drop = ether_type_unknown},
    // ARP.
    {.name = "ARP too short",
     .in =
         [](const Tenant&) {
           return Frame(eth(kBroadcast, kStranger).with([](EthLayer& l) { l.type = 0x0806; })) /
                  payload(27);
         },
     .drop = frame_short},
    {.name = "ARP for Token Ring",
     .in =
         [](const Tenant&) {
           return arp_to(kBroadcast,
                         asks_for("10.250.0.1").with([](ArpLayer& l) { l.hardware_type = 6; }));
         },
     .drop = arp_bad},
    {.name = "ARP with long addresses",
     .in =
         [](const Tenant&) {
           return arp_to(kBroadcast,
                         asks_for("10.250.0.1").with([](ArpLayer& l) { l.hardware_bytes = 8; }));
         },
     .drop = arp_bad},
    {.name = "ARP operation 3",
     .in =
         [](const Tenant&) {
           return arp_to(kBroadcast,
                         asks_for("10.250.0.1").with([](ArpLayer& l) { l.operation = 3; }));
         },
     .drop = arp_bad},
    {.name = "ARP from a multicast MAC",
     .in =
         [](const Tenant&) {
           return arp_to(kBroadcast, asks_for("10.250.0.1").with([](ArpLayer& l) {
             l.sender_mac = "01:00:5e:00:00:01";
           }));
         },
     .drop = arp_bad},
    {.name = "ARP for somebody else",
     .in = [](const Tenant&) { return arp_to(kBroadcast, asks_for("10.250.0.12")); },
     .drop = arp_not_ours},
    {.name = "ARP for our PA of another VLAN",
     .in = [](const Tenant&) { return arp_to(kBroadcast, asks_for("10.252.0.1")); },
     .drop = arp_not_ours},
    {.name = "ARP for a CA of the gateway on the fabric",
     .in = [](const Tenant&) { return arp_to(kBroadcast, asks_for("10.0.0.2")); },
     .drop = arp_not_ours},
    {.name = "an ARP request between others, seen because ports are promiscuous",
     .in = [](const Tenant&) { return arp_to(kStranger, asks_for("10.250.0.1")); },
     .drop = mac_not_ours},
    {.name = "an ARP answer between others",
     .in =
         [](const Tenant&) {
           return arp_to(kStranger,
                         arp_reply("02:00:00:00:00:98", "10.250.0.12", kStranger, "10.250.0.11"));
         },
     .drop = mac_not_ours},
    {.name = "ARP for an address that both tenants have on the shared network",
     .in =
         [](const Tenant&) {
           return Frame(eth(kBroadcast, kStranger)) / vlan(30) /
                  arp_request(kStranger, "192.168.9.50", "192.168.9.1");
         },
     .port = kWanPort,
     .drop = arp_ambiguous},
    // Outer IP.
    {.name = "outer version 6",
     .in = [](const Tenant& t) { return outer_ip(t, [](IpLayer& l) { l.version_ihl = 0x65; }); },
     .drop = outer_bad_header},
    {.name = "outer header length 16",
     .in = [](const Tenant& t) { return outer_ip(t, [](IpLayer& l) { l.version_ihl = 0x44; }); },
     .drop = outer_bad_header},
    {.name = "outer header longer than the packet",
     .in =
         [](const Tenant&) {
           return Frame(eth(kFabricMac, kStranger)) /
                  ip("10.250.0.11", "10.250.0.1").with([](IpLayer& l) { l.version_ihl = 0x4f; }) /
                  payload(10);
         },
     .drop = outer_bad_header},
    {.name = "outer total length below the header's",
     .in = [](const Tenant& t) { return outer_ip(t, [](IpLayer& l) { l.total_length = 19; }); },
     .drop = outer_bad_header},
    {.name = "outer total length beyond the frame",
     .in = [](const Tenant& t) { return outer_ip(t, [](IpLayer& l) { l.total_length = 999; }); },
     .drop = outer_bad_header},
    {.name = "outer checksum",
     .in = [](const Tenant& t) { return outer_ip(t, [](IpLayer& l) { l.checksum = 0x1234; }); },
     .drop = outer_bad_checksum},
    {.name = "first outer fragment",
     .in = [](const Tenant& t) { return outer_ip(t, [](IpLayer& l) { l.fragment = 0x2000; }); },
     .drop = outer_fragment},
    {.name = "later outer fragment",
     .in = [](const Tenant& t) { return outer_ip(t, [](IpLayer& l) { l.fragment = 185; }); },
     .drop = outer_fragment},
    {.name = "outer source loopback",
     .in = [](const Tenant& t) { return outer_ip(t, [](IpLayer& l) { l.source = "127.0.0.1"; }); },
     .drop = outer_bad_source},
    {.name = "outer source multicast",
     .in = [](const Tenant& t) { return outer_ip(t, [](IpLayer& l) { l.source = "224.0.0.1"; }); },
     .drop = outer_bad_source},
    {.name = "outer source our own",
     .in = [](const Tenant& t) { return outer_ip(t, [](IpLayer& l) { l.source = "10.250.0.2"; }); },
     .drop = outer_bad_source},
    {.name = "outer destination not ours",
     .in =
         [](const Tenant& t) {
           return outer_ip(t, [](IpLayer& l) { l.destination = "10.250.0.3"; });
         },
     .drop = outer_not_ours},
    {.name = "outer destination ours on another VLAN",
     .in =
         [](const Tenant& t) {
           return outer_ip(t, [](IpLayer& l) { l.destination = "10.252.0.1"; });
         },
     .drop = outer_not_ours},
    {.name = "UDP to a PA",
     .in =
         [](const Tenant&) {
           return Frame(eth(kFabricMac, kStranger)) / vm_udp("10.250.0.11", "10.250.0.1");
         },
     .drop = outer_protocol},
    {.name = "a fragment of an echo request",
     .in =
         [](const Tenant&) {
           return Frame(eth(kFabricMac, kStranger)) /
                  ip("10.250.0.11", "10.250.0.1").with([](IpLayer& l) { l.fragment = 0x2000; }) /
                  echo_request() / payload(8);
         },
     .drop = outer_protocol},
    {.name = "an echo request cut short",
     .in =
         [](const Tenant&) {
           return Frame(eth(kFabricMac, kStranger)) /
                  ip("10.250.0.11", "10.250.0.1").with([](IpLayer& l) { l.protocol = 1; }) /
                  payload(7);
         },
     .drop = outer_protocol},
    {.name = "an echo request from a group address",
     .in =
         [](const Tenant&) {
           return Frame(eth(kFabricMac, "01:00:5e:00:00:01")) / ip("10.250.0.11", "10.250.0.1") /
                  echo_request();
         },
     .drop = outer_bad_source},
    {.name = "GRE on an external network",
     .in =
         [](const Tenant& t) {
           return Frame(eth(kWanMac, kStranger)) / vlan(30) / ip("192.0.2.9", "192.0.2.1") /
                  nvgre(t.gateway) / vm_udp();
         },
     .port = kWanPort,
     .drop = gre_not_on_fabric},
};

// Requests on the outside networks, and what is answered.
const LineCase kAnswers[] = {
    {.name = "ARP for our PA",
     .in = [](const Tenant&) { return arp_to(kBroadcast, asks_for("10.250.0.2")); },
     .out =
         [](const Tenant&) {
           return Frame(eth(kStranger, kFabricMac)) /
                  arp_reply(kFabricMac, "10.250.0.2", kStranger, "10.250.0.11");
         }},
    {.name = "a unicast probe for our PA, padded",
     .in =
         [](const Tenant&) {
           return Frame(eth(kFabricMac, kStranger)) / asks_for("10.250.0.1") / raw(Bytes(18, 0xaa));
         },
     .out =
         [](const Tenant&) {
           return Frame(eth(kStranger, kFabricMac)) /
                  arp_reply(kFabricMac, "10.250.0.1", kStranger, "10.250.0.11");
         }},
    {.name = "ARP for our PA on the tagged fabric",
     .in =
         [](const Tenant&) {
           return Frame(eth(kBroadcast, kStranger)) / vlan(50) /
                  arp_request(kStranger, "10.252.0.13", "10.252.0.1");
         },
     .out =
         [](const Tenant&) {
           return Frame(eth(kStranger, kFabricMac)) / vlan(50) /
                  arp_reply(kFabricMac, "10.252.0.1", kStranger, "10.252.0.13");
         }},
    {.name = "ARP for a connection's address on the tenant's private VLAN",
     .in =
         [](const Tenant& t) {
           return Frame(eth(kBroadcast, kPeerMac)) / vlan(t.private_vlan) /
                  arp_request(kPeerMac, "192.168.7.254", "192.168.7.1");
         },
     .port = kWanPort,
     .out =
         [](const Tenant& t) {
           return Frame(eth(kPeerMac, kPrivateMac)) / vlan(t.private_vlan) /
                  arp_reply(kPrivateMac, "192.168.7.1", kPeerMac, "192.168.7.254");
         },
     .out_port = kWanPort},
    {.name = "a unicast probe chooses the tenant on the shared network",
     .in =
         [](const Tenant& t) {
           return Frame(eth(t.shared_mac, kStranger)) / vlan(30) /
                  arp_request(kStranger, "192.168.9.50", "192.168.9.1");
         },
     .port = kWanPort,
     .out =
         [](const Tenant& t) {
           return Frame(eth(kStranger, t.shared_mac)) / vlan(30) /
                  arp_reply(t.shared_mac, "192.168.9.1", kStranger, "192.168.9.50");
         },
     .out_port = kWanPort},
    {.name = "echo request to a PA",
     .in =
         [](const Tenant&) {
           return Frame(eth(kFabricMac, kStranger)) /
                  ip("10.250.0.11", "10.250.0.1").with([](IpLayer& l) { l.ttl = 3, l.id = 77; }) /
                  echo_request(9, 4) / payload(31);
         },
     .out =
         [](const Tenant&) {
           return Frame(eth(kStranger, kFabricMac)) /
                  ip("10.250.0.1", "10.250.0.11").with([](IpLayer& l) { l.id = 77; }) /
                  icmp(0).with([](IcmpLayer& l) { l.word0 = 9, l.word1 = 4; }) / payload(31);
         }},
    {.name = "echo request to an external address",
     .in =
         [](const Tenant&) {
           return Frame(eth(kWanMac, kStranger)) / vlan(30) / ip("203.0.113.5", "192.0.2.1") /
                  echo_request();
         },
     .port = kWanPort,
     .out =
         [](const Tenant&) {
           return Frame(eth(kStranger, kWanMac)) / vlan(30) / ip("192.0.2.1", "203.0.113.5") /
                  icmp(0).with([](IcmpLayer& l) { l.word0 = 7, l.word1 = 1; });
         },
     .out_port = kWanPort},
    {.name = "an echo request with a wrong checksum is answered with a wrong one",
     .in =
         [](const Tenant&) {
           return Frame(eth(kFabricMac, kStranger)) / ip("10.250.0.11", "10.250.0.1") /
                  echo_request().with([](IcmpLayer& l) { l.checksum = 0x1111; });
         },
     .out =
         [](const Tenant&) {
           return Frame(eth(kStranger, kFabricMac)) / ip("10.250.0.1", "10.250.0.11") /
                  icmp(0).with([](IcmpLayer& l) { l.word0 = 7, l.word1 = 1, l.checksum = 0x1911; });
         }},
};

}  // namespace

std::span<const LineCase> classify_cases() { return kCases; }
std::span<const LineCase> outside_answer_cases() { return kAnswers; }

TEST(Classify, DropsWhatIsForNoDoor) { run_cases(kCases); }
TEST(Classify, AnswersForItsOwnAddresses) { run_cases(kAnswers); }

TEST(Classify, PuntsAnswersToItsQuestionsAndTakeovers) {
  TestLine line;
  const Frame answer = Frame(eth(kFabricMac, kStranger)) /
                       arp_reply(kStranger, "10.250.0.12", kFabricMac, "10.250.0.1");
  const Frame takeover =
      Frame(eth(kBroadcast, kStranger)) / arp_request(kStranger, "10.250.0.12", "10.250.0.12");
  EXPECT_TRUE(line.run({{kFabricPort, answer.bytes()}, {kFabricPort, takeover.bytes()}}).empty());
  ASSERT_EQ(line.punts().size(), 2U);
  EXPECT_EQ(line.punts()[0], answer.bytes());
  EXPECT_EQ(line.punts()[1], takeover.bytes());
  EXPECT_FALSE(line.notes()[0].resolve);
  EXPECT_EQ(line.notes()[0].l2_bytes, 14);
  EXPECT_EQ(line.fault(), "");
}

TEST(Classify, PuntsNoTakeoverFromATenantsNetwork) {
  TestLine line;
  const Frame takeover = Frame(eth(kBroadcast, kStranger)) / vlan(31) /
                         arp_request(kStranger, "192.168.7.254", "192.168.7.254");
  line.run(kWanPort, takeover);
  EXPECT_TRUE(line.punts().empty());
  EXPECT_EQ(line.drops(arp_not_ours), 1U);
}

TEST(Classify, RefusesAFrameInSeveralBuffers) {
  TestLine line;
  const Bytes frame = from_vm(kContoso, vm_udp()).bytes();
  rte_mbuf* first = line.mbufs().take(frame);
  rte_mbuf* second = line.mbufs().take(frame);
  ASSERT_EQ(rte_pktmbuf_chain(first, second), 0);
  line.line().receive(first, PortId(kFabricPort));
  EXPECT_TRUE(line.breathe().empty());
  EXPECT_EQ(line.drops(frame_segmented), 1U);
  EXPECT_EQ(line.fault(), "");
}

}  // namespace hnv
