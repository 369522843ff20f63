// SPDX-License-Identifier: Apache-2.0
//
// Answers inside a compartment: ARP, echo, the gateway's refusals, and when it keeps silent.
#include <gtest/gtest.h>

#include "compartments/checksum.h"
#include "tests/gateway/line_cases.h"

namespace hnv {
namespace {

using enum DropReason;

constexpr const char* kBroadcast = "ff:ff:ff:ff:ff:ff";

Frame asks(const Tenant& t, const ArpLayer& arp, const char* source_mac = kVm21Mac,
           const char* host = "10.250.0.12") {
  return fabric(host, "10.250.0.2") / nvgre(t.db, source_mac, kBroadcast) / arp;
}
ArpLayer vm21_asks(const char* target) { return arp_request(kVm21Mac, "10.0.2.21", target); }

Frame in_ping(const Tenant& t, const char* to, const IcmpLayer& message) {
  return from_vm(
      t, Frame(ip("10.0.1.11", to).with([](IpLayer& l) { l.id = 5; })) / message / payload(33));
}
Frame to_vm11(const Tenant& t, const Frame& inner) {
  return to_vm({.host = "10.250.0.11",
                .vm_mac = kVm11Mac,
                .vsid = t.web,
                .flow_id = flow_of(inner)}) /
         inner;
}
Frame local_udp() { return vm_udp("10.0.1.11", "10.0.0.2"); }

const LineCase kCases[] = {
    {.name = "ARP for the default gateway of a subnet that the gateway routes",
     .in = [](const Tenant& t) { return asks(t, vm21_asks("10.0.2.1")); },
     .out =
         [](const Tenant& t) {
           return to_vm({.vm_mac = kVm21Mac, .vsid = t.db, .from = "10.250.0.2"}) /
                  arp_reply(kGatewayMac, "10.0.2.1", kVm21Mac, "10.0.2.21");
         }},
    {.name = "ARP by a VM that has only an L2Only record",
     .in =
         [](const Tenant& t) {
           return fabric() / nvgre(t.web, kL2Mac, kBroadcast) /
                  arp_request(kL2Mac, "10.0.1.33", "10.0.1.1");
         },
     .drop = arp_not_ours},
    {.name = "ARP for .1 of a distributed subnet is the hosts' matter",
     .in =
         [](const Tenant& t) {
           return fabric() / nvgre(t.web, kVm11Mac, kBroadcast) /
                  arp_request(kVm11Mac, "10.0.1.11", "10.0.1.1");
         },
     .drop = arp_not_ours},
    {.name = "ARP for an own address of another subnet",
     .in = [](const Tenant& t) { return asks(t, vm21_asks("10.0.0.2")); },
     .drop = arp_not_ours},
    {.name = "ARP for another VM",
     .in = [](const Tenant& t) { return asks(t, vm21_asks("10.0.2.22")); },
     .drop = arp_not_ours},
    {.name = "an ARP answer inside",
     .in =
         [](const Tenant& t) {
           return asks(t, arp_reply(kVm21Mac, "10.0.2.21", kGatewayMac, "10.0.2.1"));
         },
     .drop = arp_not_ours},
    {.name = "malformed ARP inside",
     .in =
         [](const Tenant& t) {
           return asks(t, vm21_asks("10.0.2.1").with([](ArpLayer& l) { l.protocol_bytes = 16; }));
         },
     .drop = arp_bad},
    {.name = "ARP inside cut short",
     .in =
         [](const Tenant& t) {
           return fabric("10.250.0.12", "10.250.0.2") / gre(t.db) /
                  eth(kBroadcast, kVm21Mac).with([](EthLayer& l) { l.type = 0x0806; }) /
                  payload(27);
         },
     .drop = nvgre_short},
    {.name = "ARP by a MAC that no record knows",
     .in =
         [](const Tenant& t) {
           return asks(t, arp_request("02:66:66:66:66:66", "10.0.2.21", "10.0.2.1"),
                       "02:66:66:66:66:66");
         },
     .drop = nvgre_unknown_source},
    {.name = "ARP by a VM of another subnet",
     .in =
         [](const Tenant& t) {
           return asks(t, arp_request(kVm12Mac, "10.0.1.12", "10.0.2.1"), kVm12Mac);
         },
     .drop = nvgre_unknown_source},
    {.name = "ARP from another host than the record's",
     .in = [](const Tenant& t) { return asks(t, vm21_asks("10.0.2.1"), kVm21Mac, "10.250.0.11"); },
     .drop = nvgre_wrong_source_pa},
    {.name = "ARP whose frame names another sender",
     .in = [](const Tenant& t) { return asks(t, vm21_asks("10.0.2.1"), kVm12Mac); },
     .drop = nvgre_wrong_source_mac},
    // Echo.
    {.name = "echo request to the gateway's address",
     .in = [](const Tenant& t) { return in_ping(t, "10.0.0.2", echo_request(3, 9)); },
     .out =
         [](const Tenant& t) {
           return to_vm11(t, Frame(ip("10.0.0.2", "10.0.1.11").with([](IpLayer& l) { l.id = 5; })) /
                                 icmp(0).with([](IcmpLayer& l) { l.word0 = 3, l.word1 = 9; }) /
                                 payload(33));
         }},
    {.name = "echo request to its address on a connection",
     .in = [](const Tenant& t) { return in_ping(t, "192.168.7.1", echo_request(3, 9)); },
     .out =
         [](const Tenant& t) {
           return to_vm11(
               t, Frame(ip("192.168.7.1", "10.0.1.11").with([](IpLayer& l) { l.id = 5; })) /
                      icmp(0).with([](IcmpLayer& l) { l.word0 = 3, l.word1 = 9; }) / payload(33));
         }},
    {.name = "an echo reply to the gateway",
     .in = [](const Tenant& t) { return in_ping(t, "10.0.0.2", icmp(0)); },
     .drop = local_not_served},
    {.name = "a fragmented echo request to the gateway",
     .in =
         [](const Tenant& t) {
           return from_vm(
               t, Frame(ip("10.0.1.11", "10.0.0.2").with([](IpLayer& l) { l.fragment = 0x2000; })) /
                      echo_request() / payload(8));
         },
     .drop = local_not_served},
    // What nobody serves.
    {.name = "UDP to the gateway: port unreachable",
     .in = [](const Tenant& t) { return from_vm(t, local_udp()); },
     .drop = local_not_served,
     .out =
         [](const Tenant& t) {
           return to_vm11(
               t, Frame(ip("10.0.0.2", "10.0.1.11").with([](IpLayer& l) { l.tos = 0xc0; })) /
                      icmp(3, 3) / raw(local_udp().bytes()));
         }},
    {.name = "a later fragment of UDP to the gateway: silence",
     .in =
         [](const Tenant& t) {
           return from_vm(
               t, Frame(ip("10.0.1.11", "10.0.0.2").with([](IpLayer& l) { l.fragment = 100; })) /
                      udp(1, 2) / payload(4));
         },
     .drop = local_not_served},
    {.name = "TCP to the gateway: silence",
     .in =
         [](const Tenant& t) {
           return from_vm(t, Frame(ip("10.0.1.11", "10.0.0.2")) / tcp(1000, 179));
         },
     .drop = local_not_served},
    {.name = "SCTP to the gateway: protocol unreachable",
     .in =
         [](const Tenant& t) {
           return from_vm(
               t, Frame(ip("10.0.1.11", "10.0.0.2").with([](IpLayer& l) { l.protocol = 132; })) /
                      payload(16));
         },
     .drop = local_not_served,
     .out =
         [](const Tenant& t) {
           const Frame quoted =
               Frame(ip("10.0.1.11", "10.0.0.2").with([](IpLayer& l) { l.protocol = 132; })) /
               payload(16);
           return to_vm11(
               t, Frame(ip("10.0.0.2", "10.0.1.11").with([](IpLayer& l) { l.tos = 0xc0; })) /
                      icmp(3, 2) / raw(quoted.bytes()));
         }},
    {.name = "NVGRE in the tenant's own network",
     .in =
         [](const Tenant& t) {
           return from_vm(t, Frame(ip("10.0.1.11", "10.0.0.2")) / nvgre(t.web) / vm_udp());
         },
     .drop = gre_not_on_fabric},
    // RFC 1122 3.2.2: no error about an error, a later fragment, or a group's packet.
    {.name = "no error about an ICMP error",
     .in = [](const Tenant& t) { return in_ping(t, "8.8.8.8", icmp(3, 1)); },
     .drop = no_route},
    {.name = "no error about a redirect",
     .in = [](const Tenant& t) { return in_ping(t, "8.8.8.8", icmp(5, 1)); },
     .drop = no_route},
    {.name = "no error about a cut ICMP message",
     .in =
         [](const Tenant& t) {
           return from_vm(
               t, Frame(ip("10.0.1.11", "8.8.8.8").with([](IpLayer& l) { l.protocol = 1; })) /
                      payload(7));
         },
     .drop = no_route},
    {.name = "no error about a later fragment",
     .in =
         [](const Tenant& t) {
           return from_vm(
               t, Frame(ip("10.0.1.11", "8.8.8.8").with([](IpLayer& l) { l.fragment = 1; })) /
                      udp(1, 2));
         },
     .drop = no_route},
    {.name = "an error about an echo request",
     .in = [](const Tenant& t) { return in_ping(t, "8.8.8.8", echo_request()); },
     .drop = no_route,
     .out =
         [](const Tenant& t) {
           const Frame quoted =
               Frame(ip("10.0.1.11", "8.8.8.8").with([](IpLayer& l) { l.id = 5; })) /
               echo_request() / payload(33);
           return to_vm11(
               t, Frame(ip("10.0.0.2", "10.0.1.11").with([](IpLayer& l) { l.tos = 0xc0; })) /
                      icmp(3, 0) / raw(quoted.bytes()));
         }},
};

}  // namespace

std::span<const LineCase> answer_cases() { return kCases; }

TEST(Respond, AnswersWhatConcernsItAndNoMore) { run_cases(kCases); }

TEST(Respond, AnErrorsSenderIsNotToldAboutItsOwnLoss) {
  // The error to VM 13 finds no way back: its own refusal ends it.
  TestLine line;
  TestDataplane& network = line.network();
  network.let_fail("providerNetworks/fabric", "10.250.0.254");
  EXPECT_TRUE(line.run(kFabricPort, fabric("10.251.0.13") / nvgre(kContoso.gateway) /
                                        vm_udp("10.0.1.13", "8.8.8.8"))
                  .empty());
  EXPECT_EQ(line.drops(no_route), 1U);
  EXPECT_EQ(line.drops(next_hop_failed), 1U);
  EXPECT_EQ(line.fault(), "");
}

TEST(Respond, LimitsErrorsByTenant) {
  TestLine line;
  const auto storm = [&](const Tenant& tenant, unsigned packets) {
    size_t answers = 0;
    for (unsigned i = 0; i < packets; ++i) {
      answers += line.run(kFabricPort, from_vm(tenant, vm_udp("10.0.1.11", "8.8.8.8"))).size();
    }
    return answers;
  };
  EXPECT_EQ(storm(kContoso, 60), 50U) << "the burst";
  EXPECT_EQ(storm(kFabrikam, 1), 1U) << "one tenant's storm is not the other's";
  line.network().clock().advance(std::chrono::milliseconds(9));
  EXPECT_EQ(storm(kContoso, 5), 0U);
  line.network().clock().advance(std::chrono::milliseconds(1));
  EXPECT_EQ(storm(kContoso, 5), 1U) << "one every 10 ms";
  line.network().clock().advance(std::chrono::milliseconds(25));
  EXPECT_EQ(storm(kContoso, 5), 2U);
  line.network().clock().advance(std::chrono::milliseconds(5));
  EXPECT_EQ(storm(kContoso, 5), 1U) << "the rest of the 25 ms is not lost";
  line.network().clock().advance(std::chrono::hours(1));
  EXPECT_EQ(storm(kContoso, 60), 50U);
  EXPECT_EQ(line.drops(no_route), 60U + 1 + 5 + 5 + 5 + 5 + 60);
  EXPECT_EQ(line.fault(), "");
}

// What is quoted is the packet as it came, to the bit, whatever its checksum was.
TEST(Respond, TtlComesBackExactly) {
  for (uint32_t id = 0; id < 0x10000; ++id) {
    wire::Ipv4 header{.version_ihl = 0x45,
                      .tos = 0,
                      .total_length = be16{40},
                      .id = be16{static_cast<uint16_t>(id)},
                      .fragment = be16{0},
                      .ttl = 64,
                      .protocol = 17,
                      .checksum = be16{0},
                      .source = be32{0x0a00010b},
                      .destination = be32{0x0a00010c}};
    set_checksum(header);
    wire::Ipv4 copy = header;
    decrement_ttl(copy);
    ASSERT_TRUE(checksum_right(copy)) << id;
    increment_ttl(copy);
    ASSERT_EQ(std::memcmp(&copy, &header, sizeof header), 0) << id;
  }
}

TEST(Respond, AnAnswerToARemovedCompartmentEndsAsGone) {
  TestLine line;
  line.receive(kFabricPort, in_ping(kContoso, "10.0.0.2", echo_request()).bytes());
  EXPECT_TRUE(line.breathe().empty());
  EXPECT_EQ(line.line().held(), 1U);
  // The domain goes, and another takes its place.
  std::vector<TestRequest> removal;
  for (const TestRequest& request : twin_requests()) {
    if (request.path.starts_with("routingDomains/contoso")) removal.push_back({request.path, ""});
  }
  std::reverse(removal.begin(), removal.end());
  removal.push_back({"routingDomains/newcomer", "{}"});
  line.network().change(removal);
  ASSERT_EQ(line.network().compartment("newcomer").id.value(), 0U) << "the same slot";
  EXPECT_TRUE(line.breathe().empty());
  EXPECT_EQ(line.drops(compartment_gone), 1U);
  EXPECT_EQ(line.fault(), "");
}

}  // namespace hnv
