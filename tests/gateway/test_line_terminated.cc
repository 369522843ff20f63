// SPDX-License-Identifier: Apache-2.0
//
// BGP sessions that end in the gateway: what of them goes to the control thread, what does not, and
// how what is sent in them leaves. Contoso has peers; its twin, with the same addresses, has none.
#include <algorithm>

#include <gtest/gtest.h>

#include "compartments/terminated.h"
#include "tests/support/twin_tenants.h"

namespace hnv {
namespace {

constexpr const char* kOwn = "192.168.7.1";
constexpr const char* kPeer = "192.168.7.254";
constexpr const char* kFarPeer = "172.16.0.9";  // behind it
constexpr const char* kVm = "10.0.2.21";
constexpr const char* kVmOwn = "10.0.2.1";
constexpr const char* kVm6 = "fd10:0:0:2::21";
constexpr const char* kVmOwn6 = "fd10:0:0:2::1";
constexpr uint16_t kBgpPort = 179;

TerminatedPeer peer(const char* address, const char* own, uint8_t min_ttl = 0) {
  return {.peer = *IpAddress<Space::customer>::parse(address),
          .own = *IpAddress<Space::customer>::parse(own),
          .min_ttl = min_ttl};
}

// `domain` with these peers.
void let_speak(TestLine& line, const char* domain, std::vector<TerminatedPeer> peers) {
  auto view = std::make_shared<CompartmentView>(line.network().compartment(domain));
  view->terminated = make_terminated(std::move(peers), 1, nullptr);
  line.network().replace(view);
}

class TerminatedLine : public ::testing::Test {
 protected:
  TerminatedLine() {
    let_speak(line_, "contoso",
              {peer(kPeer, kOwn), peer(kFarPeer, kOwn, 254), peer(kVm, kVmOwn),
               peer(kVm6, kVmOwn6, 255)});
  }
  void TearDown() override { EXPECT_EQ(line_.fault(), ""); }

  // As one that DomainTuns has read from the domain's TUN.
  std::vector<Sent> session_sends(const Frame& packet, const char* domain = "contoso") {
    rte_mbuf* mbuf = line_.mbufs().take(packet.bytes());
    const CompartmentView& view = line_.network().compartment(domain);
    side_note(*mbuf) = SideNote{.origin = {.compartment_uid = view.uid,
                                           .compartment = view.id,
                                           .ingress = Ingress::session},
                                .at_route = true};
    line_.line().inject(mbuf);
    std::vector<Sent> out = line_.breathe();
    for (Sent& sent : line_.breathe()) out.push_back(std::move(sent));
    return out;
  }

  TestLine line_;
};

Frame segment(const char* from, const char* to, uint8_t ttl, uint16_t source = 33000,
              uint16_t destination = kBgpPort) {
  return Frame(ip(from, to).with([ttl](IpLayer& l) { l.ttl = ttl; })) / tcp(source, destination);
}
Frame segment6(const char* from, const char* to, uint8_t hop_limit) {
  return Frame(ip6(from, to).with([hop_limit](Ip6Layer& l) { l.hop_limit = hop_limit; })) /
         tcp(33000, kBgpPort);
}
Frame on_link(const Frame& packet) { return private_net(kContoso) / packet; }
Frame in_db(const Tenant& t, const Frame& packet) {
  return fabric("10.250.0.12", "10.250.0.2") / nvgre(t.db, kVm21Mac) / packet;
}

TEST_F(TerminatedLine, TakesWhatAPeerSendsWhoeverBegan) {
  const Frame opens = segment(kPeer, kOwn, 1);
  const Frame answers = segment(kPeer, kOwn, 255, kBgpPort, 33000);
  EXPECT_TRUE(line_.run(kWanPort, on_link(opens)).empty());
  EXPECT_TRUE(line_.run(kWanPort, on_link(answers)).empty());
  ASSERT_EQ(line_.punts().size(), 2U);
  EXPECT_EQ(line_.punts()[0], opens.bytes());  // its TTL as it was: GTSM is looked at behind, too
  EXPECT_EQ(line_.punts()[1], answers.bytes());
  for (const SideNote& note : line_.notes()) {
    EXPECT_EQ(note.punt_for, PuntFor::terminated);
    EXPECT_FALSE(note.resolve);
    EXPECT_FALSE(note.router_solicitation());
    EXPECT_EQ(note.origin.compartment_uid, line_.network().compartment("contoso").uid);
  }
}

TEST_F(TerminatedLine, TakesItFromAVmInBothFamilies) {
  const Frame of_ipv4 = segment(kVm, kVmOwn, 1);
  const Frame of_ipv6 = segment6(kVm6, kVmOwn6, 255);
  EXPECT_TRUE(line_.run(kFabricPort, in_db(kContoso, of_ipv4)).empty());
  EXPECT_TRUE(line_.run(kFabricPort, in_db(kContoso, of_ipv6)).empty());
  ASSERT_EQ(line_.punts().size(), 2U);
  EXPECT_EQ(line_.punts()[0], of_ipv4.bytes());
  EXPECT_EQ(line_.punts()[1], of_ipv6.bytes());
  EXPECT_EQ(line_.notes()[1].family, Family::ipv6);
}

TEST_F(TerminatedLine, TakesBfdOfItsPeersFromWhereItMayCome) {
  TerminatedPeer near = peer(kPeer, kOwn), far = peer(kFarPeer, kOwn);
  near.service = TerminatedService::bfd_single_hop;
  far.service = TerminatedService::bfd_multihop;
  let_speak(line_, "contoso", {near, far});
  const auto bfd = [](const char* from, uint8_t ttl, uint16_t port) {
    return on_link(Frame(ip(from, kOwn).with([ttl](IpLayer& l) { l.ttl = ttl; })) /
                   udp(49152, port) / payload(24));
  };
  EXPECT_TRUE(line_.run(kWanPort, bfd(kPeer, 255, 3784)).empty());
  EXPECT_TRUE(line_.run(kWanPort, bfd(kFarPeer, 200, 4784)).empty());
  EXPECT_EQ(line_.punts().size(), 2U);
  EXPECT_TRUE(line_.run(kWanPort, bfd(kPeer, 254, 3784)).empty());  // RFC 5881 §5
  EXPECT_EQ(line_.drops(DropReason::terminated_ttl), 1U);
  // Another service than the peer's, and BGP, for which these are no peers.
  (void)line_.run(kWanPort, bfd(kPeer, 255, 4784));
  (void)line_.run(kWanPort, bfd(kFarPeer, 255, 3784));
  (void)line_.run(kWanPort, on_link(segment(kPeer, kOwn, 255)));
  // The refusal toward the peer asks for its neighbour; no more.
  const auto for_control = [](const SideNote& n) { return n.punt_for == PuntFor::terminated; };
  EXPECT_EQ(std::count_if(line_.notes().begin(), line_.notes().end(), for_control), 2);
  EXPECT_EQ(line_.drops(DropReason::local_not_served), 3U);
}

TEST_F(TerminatedLine, RefusesWhatIsNotAPeersAndTheTwins) {
  struct Case {
    const char* name = "";
    Frame in{};
    unsigned port = kFabricPort;
    DropReason drop = DropReason::local_not_served;
  };
  using enum DropReason;
  const Case cases[] = {
      {"another neighbour", on_link(segment("192.168.7.253", kOwn, 64)), kWanPort,
       local_not_served},
      {"another port", on_link(segment(kPeer, kOwn, 64, 33000, 22)), kWanPort, local_not_served},
      {"the peer, to an address where it is none", on_link(segment(kPeer, kVmOwn, 64)), kWanPort,
       local_not_served},
      {"the first fragment",
       on_link(Frame(ip(kPeer, kOwn).with([](IpLayer& l) { l.fragment = 0x2000; })) /
               tcp(33000, kBgpPort)),
       kWanPort, local_not_served},
      {"farther than the peer may be", on_link(segment(kFarPeer, kOwn, 253)), kWanPort,
       terminated_ttl},
      {"the same of IPv6", in_db(kContoso, segment6(kVm6, kVmOwn6, 254)), kFabricPort,
       terminated_ttl},
      {"the twin's neighbour with a peer's address",
       private_net(kFabrikam) / segment(kPeer, kOwn, 64), kWanPort, local_not_served},
      {"the twin's VM", in_db(kFabrikam, segment(kVm, kVmOwn, 64)), kFabricPort, local_not_served},
  };
  for (const Case& c : cases) {
    const uint64_t before = line_.drops(c.drop);
    EXPECT_TRUE(line_.run(c.port, c.in).empty()) << c.name;
    EXPECT_TRUE(line_.punts().empty()) << c.name;
    EXPECT_EQ(line_.drops(c.drop), before + 1) << c.name;
  }
}

TEST_F(TerminatedLine, TakesAnErrorThatQuotesASession) {
  const auto error = [](const Frame& quoted) {
    return on_link(Frame(ip("192.168.7.66", kOwn)) / icmp(3, 4) / raw(quoted.bytes()));
  };
  EXPECT_TRUE(line_.run(kWanPort, error(segment(kOwn, kFarPeer, 250, kBgpPort, 33000))).empty());
  EXPECT_EQ(line_.punts().size(), 1U);
  // Of no session, of another's, of another protocol, cut short.
  Bytes cut = segment(kOwn, kFarPeer, 250).bytes();
  cut.resize(22);
  for (const Frame& in :
       {error(segment(kOwn, "172.16.0.8", 250)), error(segment("192.168.7.2", kFarPeer, 250)),
        error(Frame(ip(kOwn, kFarPeer)) / udp(33000, kBgpPort)),
        error(segment(kOwn, kFarPeer, 250, 33000, 22)),
        on_link(Frame(ip("192.168.7.66", kOwn)) / icmp(3, 4) / raw(cut))}) {
    EXPECT_TRUE(line_.run(kWanPort, in).empty());
  }
  EXPECT_EQ(line_.punts().size(), 1U);
  EXPECT_EQ(line_.drops(DropReason::local_not_served), 5U);
}

TEST_F(TerminatedLine, TakesAnErrorThatQuotesASessionOfIpv6) {
  const auto error = [](const Frame& quoted) {
    return in_db(kContoso, Frame(ip6(kVm6, kVmOwn6)) / icmp6(2).with([](Icmp6Layer& l) {
      l.word1 = 1280;
    }) / raw(quoted.bytes()));
  };
  EXPECT_TRUE(line_.run(kFabricPort, error(segment6(kVmOwn6, kVm6, 255))).empty());
  EXPECT_EQ(line_.punts().size(), 1U);
  EXPECT_TRUE(line_.run(kFabricPort, error(segment6(kVmOwn6, "fd10:0:0:2::22", 255))).empty());
  EXPECT_EQ(line_.punts().size(), 1U);
}

TEST_F(TerminatedLine, AFloodInOneDomainCostsTheOtherNothing) {
  let_speak(line_, "fabrikam", {peer(kPeer, kOwn)});
  const Frame flood = on_link(segment(kPeer, kOwn, 64));
  const Frame other = private_net(kFabrikam) / segment(kPeer, kOwn, 64);
  constexpr unsigned kFlood = 2'000;
  for (unsigned i = 0; i < kFlood; ++i) (void)line_.run(kWanPort, flood);
  constexpr unsigned kTaken = Terminated::kDomainMore.burst + Terminated::kGuaranteed.burst;
  EXPECT_EQ(line_.punts().size(), kTaken);
  EXPECT_EQ(line_.drops(DropReason::terminated_rate), kFlood - kTaken);
  for (unsigned i = 0; i < 100; ++i) (void)line_.run(kWanPort, other);
  EXPECT_EQ(line_.punts().size(), kTaken + 100);
  // Even when the ring is filling: what is guaranteed is there, and ARP's places stay free.
  line_.line().set_punts_waiting(Terminated::kMoreUpTo);
  for (unsigned i = 0; i < 100; ++i) (void)line_.run(kWanPort, other);
  EXPECT_EQ(line_.punts().size(), kTaken + 100 + Terminated::kGuaranteed.burst);
  line_.line().set_punts_waiting(Terminated::kGuaranteedUpTo);
  (void)line_.run(kWanPort, other);
  EXPECT_EQ(line_.punts().size(), kTaken + 100 + Terminated::kGuaranteed.burst);
}

// The IP packet behind what is sent to the private network: Ethernet and tag.
Bytes behind_l2(const Bytes& frame) { return {frame.begin() + 18, frame.end()}; }

TEST_F(TerminatedLine, SendsASessionsPacketWithItsTtl) {
  for (const uint8_t ttl : {uint8_t{1}, uint8_t{255}}) {
    const Frame packet = segment(kOwn, kFarPeer, ttl);
    const std::vector<Sent> sent = session_sends(packet);
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].port, kWanPort);
    EXPECT_EQ(behind_l2(sent[0].frame), packet.bytes());
    const Frame inner = segment(kVmOwn, kVm, ttl);
    const std::vector<Sent> to_the_vm = session_sends(inner);
    ASSERT_EQ(to_the_vm.size(), 1U);
    EXPECT_EQ(to_the_vm[0].frame, (to_vm({.vm_mac = kVm21Mac,
                                          .vsid = kContoso.db,
                                          .flow_id = flow_of(inner),
                                          .from = "10.250.0.2"}) /
                                   inner)
                                      .bytes());
  }
  const Frame of_ipv6 = segment6(kVmOwn6, kVm6, 255);
  const std::vector<Sent> sent = session_sends(of_ipv6);
  ASSERT_EQ(sent.size(), 1U);
  const Bytes expected = of_ipv6.bytes();
  ASSERT_GE(sent[0].frame.size(), expected.size());
  EXPECT_TRUE(std::equal(expected.rbegin(), expected.rend(), sent[0].frame.rbegin()));
}

TEST_F(TerminatedLine, SendsInItsOwnDomainOnly) {
  const std::vector<Sent> sent = session_sends(segment(kOwn, kFarPeer, 1), "fabrikam");
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].frame[15], kFabrikam.private_vlan);
}

// As a tenant's packet does; when it comes back it is still the session's.
TEST_F(TerminatedLine, WaitsForANeighborThatNobodyHasAskedForYet) {
  EXPECT_TRUE(session_sends(segment(kOwn, "192.168.7.66", 1)).empty());
  ASSERT_EQ(line_.notes().size(), 1U);
  const SideNote& note = line_.notes()[0];
  EXPECT_EQ(note.punt_for, PuntFor::resolver);
  EXPECT_TRUE(note.resolve);
  EXPECT_FALSE(note.at_route);
  EXPECT_EQ(note.origin.ingress, Ingress::session);
}

// db's MTU is 1400. The kernel behind the TUN hears of it, in words that it believes: not from an
// address of its own.
TEST_F(TerminatedLine, TellsTheSessionWhenAPacketIsTooLarge) {
  const Frame large = Frame(ip(kVmOwn, kVm).with([](IpLayer& l) { l.fragment = 0x4000; })) /
                      tcp(kBgpPort, 33000) / payload(1440);
  EXPECT_TRUE(session_sends(large).empty());
  EXPECT_EQ(line_.drops(DropReason::mtu_exceeded), 1U);
  ASSERT_EQ(line_.punts().size(), 1U);
  const auto& error = *reinterpret_cast<const wire::Ipv4*>(line_.punts()[0].data());
  EXPECT_EQ(error.source.value(), ip4(kVm));
  EXPECT_EQ(error.destination.value(), ip4(kVmOwn));
  EXPECT_EQ(error.protocol, wire::ip_protocol::kIcmp);
  const auto& icmp = *reinterpret_cast<const wire::Icmp*>(line_.punts()[0].data() + 20);
  EXPECT_EQ(icmp.type, 3);
  EXPECT_EQ(icmp.code, 4);
  EXPECT_EQ(icmp.word1.value(), 1400);

  const Frame large6 = Frame(ip6(kVmOwn6, kVm6)) / tcp(kBgpPort, 33000) / payload(1440);
  EXPECT_TRUE(session_sends(large6).empty());
  ASSERT_EQ(line_.punts().size(), 2U);
  const auto& error6 = *reinterpret_cast<const wire::Ipv6*>(line_.punts()[1].data());
  EXPECT_EQ(CaAddress6(error6.source), IpAddress<Space::customer>::parse(kVm6)->v6());
  EXPECT_EQ(line_.punts()[1][40], 2);  // packet too big
}

}  // namespace
}  // namespace hnv
