// SPDX-License-Identifier: Apache-2.0
//
// RFC 7857, updates to NAT behavioral requirements: one test a section.
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

TEST(Rfc7857, S2_1_TracksConnections) {
  struct Step {
    bool outbound;
    uint8_t flags;
    NatPhase then;
  };
  const std::vector<std::vector<Step>> stories = {
      {{true, kSyn, NatPhase::opening},
       {true, kSyn, NatPhase::opening},
       {false, kSynAck, NatPhase::opening},
       {true, kAck, NatPhase::established},
       {false, kFin, NatPhase::established},
       {true, kFin, NatPhase::closing},
       {false, kAck, NatPhase::closing}},
      {{false, kSyn, NatPhase::opening},
       {true, kSynAck, NatPhase::opening},
       {false, kAck, NatPhase::established},
       {true, kRst, NatPhase::reset},
       {true, kAck, NatPhase::established}},
      {{true, kSyn, NatPhase::opening}, {false, kRst, NatPhase::reset}},
      // The middle of a connection that nobody saw begin, one way only: not established.
      {{true, kAck, NatPhase::opening}, {true, kAck, NatPhase::opening}},
      {{true, kSyn, NatPhase::opening},
       {false, kSynAck, NatPhase::opening},
       {true, kAck, NatPhase::established},
       {true, kFin, NatPhase::established},
       {false, kFin, NatPhase::closing},
       {true, kSyn, NatPhase::opening}},
  };
  for (const auto& story : stories) {
    uint8_t state = seen::kUsed;
    for (const Step& step : story) {
      state = after_segment(state, step.flags, step.outbound);
      EXPECT_EQ(phase_of(6, state), step.then) << (&step - story.data());
      EXPECT_NE(state & seen::kUsed, 0);
    }
  }
}

TEST(Rfc7857, S2_2_KeepsOpeningConnectionsForFourMinutes) {
  NatNetwork net;
  EXPECT_EQ(NatTimeouts{}.tcp_transitory, 240U);
  (void)net.one_from_vm(kContoso, nat_tcp(kVm, 5000, kServer, 80));
  net.wait(seconds(236));
  EXPECT_EQ(net.table().size(), 1U);
  net.wait(seconds(10));
  EXPECT_EQ(net.table().size(), 0U);
}

TEST(Rfc7857, S2_3_DoesNotBelieveAReset) {
  for (const bool from_outside : {true, false}) {
    NatNetwork net;
    const NatPacket syn = nat_tcp(kVm, 5000, kServer, 80);
    const NatPacket out = connect(net, kContoso, syn);
    net.wait(seconds(3600));
    // It is translated, and the session has four more minutes.
    if (from_outside) {
      EXPECT_EQ(net.one_from_internet(answer(out, kRst)).flags, kRst);
    } else {
      EXPECT_EQ(net.one_from_vm(kContoso, with(syn, kRst)).flags, kRst);
    }
    EXPECT_EQ(phase(net), NatPhase::reset);
    net.wait(seconds(235));
    EXPECT_EQ(net.table().size(), 1U);
    // If they go on, it was none.
    EXPECT_EQ(net.one_from_internet(answer(out, kAck)).to, kVm);
    EXPECT_EQ(phase(net), NatPhase::established);
    net.wait(seconds(3600));
    EXPECT_EQ(net.table().size(), 1U);
    EXPECT_EQ(net.one_from_vm(kContoso, with(syn, kRst)).flags, kRst);
    net.wait(seconds(250));
    EXPECT_EQ(net.table().size(), 0U);
  }
}

// It would be allowed; an endpoint-independent mapping rules it out.
TEST(Rfc7857, S3_DoesNotOverlapPorts) {
  NatNetwork net;
  net.change({{"publicIPAddresses/shared",
               R"({"externalNetwork":"internet","publicIPAddresses":["198.51.100.4/32"]})"}});
  std::set<uint16_t> ports;
  for (const Tenant& tenant : kTwins) {
    for (const char* vm : {kVm, kOther}) {
      for (const char* remote : {kServer, kStranger}) {
        ports.insert(net.one_from_vm(tenant, nat_tcp(vm, 5000, remote, 80)).from_port);
      }
    }
  }
  EXPECT_EQ(ports.size(), 4U);
}

TEST(Rfc7857, S4_StaysWithItsAddressWhenItsPortsAreUsedUp) {
  NatNetwork net;
  net.change({{"publicIPAddresses/shared",
               R"({"externalNetwork":"internet","portRange":{"first":1024,"last":1279},
                   "publicIPAddresses":["198.51.100.4/31"]})"}});
  std::set<std::string> seen;
  unsigned refused = 0;
  for (uint16_t i = 0; i < 400; ++i) {
    const auto out = net.from_vm(kContoso, nat_udp(kVm, 2000 + i, kServer, 53));
    if (out.size() == 1 && out[0].where == "internet") {
      seen.insert(out[0].packet.from);
    } else {
      ++refused;
    }
  }
  EXPECT_EQ(seen.size(), 1U);
  EXPECT_EQ(refused, 400U - 256U);
  // The other address serves others.
  EXPECT_NE(net.one_from_vm(kContoso, nat_udp(kOther, 2000, kServer, 53)).from, *seen.begin());
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc7857, S5_MapsEachProtocolByItself) {
  NatNetwork net;
  for (uint16_t i = 0; i < 20; ++i) {
    (void)net.one_from_vm(kContoso, nat_tcp(kVm, 5000 + i, kServer, 80));
    (void)net.one_from_vm(kContoso, nat_udp(kVm, 5000 + i, kServer, 80));
    (void)net.one_from_vm(kContoso, nat_echo(kVm, kServer, 5000 + i));
  }
  EXPECT_EQ(net.table().mappings(), 60U);
}

TEST(Rfc7857, S6_FiltersEachProtocolByItself) {
  NatNetwork net;
  const NatPacket udp = net.one_from_vm(kContoso, nat_udp(kVm, 5000, kServer, 53));
  EXPECT_TRUE(net.from_internet(nat_tcp(kServer, 53, udp.from, udp.from_port)).empty());
  EXPECT_EQ(net.from_internet(nat_udp(kStranger, 53, udp.from, udp.from_port)).size(), 1U);
}

TEST(Rfc7857, S7_IsRefreshedNeitherByWhatIsFilteredNorByRefusals) {
  NatNetwork net;
  net.nat(kContoso, NatNetwork::rules(R"("filtering":"AddressDependent","timeouts":{"udp":120})"));
  const NatPacket udp = net.one_from_vm(kContoso, nat_udp(kVm, 5000, kServer, 53));
  const NatPacket back = net.one_from_internet(reply_to(udp));
  // A stranger connects to what fabrikam has open and is refused there, again and again.
  const NatPacket open = net.one_from_vm(kFabrikam, nat_tcp(kVm, 5000, kServer, 80));
  const NatPacket syn = nat_tcp(kStranger, 4000, open.from, open.from_port);
  for (int i = 0; i < 6; ++i) {
    const auto in = net.from_internet(syn);
    if (i < 3) {
      ASSERT_EQ(in.size(), 1U);
      EXPECT_EQ(net.one_from_vm(kFabrikam, answer(in[0].packet, kRst)).flags, kRst);
    }
    EXPECT_TRUE(net.from_internet(nat_udp(kStranger, 9, udp.from, udp.from_port)).empty());
    (void)net.from_vm(kContoso, error_about(back, kVm, 3, 3));
    net.wait(seconds(50));
  }
  EXPECT_EQ(net.table().size(), 0U);
  net.wait(seconds(10));
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc7857, S8_S9_KeepsParityAndChoosesAtRandom) {
  NatNetwork net;
  unsigned ascending = 0;
  uint16_t before = 0;
  for (uint16_t i = 0; i < 60; ++i) {
    const NatPacket out = net.one_from_vm(kContoso, nat_udp(kVm, 5000 + i, kServer, 53));
    EXPECT_EQ(out.from_port % 2, i % 2);
    ascending += out.from_port > before ? 1 : 0;
    before = out.from_port;
  }
  EXPECT_GT(ascending, 15U);
  EXPECT_LT(ascending, 45U);
}

// RFC 6864: two machines that chose the same Identification are told apart under one address.
TEST(Rfc7857, S10_GivesDatagramsTheirOwnIdentification) {
  NatNetwork net(R"("portRange":{"first":20000,"last":20127})");
  net.change({{"publicIPAddresses/one",
               R"({"externalNetwork":"internet","publicIPAddresses":["198.51.100.30/32"]})"}});
  for (const Tenant& tenant : kTwins) {
    net.nat(tenant, R"({"outboundRules":[{"name":"all","pool":"one"}]})");
  }
  NatPacket cut = nat_udp(kVm, 5353, kServer, 53);
  std::set<uint16_t> ids;
  for (const Tenant& tenant : kTwins) ids.insert(net.one_from_vm(tenant, cut).id);
  EXPECT_EQ(ids.size(), 2U);
  cut.fragment = 0x4000;  // never cut: its number says nothing, and is left alone
  EXPECT_EQ(net.one_from_vm(kContoso, cut).id, cut.id);
  // The fragments of a datagram stay together, also when a later one comes first.
  NatPacket first = nat_udp(kVm, 5353, kServer, 53);
  first.fragment = 0x2000;
  NatPacket later = first;
  later.fragment = 0x0004;
  EXPECT_TRUE(net.from_vm(kContoso, later).empty());
  const auto both = net.from_vm(kContoso, first);
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[0].packet.id, both[1].packet.id);
  EXPECT_FALSE(ids.contains(both[0].packet.id));
  EXPECT_EQ(both[0].fault + both[1].fault, "");
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc7857, S11_EndsQueryMappingsWithTheirLastSession) {
  NatNetwork net;
  net.nat(kContoso, NatNetwork::rules(R"("timeouts":{"portRest":0})"));
  const NatPacket out = net.one_from_vm(kContoso, nat_echo(kVm, kServer, 700));
  net.wait(seconds(40));
  (void)net.one_from_vm(kContoso, nat_echo(kVm, kStranger, 700));
  net.wait(seconds(40));
  EXPECT_EQ(net.table().size(), 1U);
  EXPECT_EQ(net.table().mappings(), 1U);
  EXPECT_EQ(source_of(net.one_from_vm(kContoso, nat_echo(kVm, kServer, 700))), source_of(out));
  net.wait(seconds(80));
  EXPECT_EQ(net.table().mappings(), 0U);
}

}  // namespace
}  // namespace hnv
