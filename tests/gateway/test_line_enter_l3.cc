// SPDX-License-Identifier: Apache-2.0
//
// The L3 door: a tenant's own VLAN, or a network that both tenants share and where only the
// gateway's MAC tells them apart.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/gateway/line_cases.h"

namespace hnv {
namespace {

using enum DropReason;

Frame from_private(const Tenant& t, void (*change)(IpLayer&)) {
  return private_net(t) / ip("172.16.4.4", "10.0.1.12").with([&](IpLayer& l) { change(l); }) /
         udp(1000, 2000) / payload(18);
}
Frame to_vm12(const Tenant& t, const char* from) {
  const Frame inner = Frame(ip(from, "10.0.1.12").with([](IpLayer& l) { l.ttl = 63; })) /
                      udp(1000, 2000) / payload(18);
  return to_vm({.vsid = t.web, .flow_id = flow_of(inner)}) / inner;
}

const LineCase kCases[] = {
    {.name = "from behind the peer",
     .in = [](const Tenant& t) { return from_private(t, [](IpLayer&) {}); },
     .port = kWanPort,
     .out = [](const Tenant& t) { return to_vm12(t, "172.16.4.4"); }},
    {.name = "on-link",
     .in = [](const Tenant& t) { return private_net(t) / vm_udp("192.168.7.50", "10.0.1.12"); },
     .port = kWanPort,
     .out = [](const Tenant& t) { return to_vm12(t, "192.168.7.50"); }},
    {.name = "the MAC chooses the tenant on the shared network",
     .in = [](const Tenant& t) { return shared_net(t) / vm_udp("192.168.9.50", "10.0.1.12"); },
     .port = kWanPort,
     .out = [](const Tenant& t) { return to_vm12(t, "192.168.9.50"); }},
    {.name = "padded",
     .in =
         [](const Tenant& t) {
           return (private_net(t) / vm_udp("192.168.7.50", "10.0.1.12")).padded(10);
         },
     .port = kWanPort,
     .out = [](const Tenant& t) { return to_vm12(t, "192.168.7.50"); }},
    {.name = "IP header cut short",
     .in =
         [](const Tenant& t) {
           return Frame(eth(kPrivateMac, kPeerMac)) /
                  vlan(t.private_vlan).with([](VlanLayer& l) { l.type = 0x0800; }) / payload(19);
         },
     .port = kWanPort,
     .drop = frame_short},
    {.name = "version 6",
     .in =
         [](const Tenant& t) { return from_private(t, [](IpLayer& l) { l.version_ihl = 0x65; }); },
     .port = kWanPort,
     .drop = inner_bad_header},
    {.name = "total length beyond the frame",
     .in =
         [](const Tenant& t) { return from_private(t, [](IpLayer& l) { l.total_length = 200; }); },
     .port = kWanPort,
     .drop = inner_bad_header},
    {.name = "checksum",
     .in = [](const Tenant& t) { return from_private(t, [](IpLayer& l) { l.checksum = 1; }); },
     .port = kWanPort,
     .drop = inner_bad_checksum},
    {.name = "source loopback",
     .in =
         [](const Tenant& t) {
           return from_private(t, [](IpLayer& l) { l.source = "127.9.9.9"; });
         },
     .port = kWanPort,
     .drop = inner_bad_source},
    {.name = "source the gateway's own",
     .in =
         [](const Tenant& t) { return from_private(t, [](IpLayer& l) { l.source = "10.0.0.2"; }); },
     .port = kWanPort,
     .drop = inner_bad_source},
    {.name = "source the subnet's broadcast address",
     .in =
         [](const Tenant& t) {
           return from_private(t, [](IpLayer& l) { l.source = "192.168.7.255"; });
         },
     .port = kWanPort,
     .drop = inner_bad_source},
    {.name = "source a VM's (strict reverse path)",
     .in =
         [](const Tenant& t) {
           return from_private(t, [](IpLayer& l) { l.source = "10.0.1.11"; });
         },
     .port = kWanPort,
     .drop = l3_source_not_routed},
    {.name = "source behind the other connection",
     .in =
         [](const Tenant& t) {
           return from_private(t, [](IpLayer& l) { l.source = "192.168.9.50"; });
         },
     .port = kWanPort,
     .drop = l3_source_not_routed},
    {.name = "source without a route",
     .in =
         [](const Tenant& t) { return from_private(t, [](IpLayer& l) { l.source = "8.8.8.8"; }); },
     .port = kWanPort,
     .drop = l3_source_not_routed},
    {.name = "GRE for the gateway in the tenant's own network",
     .in =
         [](const Tenant& t) {
           return private_net(t) / ip("192.168.7.50", "192.168.7.1") / nvgre(t.gateway) / vm_udp();
         },
     .port = kWanPort,
     .drop = gre_not_on_fabric},
};

void validate_sources(TestDataplane& network, const char* how) {
  network.change({{"routingDomains/contoso/networkConnections/private",
                   fmt::format(R"({{"connectionType":"L3","l3Configuration":{{"port":"wan0",
                       "vlanId":31,"macAddress":"02:00:00:00:00:c0",
                       "ipAddresses":["192.168.7.1/24"],"peerIPAddresses":["192.168.7.254"],
                       "sourceValidation":"{}"}},"routes":[{{"destinationPrefix":"172.16.0.0/16"}}]
                       }})",
                               how)}});
  network.answer_all();
}

size_t sent_from(TestLine& line, const char* source) {
  return line.run(kWanPort, private_net(kContoso) / vm_udp(source, "10.0.1.12")).size();
}

}  // namespace

std::span<const LineCase> l3_cases() { return kCases; }

TEST(EnterL3, ChecksHeadersAndReversePath) { run_cases(kCases); }

TEST(EnterL3, LooseWantsAnyRoute) {
  TestLine line;
  validate_sources(line.network(), "loose");
  EXPECT_EQ(sent_from(line, "10.0.1.11"), 1U);
  EXPECT_EQ(sent_from(line, "8.8.8.8"), 0U);
  EXPECT_EQ(line.drops(l3_source_not_routed), 1U);
  EXPECT_EQ(sent_from(line, "192.168.7.255"), 0U);
  EXPECT_EQ(sent_from(line, "192.168.7.1"), 0U);
  EXPECT_EQ(line.drops(inner_bad_source), 2U);
}

TEST(EnterL3, OffStillRefusesItsOwnAndBroadcast) {
  TestLine line;
  validate_sources(line.network(), "off");
  EXPECT_EQ(sent_from(line, "8.8.8.8"), 1U);
  EXPECT_EQ(sent_from(line, "10.0.0.2"), 0U);
  EXPECT_EQ(sent_from(line, "10.0.1.255"), 0U);
  EXPECT_EQ(line.drops(inner_bad_source), 2U);
}

TEST(EnterL3, SurvivesEveryTruncation) {
  TestLine line;
  const Bytes whole = (private_net(kContoso) / vm_udp("192.168.7.50", "10.0.1.12")).bytes();
  for (size_t length = 0; length < whole.size(); ++length) {
    const WorkerCounters before = line.line().counters();
    const auto end = whole.begin() + static_cast<ptrdiff_t>(length);
    EXPECT_TRUE(line.run({{kWanPort, Bytes(whole.begin(), end)}}).empty()) << length;
    EXPECT_NE(moved_drops(before, line.line().counters()), "") << length;
    ASSERT_EQ(line.fault(), "") << length;
  }
}

}  // namespace hnv
