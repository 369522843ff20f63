// SPDX-License-Identifier: Apache-2.0
//
// RFC 5508, NAT behavioral requirements for ICMP: one test a requirement.
#include <initializer_list>

#include <gtest/gtest.h>

#include "tests/support/nat_network.h"

namespace hnv {
namespace {

constexpr const char* kVm = "10.0.1.11";
constexpr const char* kOther = "10.0.1.12";
constexpr const char* kServer = "192.0.2.80";
constexpr const char* kRouter = "192.0.2.1";

NatPacket quoted_by(const NatPacket& error) {
  std::string fault;
  NatPacket out = parse_packet(error.payload, fault);
  EXPECT_EQ(fault, "");
  return out;
}

TEST(Rfc5508, Req1_LetsQueriesOutAndTheirAnswersIn) {
  NatNetwork net;
  std::vector<NatPacket> seen;
  for (const Tenant& tenant : kTwins) {
    for (const uint8_t type : std::initializer_list<uint8_t>{8, 13}) {
      NatPacket query = nat_echo(kVm, kServer, 700);
      query.icmp_type = type;
      const NatPacket out = net.one_from_vm(tenant, query);
      EXPECT_EQ(out.icmp_type, type);
      const auto back = net.from_internet(reply_to(out));
      ASSERT_EQ(back.size(), 1U);
      EXPECT_EQ(back[0].where, tenant.name);
      EXPECT_EQ(back[0].fault, "");
      EXPECT_EQ(back[0].packet.from_port, 700);
      EXPECT_EQ(back[0].packet.payload, query.payload);
      seen.push_back(out);
    }
    // REQ-1a: the identifier is the same for other remotes.
    EXPECT_EQ(net.one_from_vm(tenant, nat_echo(kVm, kRouter, 700)).from_port,
              seen.back().from_port);
  }
  EXPECT_NE(std::pair(seen[0].from, seen[0].from_port), std::pair(seen[2].from, seen[2].from_port));
  // What nobody asked: a request from outside, an answer from inside.
  EXPECT_TRUE(net.from_internet(nat_echo("192.0.2.7", seen[0].from, 9)).empty());
  NatPacket answer = nat_echo(kVm, "192.0.2.7", 9);
  answer.icmp_type = 0;
  for (const NatSeen& out : net.from_vm(kContoso, answer)) EXPECT_NE(out.where, "internet");
  EXPECT_EQ(net.drops(DropReason::nat_protocol), 1U);
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc5508, Req2_KeepsAQueryForSixtySeconds) {
  NatNetwork net;
  const NatPacket out = net.one_from_vm(kContoso, nat_echo(kVm, kServer, 700));
  net.wait(std::chrono::seconds(58));
  EXPECT_EQ(net.one_from_internet(reply_to(out)).from_port, 700);
  net.wait(std::chrono::seconds(10));
  EXPECT_TRUE(net.from_internet(reply_to(out)).empty());
}

TEST(Rfc5508, Req3_ValidatesErrorsAndWhatTheyQuote) {
  NatNetwork net;
  const NatPacket out = net.one_from_vm(kContoso, nat_udp(kVm, 5000, kServer, 53));
  const NatPacket error = error_about(out, kRouter, 3, 1);
  constexpr size_t kQuotedIp = 28;
  // The ICMP checksum is wrong.
  Bytes bytes = error.bytes();
  bytes[22] ^= 1;
  EXPECT_TRUE(net.bytes_from_internet(bytes).empty());
  // REQ-3a: that of the IP header quoted.
  NatPacket wrong = error;
  wrong.payload[10] ^= 1;
  EXPECT_TRUE(net.from_internet(wrong).empty());
  EXPECT_EQ(net.drops(DropReason::nat_icmp_unmatched), 2U);
  // REQ-3b: past options.
  NatPacket with_options = out;
  with_options.options = {148, 4, 0, 0, 1, 1, 1, 1};
  const NatPacket optioned = net.one_from_internet(error_about(with_options, kRouter, 3, 1));
  EXPECT_EQ(quoted_by(optioned).from, kVm);
  EXPECT_EQ(quoted_by(optioned).from_port, 5000);
  // REQ-3c: the transport checksum quoted is nobody's business.
  NatPacket odd = error;
  odd.payload[26] ^= 0xff;
  EXPECT_EQ(net.one_from_internet(odd).to, kVm);
  // The least that is quoted; and REQ-3d: padding and extensions behind it (RFC 4884).
  NatPacket least = error;
  least.payload.resize(28);
  EXPECT_EQ(net.one_from_internet(least).to, kVm);
  NatPacket extended = error;
  extended.payload.resize(128);
  for (const uint8_t byte :
       std::initializer_list<uint8_t>{0x20, 0, 0x9d, 0x4c, 0, 8, 1, 1, 0, 1, 0xf1, 1}) {
    extended.payload.push_back(byte);
  }
  const NatPacket seen = net.one_from_internet(extended);
  EXPECT_EQ(Bytes(seen.payload.begin() + 46, seen.payload.end()),
            Bytes(extended.payload.begin() + 46, extended.payload.end()));
  // Cut short.
  NatPacket cut = error;
  cut.payload.resize(27);
  EXPECT_TRUE(net.from_internet(cut).empty());
  EXPECT_EQ(bytes.size(), kQuotedIp + error.payload.size());
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc5508, Req4_TranslatesErrorsFromOutside) {
  NatNetwork net;
  for (const Tenant& tenant : kTwins) {
    for (const NatPacket& sent : {nat_udp(kVm, 5000, kServer, 53), nat_tcp(kVm, 5001, kServer, 80),
                                  nat_echo(kVm, kServer, 700)}) {
      const NatPacket out = net.one_from_vm(tenant, sent);
      const auto seen = net.from_internet(error_about(out, kRouter, 11, 0));
      ASSERT_EQ(seen.size(), 1U);
      EXPECT_EQ(seen[0].where, tenant.name);
      EXPECT_EQ(seen[0].fault, "");
      const NatPacket& error = seen[0].packet;
      EXPECT_EQ(error.from, kRouter);
      EXPECT_EQ(error.to, kVm);
      EXPECT_EQ(error.icmp_type, 11);
      EXPECT_EQ(error.icmp_code, 0);
      const NatPacket quoted = quoted_by(error);
      EXPECT_EQ(quoted.from, kVm);
      EXPECT_EQ(quoted.from_port, sent.from_port);
      EXPECT_EQ(quoted.to, kServer);
      EXPECT_EQ(quoted.to_port, sent.to_port);
    }
  }
  // Of nobody's mapping, or about a packet that went elsewhere: dropped, silently.
  const NatPacket out = net.one_from_vm(kContoso, nat_udp(kVm, 5000, kServer, 53));
  NatPacket unknown = out;
  unknown.from_port ^= 0x40;
  EXPECT_TRUE(net.from_internet(error_about(unknown, kRouter, 3, 1)).empty());
  NatPacket elsewhere = out;
  elsewhere.to = kRouter;
  EXPECT_TRUE(net.from_internet(error_about(elsewhere, kRouter, 3, 1)).empty());
  NatPacket reflected = error_about(out, kRouter, 3, 1);
  reflected.to = out.from == "198.51.100.4" ? "198.51.100.5" : "198.51.100.4";
  EXPECT_TRUE(net.from_internet(reflected).empty());
  EXPECT_EQ(net.drops(DropReason::nat_icmp_unmatched), 3U);
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc5508, Req5_TranslatesErrorsFromInside) {
  NatNetwork net;
  for (const Tenant& tenant : kTwins) {
    for (const NatPacket& sent : {nat_udp(kVm, 5000, kServer, 53), nat_tcp(kVm, 5001, kServer, 80),
                                  nat_echo(kVm, kServer, 700)}) {
      const NatPacket out = net.one_from_vm(tenant, sent);
      const NatPacket back = net.one_from_internet(reply_to(out));
      // By the machine itself, and by another one that stands before it.
      for (const char* by : {kVm, kOther}) {
        const auto seen = net.from_vm(tenant, error_about(back, by, 3, 3));
        ASSERT_EQ(seen.size(), 1U);
        EXPECT_EQ(seen[0].where, "internet");
        EXPECT_EQ(seen[0].fault, "");
        const NatPacket& error = seen[0].packet;
        EXPECT_EQ(error.from, out.from);
        EXPECT_EQ(error.to, kServer);
        EXPECT_EQ(error.icmp_code, 3);
        const NatPacket quoted = quoted_by(error);
        EXPECT_EQ(quoted.from, kServer);
        EXPECT_EQ(quoted.to, out.from);
        EXPECT_EQ(sent.protocol == 1 ? quoted.from_port : quoted.to_port, out.from_port);
      }
    }
  }
  const NatPacket nothing = nat_udp(kServer, 53, kVm, 4999);
  EXPECT_TRUE(net.from_vm(kContoso, error_about(nothing, kVm, 3, 3)).empty());
  EXPECT_EQ(net.drops(DropReason::nat_icmp_unmatched), 1U);
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc5508, Req6_NeitherRefreshesNorEndsAQueryByErrors) {
  NatNetwork net;
  const NatPacket out = net.one_from_vm(kContoso, nat_echo(kVm, kServer, 700));
  const NatPacket back = net.one_from_internet(reply_to(out));
  for (int i = 0; i < 5; ++i) {
    net.wait(std::chrono::seconds(10));
    EXPECT_EQ(net.from_internet(error_about(out, kRouter, 3, 1)).size(), 1U);
    EXPECT_EQ(net.from_vm(kContoso, error_about(back, kVm, 3, 1)).size(), 1U);
  }
  EXPECT_EQ(net.one_from_internet(reply_to(out)).from_port, 700);
  net.wait(std::chrono::seconds(16));
  EXPECT_TRUE(net.from_internet(error_about(out, kRouter, 3, 1)).empty());
  EXPECT_EQ(net.table().size(), 0U);
}

TEST(Rfc5508, Req7_HairpinsErrorsAndQueries) {
  NatNetwork net;
  net.change({{"publicIPAddresses/shared",
               R"({"externalNetwork":"internet","publicIPAddresses":["198.51.100.4/32"]})"}});
  for (const Tenant& tenant : kTwins) {
    const NatPacket a = net.one_from_vm(tenant, nat_udp(kVm, 6000, kServer, 53));
    const NatPacket b = net.one_from_vm(tenant, nat_udp(kOther, 7000, kServer, 53));
    const NatPacket seen = net.one_from_vm(tenant, nat_udp(kVm, 6000, b.from, b.from_port));
    const auto back = net.from_vm(tenant, error_about(seen, kOther, 3, 3));
    ASSERT_EQ(back.size(), 1U);
    EXPECT_EQ(back[0].where, tenant.name);
    EXPECT_EQ(back[0].fault, "");
    EXPECT_EQ(back[0].packet.from, b.from);
    EXPECT_EQ(back[0].packet.to, kVm);
    const NatPacket quoted = quoted_by(back[0].packet);
    EXPECT_EQ(quoted.from, kVm);  // REQ-7a: the same as the destination
    EXPECT_EQ(quoted.from_port, 6000);
    EXPECT_EQ(quoted.to, b.from);
    EXPECT_EQ(quoted.to_port, b.from_port);
  }
  // Basic NAT: a machine with a public address of its own is asked by another one.
  net.nat(kContoso, NatNetwork::rules(
                        R"("staticMappings":[{"name":"own","externalNetwork":"internet",
      "protocol":"All","publicAddress":"198.51.100.20","insideAddress":"10.0.1.12"}])"));
  const NatPacket query = net.one_from_vm(kContoso, nat_echo(kVm, "198.51.100.20", 700));
  EXPECT_EQ(query.to, kOther);
  EXPECT_EQ(query.from, "198.51.100.4");
  const NatPacket answer = net.one_from_vm(kContoso, reply_to(query));
  EXPECT_EQ(answer.from, "198.51.100.20");
  EXPECT_EQ(answer.to, kVm);
  EXPECT_EQ(answer.from_port, 700);
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc5508, Req8_TellsWhomItRefuses) {
  NatNetwork net;
  for (const auto& [word, code] :
       {std::pair("AdministrativelyProhibited", 13), std::pair("HostProhibited", 10)}) {
    net.nat(kContoso,
            NatNetwork::rules(std::string(R"("limits":{"portsPerAddress":1},"refusal":")") + word +
                              "\""));
    (void)net.from_vm(kContoso, nat_udp(kVm, 5000, kServer, 53));
    for (const NatPacket& sent : {nat_udp(kVm, 6000, kServer, 53), nat_tcp(kVm, 6001, kServer, 80),
                                  nat_echo(kVm, kServer, 700)}) {
      net.wait(std::chrono::seconds(2));
      const auto seen = net.from_vm(kContoso, sent);
      ASSERT_EQ(seen.size(), 1U);
      EXPECT_EQ(seen[0].where, "contoso");
      EXPECT_EQ(seen[0].packet.to, kVm);
      EXPECT_EQ(seen[0].packet.icmp_type, 3);
      EXPECT_EQ(seen[0].packet.icmp_code, code);
      EXPECT_EQ(quoted_by(seen[0].packet).from_port, sent.from_port);
    }
  }
  EXPECT_EQ(net.drops(DropReason::nat_port_limit), 6U);
  EXPECT_EQ(net.fault(), "");
}

// There is no policy that keeps our own errors from a side: both are told.
TEST(Rfc5508, Req9_SendsErrorsToBothSides) {
  NatNetwork net;
  NatPacket sent = nat_udp(kVm, 5000, kServer, 53);
  sent.ttl = 1;
  const auto inside = net.from_vm(kContoso, sent);
  ASSERT_EQ(inside.size(), 1U);
  EXPECT_EQ(inside[0].where, "contoso");
  EXPECT_EQ(inside[0].packet.icmp_type, 11);
  (void)net.from_internet(nat_tcp(kServer, 80, "198.51.100.5", 4000));
  const auto outside = net.wait(std::chrono::seconds(8));
  ASSERT_EQ(outside.size(), 1U);
  EXPECT_EQ(outside[0].where, "internet");
  EXPECT_EQ(outside[0].packet.icmp_type, 3);
}

TEST(Rfc5508, Req10_SupportsTheMessagesOfARouter) {
  NatNetwork net;
  const NatPacket out = net.one_from_vm(kContoso, nat_udp(kVm, 5000, kServer, 53));
  // Time exceeded at the gateway itself, for what comes from outside (traceroute towards us).
  NatPacket last = reply_to(out);
  last.ttl = 1;
  const auto seen = net.from_internet(last);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].where, "internet");
  EXPECT_EQ(seen[0].fault, "");
  EXPECT_EQ(seen[0].packet.icmp_type, 11);
  EXPECT_EQ(seen[0].packet.from, out.from);
  EXPECT_EQ(quoted_by(seen[0].packet).to, out.from);
  EXPECT_EQ(quoted_by(seen[0].packet).to_port, out.from_port);
  // Too large for the machine's network.
  NatPacket large = net.one_from_vm(kContoso, nat_udp("10.0.2.21", 5000, kServer, 53));
  large = reply_to(large);
  large.payload = Bytes(1440, 1);
  large.fragment = 0x4000;
  const auto told = net.from_internet(large);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].where, "internet");
  EXPECT_EQ(told[0].fault, "");
  EXPECT_EQ(told[0].packet.icmp_code, 4);
  EXPECT_EQ(told[0].packet.icmp_mtu, 1400);
  // Parameter problem and all of destination unreachable pass.
  EXPECT_EQ(net.one_from_internet(error_about(out, kRouter, 12, 0)).icmp_type, 12);
  EXPECT_EQ(net.one_from_internet(error_about(out, kRouter, 3, 4, 1300)).icmp_mtu, 1300);
  EXPECT_EQ(net.fault(), "");
}

TEST(Rfc5508, Req11_DropsOtherIcmp) {
  NatNetwork net;
  const NatPacket out = net.one_from_vm(kContoso, nat_udp(kVm, 5000, kServer, 53));
  uint64_t dropped = 0;
  for (const uint8_t type : std::initializer_list<uint8_t>{4, 5, 9, 10, 30, 255}) {
    EXPECT_TRUE(net.from_internet(error_about(out, kRouter, type, 0)).empty());
    EXPECT_EQ(net.drops(DropReason::nat_bad_header), ++dropped) << int{type};
    NatPacket inside = error_about(reply_to(out), kVm, type, 0);
    inside.to = kServer;
    EXPECT_TRUE(net.from_vm(kContoso, inside).empty());
    EXPECT_EQ(net.drops(DropReason::nat_bad_header), ++dropped) << int{type};
  }
  EXPECT_EQ(net.fault(), "");
}

}  // namespace
}  // namespace hnv
