// SPDX-License-Identifier: Apache-2.0
//
// ICMPv6 as RFC 4443 asks for it: echo, errors, and when there is none.
#include <gtest/gtest.h>

#include "gateway/respond.h"
#include "tests/gateway/line_cases.h"

namespace hnv {
namespace {

using enum DropReason;

constexpr const char* kVm = "fd10:0:0:1::11";

Frame udp6(const std::string& to, uint8_t hop_limit = 64, size_t bytes = 66) {
  return Frame(ip6(kVm, to).with([&](Ip6Layer& l) { l.hop_limit = hop_limit; })) / udp(1000, 2000) /
         payload(bytes - 48);
}
// VM 11 sends through the hosts' distributed router.
Frame sends(const Tenant& t, const Frame& inner) { return fabric() / nvgre(t.gateway) / inner; }

// The error as VM 11 gets it, from the gateway's address in the gateway subnet.
Frame error_to_vm11(const Tenant& t, const Icmp6Layer& error, Bytes quoted) {
  if (quoted.size() > 1232) quoted.resize(1232);
  const Frame inner = Frame(ip6("fd10::2", kVm)) / error / raw(quoted);
  return to_vm({.host = "10.250.0.11",
                .vm_mac = kVm11Mac,
                .vsid = t.web,
                .flow_id = flow_of(inner)}) /
         inner;
}
Icmp6Layer with_word(uint8_t type, uint8_t code, uint16_t word) {
  return icmp6(type, code).with([&](Icmp6Layer& l) { l.word1 = word; });
}

const LineCase kIcmp6[] = {
    {.name = "§4.1: an echo request to our PA",
     .in = [](const Tenant&) { return fabric6() / echo_request6() / payload(8); },
     .out =
         [](const Tenant&) {
           return Frame(eth("02:aa:0a:fa:00:0b", kFabricMac)) / vlan(60) /
                  ip6("fd60::1", "fd60::11") /
                  icmp6(129).with([](Icmp6Layer& l) { l.word0 = 7, l.word1 = 1; }) / payload(8);
         }},
    {.name = "§4.2: an echo request to our address in the domain",
     .in =
         [](const Tenant& t) {
           return sends(t, Frame(ip6(kVm, "fd10::2")) / echo_request6() / payload(8));
         },
     .out =
         [](const Tenant& t) {
           const Frame inner = Frame(ip6("fd10::2", kVm)) / icmp6(129).with([](Icmp6Layer& l) {
             l.word0 = 7, l.word1 = 1;
           }) / payload(8);
           return to_vm({.host = "10.250.0.11",
                         .vm_mac = kVm11Mac,
                         .vsid = t.web,
                         .flow_id = flow_of(inner)}) /
                  inner;
         }},
    {.name = "§4.2: behind extension headers",
     .in =
         [](const Tenant& t) {
           return sends(t, Frame(ip6(kVm, "fd10::2")) / extension(60) / echo_request6());
         },
     .out =
         [](const Tenant& t) {
           const Frame inner = Frame(ip6("fd10::2", kVm)) / extension(60) /
                               icmp6(129).with([](Icmp6Layer& l) { l.word0 = 7, l.word1 = 1; });
           return to_vm({.host = "10.250.0.11",
                         .vm_mac = kVm11Mac,
                         .vsid = t.web,
                         .flow_id = flow_of(inner)}) /
                  inner;
         }},
    {.name = "§3.3: the hop limit ends here; the packet is quoted as it came",
     .in = [](const Tenant& t) { return sends(t, udp6("fd10:0:0:1::12", 1)); },
     .drop = ttl_exceeded,
     .out =
         [](const Tenant& t) {
           return error_to_vm11(t, icmp6(3), udp6("fd10:0:0:1::12", 1).bytes());
         }},
    {.name = "§3.1 code 0: no route",
     .in = [](const Tenant& t) { return sends(t, udp6("2001:db8:99::1")); },
     .drop = no_route,
     .out =
         [](const Tenant& t) {
           return error_to_vm11(t, icmp6(1, 0), udp6("2001:db8:99::1").bytes());
         }},
    {.name = "§3.1 code 3: no record; the quoted hop limit is what the sender wrote",
     .in = [](const Tenant& t) { return sends(t, udp6("fd10:0:0:1::99")); },
     .drop = record_missing,
     .out =
         [](const Tenant& t) {
           return error_to_vm11(t, icmp6(1, 3), udp6("fd10:0:0:1::99").bytes());
         }},
    {.name = "§3.1 code 4: UDP to our address",
     .in = [](const Tenant& t) { return sends(t, udp6("fd10::2")); },
     .drop = local_not_served,
     .out = [](const Tenant& t) { return error_to_vm11(t, icmp6(1, 4), udp6("fd10::2").bytes()); }},
    {.name = "§3.2: too large for the door; as much quoted as fits into 1280 bytes",
     .in = [](const Tenant& t) { return sends(t, udp6("fd10:0:0:2::21", 64, 1401)); },
     .drop = mtu_exceeded,
     .out =
         [](const Tenant& t) {
           return error_to_vm11(t, with_word(2, 0, 1400), udp6("fd10:0:0:2::21", 64, 1401).bytes());
         }},
    {.name = "§3.2: too large for the physical network",
     .in = [](const Tenant& t) { return sends(t, udp6("fd16::4", 64, 1501)); },
     .drop = mtu_exceeded,
     .out =
         [](const Tenant& t) {
           return error_to_vm11(t, with_word(2, 0, 1500), udp6("fd16::4", 64, 1501).bytes());
         }},
    {.name = "§3.4 code 1: a protocol nobody serves, pointed at",
     .in =
         [](const Tenant& t) {
           return sends(t,
                        Frame(ip6(kVm, "fd10::2").with([](Ip6Layer& l) { l.next_header = 132; })) /
                            payload(12));
         },
     .drop = local_not_served,
     .out =
         [](const Tenant& t) {
           return error_to_vm11(
               t, with_word(4, 1, 6),
               (Frame(ip6(kVm, "fd10::2").with([](Ip6Layer& l) { l.next_header = 132; })) /
                payload(12))
                   .bytes());
         }},
    {.name = "§2.4 (e.1): none about an error",
     .in =
         [](const Tenant& t) {
           return sends(t, Frame(ip6(kVm, "2001:db8:99::1")) / icmp6(1, 0) / payload(48));
         },
     .drop = no_route},
    {.name = "§2.4 (e.1): none about what may be an error's fragment",
     .in =
         [](const Tenant& t) {
           return sends(t, Frame(ip6(kVm, "2001:db8:99::1")) / fragment_header(9, 0) / icmp6(128) /
                               payload(8));
         },
     .drop = no_route},
    {.name = "but about an echo request",
     .in =
         [](const Tenant& t) {
           return sends(t, Frame(ip6(kVm, "2001:db8:99::1")) / echo_request6() / payload(8));
         },
     .drop = no_route,
     .out =
         [](const Tenant& t) {
           return error_to_vm11(
               t, icmp6(1, 0),
               (Frame(ip6(kVm, "2001:db8:99::1")) / echo_request6() / payload(8)).bytes());
         }},
    {.name = "a TCP segment to our address is dropped in silence",
     .in = [](const Tenant& t) { return sends(t, Frame(ip6(kVm, "fd10::2")) / tcp(1, 179)); },
     .drop = local_not_served},
    {.name = "GRE to our address in the domain",
     .in =
         [](const Tenant& t) {
           return sends(
               t, Frame(ip6(kVm, "fd10::2")) / gre(t.web) / eth(kGatewayMac, kVm11Mac) / vm_udp6());
         },
     .drop = gre_not_on_fabric},
    {.name = "a fragment to our address",
     .in =
         [](const Tenant& t) {
           return sends(t, Frame(ip6(kVm, "fd10::2")) / fragment_header(0, 1) / echo_request6());
         },
     .drop = local_not_served},
    {.name = "a chain to our address that runs over the end",
     .in =
         [](const Tenant& t) {
           return sends(t, Frame(ip6(kVm, "fd10::2")) /
                               extension(60).with([](ExtensionLayer& l) { l.length = 200; }));
         },
     .drop = extension_header_bad},
};

}  // namespace

std::span<const LineCase> icmp6_cases() { return kIcmp6; }

TEST(Rfc4443, AsItsSections) { run_cases(kIcmp6); }

TEST(Rfc4443, S24fErrorsAreRateLimited) {
  TestLine line;
  unsigned errors = 0;
  for (int i = 0; i < 300; ++i) {
    errors += static_cast<unsigned>(
        line.run(kFabricPort, sends(kContoso, udp6("2001:db8:99::1"))).size());
  }
  EXPECT_EQ(line.drops(no_route), 300U);
  EXPECT_GT(errors, 0U);
  EXPECT_LE(errors, kIcmpErrorBurst);
  EXPECT_EQ(line.fault(), "");
}

TEST(Rfc4443, TheErrorComesFromTheAddressWhereThePacketCameIn) {
  TestLine line;
  const auto sent =
      line.run(kWanPort, private_net(kContoso) / vm_udp6("fd16::4", "2001:db8:99::1"));
  ASSERT_EQ(sent.size(), 1U);
  const auto& ip = *reinterpret_cast<const wire::Ipv6*>(sent[0].frame.data() + 18);
  EXPECT_EQ(ip.source, ip6_bytes("fd07::1"));
  EXPECT_EQ(ip.destination, ip6_bytes("fd16::4"));
}

}  // namespace hnv
