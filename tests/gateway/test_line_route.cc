// SPDX-License-Identifier: Apache-2.0
//
// From routing to the wire: which door a packet takes, what is written in front of it, and what its
// sender is told when it cannot go on.
#include <gtest/gtest.h>

#include "tests/gateway/line_cases.h"

namespace hnv {
namespace {

using enum DropReason;

Frame hop_less(const char* to, const char* from = "10.0.1.11") {
  return Frame(ip(from, to).with([](IpLayer& l) { l.ttl = 63; })) / udp(1000, 2000) / payload(18);
}
// VM 11 sends to `to`.
Frame sends(const Tenant& t, const char* to) { return from_vm(t, vm_udp("10.0.1.11", to)); }

// The ICMP error as VM 11 gets it, from the gateway's address in the gateway subnet.
Frame error_to_vm11(const Tenant& t, const IcmpLayer& error, const Frame& quoted) {
  const Frame inner = Frame(ip("10.0.0.2", "10.0.1.11").with([](IpLayer& l) { l.tos = 0xc0; })) /
                      error / raw(quoted.bytes());
  return to_vm({.host = "10.250.0.11",
                .vm_mac = kVm11Mac,
                .vsid = t.web,
                .flow_id = flow_of(inner)}) /
         inner;
}
Frame unreachable_to(const Tenant& t, const char* to, uint8_t code) {
  return error_to_vm11(t, icmp(3, code), vm_udp("10.0.1.11", to));
}

const LineCase kRoutes[] = {
    {.name = "to a VM of another subnet: its VSID, its PA, our PA of that subnet",
     .in = [](const Tenant& t) { return sends(t, "10.0.2.21"); },
     .out =
         [](const Tenant& t) {
           const Frame inner = hop_less("10.0.2.21");
           return to_vm({.vm_mac = kVm21Mac,
                         .vsid = t.db,
                         .flow_id = flow_of(inner),
                         .from = "10.250.0.2"}) /
                  inner;
         }},
    {.name = "to a VM on the tagged fabric, whose FlowID is zero",
     .in = [](const Tenant& t) { return sends(t, "10.0.3.31"); },
     .out =
         [](const Tenant& t) {
           return to_vm({.host = "10.252.0.13",
                         .vm_mac = kVm31Mac,
                         .vsid = t.far,
                         .from = "10.252.0.1",
                         .vlan = 50}) /
                  hop_less("10.0.3.31");
         }},
    {.name = "from the tagged fabric",
     .in =
         [](const Tenant& t) {
           return tagged_fabric() / nvgre(t.far, kVm31Mac) / vm_udp("10.0.3.31", "10.0.1.12");
         },
     .out =
         [](const Tenant& t) {
           const Frame inner = hop_less("10.0.1.12", "10.0.3.31");
           return to_vm({.vsid = t.web, .flow_id = flow_of(inner)}) / inner;
         }},
    {.name = "to a PA behind the fabric's router",
     .in = [](const Tenant& t) { return sends(t, "10.0.1.13"); },
     .out =
         [](const Tenant& t) {
           const Frame inner = hop_less("10.0.1.13");
           return to_vm({.host = "10.251.0.13",
                         .vm_mac = kVm13Mac,
                         .vsid = t.web,
                         .flow_id = flow_of(inner),
                         .neighbor = "10.250.0.254"}) /
                  inner;
         }},
    {.name = "a customer route through another gateway (wildcard)",
     .in = [](const Tenant& t) { return sends(t, "172.20.5.5"); },
     .out =
         [](const Tenant& t) {
           const Frame inner = hop_less("172.20.5.5");
           return to_vm({.host = "10.250.0.77",
                         .vm_mac = kOtherGatewayMac,
                         .vsid = t.gateway,
                         .flow_id = flow_of(inner)}) /
                  inner;
         }},
    {.name = "a customer route through a VM",
     .in = [](const Tenant& t) { return sends(t, "172.21.5.5"); },
     .out =
         [](const Tenant& t) {
           const Frame inner = hop_less("172.21.5.5");
           return to_vm({.vsid = t.web, .flow_id = flow_of(inner)}) / inner;
         }},
    {.name = "back to the subnet it came from",
     .in =
         [](const Tenant& t) {
           return fabric() / nvgre(t.web, kVm11Mac) / vm_udp("10.0.1.11", "10.0.1.11");
         },
     .out =
         [](const Tenant& t) {
           const Frame inner = hop_less("10.0.1.11");
           return to_vm({.host = "10.250.0.11",
                         .vm_mac = kVm11Mac,
                         .vsid = t.web,
                         .flow_id = flow_of(inner)}) /
                  inner;
         }},
    {.name = "to the physical network, through its router",
     .in = [](const Tenant& t) { return sends(t, "172.16.4.4"); },
     .out =
         [](const Tenant& t) {
           return Frame(eth(kPeerMac, kPrivateMac)) / vlan(t.private_vlan) / hop_less("172.16.4.4");
         },
     .out_port = kWanPort},
    {.name = "no route",
     .in = [](const Tenant& t) { return sends(t, "8.8.8.8"); },
     .drop = no_route,
     .out = [](const Tenant& t) { return unreachable_to(t, "8.8.8.8", 0); }},
    {.name = "a subnet's broadcast address",
     .in = [](const Tenant& t) { return sends(t, "10.0.2.255"); },
     .drop = directed_broadcast},
    {.name = "a subnet's network address",
     .in = [](const Tenant& t) { return sends(t, "10.0.2.0"); },
     .drop = directed_broadcast},
    {.name = "loopback",
     .in = [](const Tenant& t) { return sends(t, "127.0.0.1"); },
     .drop = inner_bad_destination},
    {.name = "class E",
     .in = [](const Tenant& t) { return sends(t, "240.0.0.1"); },
     .drop = inner_bad_destination},
};

Frame with_ttl(const Tenant& t, uint8_t ttl) {
  return from_vm(t, Frame(ip("10.0.1.11", "10.0.1.12").with([&](IpLayer& l) { l.ttl = ttl; })) /
                        udp(1000, 2000) / payload(18));
}
Frame large(const char* to, size_t bytes, uint8_t ttl = 64) {
  return Frame(ip("10.0.1.11", to).with([&](IpLayer& l) {
           l.ttl = ttl;
           l.fragment = 0x4000;
         })) /
         udp(1000, 2000) / payload(bytes - 28);
}

const LineCase kLeaves[] = {
    {.name = "no record, and the wildcard is ourselves",
     .in = [](const Tenant& t) { return sends(t, "10.0.1.99"); },
     .drop = record_missing,
     .out = [](const Tenant& t) { return unreachable_to(t, "10.0.1.99", 1); }},
    {.name = "no record and no wildcard",
     .in = [](const Tenant& t) { return sends(t, "10.0.2.99"); },
     .drop = record_missing,
     .out = [](const Tenant& t) { return unreachable_to(t, "10.0.2.99", 1); }},
    {.name = "a route through a CA without a record",
     .in = [](const Tenant& t) { return sends(t, "172.22.5.5"); },
     .drop = record_missing,
     .out = [](const Tenant& t) { return unreachable_to(t, "172.22.5.5", 1); }},
    {.name = "exactly the MTU of the door taken",
     .in = [](const Tenant& t) { return from_vm(t, large("10.0.2.21", 1400)); },
     .out =
         [](const Tenant& t) {
           const Frame inner = large("10.0.2.21", 1400, 63);
           return to_vm({.vm_mac = kVm21Mac,
                         .vsid = t.db,
                         .flow_id = flow_of(inner),
                         .from = "10.250.0.2"}) /
                  inner;
         }},
    {.name = "one byte more: fragmentation needed, 548 bytes quoted",
     .in = [](const Tenant& t) { return from_vm(t, large("10.0.2.21", 1401)); },
     .drop = mtu_exceeded,
     .out =
         [](const Tenant& t) {
           Bytes quoted = large("10.0.2.21", 1401).bytes();
           quoted.resize(548);
           return error_to_vm11(t, icmp(3, 4).with([](IcmpLayer& l) { l.word1 = 1400; }),
                                raw(quoted));
         }},
    {.name = "too large for the physical network",
     .in = [](const Tenant& t) { return from_vm(t, large("172.16.4.4", 1501)); },
     .drop = mtu_exceeded,
     .out =
         [](const Tenant& t) {
           Bytes quoted = large("172.16.4.4", 1501).bytes();
           quoted.resize(548);
           return error_to_vm11(t, icmp(3, 4).with([](IcmpLayer& l) { l.word1 = 1500; }),
                                raw(quoted));
         }},
    {.name = "TTL 2 is the last that passes",
     .in = [](const Tenant& t) { return with_ttl(t, 2); },
     .out =
         [](const Tenant& t) {
           const Frame inner =
               Frame(ip("10.0.1.11", "10.0.1.12").with([](IpLayer& l) { l.ttl = 1; })) /
               udp(1000, 2000) / payload(18);
           return to_vm({.vsid = t.web, .flow_id = flow_of(inner)}) / inner;
         }},
    {.name = "TTL 1",
     .in = [](const Tenant& t) { return with_ttl(t, 1); },
     .drop = ttl_exceeded,
     .out =
         [](const Tenant& t) {
           return error_to_vm11(
               t, icmp(11),
               Frame(ip("10.0.1.11", "10.0.1.12").with([](IpLayer& l) { l.ttl = 1; })) /
                   udp(1000, 2000) / payload(18));
         }},
    {.name = "TTL 0",
     .in = [](const Tenant& t) { return with_ttl(t, 0); },
     .drop = ttl_exceeded,
     .out =
         [](const Tenant& t) {
           return error_to_vm11(
               t, icmp(11),
               Frame(ip("10.0.1.11", "10.0.1.12").with([](IpLayer& l) { l.ttl = 0; })) /
                   udp(1000, 2000) / payload(18));
         }},
};

}  // namespace

std::span<const LineCase> route_cases() { return kRoutes; }
std::span<const LineCase> leave_cases() { return kLeaves; }

TEST(Route, FindsTheDoor) { run_cases(kRoutes); }
TEST(Leave, RefusesWhatCannotGoOn) { run_cases(kLeaves); }

// No configuration makes an unreachable route yet; BGP and blackholes will.
TEST(Route, TellsThatARouteIsUnreachable) {
  TestLine line;
  auto view = std::make_shared<CompartmentView>(line.network().compartment("contoso"));
  auto hops = std::make_shared<std::vector<Hop>>(*view->hops_owner);
  for (Hop& hop : *hops) {
    if (hop.kind == HopKind::connection_via) hop.kind = HopKind::unreachable;
  }
  view->hops_owner = hops;
  view->hops = hops->data();
  line.network().replace(view);
  EXPECT_EQ(line.run(kFabricPort, sends(kContoso, "172.16.4.4")).size(), 1U) << "the error";
  EXPECT_EQ(line.drops(route_unreachable), 1U);
  EXPECT_EQ(line.run(kFabricPort, sends(kFabrikam, "172.16.4.4")).size(), 1U);
  EXPECT_EQ(line.drops(route_unreachable), 1U);
  EXPECT_EQ(line.fault(), "");
}

// The answer to a packet from a distributed subnet of another domain part comes from the address
// that the gateway has where the packet came in.
TEST(Leave, TheErrorComesFromTheAddressWhereThePacketCameIn) {
  TestLine line;
  const Frame packet = vm_udp("10.0.2.21", "8.8.8.8");
  const auto sent = line.run(
      kFabricPort, fabric("10.250.0.12", "10.250.0.2") / nvgre(kContoso.db, kVm21Mac) / packet);
  ASSERT_EQ(sent.size(), 1U);
  const auto* inner = reinterpret_cast<const wire::Ipv4*>(sent[0].frame.data() + 56);
  EXPECT_EQ(inner->source.value(), ip4("10.0.2.1"));
  const auto from_l3 = line.run(kWanPort, private_net(kContoso) / vm_udp("172.16.4.4", "8.8.8.8"));
  ASSERT_EQ(from_l3.size(), 1U);
  const auto* l3 = reinterpret_cast<const wire::Ipv4*>(from_l3[0].frame.data() + 18);
  EXPECT_EQ(l3->source.value(), ip4("192.168.7.1"));
  EXPECT_EQ(l3->destination.value(), ip4("172.16.4.4"));
}

}  // namespace hnv
