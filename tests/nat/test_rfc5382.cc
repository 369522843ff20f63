// SPDX-License-Identifier: Apache-2.0
//
// RFC 5382, NAT behavioral requirements for TCP: one test a requirement.
#include <initializer_list>
#include <set>

#include <gtest/gtest.h>

#include "tests/support/nat_network.h"

namespace hnv {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kVm = "10.0.1.11";
constexpr const char* kOther = "10.0.1.12";
constexpr const char* kServer = "192.0.2.80";
constexpr const char* kStranger = "192.0.2.99";

TEST(Rfc5382, Req1_MapsAnEndpointTheSameForEveryRemote) {
  NatNetwork net;
  std::set<Endpoint> seen;
  for (const Tenant& tenant : kTwins) {
    const Endpoint first = source_of(connect(net, tenant, nat_tcp(kVm, 5000, kServer, 80)));
    EXPECT_EQ(source_of(connect(net, tenant, nat_tcp(kVm, 5000, kServer, 81))), first);
    EXPECT_EQ(source_of(connect(net, tenant, nat_tcp(kVm, 5000, kStranger, 80))), first);
    EXPECT_TRUE(seen.insert(first).second);
  }
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc5382, Req2_FollowsAConnectionFromInside) {
  NatNetwork net;
  const NatPacket syn = nat_tcp(kVm, 5000, kServer, 80);
  const NatPacket out = net.one_from_vm(kContoso, syn);
  EXPECT_EQ(phase(net), NatPhase::opening);
  (void)net.one_from_internet(answer(out, kSynAck));
  EXPECT_EQ(phase(net), NatPhase::opening);
  (void)net.one_from_vm(kContoso, with(syn, kAck));
  EXPECT_EQ(phase(net), NatPhase::established);
  (void)net.one_from_vm(kContoso, with(syn, kFin));
  EXPECT_EQ(phase(net), NatPhase::established);  // half closed: the other side may go on
  (void)net.one_from_internet(answer(out, kAck));
  (void)net.one_from_internet(answer(out, kFin));
  EXPECT_EQ(phase(net), NatPhase::closing);
  (void)net.one_from_vm(kContoso, with(syn, kAck));
  EXPECT_EQ(phase(net), NatPhase::closing);
  // The same ports again, soon.
  (void)net.one_from_vm(kContoso, syn);
  EXPECT_EQ(phase(net), NatPhase::opening);
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc5382, Req2_LetsBothEndsOpenAtOnce) {
  for (const char* filtering : {"EndpointIndependent", "AddressAndPortDependent"}) {
    NatNetwork net;
    net.nat(kContoso,
            NatNetwork::rules(std::string(R"("limits":{},"filtering":")") + filtering + "\""));
    const NatPacket syn = nat_tcp(kVm, 5000, kServer, 4000);
    const NatPacket out = net.one_from_vm(kContoso, syn);
    EXPECT_EQ(net.one_from_internet(answer(out, kSyn)).flags, kSyn);
    EXPECT_EQ(phase(net), NatPhase::opening);
    EXPECT_EQ(net.one_from_vm(kContoso, with(syn, kSynAck)).flags, kSynAck);
    EXPECT_EQ(net.one_from_internet(answer(out, kSynAck)).flags, kSynAck);
    (void)net.one_from_vm(kContoso, with(syn, kAck));
    EXPECT_EQ(phase(net), NatPhase::established);
    EXPECT_EQ(net.fault(), "");
  }
}

TEST(Rfc5382, Req2_FollowsAConnectionFromOutside) {
  NatNetwork net;
  // To a port that something inside has open towards somebody else.
  const NatPacket out = net.one_from_vm(kFabrikam, nat_tcp(kVm, 5000, kStranger, 80));
  const NatPacket syn = nat_tcp(kServer, 4000, out.from, out.from_port);
  const auto in = net.from_internet(syn);
  ASSERT_EQ(in.size(), 1U);
  EXPECT_EQ(in[0].where, "fabrikam");
  EXPECT_EQ(net.one_from_vm(kFabrikam, answer(in[0].packet, kSynAck)).to, kServer);
  (void)net.one_from_internet(with(syn, kAck));
  const NatSession& session = net.table().at(1);
  EXPECT_EQ(phase_of(6, session.state), NatPhase::established);
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc5382, Req3_FiltersAsConfigured) {
  struct Mode {
    const char* word;
    bool other_port, other_address;
  };
  for (const Mode& mode :
       {Mode{"EndpointIndependent", true, true}, Mode{"AddressDependent", true, false},
        Mode{"AddressAndPortDependent", false, false}}) {
    NatNetwork net;
    const std::string word = mode.word;
    net.nat(kContoso, NatNetwork::rules(R"("logSessions":true,"filtering":")" + word + "\""));
    const NatPacket out = connect(net, kContoso, nat_tcp(kVm, 5000, kServer, 80));
    const auto passes = [&](const char* from, uint16_t port) {
      return net.from_internet(nat_tcp(from, port, out.from, out.from_port)).size() == 1;
    };
    EXPECT_EQ(passes(kServer, 81), mode.other_port) << word;
    EXPECT_EQ(passes(kStranger, 80), mode.other_address) << word;
    EXPECT_EQ(net.one_from_internet(answer(out, kAck)).to, kVm);
    EXPECT_EQ(net.fault(), "");
  }
}

TEST(Rfc5382, Req4_AnswersAnUnsolicitedSynAfterSixSeconds) {
  NatNetwork net;
  NatPacket syn = nat_tcp(kServer, 4000, "198.51.100.5", 5000);
  EXPECT_TRUE(net.from_internet(syn).empty());
  EXPECT_TRUE(net.wait(milliseconds(5900)).empty());
  EXPECT_EQ(net.fault(), "");
  const auto told = net.wait(seconds(1));
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].where, "internet");
  EXPECT_EQ(told[0].fault, "");
  EXPECT_EQ(told[0].packet.to, kServer);
  EXPECT_EQ(told[0].packet.from, "198.51.100.5");
  EXPECT_EQ(told[0].packet.icmp_type, 3);
  EXPECT_EQ(told[0].packet.icmp_code, 3);
  std::string fault;
  EXPECT_EQ(parse_packet(told[0].packet.payload, fault).from_port, 4000);
  EXPECT_EQ(net.drops(DropReason::nat_unsolicited_syn), 1U);
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc5382, Req4_IsSilentWhenTheOneInsideOpensTheSameConnection) {
  NatNetwork net;
  net.nat(kContoso, NatNetwork::rules(R"("filtering":"AddressDependent")"));
  // The port is known to others; the SYN of the server comes before ours has left.
  const NatPacket out = net.one_from_vm(kContoso, nat_tcp(kVm, 5000, kStranger, 80));
  EXPECT_TRUE(net.from_internet(nat_tcp(kServer, 4000, out.from, out.from_port)).empty());
  EXPECT_TRUE(net.wait(seconds(3)).empty());
  EXPECT_EQ(source_of(net.one_from_vm(kContoso, nat_tcp(kVm, 5000, kServer, 4000))),
            source_of(out));
  EXPECT_TRUE(net.wait(seconds(10)).empty());
  EXPECT_EQ(net.drops(DropReason::nat_unsolicited_syn), 1U);
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc5382, Req4_IsBoundedAndOwesNothingToStrangers) {
  NatNetwork net;
  for (uint16_t i = 0; i < 1000; ++i) {
    EXPECT_TRUE(net.from_internet(nat_tcp(kServer, 4000 + i, "198.51.100.5", 5000)).empty());
  }
  EXPECT_EQ(net.line().line().held(), HeldSyns::kCapacity);
  EXPECT_EQ(net.drops(DropReason::nat_unsolicited_syn), 1000U - HeldSyns::kCapacity);
  net.wait(seconds(20));
  EXPECT_EQ(net.line().line().held(), 0U);
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc5382, Req5_KeepsSilentConnectionsLongEnough) {
  NatNetwork net;
  const NatPacket established = connect(net, kContoso, nat_tcp(kVm, 5000, kServer, 80));
  net.wait(seconds(7430));
  EXPECT_EQ(net.one_from_internet(answer(established, kAck)).to_port, 5000);
  net.wait(seconds(7430));
  EXPECT_EQ(net.one_from_internet(answer(established, kAck)).to_port, 5000);
  net.wait(seconds(7450));
  EXPECT_TRUE(net.from_internet(answer(established, kAck)).empty());

  const NatPacket opening = net.one_from_vm(kContoso, nat_tcp(kVm, 5001, kServer, 80));
  const NatPacket closing = connect(net, kContoso, nat_tcp(kVm, 5002, kServer, 80));
  (void)net.one_from_vm(kContoso, nat_tcp(kVm, 5002, kServer, 80, kFin));
  (void)net.one_from_internet(answer(closing, kFin));
  EXPECT_EQ(net.table().size(), 2U);
  net.wait(seconds(235));
  EXPECT_EQ(net.table().size(), 2U);
  net.wait(seconds(15));
  EXPECT_EQ(net.table().size(), 0U);
  EXPECT_EQ(opening.to_port, 80);
}

TEST(Rfc5382, Req6_KeepsItsHandsOffPayloads) {
  NatNetwork net;
  for (const uint16_t port : std::initializer_list<uint16_t>{21, 25, 554, 1720, 1723, 5060}) {
    const NatPacket out = connect(net, kContoso, nat_tcp(kVm, 5000, kServer, port));
    NatPacket command = nat_tcp(kVm, 5000, kServer, port, kAck);
    const std::string text = "PORT 10,0,1,11,19,136\r\n";
    command.payload.assign(text.begin(), text.end());
    EXPECT_EQ(net.one_from_vm(kContoso, command).payload, command.payload) << port;
    NatPacket back = answer(out, kAck);
    back.payload = command.payload;
    EXPECT_EQ(net.one_from_internet(back).payload, command.payload) << port;
  }
}

TEST(Rfc5382, Req7_NeverGivesAPortTwice) {
  NatNetwork net;
  net.change({{"publicIPAddresses/shared",
               R"({"externalNetwork":"internet","publicIPAddresses":["198.51.100.4/32"]})"}});
  std::set<Endpoint> seen;
  for (const Tenant& tenant : kTwins) {
    for (const char* vm : {kVm, kOther}) {
      for (uint16_t i = 0; i < 200; ++i) {
        const NatPacket out = net.one_from_vm(tenant, nat_tcp(vm, 3000 + i, kServer, 80));
        EXPECT_TRUE(seen.insert(source_of(out)).second) << out.from_port;
      }
    }
  }
  EXPECT_EQ(seen.size(), 800U);
}

TEST(Rfc5382, Req8_HairpinsWithThePublicSource) {
  NatNetwork net;
  net.change({{"publicIPAddresses/shared",
               R"({"externalNetwork":"internet","publicIPAddresses":["198.51.100.4/32"]})"}});
  for (const Tenant& tenant : kTwins) {
    const NatPacket b = net.one_from_vm(tenant, nat_tcp(kOther, 7000, kServer, 80));
    const NatPacket syn = nat_tcp(kVm, 6000, b.from, b.from_port);
    const auto seen = net.from_vm(tenant, syn);
    ASSERT_EQ(seen.size(), 1U);
    EXPECT_EQ(seen[0].where, tenant.name);
    EXPECT_EQ(seen[0].fault, "");
    EXPECT_EQ(seen[0].packet.to, kOther);
    EXPECT_EQ(seen[0].packet.from, b.from);  // the public one that both share
    EXPECT_NE(seen[0].packet.from_port, b.from_port);
    const NatPacket back = net.one_from_vm(tenant, answer(seen[0].packet, kSynAck));
    EXPECT_EQ(source_of(back), source_of(b));
    EXPECT_EQ(back.to, kVm);
    EXPECT_EQ(net.one_from_vm(tenant, with(syn, kAck)).to, kOther);
  }
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc5382, Req9_TranslatesUnreachableMessages) {
  NatNetwork net;
  for (const Tenant& tenant : kTwins) {
    const NatPacket out = connect(net, tenant, nat_tcp(kVm, 5000, kServer, 80));
    for (uint8_t code = 0; code < 16; ++code) {
      const auto seen = net.from_internet(error_about(out, kServer, 3, code, 1280));
      ASSERT_EQ(seen.size(), 1U);
      EXPECT_EQ(seen[0].where, tenant.name);
      EXPECT_EQ(seen[0].fault, "");
      EXPECT_EQ(seen[0].packet.icmp_code, code);
      std::string fault;
      const NatPacket quoted = parse_packet(seen[0].packet.payload, fault);
      EXPECT_EQ(fault, "");  // checksums of the quoted headers are right, too
      EXPECT_EQ(source_of(quoted), Endpoint(kVm, 5000));
    }
  }
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc5382, Req10_SurvivesIcmpErrors) {
  NatNetwork net;
  const NatPacket out = connect(net, kContoso, nat_tcp(kVm, 5000, kServer, 80));
  const NatPacket in = net.one_from_internet(answer(out, kAck));
  for (const uint8_t type : std::initializer_list<uint8_t>{3, 11, 12}) {
    for (uint8_t code = 0; code < 4; ++code) {
      EXPECT_EQ(net.from_internet(error_about(out, kServer, type, code)).size(), 1U);
      EXPECT_EQ(net.from_vm(kContoso, error_about(in, kVm, type, code)).size(), 1U);
    }
  }
  EXPECT_EQ(phase(net), NatPhase::established);
  net.wait(seconds(7000));
  EXPECT_EQ(net.one_from_internet(answer(out, kAck)).to_port, 5000);
  EXPECT_EQ(net.fault(), "");
}

}  // namespace
}  // namespace hnv
