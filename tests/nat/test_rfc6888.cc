// SPDX-License-Identifier: Apache-2.0
//
// RFC 6888, common requirements for carrier-grade NATs: one test a requirement, but REQ-9 (PCP).
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "tests/support/nat_network.h"

namespace hnv {
namespace {

using std::chrono::seconds;

constexpr const char* kVm = "10.0.1.11";
constexpr const char* kOther = "10.0.1.12";
constexpr const char* kServer = "192.0.2.80";
constexpr const char* kStranger = "192.0.2.99";

NatPacket flow(const char* vm, unsigned port) {
  return nat_udp(vm, static_cast<uint16_t>(port), kServer, 53);
}

// One address and these ports.
void narrow(NatNetwork& net, unsigned first, unsigned last, const std::string& rest = "") {
  net.change(
      {{"publicIPAddresses/shared",
        R"({"externalNetwork":"internet","publicIPAddresses":["198.51.100.4/32"],
                   "portRange":{"first":)" +
            std::to_string(first) + R"(,"last":)" + std::to_string(last) + "}" + rest + "}"}});
}

bool got_out(const std::vector<NatSeen>& seen) {
  return seen.size() == 1 && seen[0].where == "internet";
}

std::vector<NatRecord> records_of(NatNetwork& net) {
  std::vector<NatRecord> out(4096);
  out.resize(net.table().records().pop(out.data(), 4096));
  return out;
}
unsigned count(const std::vector<NatRecord>& records, NatRecord::Kind kind) {
  unsigned n = 0;
  for (const NatRecord& record : records) n += record.kind == kind ? 1 : 0;
  return n;
}

const NatCounters& counters(NatNetwork& net, const Tenant& tenant) {
  const CompartmentId id = net.network().compartment(tenant.name).id;
  return net.network().plane().nat->rules_of(id)->counters[0];
}

TEST(Rfc6888, Req1_SharesAddressesOnlyForProtocolsItKnows) {
  NatNetwork net;
  // TCP, UDP and ICMP: see RFC 4787, 5382 and 5508. Others would need ports it cannot give.
  for (const uint8_t protocol : std::initializer_list<uint8_t>{33, 47, 50, 132, 136}) {
    NatPacket p = nat_udp(kVm, 5000, kServer, 53);
    p.protocol = protocol;
    for (const NatSeen& seen : net.from_vm(kContoso, p)) EXPECT_NE(seen.where, "internet");
    NatPacket in = nat_udp(kServer, 53, "198.51.100.5", 5000);
    in.protocol = protocol;
    EXPECT_TRUE(net.from_internet(in).empty());
  }
  EXPECT_EQ(net.drops(DropReason::nat_protocol), 10U);
  // With an address of its own a machine has them all.
  net.nat(kContoso, NatNetwork::rules(
                        R"("staticMappings":[{"name":"own","externalNetwork":"internet",
      "protocol":"All","publicAddress":"198.51.100.20","insideAddress":"10.0.1.11"}])"));
  for (const uint8_t protocol : std::initializer_list<uint8_t>{33, 47, 50, 132, 136}) {
    NatPacket p = nat_udp(kVm, 5000, kServer, 53);
    p.protocol = protocol;
    const auto out = net.from_vm(kContoso, p);
    ASSERT_TRUE(got_out(out)) << int{protocol};
    EXPECT_EQ(out[0].fault, "") << int{protocol};  // UDP-Lite, DCCP: a pseudo header's checksum
    EXPECT_EQ(out[0].packet.from, "198.51.100.20");
    EXPECT_EQ(out[0].packet.payload, p.payload);
    EXPECT_EQ(net.one_from_internet(reply_to(out[0].packet)).to, kVm);
  }
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc6888, Req2_PairsByDefault) {
  NatNetwork net;
  net.add_vms(kContoso, 20, 49);
  for (unsigned vm = 20; vm < 50; ++vm) {
    const std::string address = "10.0.1." + std::to_string(vm);
    std::set<std::string> seen;
    for (unsigned i = 0; i < 70; ++i)
      seen.insert(net.one_from_vm(kContoso, flow(address.c_str(), 2000 + i)).from);
    EXPECT_EQ(seen.size(), 1U) << address;
  }
}

TEST(Rfc6888, Req3_TakesAnyAddresses) {
  NatNetwork net;
  net.change({{"publicIPAddresses/shared",
               R"({"externalNetwork":"internet","publicIPAddresses":
                   ["198.51.100.4/32","198.51.100.77/32","203.0.113.130/31"]})"}});
  net.add_vms(kContoso, 20, 59);
  std::set<std::string> seen;
  for (unsigned vm = 20; vm < 60; ++vm) {
    const NatPacket out =
        net.one_from_vm(kContoso, flow(("10.0.1." + std::to_string(vm)).c_str(), 9));
    seen.insert(out.from);
    EXPECT_EQ(net.from_internet(reply_to(out)).size(), 1U);
  }
  EXPECT_EQ(seen, (std::set<std::string>{"198.51.100.4", "198.51.100.77", "203.0.113.130",
                                         "203.0.113.131"}));
}

TEST(Rfc6888, Req4_LimitsPortsOfASubscriber) {
  NatNetwork net;
  net.nat(kContoso, NatNetwork::rules(R"("limits":{"portsPerAddress":10})"));
  for (unsigned i = 0; i < 10; ++i)
    EXPECT_TRUE(got_out(net.from_vm(kContoso, flow(kVm, 2000 + i))));
  EXPECT_FALSE(got_out(net.from_vm(kContoso, flow(kVm, 3000))));
  EXPECT_FALSE(got_out(net.from_vm(kContoso, nat_echo(kVm, kServer, 7))));
  EXPECT_EQ(net.drops(DropReason::nat_port_limit), 2U);
  // A mapping that is there serves more flows; others' ports are theirs.
  EXPECT_TRUE(got_out(net.from_vm(kContoso, nat_udp(kVm, 2000, kStranger, 53))));
  EXPECT_TRUE(got_out(net.from_vm(kContoso, flow(kOther, 3000))));
  EXPECT_TRUE(got_out(net.from_vm(kFabrikam, flow(kVm, 3000))));
  // REQ-4c: so is the rate.
  net.nat(kFabrikam, NatNetwork::rules(R"("limits":{"newSessionsPerSecond":5})"));
  net.wait(seconds(2));
  unsigned opened = 0;
  for (unsigned i = 0; i < 20; ++i)
    opened += got_out(net.from_vm(kFabrikam, flow(kVm, 4000 + i))) ? 1 : 0;
  EXPECT_EQ(opened, 5U);
  EXPECT_EQ(net.drops(DropReason::nat_rate_limit), 15U);
  net.wait(seconds(1));
  EXPECT_TRUE(got_out(net.from_vm(kFabrikam, flow(kVm, 5000))));
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc6888, Req4_APortThatRestsServesWhoHasAllHeMay) {
  NatNetwork net;
  net.nat(kContoso, NatNetwork::rules(R"("limits":{"portsPerAddress":2},"timeouts":{"udp":120})"));
  (void)net.one_from_vm(kContoso, flow(kVm, 2000));
  (void)net.one_from_vm(kContoso, flow(kVm, 2001));
  net.wait(seconds(130));
  EXPECT_EQ(net.table().size(), 0U);
  EXPECT_EQ(net.table().mappings(), 2U);
  EXPECT_TRUE(got_out(net.from_vm(kContoso, flow(kVm, 2002))));
  EXPECT_TRUE(got_out(net.from_vm(kContoso, flow(kVm, 2003))));
  EXPECT_FALSE(got_out(net.from_vm(kContoso, flow(kVm, 2004))));
  EXPECT_EQ(net.table().mappings(), 2U);
}

TEST(Rfc6888, Req5_LimitsStateOfASubscriberAndOfADomain) {
  NatNetwork net;
  net.nat(kContoso,
          NatNetwork::rules(R"("limits":{"sessionsPerAddress":8,"sessionsPerDomain":12})"));
  for (unsigned i = 0; i < 8; ++i) {
    EXPECT_TRUE(
        got_out(net.from_vm(kContoso, nat_udp(kVm, 2000, kServer, static_cast<uint16_t>(1 + i)))));
  }
  EXPECT_FALSE(got_out(net.from_vm(kContoso, nat_udp(kVm, 2000, kServer, 99))));
  EXPECT_EQ(net.drops(DropReason::nat_address_limit), 1U);
  for (unsigned i = 0; i < 4; ++i)
    EXPECT_TRUE(got_out(net.from_vm(kContoso, flow(kOther, 3000 + i))));
  EXPECT_FALSE(got_out(net.from_vm(kContoso, flow(kOther, 4000))));
  EXPECT_EQ(net.drops(DropReason::nat_domain_limit), 1U);
  EXPECT_TRUE(got_out(net.from_vm(kFabrikam, flow(kVm, 2000))));
  EXPECT_EQ(counters(net, kContoso).sessions.value(), 12U);
  // What there is goes on, and from outside nothing more is opened, either.
  const NatPacket known = net.one_from_vm(kContoso, nat_udp(kVm, 2000, kServer, 1));
  EXPECT_TRUE(net.from_internet(nat_udp(kStranger, 9, known.from, known.from_port)).empty());
  EXPECT_EQ(net.one_from_internet(reply_to(known)).to, kVm);
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc6888, Req6_LeavesExcludedDestinationsAlone) {
  NatNetwork net;
  net.nat(kContoso, NatNetwork::rules(R"("excludePrefixes":["192.0.2.96/27"])"));
  EXPECT_TRUE(got_out(net.from_vm(kContoso, flow(kVm, 2000))));
  for (const NatSeen& seen : net.from_vm(kContoso, nat_udp(kVm, 2000, kStranger, 53))) {
    EXPECT_EQ(seen.where, "contoso");
    EXPECT_EQ(seen.packet.icmp_type, 3);
  }
  EXPECT_TRUE(got_out(net.from_vm(kFabrikam, nat_udp(kVm, 2000, kStranger, 53))));
  EXPECT_EQ(net.table().size(), 2U);
}

TEST(Rfc6888, Req7_FiltersIndependentOfTheRemoteByDefault) {
  NatNetwork net;
  for (const Tenant& tenant : kTwins) {
    const NatPacket out = net.one_from_vm(tenant, flow(kVm, 2000));
    const auto seen = net.from_internet(nat_udp(kStranger, 9, out.from, out.from_port));
    ASSERT_EQ(seen.size(), 1U);
    EXPECT_EQ(seen[0].where, tenant.name);
  }
}

TEST(Rfc6888, Req8_LetsAPortRestForTwoMinutes) {
  NatNetwork net;
  const std::string rules = NatNetwork::rules(R"("timeouts":{"udp":120})");
  net.nat(kContoso, rules);
  const Endpoint freed = source_of(net.one_from_vm(kContoso, flow(kVm, 2000)));
  net.wait(seconds(125));
  EXPECT_EQ(net.table().size(), 0U);
  EXPECT_EQ(net.table().mappings(), 1U);
  // Another endpoint does not get it, though it is the only one of its block that was ever used …
  for (unsigned i = 0; i < 63; ++i) {
    EXPECT_NE(source_of(net.one_from_vm(kContoso, flow(kVm, 3000 + i))), freed);
  }
  // … the one that had it does.
  EXPECT_EQ(source_of(net.one_from_vm(kContoso, flow(kVm, 2000))), freed);
  net.wait(seconds(130));
  EXPECT_EQ(net.table().size(), 0U);
  EXPECT_EQ(net.table().mappings(), 64U);
  net.wait(seconds(125));
  EXPECT_EQ(net.table().mappings(), 0U);
  EXPECT_EQ(net.table().hosts(), 0U);
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc6888, Req10_CountsWhatItHas) {
  NatNetwork net;
  for (const Tenant& tenant : kTwins) {
    const uint64_t flows = tenant.name == "contoso" ? 70 : 3;
    for (unsigned i = 0; i < flows; ++i) (void)net.one_from_vm(tenant, flow(kVm, 2000 + i));
    (void)net.one_from_internet(reply_to(net.one_from_vm(tenant, flow(kVm, 2000))));
    const NatCounters& n = counters(net, tenant);
    EXPECT_EQ(n.sessions.value(), flows);
    EXPECT_EQ(n.sessions_opened.value(), flows);
    EXPECT_EQ(n.mappings.value(), flows);
    EXPECT_EQ(n.addresses.value(), 1U);
    EXPECT_EQ(n.port_blocks.value(), (flows + 63) / 64);
    EXPECT_EQ(n.out_packets.value(), flows + 1);
    EXPECT_EQ(n.in_packets.value(), 1U);
  }
  net.wait(seconds(310));
  net.wait(seconds(130));
  for (const Tenant& tenant : kTwins) {
    const NatCounters& n = counters(net, tenant);
    EXPECT_EQ(n.sessions.value(), 0U);
    EXPECT_EQ(n.mappings.value(), 0U);
    EXPECT_EQ(n.addresses.value(), 0U);
    EXPECT_EQ(n.port_blocks.value(), 0U);
    EXPECT_EQ(n.sessions_ended.value(), n.sessions_opened.value());
  }
}

// The whole requirement, and what was agreed: one address, 64 ports, 10,000 flows of one tenant.
TEST(Rfc6888, Req11_RefusesVisiblyAndEvictsNothing) {
  NatNetwork net;
  narrow(net, 1024, 1087, R"(,"portBlockSize":4)");
  const NatPacket of_fabrikam = net.one_from_vm(kFabrikam, flow(kVm, 2000));
  (void)records_of(net);
  std::map<unsigned, NatPacket> opened;
  unsigned told = 0;
  unsigned refused = 0;
  for (unsigned i = 0; i < 10'000; ++i) {
    const auto seen = net.from_vm(kContoso, flow(i % 2 == 0 ? kVm : kOther, 10'000 + i));
    if (got_out(seen)) {
      opened.emplace(i, seen[0].packet);
      continue;
    }
    ++refused;                           // REQ-11a
    for (const NatSeen& error : seen) {  // REQ-11b, as RFC 5508 REQ-8 has it; their rate is limited
      EXPECT_EQ(error.where, "contoso");
      EXPECT_EQ(error.packet.icmp_type, 3);
      EXPECT_EQ(error.packet.icmp_code, 13);
      ++told;
    }
    if (i % 1000 == 0) net.network().clock().advance(seconds(2));
  }
  // Half of the sixteen blocks are everybody's, a quarter is each one's own.
  EXPECT_EQ(opened.size(), 48U);
  EXPECT_GT(told, 0U);
  EXPECT_EQ(net.drops(DropReason::nat_no_port), refused);
  const auto records = records_of(net);
  EXPECT_EQ(count(records, NatRecord::Kind::block_given), 12U);
  // REQ-11c: some seconds went by, each with one record.
  const unsigned notes = count(records, NatRecord::Kind::refused);
  EXPECT_GE(notes, 9U);
  EXPECT_LE(notes, 20U);
  for (const NatRecord& record : records) {
    if (record.kind != NatRecord::Kind::refused) continue;
    EXPECT_EQ(record.reason, DropReason::nat_no_port);
    EXPECT_EQ(record.compartment.value(), net.network().compartment("contoso").id.value());
    EXPECT_EQ(net.network().plane().nat->pools[record.pool.value()].name,
              "publicIPAddresses/shared");
  }
  // REQ-11d: every one that was opened is there, as is the other tenant's share.
  for (const auto& [i, out] : opened) {
    const NatPacket back = net.one_from_internet(reply_to(out));
    EXPECT_EQ(back.to, i % 2 == 0 ? kVm : kOther);
    EXPECT_EQ(back.to_port, 10'000 + i);
  }
  EXPECT_EQ(net.one_from_internet(reply_to(of_fabrikam)).to_port, 2000);
  unsigned of_twin = 1;
  for (unsigned i = 1; i < 100; ++i)
    of_twin += got_out(net.from_vm(kFabrikam, flow(kVm, 2000 + i))) ? 1 : 0;
  EXPECT_EQ(of_twin, 16U);
  EXPECT_EQ(counters(net, kContoso).sessions_ended.value(), 0U);
  EXPECT_EQ(counters(net, kFabrikam).sessions_ended.value(), 0U);
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc6888, Req12_LogsNoDestinations) {
  NatNetwork net;
  for (unsigned i = 0; i < 100; ++i) (void)net.one_from_vm(kContoso, flow(kVm, 2000 + i));
  net.wait(seconds(310));
  net.wait(seconds(130));
  const auto records = records_of(net);
  EXPECT_EQ(records.size(), 4U);
  for (const NatRecord& record : records) {
    EXPECT_TRUE(record.kind == NatRecord::Kind::block_given ||
                record.kind == NatRecord::Kind::block_returned);
    EXPECT_EQ(record.remote.raw(), 0U);
    EXPECT_EQ(record.remote_port.raw(), 0U);
  }
  // Only where a domain asks for it.
  net.nat(kContoso, NatNetwork::rules(R"("logSessions":true)"));
  (void)net.one_from_vm(kContoso, flow(kVm, 2000));
  const auto more = records_of(net);
  EXPECT_EQ(count(more, NatRecord::Kind::session_opened), 1U);
}

TEST(Rfc6888, Req13_UsesAllPorts) {
  NatNetwork net;
  narrow(net, 1024, 1087, R"(,"portBlockSize":4)");
  std::set<Endpoint> seen;
  for (const Tenant& tenant : kTwins) {
    for (unsigned i = 0; i < 64; ++i) {
      const auto out = net.from_vm(tenant, flow(kVm, 2000 + i));
      if (got_out(out)) seen.insert(source_of(out[0].packet));
    }
  }
  EXPECT_EQ(seen.size(), 64U);  // of 64, by two tenants
  // The same ports serve TCP and ICMP.
  EXPECT_TRUE(got_out(net.from_vm(kContoso, nat_tcp(kVm, 2000, kServer, 80))));
  EXPECT_TRUE(got_out(net.from_vm(kContoso, nat_echo(kVm, kServer, 2000))));
}

TEST(Rfc6888, Req14_LogsBlocksNotSessions) {
  NatNetwork net;
  for (unsigned i = 0; i < 64; ++i) (void)net.one_from_vm(kContoso, flow(kVm, 2000 + i));
  for (unsigned i = 0; i < 64; ++i) {
    (void)net.one_from_vm(kContoso, nat_tcp(kVm, static_cast<uint16_t>(2000 + i), kServer, 80));
  }
  const auto given = records_of(net);
  ASSERT_EQ(given.size(), 1U);
  EXPECT_EQ(given[0].kind, NatRecord::Kind::block_given);
  EXPECT_EQ(given[0].last_port.value() - given[0].first_port.value(), 63);
  net.wait(seconds(310));
  net.wait(seconds(130));
  const auto returned = records_of(net);
  ASSERT_EQ(returned.size(), 1U);
  EXPECT_EQ(returned[0].kind, NatRecord::Kind::block_returned);
  EXPECT_EQ(returned[0].outside.raw(), given[0].outside.raw());
  EXPECT_EQ(returned[0].first_port.raw(), given[0].first_port.raw());
  EXPECT_LE(returned[0].started, given[0].at);
  EXPECT_GT(returned[0].at, given[0].at);
}

TEST(Rfc6888, Req15_GivesPortsThatNobodyGuesses) {
  NatNetwork net;
  net.add_vms(kContoso, 20, 119);
  std::set<unsigned> blocks;
  unsigned neighbors = 0;
  unsigned before = 0;
  for (unsigned vm = 20; vm < 120; ++vm) {
    const std::string address = "10.0.1." + std::to_string(vm);
    for (unsigned i = 0; i < 8; ++i) {
      const unsigned port =
          net.one_from_vm(kContoso, flow(address.c_str(), 2000 + 2 * i)).from_port;
      if (i == 0) blocks.insert(port / 64);
      neighbors += port == before + 2 || port + 2 == before ? 1 : 0;
      before = port;
    }
  }
  // 100 blocks drawn of 4 times 1008 fall on some 95 numbers; in order they would be few and dense.
  EXPECT_GT(blocks.size(), 80U);
  EXPECT_GT(*blocks.rbegin() - *blocks.begin(), 800U);
  EXPECT_LT(neighbors, 120U);  // of 800: by chance some 50
}

}  // namespace
}  // namespace hnv
