// SPDX-License-Identifier: Apache-2.0
//
// The NVGRE door, inbound: the GRE header, the inner frame, and who vouches for its sender.
#include <gtest/gtest.h>

#include "tests/gateway/line_cases.h"

namespace hnv {
namespace {

using enum DropReason;

// What a right packet becomes: one hop less, with VM 12's headers in front.
Frame to_vm12(const Tenant& t, const Frame& inner) {
  const uint8_t flow = flow_of(inner);
  return to_vm({.vsid = t.web, .flow_id = flow}) / inner;
}
Frame hop_less(const char* from = "10.0.1.11", const char* to = "10.0.1.12") {
  return Frame(ip(from, to).with([](IpLayer& l) { l.ttl = 63; })) / udp(1000, 2000) / payload(18);
}
Frame passed(const Tenant& t) { return to_vm12(t, hop_less()); }

Frame with_gre(const Tenant& t, uint16_t flags, uint16_t protocol = 0x6558) {
  return fabric() / gre(t.gateway).with([&](GreLayer& l) {
    l.flags = flags;
    l.protocol = protocol;
  }) / eth(kGatewayMac, kRouterMac) /
         vm_udp();
}
Frame with_vsid(uint32_t vsid) { return fabric() / nvgre(vsid) / vm_udp(); }

// facts/hnv.md: RFC 2784 and 2890 ignore bits 6 to 12 of Reserved0 and discard for 1 to 5.
const LineCase kGre[] = {
    {.name = "as NVGRE says",
     .in = [](const Tenant& t) { return with_gre(t, 0x2000); },
     .out = passed},
    {.name = "reserved bits 6 to 12 are ignored",
     .in = [](const Tenant& t) { return with_gre(t, 0x23f8); },
     .out = passed},
    {.name = "no key",
     .in = [](const Tenant& t) { return with_gre(t, 0x0000); },
     .drop = nvgre_bad_flags},
    {.name = "checksum",
     .in = [](const Tenant& t) { return with_gre(t, 0xa000); },
     .drop = nvgre_bad_flags},
    {.name = "sequence",
     .in = [](const Tenant& t) { return with_gre(t, 0x3000); },
     .drop = nvgre_bad_flags},
    {.name = "version 1",
     .in = [](const Tenant& t) { return with_gre(t, 0x2001); },
     .drop = nvgre_bad_flags},
    {.name = "routing",
     .in = [](const Tenant& t) { return with_gre(t, 0x6000); },
     .drop = nvgre_bad_flags},
    {.name = "strict source route",
     .in = [](const Tenant& t) { return with_gre(t, 0x2800); },
     .drop = nvgre_bad_flags},
    {.name = "recursion",
     .in = [](const Tenant& t) { return with_gre(t, 0x2400); },
     .drop = nvgre_bad_flags},
    {.name = "GRE that carries IPv4",
     .in = [](const Tenant& t) { return with_gre(t, 0x2000, 0x0800); },
     .drop = nvgre_bad_protocol},
    {.name = "GRE cut short",
     .in =
         [](const Tenant&) {
           return fabric() / raw({0x20, 0, 0x65, 0x58, 0, 19, 0x88});
         },
     .drop = nvgre_short},
    {.name = "inner Ethernet cut short",
     .in = [](const Tenant& t) { return fabric() / gre(t.gateway) / payload(13); },
     .drop = nvgre_short},
    {.name = "VSID 0",
     .in = [](const Tenant&) { return with_vsid(0); },
     .drop = nvgre_reserved_vsid},
    {.name = "VSID 0xFFF",
     .in = [](const Tenant&) { return with_vsid(0xfff); },
     .drop = nvgre_reserved_vsid},
    {.name = "VSID 0xFFFFFF",
     .in = [](const Tenant&) { return with_vsid(0xffffff); },
     .drop = nvgre_reserved_vsid},
    {.name = "VSID 0xFFFFFE",
     .in = [](const Tenant&) { return with_vsid(0xfffffe); },
     .drop = nvgre_unknown_vsid},
    {.name = "VSID 4096",
     .in = [](const Tenant&) { return with_vsid(4096); },
     .drop = nvgre_unknown_vsid},
    {.name = "VSID of the tagged fabric",
     .in = [](const Tenant& t) { return with_vsid(t.far); },
     .drop = nvgre_wrong_network},
    {.name = "VSID of this fabric on the tagged one",
     .in = [](const Tenant& t) { return tagged_fabric() / nvgre(t.gateway) / vm_udp(); },
     .drop = nvgre_wrong_network},
    {.name = "another PA of ours than the subnet's",
     .in = [](const Tenant& t) { return with_vsid(t.db); },
     .drop = nvgre_wrong_pa},
    {.name = "outer IP options are stepped over",
     .in =
         [](const Tenant& t) {
           return Frame(eth(kFabricMac, kRouterMac)) /
                  ip("10.250.0.11", "10.250.0.1").with([](IpLayer& l) {
                    l.options = {1, 1, 1, 0};
                  }) /
                  nvgre(t.gateway) / vm_udp();
         },
     .out = passed},
    {.name = "Ethernet's padding is not the tenant's",
     .in = [](const Tenant& t) { return from_vm(t, vm_udp()).padded(9); },
     .out = passed},
};

Frame inner_ip(const Tenant& t, void (*change)(IpLayer&)) {
  return from_vm(t, Frame(ip("10.0.1.11", "10.0.1.12").with([&](IpLayer& l) { change(l); })) /
                        udp(1000, 2000) / payload(18));
}

const LineCase kInner[] = {
    {.name = "inner 802.1Q (RFC 7637 3.2)",
     .in = [](const Tenant& t) { return fabric() / nvgre(t.gateway) / vlan(7) / vm_udp(); },
     .drop = nvgre_inner_vlan},
    {.name = "inner service tag",
     .in =
         [](const Tenant& t) {
           return fabric() / nvgre(t.gateway) /
                  vlan(7).with([](VlanLayer& l) { l.tpid = 0x88a8; }) / vm_udp();
         },
     .drop = nvgre_inner_vlan},
    {.name = "to another MAC",
     .in =
         [](const Tenant& t) {
           return fabric() / nvgre(t.gateway, kRouterMac, kVm12Mac) / vm_udp();
         },
     .drop = nvgre_inner_mac},
    {.name = "a host's packet that was flooded is not forwarded (RFC 1812 5.3.4)",
     .in =
         [](const Tenant& t) {
           return fabric() / nvgre(t.gateway, kRouterMac, "ff:ff:ff:ff:ff:ff") / vm_udp();
         },
     .drop = nvgre_inner_mac},
    {.name = "limited broadcast is nobody's",
     .in =
         [](const Tenant& t) {
           return fabric() / nvgre(t.gateway, kRouterMac, "ff:ff:ff:ff:ff:ff") /
                  vm_udp("10.0.1.11", "255.255.255.255");
         },
     .drop = inner_bad_destination},
    {.name = "multicast is nobody's",
     .in =
         [](const Tenant& t) {
           return fabric() / nvgre(t.gateway, kRouterMac, "01:00:5e:00:00:fb") /
                  vm_udp("10.0.1.11", "224.0.0.251");
         },
     .drop = inner_bad_destination},
    {.name = "inner LLDP",
     .in =
         [](const Tenant& t) {
           return fabric() / gre(t.gateway) / eth(kGatewayMac, kVm11Mac).with([](EthLayer& l) {
             l.type = 0x88cc;
           }) / payload(30);
         },
     .drop = nvgre_inner_type},
    {.name = "inner IP cut short",
     .in =
         [](const Tenant& t) {
           return fabric() / gre(t.gateway) / eth(kGatewayMac, kVm11Mac).with([](EthLayer& l) {
             l.type = 0x0800;
           }) / payload(19);
         },
     .drop = inner_bad_header},
    {.name = "inner version 5",
     .in = [](const Tenant& t) { return inner_ip(t, [](IpLayer& l) { l.version_ihl = 0x55; }); },
     .drop = inner_bad_header},
    {.name = "inner total length beyond the outer packet",
     .in = [](const Tenant& t) { return inner_ip(t, [](IpLayer& l) { l.total_length = 47; }); },
     .drop = inner_bad_header},
    {.name = "inner header beyond the packet",
     .in = [](const Tenant& t) { return inner_ip(t, [](IpLayer& l) { l.version_ihl = 0x4f; }); },
     .drop = inner_bad_header},
    {.name = "inner checksum",
     .in = [](const Tenant& t) { return inner_ip(t, [](IpLayer& l) { l.checksum = 0xdead; }); },
     .drop = inner_bad_checksum},
    {.name = "DHCP",
     .in =
         [](const Tenant& t) {
           return fabric() / nvgre(t.web, kL2Mac, "ff:ff:ff:ff:ff:ff") /
                  ip("0.0.0.0", "255.255.255.255") / udp(68, 67) / payload(40);
         },
     .drop = dhcp_not_served},
    {.name = "source 0.0.0.0 that is no DHCP",
     .in = [](const Tenant& t) { return inner_ip(t, [](IpLayer& l) { l.source = "0.0.0.0"; }); },
     .drop = inner_bad_source},
    {.name = "source loopback",
     .in = [](const Tenant& t) { return inner_ip(t, [](IpLayer& l) { l.source = "127.0.0.1"; }); },
     .drop = inner_bad_source},
    {.name = "source multicast",
     .in = [](const Tenant& t) { return inner_ip(t, [](IpLayer& l) { l.source = "239.1.1.1"; }); },
     .drop = inner_bad_source},
    {.name = "the gateway's own address as the source",
     .in = [](const Tenant& t) { return inner_ip(t, [](IpLayer& l) { l.source = "10.0.0.2"; }); },
     .drop = inner_bad_source},
    {.name = "the gateway's own address behind a connection as the source",
     .in =
         [](const Tenant& t) { return inner_ip(t, [](IpLayer& l) { l.source = "192.168.7.1"; }); },
     .drop = inner_bad_source},
    {.name = "inner IP options pass",
     .in =
         [](const Tenant& t) { return inner_ip(t, [](IpLayer& l) {
                                 l.options = {1, 1, 1, 0};
                               }); },
     .out =
         [](const Tenant& t) {
           return to_vm12(t, Frame(ip("10.0.1.11", "10.0.1.12").with([](IpLayer& l) {
                               l.ttl = 63;
                               l.options = {1, 1, 1, 0};
                             })) /
                                 udp(1000, 2000) / payload(18));
         }},
    {.name = "inner fragments pass",
     .in = [](const Tenant& t) { return inner_ip(t, [](IpLayer& l) { l.fragment = 0x2001; }); },
     .out =
         [](const Tenant& t) {
           return to_vm12(t, Frame(ip("10.0.1.11", "10.0.1.12").with([](IpLayer& l) {
                               l.ttl = 63;
                               l.fragment = 0x2001;
                             })) /
                                 udp(1000, 2000) / payload(18));
         }},
};

Frame from_other_gateway(const Tenant& t, const char* ca, const char* pa = "10.250.0.77",
                         const char* mac = kOtherGatewayMac) {
  return fabric(pa) / nvgre(t.gateway, mac) / vm_udp(ca);
}

// api.md: the record vouches by its PA, and by its MAC when the packet was not routed on the way.
const LineCase kSources[] = {
    {.name = "routed by its host into the gateway subnet",
     .in = [](const Tenant& t) { return from_vm(t, vm_udp()); },
     .out = passed},
    {.name = "not routed, with its record's MAC",
     .in = [](const Tenant& t) { return fabric() / nvgre(t.web, kVm11Mac) / vm_udp(); },
     .out = passed},
    {.name = "not routed, with another MAC",
     .in = [](const Tenant& t) { return fabric() / nvgre(t.web, kVm12Mac) / vm_udp(); },
     .drop = nvgre_wrong_source_mac},
    {.name = "not routed, with the hosts' router MAC",
     .in = [](const Tenant& t) { return fabric() / nvgre(t.web, kRouterMac) / vm_udp(); },
     .drop = nvgre_wrong_source_mac},
    {.name = "from another PA than its record's",
     .in = [](const Tenant& t) { return fabric("10.250.0.12") / nvgre(t.gateway) / vm_udp(); },
     .drop = nvgre_wrong_source_pa},
    {.name = "its record's PA is on the other fabric",
     .in =
         [](const Tenant& t) {
           return fabric("10.252.0.13") / nvgre(t.gateway) / vm_udp("10.0.3.31");
         },
     .drop = nvgre_wrong_source_pa},
    {.name = "a CA of a virtual subnet without a record",
     .in = [](const Tenant& t) { return from_vm(t, vm_udp("10.0.1.99")); },
     .drop = nvgre_unknown_source},
    {.name = "a VM that has only an L2Only record",
     .in = [](const Tenant& t) { return fabric() / nvgre(t.web, kL2Mac) / vm_udp("10.0.1.33"); },
     .drop = nvgre_no_record},
    {.name = "from behind another gateway",
     .in = [](const Tenant& t) { return from_other_gateway(t, "172.20.1.1"); },
     .out = [](const Tenant& t) { return to_vm12(t, hop_less("172.20.1.1")); }},
    {.name = "from behind another gateway, another MAC",
     .in =
         [](const Tenant& t) {
           return from_other_gateway(t, "172.20.1.1", "10.250.0.77", kRouterMac);
         },
     .drop = nvgre_unknown_source},
    {.name = "from behind another gateway, another PA",
     .in = [](const Tenant& t) { return from_other_gateway(t, "172.20.1.1", "10.250.0.78"); },
     .drop = nvgre_unknown_source},
    {.name = "another gateway speaking for a CA of a virtual subnet",
     .in = [](const Tenant& t) { return from_other_gateway(t, "10.0.1.98"); },
     .drop = nvgre_unknown_source},
    {.name = "another gateway speaking for a VM with a record",
     .in = [](const Tenant& t) { return from_other_gateway(t, "10.0.1.11"); },
     .drop = nvgre_wrong_source_pa},
    {.name = "the wildcard that names the gateway itself accepts nothing",
     .in =
         [](const Tenant& t) {
           return fabric("10.250.0.11") / nvgre(t.web, kGatewayMac) / vm_udp("172.30.1.1");
         },
     .drop = nvgre_unknown_source},
};

}  // namespace

std::span<const LineCase> gre_cases() { return kGre; }
std::span<const LineCase> inner_cases() { return kInner; }
std::span<const LineCase> source_cases() { return kSources; }

TEST(EnterNvgre, TakesNvgreAndNothingElse) { run_cases(kGre); }
TEST(EnterNvgre, ReadsTheInnerFrame) { run_cases(kInner); }
TEST(EnterNvgre, BelievesTheRecordsOnly) { run_cases(kSources); }

// Every prefix of a right packet: never a crash, always exactly one drop.
TEST(EnterNvgre, SurvivesEveryTruncation) {
  for (const Frame& frame :
       {from_vm(kContoso, vm_udp()), tagged_fabric() / nvgre(kContoso.far) / vm_udp("10.0.3.31")}) {
    TestLine line;
    const Bytes whole = frame.bytes();
    for (size_t length = 0; length < whole.size(); ++length) {
      const WorkerCounters before = line.line().counters();
      const auto sent = line.run(
          {{kFabricPort, Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length))}});
      EXPECT_TRUE(sent.empty()) << length;
      EXPECT_NE(moved_drops(before, line.line().counters()), "") << length;
      ASSERT_EQ(line.fault(), "") << length;
    }
  }
}

// The same with lengths that agree with each other, so that the checks behind the first are met.
TEST(EnterNvgre, SurvivesEveryShorterOuterLength) {
  TestLine line;
  const Bytes inner =
      (Frame(gre(kContoso.gateway)) / eth(kGatewayMac, kRouterMac) / vm_udp()).bytes();
  for (size_t length = 0; length < inner.size(); ++length) {
    const Frame frame =
        fabric() / raw(Bytes(inner.begin(), inner.begin() + static_cast<ptrdiff_t>(length)));
    const WorkerCounters before = line.line().counters();
    EXPECT_TRUE(line.run(kFabricPort, frame).empty()) << length;
    EXPECT_NE(moved_drops(before, line.line().counters()), "") << length;
    ASSERT_EQ(line.fault(), "") << length;
  }
}

TEST(EnterNvgre, TakesFramesFromTheOldHostWhileARecordMoves) {
  TestLine line;
  TestDataplane& network = line.network();
  network.change({{"routingDomains/contoso/virtualSubnets/web/lookupRecords/10.0.1.11",
                   R"({"customerAddress":"10.0.1.11","providerAddress":"10.250.0.12",
                       "macAddress":"00:15:5d:01:00:11"})"}});
  const Frame from_old = from_vm(kContoso, vm_udp());
  EXPECT_EQ(line.run(kFabricPort, from_old).size(), 1U);
  EXPECT_EQ(network.counters("contoso").moved_record_packets.value(), 1U);
  EXPECT_EQ(
      line.run(kFabricPort, fabric("10.250.0.12") / nvgre(kContoso.gateway) / vm_udp()).size(), 1U);
  // Fabrikam's VM of the same address has not moved.
  EXPECT_TRUE(
      line.run(kFabricPort, fabric("10.250.0.12") / nvgre(kFabrikam.gateway) / vm_udp()).empty());
  network.end_moved("contoso", "10.0.1.11", "10.250.0.11");
  EXPECT_TRUE(line.run(kFabricPort, from_old).empty());
  EXPECT_EQ(line.drops(nvgre_wrong_source_pa), 2U);
  EXPECT_EQ(line.fault(), "");
}

// There and back within the second: both hosts are good, each until its own move's second is over.
TEST(EnterNvgre, TakesFramesFromBothHostsOfARecordThatMovesToAndFro) {
  TestLine line;
  TestDataplane& network = line.network();
  const auto move_to = [&](const std::string& pa) {
    network.change({{"routingDomains/contoso/virtualSubnets/web/lookupRecords/10.0.1.11",
                     R"({"customerAddress":"10.0.1.11","providerAddress":")" + pa +
                         R"(","macAddress":"00:15:5d:01:00:11"})"}});
  };
  const auto arrives_from = [&](const std::string& pa) {
    return line.run(kFabricPort, fabric(pa) / nvgre(kContoso.gateway) / vm_udp()).size() == 1;
  };
  move_to("10.250.0.12");
  move_to("10.250.0.11");
  EXPECT_TRUE(arrives_from("10.250.0.11"));
  EXPECT_TRUE(arrives_from("10.250.0.12"));
  network.end_moved("contoso", "10.0.1.11", "10.250.0.11");
  EXPECT_TRUE(arrives_from("10.250.0.11")) << "it is there now";
  EXPECT_TRUE(arrives_from("10.250.0.12"));
  move_to("10.250.0.12");
  network.end_moved("contoso", "10.0.1.11", "10.250.0.12");
  EXPECT_TRUE(arrives_from("10.250.0.11")) << "the second move from there is younger";
  EXPECT_TRUE(arrives_from("10.250.0.12"));
  network.end_moved("contoso", "10.0.1.11", "10.250.0.11");
  EXPECT_FALSE(arrives_from("10.250.0.11"));
  EXPECT_EQ(network.compartment("contoso").moved, nullptr);
  EXPECT_EQ(line.fault(), "");
}

// A VSID that nobody has is nobody's drop; a wrong source is the tenant's whose VSID it carries.
TEST(EnterNvgre, CountsDropsForTheTenantWhoseVsidItWas) {
  TestLine line;
  line.run(kFabricPort, fabric("10.250.0.99") / nvgre(kFabrikam.gateway) / vm_udp());
  const auto reason = static_cast<size_t>(nvgre_wrong_source_pa);
  EXPECT_EQ(line.network().counters("fabrikam").drops[reason].value(), 1U);
  EXPECT_EQ(line.network().counters("contoso").drops[reason].value(), 0U);
}

}  // namespace hnv
