// SPDX-License-Identifier: Apache-2.0
//
// The packet trace: the whole way of a packet, of the domain that was asked for and of no other.
#include <gtest/gtest.h>

#include "tests/gateway/line_cases.h"

namespace hnv {
namespace {

std::vector<TraceEvent> events_of(PacketTrace& trace) {
  std::vector<TraceEvent> out;
  TraceRecord record;
  while (trace.worker(0).ring().pop(&record, 1) == 1) {
    out.push_back(to_event(record, 0, record.at));
  }
  return out;
}
std::string way(const std::vector<TraceEvent>& events) {
  std::string out;
  for (const TraceEvent& event : events) out += event.station + " > " + event.next + "\n";
  return out;
}
std::shared_ptr<PacketTrace> trace_of(TestLine& line, TraceMatch match, uint32_t limit = 100) {
  match.compartment_uid = line.network().compartment("contoso").uid;
  auto trace = std::make_shared<PacketTrace>(match, limit, 1);
  line.network().set_trace(trace);
  return trace;
}

}  // namespace

TEST(Trace, ShowsTheWayThroughNvgre) {
  TestLine line;
  const auto trace = trace_of(line, {});
  line.run(kFabricPort, from_vm(kFabrikam, vm_udp()));
  line.run(kFabricPort, from_vm(kContoso, vm_udp()));
  const auto events = events_of(*trace);
  EXPECT_EQ(way(events),
            "enter_nvgre > route\nroute > leave_nvgre\nleave_nvgre > rewrite\nrewrite > tx\n");
  for (const TraceEvent& event : events) {
    EXPECT_EQ(event.packet, "10.0.1.11:1000 > 10.0.1.12:2000, protocol 17, 46 bytes, vsid 5000");
  }
}

TEST(Trace, ShowsTheWayBetweenNvgreAndL3) {
  TestLine line;
  const auto trace = trace_of(line, {});
  line.run(kFabricPort, from_vm(kContoso, vm_udp("10.0.1.11", "172.16.4.4")));
  EXPECT_EQ(way(events_of(*trace)),
            "enter_nvgre > route\nroute > leave_l3\nleave_l3 > rewrite\nrewrite > tx\n");
  line.run(kWanPort, private_net(kContoso) / vm_udp("172.16.4.4", "10.0.1.12"));
  const auto events = events_of(*trace);
  EXPECT_EQ(way(events),
            "enter_l3 > route\nroute > leave_nvgre\nleave_nvgre > rewrite\n"
            "rewrite > tx\n");
  for (const TraceEvent& event : events) {
    EXPECT_EQ(event.packet, "172.16.4.4:1000 > 10.0.1.12:2000, protocol 17, 46 bytes");
  }
}

TEST(Trace, NamesTheReasonOfADrop) {
  TestLine line;
  const auto trace = trace_of(line, {});
  line.run(kFabricPort, fabric("10.250.0.12") / nvgre(kContoso.gateway) / vm_udp());
  line.run(kFabricPort, from_vm(kContoso, vm_udp("10.0.1.11", "10.0.2.255")));
  EXPECT_EQ(way(events_of(*trace)),
            "enter_nvgre > drop: nvgre_wrong_source_pa\n"
            "enter_nvgre > route\nroute > drop: directed_broadcast\n");
}

// A packet that rewrite drops has no Ethernet header yet.
TEST(Trace, ReadsWhatRewriteDrops) {
  TestLine line;
  line.network().change({{"routingDomains/contoso/virtualSubnets/web/lookupRecords/10.0.1.12",
                          R"({"customerAddress":"10.0.1.12","providerAddress":"10.250.0.40",
                              "macAddress":"00:15:5d:01:00:12"})"}});
  for (unsigned i = 0; i < HoldTable::kPerNextHop; ++i) {
    line.run(kFabricPort, from_vm(kContoso, vm_udp()));
  }
  const auto trace = trace_of(line, {.source = CaAddress(ip4("10.0.1.11"))});
  line.run(kFabricPort, from_vm(kContoso, vm_udp()));
  const auto events = events_of(*trace);
  EXPECT_EQ(way(events),
            "enter_nvgre > route\nroute > leave_nvgre\nleave_nvgre > rewrite\n"
            "rewrite > drop: next_hop_queue_full\n");
  for (const TraceEvent& event : events) {
    EXPECT_EQ(event.packet, "10.0.1.11:1000 > 10.0.1.12:2000, protocol 17, 46 bytes, vsid 5000");
  }
}

TEST(Trace, FiltersByTheFlow) {
  TestLine line;
  const auto trace = trace_of(
      line, {.destination = CaAddress(ip4("10.0.1.12")), .protocol = 6, .destination_port = 80});
  line.run(kFabricPort, from_vm(kContoso, vm_udp()));
  line.run(kFabricPort, from_vm(kContoso, Frame(ip("10.0.1.11", "10.0.1.12")) / tcp(1000, 443)));
  EXPECT_TRUE(events_of(*trace).empty());
  line.run(kFabricPort, from_vm(kContoso, Frame(ip("10.0.1.11", "10.0.1.12")) / tcp(1000, 80)));
  EXPECT_EQ(events_of(*trace).size(), 4U);
}

TEST(Trace, StopsAtItsLimit) {
  TestLine line;
  const auto trace = trace_of(line, {}, 6);
  for (int i = 0; i < 3; ++i) line.run(kFabricPort, from_vm(kContoso, vm_udp()));
  EXPECT_EQ(events_of(*trace).size(), 6U);
}

TEST(Trace, SaysNothingAboutArp) {
  TestLine line;
  const auto trace = trace_of(line, {});
  line.run(kFabricPort, fabric("10.250.0.12", "10.250.0.2") /
                            nvgre(kContoso.db, kVm21Mac, "ff:ff:ff:ff:ff:ff") /
                            arp_request(kVm21Mac, "10.0.2.21", "10.0.2.1"));
  EXPECT_EQ(way(events_of(*trace)), "");
}

}  // namespace hnv
