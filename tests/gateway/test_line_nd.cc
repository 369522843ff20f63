// SPDX-License-Identifier: Apache-2.0
//
// Neighbour discovery on the line (RFC 4861): whom the gateway answers, where, and what it leaves
// to others.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/gateway/line_cases.h"
#include "tests/support/frame_text.h"

namespace hnv {
namespace {

using enum DropReason;

constexpr const char* kAsker = "02:aa:0a:fa:00:0b";
constexpr const char* kAllNodesMac = "33:33:00:00:00:01";
constexpr uint32_t kOverride = 0x20000000, kRouter = 0x80000000;

Frame to_group(const char* mac, uint16_t id) { return Frame(eth(mac, kAsker)) / vlan(id); }

// The advertisement in a virtual subnet, as it goes back over the IPv6 fabric.
Frame six_answer(const Tenant& t, const char* target) {
  return to_vm6({.vsid = t.six}, Frame()) /
         advertisement(target, kGatewayMac, "fd10:0:0:4::41", kRouter | kOverride);
}

const LineCase kDiscovery[] = {
    {.name = "who has our PA",
     .in =
         [](const Tenant&) {
           return to_group("33:33:ff:00:00:01", 60) / solicitation("fd60::11", kAsker, "fd60::1");
         },
     .out =
         [](const Tenant&) {
           return Frame(eth(kAsker, kFabricMac)) / vlan(60) /
                  advertisement("fd60::1", kFabricMac, "fd60::11", kOverride);
         }},
    {.name = "a probe of our PA, by unicast and from a link-local address",
     .in =
         [](const Tenant&) {
           NdLayer ask;
           ask.target = "fd60::1";
           return Frame(eth(kFabricMac, kAsker)) / vlan(60) /
                  ip6("fe80::11", "fd60::1").with([](Ip6Layer& l) { l.hop_limit = 255; }) / ask;
         },
     .out =
         [](const Tenant&) {
           return Frame(eth(kAsker, kFabricMac)) / vlan(60) /
                  advertisement("fd60::1", kFabricMac, "fe80::11", kOverride);
         }},
    {.name = "who has the link-local address of our MAC",
     .in =
         [](const Tenant&) {
           return to_group("33:33:ff:00:00:f0", 60) /
                  solicitation("fd60::11", kAsker, "fe80::ff:fe00:f0");
         },
     .out =
         [](const Tenant&) {
           return Frame(eth(kAsker, kFabricMac)) / vlan(60) /
                  advertisement("fe80::ff:fe00:f0", kFabricMac, "fd60::11", kOverride);
         }},
    {.name = "somebody takes another's address for its own",
     .in =
         [](const Tenant&) {
           return to_group("33:33:ff:00:00:12", 60) / solicitation("::", kAsker, "fd60::12");
         },
     .drop = nd_not_ours},
    {.name = "who has somebody else's address",
     .in =
         [](const Tenant&) {
           return to_group("33:33:ff:00:00:12", 60) / solicitation("fd60::11", kAsker, "fd60::12");
         },
     .drop = nd_not_ours},
    {.name = "a solicitation that crossed a router",
     .in =
         [](const Tenant&) {
           NdLayer ask;
           ask.target = "fd60::1";
           return Frame(eth(kFabricMac, kAsker)) / vlan(60) / ip6("fd60::11", "fd60::1") / ask;
         },
     .drop = nd_bad},
    {.name = "a solicitation under a group's MAC",
     .in =
         [](const Tenant&) {
           return Frame(eth(kFabricMac, "33:33:00:00:00:05")) / vlan(60) /
                  solicitation("fd60::11", kAsker, "fd60::1");
         },
     .drop = nd_bad},
    {.name = "another router's advertisement",
     .in =
         [](const Tenant&) {
           return to_group(kAllNodesMac, 60) /
                  ip6("fe80::11", "ff02::1").with([](Ip6Layer& l) { l.hop_limit = 255; }) /
                  icmp6(134) / payload(8);
         },
     .drop = nd_not_ours},
    {.name = "who has our address on the private network: a router answers",
     .in =
         [](const Tenant& t) {
           return Frame(eth("33:33:ff:00:00:01", kPeerMac)) / vlan(t.private_vlan) /
                  solicitation("fd07::fe", kPeerMac, "fd07::1");
         },
     .port = kWanPort,
     .out =
         [](const Tenant& t) {
           return Frame(eth(kPeerMac, kPrivateMac)) / vlan(t.private_vlan) /
                  advertisement("fd07::1", kPrivateMac, "fd07::fe", kRouter | kOverride);
         },
     .out_port = kWanPort},
    {.name = "who has the link-local address of the connection's MAC, from one such",
     .in =
         [](const Tenant& t) {
           return Frame(eth("33:33:ff:00:00:c0", kPeerMac)) / vlan(t.private_vlan) /
                  solicitation("fe80::fe", kPeerMac, "fe80::ff:fe00:c0");
         },
     .port = kWanPort,
     .out =
         [](const Tenant& t) {
           return Frame(eth(kPeerMac, kPrivateMac)) / vlan(t.private_vlan) /
                  advertisement("fe80::ff:fe00:c0", kPrivateMac, "fe80::fe", kRouter | kOverride);
         },
     .out_port = kWanPort},
    {.name = "both tenants have the address on the shared network",
     .in =
         [](const Tenant&) {
           return Frame(eth("33:33:ff:00:00:01", kPeerMac)) / vlan(30) /
                  solicitation("fd09::9", kPeerMac, "fd09::1");
         },
     .port = kWanPort,
     .drop = nd_ambiguous},
    {.name = "but a probe to one's MAC says which",
     .in =
         [](const Tenant& t) {
           return shared_net(t) / solicitation("fd09::9", kPeerMac, "fd09::1");
         },
     .port = kWanPort,
     .out =
         [](const Tenant& t) {
           return Frame(eth(kPeerMac, t.shared_mac)) / vlan(30) /
                  advertisement("fd09::1", t.shared_mac, "fd09::9", kRouter | kOverride);
         },
     .out_port = kWanPort},
    // --- in a virtual subnet ---
    {.name = "a VM asks for its router",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm41Mac, "33:33:ff:00:00:01") /
                  solicitation("fd10:0:0:4::41", kVm41Mac, "fd10:0:0:4::1");
         },
     .out = [](const Tenant& t) { return six_answer(t, "fd10:0:0:4::1"); }},
    {.name = "a VM asks for the router's link-local address",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm41Mac, "33:33:ff:00:00:01") /
                  solicitation("fd10:0:0:4::41", kVm41Mac, "fe80::ff:fe00:1");
         },
     .out = [](const Tenant& t) { return six_answer(t, "fe80::ff:fe00:1"); }},
    {.name = "a VM asks over the IPv4 fabric",
     .in =
         [](const Tenant& t) {
           return fabric("10.250.0.12", "10.250.0.2") / nvgre(t.db, kVm21Mac, "33:33:ff:00:00:01") /
                  solicitation("fd10:0:0:2::21", kVm21Mac, "fd10:0:0:2::1");
         },
     .out =
         [](const Tenant& t) {
           return to_vm({.vm_mac = kVm21Mac, .vsid = t.db, .from = "10.250.0.2"}) /
                  advertisement("fd10:0:0:2::1", kGatewayMac, "fd10:0:0:2::21",
                                kRouter | kOverride);
         }},
    {.name = "a VM asks for another VM: the records are the neighbours",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm41Mac, "33:33:ff:00:00:42") /
                  solicitation("fd10:0:0:4::41", kVm41Mac, "fd10:0:0:4::42");
         },
     .drop = nd_not_ours},
    {.name = "the hosts' distributed router is not ours",
     .in =
         [](const Tenant& t) {
           return fabric() / nvgre(t.web, kVm11Mac, "33:33:ff:00:00:01") /
                  solicitation("fd10:0:0:1::11", kVm11Mac, "fd10:0:0:1::1");
         },
     .drop = nd_not_ours},
    {.name = "nobody vouches for the asker",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm41Mac, "33:33:ff:00:00:01") /
                  solicitation("fd10:0:0:4::99", kVm41Mac, "fd10:0:0:4::1");
         },
     .drop = nvgre_unknown_source},
    {.name = "the asker is on another host",
     .in =
         [](const Tenant& t) {
           return fabric6("fd60::33") / nvgre(t.six, kVm41Mac, "33:33:ff:00:00:01") /
                  solicitation("fd10:0:0:4::41", kVm41Mac, "fd10:0:0:4::1");
         },
     .drop = nvgre_wrong_source_pa},
    {.name = "the option names another MAC than the frame",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm41Mac, "33:33:ff:00:00:01") /
                  solicitation("fd10:0:0:4::41", kVm42Mac, "fd10:0:0:4::1");
         },
     .drop = nvgre_wrong_source_mac},
    {.name = "a solicitation with a wrong checksum",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm41Mac, "33:33:ff:00:00:01") /
                  ip6("fd10:0:0:4::41", "ff02::1:ff00:1").with([](Ip6Layer& l) {
                    l.hop_limit = 255;
                  }) /
                  icmp6(135).with([](Icmp6Layer& l) { l.checksum = 1; }) / payload(16);
         },
     .drop = nd_bad},
    {.name = "ARP over the IPv6 fabric",
     .in =
         [](const Tenant& t) {
           return fabric6() / nvgre(t.six, kVm41Mac, "ff:ff:ff:ff:ff:ff") /
                  arp_request(kVm41Mac, "10.0.4.41", "10.0.4.1");
         },
     .out =
         [](const Tenant& t) {
           return to_vm6({.vsid = t.six}, Frame()) /
                  arp_reply(kGatewayMac, "10.0.4.1", kVm41Mac, "10.0.4.41");
         }},
};

}  // namespace

std::span<const LineCase> nd_cases() { return kDiscovery; }

TEST(Discovery, AnswersForOurAddressesOnly) { run_cases(kDiscovery); }

// What others say of our addresses goes to the control thread (gateway/address_watch.h).
TEST(Rfc4862, S543WhoWantsOneOfOurAddressesIsControlsBusiness) {
  TestLine line;
  const auto punted = [&](unsigned port, const Frame& frame) {
    const size_t before = line.notes().size();
    EXPECT_TRUE(line.run(port, frame).empty());
    return line.notes().size() - before;
  };
  EXPECT_EQ(punted(kFabricPort,
                   to_group("33:33:ff:00:00:01", 60) / solicitation("::", kAsker, "fd60::1")),
            1U);
  EXPECT_EQ(
      punted(kWanPort, Frame(eth("33:33:ff:00:00:01", kPeerMac)) / vlan(kContoso.private_vlan) /
                           solicitation("::", kPeerMac, "fd07::1")),
      1U);
  NdLayer claim;
  claim.type = 136;
  claim.flags = kOverride;
  claim.option = 2;
  claim.mac = kAsker;
  const auto claimed = [&](const char* address) {
    claim.target = address;
    return Frame(eth(kAllNodesMac, kAsker)) / vlan(kContoso.private_vlan) /
           ip6(address, "ff02::1").with([](Ip6Layer& l) { l.hop_limit = 255; }) / claim;
  };
  EXPECT_EQ(punted(kWanPort, claimed("fd07::1")), 1U);
  EXPECT_EQ(punted(kWanPort, claimed("fd07::99")), 0U);
  EXPECT_EQ(line.fault(), "");
}

// Who asks for a router is the control thread's business where the gateway is one that says so, and
// a record vouches for the VM; the inner frame goes there, and names its subnet.
TEST(Rfc4861, S611RouterSolicitationsGoToControlWhereWeAdvertise) {
  for (const Tenant& t : kTwins) {
    TestLine line;
    constexpr const char* kSource = "fe80::215:5dff:fe01:33";
    const std::string web = fmt::format("routingDomains/{}/virtualSubnets/web", t.name);
    const auto asks = [&](const std::string& source, uint8_t hop_limit, const char* mac = kL2Mac) {
      return Frame(eth("33:33:00:00:00:02", mac)) / ip6(source, "ff02::2").with([=](Ip6Layer& l) {
        l.hop_limit = hop_limit;
      }) / icmp6(133);
    };
    const auto to_us = [&](const Frame& inner, const char* host = "10.250.0.11") {
      return fabric(host) / gre(t.web) / inner;
    };
    EXPECT_TRUE(line.run(kFabricPort, to_us(asks(kSource, 255))).empty());
    EXPECT_EQ(line.drops(nd_not_ours), 1U) << "nothing is advertised there";
    line.network().change({{web, fmt::format(R"({{"virtualSubnetId":{},"providerNetwork":"fabric",
        "addressPrefixes":["10.0.1.0/24","fd10:0:0:1::/64"],"router":"gateway",
        "routerAdvertisements":{{}}}})",
                                             t.web)}});
    line.network().answer_all();
    for (const char* source : {kSource, "::"}) {
      const Frame inner = asks(source, 255);
      EXPECT_TRUE(line.run(kFabricPort, to_us(inner)).empty());
      ASSERT_FALSE(line.notes().empty());
      const SideNote& note = line.notes().back();
      EXPECT_TRUE(note.router_solicitation());
      EXPECT_EQ(note.origin.compartment_uid, line.network().compartment(t.name).uid);
      EXPECT_EQ(line.network().compartment(t.name).subnet(note.origin.in_subnet).vsid, t.web);
      EXPECT_EQ(line.punts().back(), inner.bytes());
    }
    EXPECT_EQ(line.notes().size(), 2U);
    // From its link-local address the VM also asks whether its router is still there.
    const auto answers =
        line.run(kFabricPort, to_us(Frame(eth("33:33:ff:00:00:01", kL2Mac)) /
                                    solicitation(kSource, kL2Mac, "fe80::ff:fe00:1")));
    ASSERT_EQ(answers.size(), 1U);
    const Frame wanted =
        to_vm({.host = "10.250.0.11", .vm_mac = kL2Mac, .vsid = t.web}) /
        advertisement("fe80::ff:fe00:1", kGatewayMac, kSource, kRouter | kOverride);
    EXPECT_EQ(difference(wanted.bytes(), answers[0].frame), "");
    const std::pair<Frame, DropReason> refused[] = {
        {to_us(asks(kSource, 64)), nd_bad},
        {to_us(asks("fe80::1", 255, "00:15:5d:01:00:99")), nvgre_unknown_source},
        {to_us(asks(kSource, 255), "10.250.0.12"), nvgre_wrong_source_pa},
    };
    for (const auto& [frame, reason] : refused) {
      const uint64_t before = line.drops(reason);
      EXPECT_TRUE(line.run(kFabricPort, frame).empty());
      EXPECT_EQ(line.drops(reason), before + 1) << to_string(reason);
    }
    EXPECT_EQ(line.notes().size(), 2U);
    EXPECT_EQ(line.fault(), "");
  }
}

TEST(Rfc5227, S24WhoSaysThatItHasOneOfOurAddressesIsControlsBusiness) {
  TestLine line;
  for (const char* address : {"10.250.0.1", "10.250.0.99"}) {
    line.run(kFabricPort,
             Frame(eth("ff:ff:ff:ff:ff:ff", kAsker)) / arp_request(kAsker, address, "10.250.0.12"));
  }
  EXPECT_EQ(line.notes().size(), 1U);
  line.run(kWanPort, Frame(eth("ff:ff:ff:ff:ff:ff", kAsker)) / vlan(kContoso.private_vlan) /
                         arp_request(kAsker, "192.168.7.1", "192.168.7.254"));
  EXPECT_EQ(line.notes().size(), 2U);
  // Who only asks is answered: RFC 5227 §2.1.1 makes that a conflict for who asks.
  EXPECT_EQ(line.run(kFabricPort, Frame(eth("ff:ff:ff:ff:ff:ff", kAsker)) /
                                      arp_request(kAsker, "0.0.0.0", "10.250.0.1"))
                .size(),
            1U);
  EXPECT_EQ(line.fault(), "");
}

Frame asks_for_pa() {
  return to_group("33:33:ff:00:00:01", 60) / solicitation("fd60::11", kAsker, "fd60::1");
}
AttachmentId attachment_of(TestLine& line, const char* link) {
  const auto& compiled = line.network().compiled();
  const LinkId id = compiled.link_ids.at(link);
  return line.network().next_hops().link(id)->attachment;
}

TEST(Rfc4429, S33AnAddressThatIsNotVerifiedOverridesNothing) {
  TestLine line;
  const AttachmentId six = attachment_of(line, "providerNetworks/six");
  const LinkAddress own = Ip6<Space::external>(ip6_bytes("fd60::1"));
  line.network().withhold({{six, own, AddressStatus::optimistic}});
  const auto answered = line.run(kFabricPort, asks_for_pa());
  ASSERT_EQ(answered.size(), 1U);
  const Frame wanted = Frame(eth(kAsker, kFabricMac)) / vlan(60) /
                       advertisement("fd60::1", kFabricMac, "fd60::11", 0);
  EXPECT_EQ(answered[0].frame, wanted.bytes());
  EXPECT_EQ(line.fault(), "");
}

TEST(Rfc4862, S545ADuplicateIsNotAnsweredForAndTakesNothing) {
  TestLine line;
  const AttachmentId six = attachment_of(line, "providerNetworks/six");
  const LinkAddress own = Ip6<Space::external>(ip6_bytes("fd60::1"));
  line.network().withhold({{six, own, AddressStatus::duplicate}});
  EXPECT_TRUE(line.run(kFabricPort, asks_for_pa()).empty());
  EXPECT_EQ(line.drops(nd_not_ours), 1U);
  const Frame packet =
      fabric6() / nvgre(kContoso.six, kVm41Mac) / vm_udp6("fd10:0:0:4::41", "fd10:0:0:1::12");
  EXPECT_TRUE(line.run(kFabricPort, packet).empty());
  EXPECT_EQ(line.drops(outer_not_ours), 1U);
  EXPECT_EQ(line.fault(), "");
}

TEST(Rfc4862, S545AnAddressOfAnL3ConnectionLikewise) {
  TestLine line;
  const char* name = "routingDomains/contoso/networkConnections/private";
  const AttachmentId place = attachment_of(line, name);
  const LinkAddress own = Ip6<Space::external>(ip6_bytes("fd07::1"));
  const Frame asks = Frame(eth("33:33:ff:00:00:01", kPeerMac)) / vlan(kContoso.private_vlan) /
                     solicitation("fd07::fe", kPeerMac, "fd07::1");
  EXPECT_EQ(line.run(kWanPort, asks).size(), 1U);
  line.network().withhold({{place, own, AddressStatus::duplicate}});
  EXPECT_TRUE(line.run(kWanPort, asks).empty());
  EXPECT_EQ(line.drops(nd_not_ours), 1U);
  // The other tenant's, with the same address on its own network, is not concerned.
  const Frame theirs = Frame(eth("33:33:ff:00:00:01", kPeerMac)) / vlan(kFabrikam.private_vlan) /
                       solicitation("fd07::fe", kPeerMac, "fd07::1");
  EXPECT_EQ(line.run(kWanPort, theirs).size(), 1U);
  line.network().withhold({});
  EXPECT_EQ(line.run(kWanPort, asks).size(), 1U);
  EXPECT_EQ(line.fault(), "");
}

TEST(Discovery, AdvertisementsGoToTheControlThread) {
  TestLine line;
  const Frame solicited = Frame(eth(kFabricMac, kAsker)) / vlan(60) /
                          advertisement("fd60::11", kAsker, "fd60::1", kOverride);
  EXPECT_TRUE(line.run(kFabricPort, solicited).empty());
  ASSERT_EQ(line.notes().size(), 1U);
  EXPECT_FALSE(line.notes()[0].resolve);
  EXPECT_EQ(line.notes()[0].family, Family::ipv6);
  // A takeover that all nodes hear: on the fabric, not where tenants' machines speak.
  NdLayer takeover;
  takeover.type = 136;
  takeover.flags = kOverride;
  takeover.target = "fd60::11";
  takeover.option = 2;
  takeover.mac = kAsker;
  const Frame unsolicited =
      Frame(ip6("fd60::11", "ff02::1").with([](Ip6Layer& l) { l.hop_limit = 255; })) / takeover;
  line.run(kFabricPort, to_group(kAllNodesMac, 60) / unsolicited);
  EXPECT_EQ(line.notes().size(), 2U);
  line.run(kWanPort, Frame(eth(kAllNodesMac, kAsker)) / vlan(30) / unsolicited);
  EXPECT_EQ(line.notes().size(), 2U);
  EXPECT_EQ(line.drops(nd_not_ours), 1U);
  EXPECT_EQ(line.fault(), "");
}

}  // namespace hnv
