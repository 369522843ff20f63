// SPDX-License-Identifier: Apache-2.0
//
// Out and back through NAT: what a packet looks like on either side, and who gets it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/support/nat_network.h"

namespace hnv {
namespace {

constexpr const char* kVm = "10.0.1.11";
constexpr const char* kServer = "192.0.2.80";

TEST(NatDoors, TranslateOutAndBack) {
  NatNetwork net;
  const NatPacket out = net.one_from_vm(kContoso, nat_udp(kVm, 5353, kServer, 53));
  EXPECT_EQ(out.to, kServer);
  EXPECT_EQ(out.to_port, 53);
  EXPECT_TRUE(out.from.starts_with("198.51.100.")) << out.from;
  EXPECT_EQ(out.ttl, 63);
  const auto back = net.from_internet(reply_to(out));
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0].where, "contoso");
  EXPECT_EQ(back[0].fault, "");
  EXPECT_EQ(back[0].packet.to, kVm);
  EXPECT_EQ(back[0].packet.to_port, 5353);
  EXPECT_EQ(back[0].packet.from, kServer);
  EXPECT_EQ(net.fault(), "");
}

TEST(NatDoors, KeepTwinsApart) {
  NatNetwork net;
  const NatPacket of_contoso = net.one_from_vm(kContoso, nat_udp(kVm, 5353, kServer, 53));
  const NatPacket of_fabrikam = net.one_from_vm(kFabrikam, nat_udp(kVm, 5353, kServer, 53));
  EXPECT_NE(std::pair(of_contoso.from, of_contoso.from_port),
            std::pair(of_fabrikam.from, of_fabrikam.from_port));
  EXPECT_EQ(net.from_internet(reply_to(of_contoso)).at(0).where, "contoso");
  EXPECT_EQ(net.from_internet(reply_to(of_fabrikam)).at(0).where, "fabrikam");
}

TEST(NatDoors, TranslateTcpAndIcmp) {
  NatNetwork net;
  const NatPacket syn = net.one_from_vm(kContoso, nat_tcp(kVm, 40000, kServer, 80));
  EXPECT_EQ(net.one_from_internet(reply_to(syn)).to_port, 40000);
  const NatPacket echo = net.one_from_vm(kContoso, nat_echo(kVm, kServer, 77));
  EXPECT_EQ(echo.from, syn.from);  // paired pooling
  const NatPacket answer = net.one_from_internet(reply_to(echo));
  EXPECT_EQ(answer.from_port, 77);
  EXPECT_EQ(answer.to, kVm);
  EXPECT_EQ(net.fault(), "");
}

TEST(NatDoors, TranslateErrorsAboutWhatWentOut) {
  NatNetwork net;
  const NatPacket out = net.one_from_vm(kContoso, nat_udp(kVm, 5353, kServer, 53));
  const NatPacket error = net.one_from_internet(error_about(out, "192.0.2.1", 3, 4, 1300));
  EXPECT_EQ(error.to, kVm);
  EXPECT_EQ(error.from, "192.0.2.1");
  EXPECT_EQ(error.icmp_mtu, 1300);
  std::string fault;
  const NatPacket quoted = parse_packet(error.payload, fault);
  EXPECT_EQ(fault, "");
  EXPECT_EQ(quoted.from, kVm);
  EXPECT_EQ(quoted.from_port, 5353);
}

TEST(NatDoors, HairpinByThePublicAddress) {
  NatNetwork net;
  const NatPacket b = net.one_from_vm(kContoso, nat_udp("10.0.1.12", 7000, kServer, 53));
  const auto seen = net.from_vm(kContoso, nat_udp(kVm, 6000, b.from, b.from_port));
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].where, "contoso");
  EXPECT_EQ(seen[0].fault, "");
  EXPECT_EQ(seen[0].packet.to, "10.0.1.12");
  EXPECT_EQ(seen[0].packet.to_port, 7000);
  EXPECT_TRUE(seen[0].packet.from.starts_with("198.51.100."));
  EXPECT_EQ(net.fault(), "");
}

TEST(NatDoors, PublishAPort) {
  NatNetwork net;
  net.nat(kContoso, NatNetwork::rules(
                        R"("staticMappings":[{"name":"web","externalNetwork":"internet",
      "protocol":"TCP","publicAddress":"198.51.100.9","publicPort":8080,
      "insideAddress":"10.0.1.11","insidePort":80}])"));
  const auto seen = net.from_internet(nat_tcp(kServer, 1234, "198.51.100.9", 8080));
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].where, "contoso");
  EXPECT_EQ(seen[0].packet.to, kVm);
  EXPECT_EQ(seen[0].packet.to_port, 80);
  const NatPacket answer = net.one_from_vm(kContoso, reply_to(seen[0].packet));
  EXPECT_EQ(answer.from, "198.51.100.9");
  EXPECT_EQ(answer.from_port, 8080);
}

TEST(NatDoors, GiveAnAddressToOneMachine) {
  NatNetwork net;
  net.nat(kContoso, NatNetwork::rules(
                        R"("staticMappings":[{"name":"vpn","externalNetwork":"internet",
      "protocol":"All","publicAddress":"198.51.100.20","insideAddress":"10.0.1.11"}])"));
  NatPacket gre = nat_udp(kVm, 0, kServer, 0);
  gre.protocol = 47;
  const NatPacket out = net.one_from_vm(kContoso, gre);
  EXPECT_EQ(out.from, "198.51.100.20");
  EXPECT_EQ(out.payload, gre.payload);
  const NatPacket back = net.one_from_internet(nat_udp(kServer, 9, "198.51.100.20", 4500));
  EXPECT_EQ(back.to, kVm);
  EXPECT_EQ(back.to_port, 4500);
  EXPECT_EQ(net.fault(), "");
}

TEST(NatDoors, DropWhatNobodyAskedFor) {
  NatNetwork net;
  EXPECT_TRUE(net.from_internet(nat_udp(kServer, 53, "198.51.100.5", 4000)).empty());
  EXPECT_EQ(net.drops(DropReason::nat_no_session), 1U);
  EXPECT_TRUE(net.from_internet(nat_udp("198.51.100.6", 53, "198.51.100.5", 4000)).empty());
  EXPECT_EQ(net.drops(DropReason::nat_spoofed), 1U);
  EXPECT_EQ(net.fault(), "");
}

TEST(NatDoors, ForgetWhatIsSilent) {
  NatNetwork net;
  const NatPacket out = net.one_from_vm(kContoso, nat_udp(kVm, 5353, kServer, 53));
  EXPECT_EQ(net.table().size(), 1U);
  net.wait(std::chrono::seconds(290));
  EXPECT_EQ(net.from_internet(reply_to(out)).size(), 1U);
  net.wait(std::chrono::seconds(20));  // what comes from outside refreshes nothing
  EXPECT_EQ(net.table().size(), 0U);
  EXPECT_TRUE(net.from_internet(reply_to(out)).empty());
}

TEST(NatDoors, EndWhatRulesNoLongerAllow) {
  NatNetwork net;
  const NatPacket out = net.one_from_vm(kContoso, nat_udp(kVm, 5353, kServer, 53));
  net.nat(kContoso, R"({"outboundRules":[]})");
  EXPECT_TRUE(net.from_internet(reply_to(out)).empty());
  EXPECT_EQ(net.table().size(), 0U);
  net.nat(kContoso, NatNetwork::rules());
  EXPECT_EQ(net.from_vm(kContoso, nat_udp(kVm, 5353, kServer, 53)).size(), 1U);
}

// Its own rules are as they were.
TEST(NatDoors, EndWhatAnotherDomainPublishesNow) {
  NatNetwork net;
  const NatPacket out = net.one_from_vm(kContoso, nat_udp(kVm, 5353, kServer, 53));
  net.nat(kFabrikam, NatNetwork::rules(fmt::format(
                         R"("staticMappings":[{{"name":"dns","externalNetwork":"internet",
      "protocol":"UDP","publicAddress":"{}","publicPort":{},
      "insideAddress":"10.0.1.11","insidePort":53}}])",
                         out.from, out.from_port)));
  net.wait(std::chrono::seconds(40));  // a sweep
  EXPECT_EQ(net.table().size(), 0U);
  const auto seen = net.from_internet(reply_to(out));
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].where, "fabrikam");
  const NatPacket again = net.one_from_vm(kContoso, nat_udp(kVm, 5353, kServer, 53));
  EXPECT_NE(source_of(again), source_of(out));
  EXPECT_EQ(net.fault(), "");
}

// A sender that the tenant has as one of its own, or would look for on another connection.
TEST(NatDoors, RefuseRemotesThatAreNotReachedByNat) {
  NatNetwork net;
  net.nat(kContoso, NatNetwork::rules(
                        R"("staticMappings":[{"name":"web","externalNetwork":"internet",
      "protocol":"UDP","publicAddress":"198.51.100.9","publicPort":53,
      "insideAddress":"10.0.1.11","insidePort":53}])"));
  for (const char* remote : {"10.0.1.12", "172.16.1.1", "10.0.0.2"}) {
    EXPECT_TRUE(net.from_internet(nat_udp(remote, 1234, "198.51.100.9", 53)).empty()) << remote;
  }
  EXPECT_EQ(net.drops(DropReason::nat_spoofed), 3U);
  EXPECT_EQ(net.table().size(), 0U);
  EXPECT_EQ(net.from_internet(nat_udp(kServer, 1234, "198.51.100.9", 53)).size(), 1U);
  EXPECT_EQ(net.fault(), "");
}

TEST(NatDoors, TakeTheNextRouterWhileOneIsSilent) {
  NatNetwork net;
  const auto router_of = [&] {
    const auto sent = net.line().run(
        kFabricPort, fabric() / gre(kContoso.gateway) /
                         eth(kGatewayMac, kRouterMac).with([](EthLayer& l) { l.type = 0x0800; }) /
                         raw(nat_udp(kVm, 5353, kServer, 53).bytes()));
    return sent.size() == 1 ? sent[0].frame[5] : uint8_t{0};
  };
  EXPECT_EQ(router_of(), 254);
  net.network().let_fail("externalNetworks/internet", "203.0.113.254");
  EXPECT_EQ(router_of(), 253);
  net.network().answer("externalNetworks/internet", "203.0.113.254", "02:aa:cb:00:71:fe");
  EXPECT_EQ(router_of(), 254);
}

TEST(NatDoors, GiveAnIpv6AddressToOneMachine) {
  NatNetwork net;
  net.nat(kContoso, NatNetwork::rules(
                        R"("staticMappings":[{"name":"six","externalNetwork":"internet",
      "protocol":"All","publicAddress":"2001:db8:99::11","insideAddress":"fd10:0:0:1::11"}])"));
  const auto echo = [](const char* from, const char* to, uint8_t hops) {
    return Frame(ip6(from, to).with([&](Ip6Layer& l) { l.hop_limit = hops; })) / echo_request6() /
           payload(18);
  };
  const auto out = net.line().run(kFabricPort, fabric() / nvgre(kContoso.gateway) /
                                                   echo("fd10:0:0:1::11", "2001:db8:77::7", 64));
  ASSERT_EQ(out.size(), 1U);
  const Frame wanted =
      Frame(eth(TestDataplane::mac_of(*LinkAddress::parse("2001:db8:40::fe")), kWanMac)) /
      vlan(kInternetVlan) / echo("2001:db8:99::11", "2001:db8:77::7", 63);
  EXPECT_EQ(out[0].frame, wanted.bytes());
  const auto in = net.line().run(kWanPort, Frame(eth(kWanMac, kVm12Mac)) / vlan(kInternetVlan) /
                                               echo("2001:db8:77::7", "2001:db8:99::11", 64));
  ASSERT_EQ(in.size(), 1U);
  const Frame inner = echo("2001:db8:77::7", "fd10:0:0:1::11", 63);
  const Bytes bytes = inner.bytes();
  const Bytes tail(in[0].frame.end() - static_cast<ptrdiff_t>(bytes.size()), in[0].frame.end());
  EXPECT_EQ(tail, bytes);
  // Another machine has no address to go out by.
  EXPECT_EQ(net.drops(DropReason::nat_no_rule), 0U);
  (void)net.line().run(kFabricPort, fabric("10.250.0.12") / nvgre(kContoso.gateway) /
                                        echo("fd10:0:0:1::12", "2001:db8:77::7", 64));
  EXPECT_EQ(net.drops(DropReason::nat_no_rule), 1U);
  EXPECT_EQ(net.fault(), "");
}

TEST(NatDoors, MendWhatAnIpv6ErrorQuotes) {
  NatNetwork net;
  net.nat(kContoso, NatNetwork::rules(
                        R"("staticMappings":[{"name":"six","externalNetwork":"internet",
      "protocol":"All","publicAddress":"2001:db8:99::11","insideAddress":"fd10:0:0:1::11"}])"));
  const auto echo = [](const char* from) {
    return Frame(ip6(from, "2001:db8:77::7").with([](Ip6Layer& l) { l.hop_limit = 60; })) /
           echo_request6() / payload(18);
  };
  const auto error = [&](const char* to, const Frame& quoted, uint8_t hops) {
    return Frame(ip6("2001:db8:66::6", to).with([&](Ip6Layer& l) { l.hop_limit = hops; })) /
           icmp6(3) / raw(quoted.bytes());
  };
  const auto in =
      net.line().run(kWanPort, Frame(eth(kWanMac, kVm12Mac)) / vlan(kInternetVlan) /
                                   error("2001:db8:99::11", echo("2001:db8:99::11"), 64));
  ASSERT_EQ(in.size(), 1U);
  const Bytes bytes = error("fd10:0:0:1::11", echo("fd10:0:0:1::11"), 63).bytes();
  const Bytes tail(in[0].frame.end() - static_cast<ptrdiff_t>(bytes.size()), in[0].frame.end());
  EXPECT_EQ(tail, bytes);
}

}  // namespace
}  // namespace hnv
