// SPDX-License-Identifier: Apache-2.0
//
// The server against a bgpd by hand, whose bytes are those of 8.4.4.
#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "bgp/zserv.h"
#include "tests/bgp/hex.h"
#include "tests/support/manual_clock.h"

namespace hnv {
namespace {

using std::chrono::seconds;
using Kind = RouteChange::Kind;
using State = ZservServer::State;

constexpr uint32_t kContoso = 7;
constexpr uint32_t kFabrikam = 8;
constexpr const char* kHello = "0013fe06000000000012090000000000000000";
constexpr const char* kVncHello = "0013fe06000000000012110000000000000000";
constexpr const char* kBfdClient = "000efe0600000000002500001abb";

BgpPrefix prefix(const char* text) { return BgpPrefix::parse(text).value(); }
BgpAddress address(const char* text) { return BgpAddress::parse(text).value(); }

struct Tables : RouteKnowledge {
  std::map<uint32_t, std::vector<Reach>> routes;
  [[nodiscard]] std::optional<Reach> reach(uint32_t domain,
                                           const BgpAddress& address) const override {
    std::optional<Reach> best;
    for (const Reach& route : routes.at(domain)) {
      if (!route.through.contains(address)) continue;
      if (!best || route.through.length() > best->through.length()) best = route;
    }
    return best;
  }
  [[nodiscard]] std::optional<Reach> route(uint32_t domain,
                                           const BgpPrefix& wanted) const override {
    for (const Reach& route : routes.at(domain)) {
      if (route.through == wanted) return route;
    }
    return std::nullopt;
  }
  void for_each(uint32_t domain, Family family, const Visit& visit) const override {
    for (const Reach& route : routes.at(domain)) {
      if (route.through.family() == family) visit(route);
    }
  }
};

// One end of a connection: whole frames in, as hexadecimal digits.
struct Bgpd {
  explicit Bgpd(const sockaddr_un& where, socklen_t size)
      : fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&where), size), 0);
  }
  void say(std::string_view hex) const {
    const auto bytes = from_hex(hex);
    ASSERT_EQ(send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  // Command and VRF of each frame, and its bytes.
  struct Frame {
    uint16_t command;
    uint32_t vrf;
    std::string bytes;
  };
  std::vector<Frame> heard() {
    std::array<uint8_t, 65'536> room{};
    std::vector<Frame> out;
    for (ssize_t n = 0; (n = recv(fd.get(), room.data(), room.size(), 0)) > 0;) {
      stream.feed({room.data(), static_cast<size_t>(n)});
    }
    while (const auto frame = stream.next()) {
      if (!*frame) break;
      out.push_back({(*frame)->command, (*frame)->vrf,
                     to_hex({(*frame)->body.begin(), (*frame)->body.end()})});
    }
    return out;
  }
  std::vector<uint16_t> commands() {
    std::vector<uint16_t> out;
    for (const Frame& frame : heard()) out.push_back(frame.command);
    return out;
  }
  [[nodiscard]] bool ended() const {
    uint8_t byte = 0;
    return recv(fd.get(), &byte, 1, MSG_PEEK) == 0;
  }
  OwnedFd fd;
  ZapiStream stream;
};

struct Zserv : testing::Test {
  Zserv() {
    where.sun_family = AF_UNIX;
    // Abstract, and this test's alone.
    const std::string name =
        fmt::format("hnv-test-zserv-{}-{}", getpid(), static_cast<void*>(this));
    std::memcpy(where.sun_path + 1, name.data(), name.size());
    size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    OwnedFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    EXPECT_EQ(bind(listener.get(), reinterpret_cast<const sockaddr*>(&where), size), 0);
    EXPECT_EQ(listen(listener.get(), 8), 0);
    ZservServer::Options options;
    options.user = geteuid();
    for (const uint32_t domain : {kContoso, kFabrikam}) {
      tables.routes[domain] = {{prefix("10.0.0.0/24"), RouteSource::connected, 0},
                               {prefix("0.0.0.0/0"), RouteSource::static_route, 1}};
    }
    server = std::make_unique<ZservServer>(
        std::move(listener), options, tables,
        ZservServer::Events{[this](const RouteChange& change) { changes.push_back(change); },
                            [this] { ++losses; },
                            [this](uint32_t domain, const ZapiBfdSession& session) {
                              bfd.emplace_back(domain, session);
                            }});
  }
  static ZservDomain domain(const char* name) {
    return {name,
            {"bgp0", 2, 1500},
            {InterfaceAddress<Space::customer>::parse("10.0.0.1/24").value()},
            address("10.0.0.1").v4()};
  }
  void step(int times = 3) {
    for (int i = 0; i < times; ++i) server->step(clock.now());
  }
  void arrive() {
    bgpd.emplace(where, size);
    server->set_release(zapi_release_of("8.4.4"));
    bgpd->say(kHello);
    bgpd->say("000afe06000000000000");
    bgpd->say(kBfdClient);
    step();
  }
  // Both domains are there, with the VRFs 1 and 2 of the first bgpd.
  void arrive_with_domains() {
    server->set(kContoso, domain("d7"));
    server->set(kFabrikam, domain("d8"));
    arrive();
    (void)bgpd->heard();
  }
  // ROUTE_ADD of 192.168.N.0/24 by 10.0.0.2, eBGP, metric 33.
  void route_add(uint32_t vrf, unsigned n, unsigned flags = 0) {
    bgpd->say(
        fmt::format("0030fe06{0:08x}0008 09 0000 {2:08x} 00000007 01 02 18 c0a8{1:02x}"
                    "0001 {0:08x} 02 00 0a000002 00000000 0f 00000021",
                    vrf, n, flags));
  }
  void route_delete(uint32_t vrf, unsigned n) {
    bgpd->say(
        fmt::format("001bfe06{:08x}0009 09 0000 00000000 00000000 01 02 18 c0a8{:02x}", vrf, n));
  }
  void complete(uint32_t vrf, unsigned afi = 1) {
    bgpd->say(fmt::format("001afe06000000000077 00000002 {:08x} 00000001 {:08x}", afi, vrf));
  }
  std::vector<RouteChange> taken() { return std::exchange(changes, {}); }

  ManualClock clock;
  sockaddr_un where{};
  socklen_t size = 0;
  Tables tables;
  std::vector<RouteChange> changes;
  int losses = 0;
  std::vector<std::pair<uint32_t, ZapiBfdSession>> bfd;
  std::unique_ptr<ZservServer> server;
  std::optional<Bgpd> bgpd;
};

TEST_F(Zserv, AnnouncesDomainsOnceTheReleaseIsProven) {
  server->set(kContoso, domain("d7"));
  bgpd.emplace(where, size);
  bgpd->say(kHello);
  step();
  EXPECT_EQ(server->state(), State::waiting);
  EXPECT_TRUE(bgpd->heard().empty()) << "its release is not known";
  server->set_release(zapi_release_of("8.4.4"));
  step();
  EXPECT_EQ(bgpd->commands(), (std::vector<uint16_t>{19})) << "capabilities, and no VRF yet";
  bgpd->say(kBfdClient);
  step();
  EXPECT_EQ(server->state(), State::ready);
  const auto heard = bgpd->heard();
  ASSERT_EQ(heard.size(), 1U);
  EXPECT_EQ(heard[0].command, 33);
  EXPECT_EQ(heard[0].vrf, 1U);
  // One that comes later is announced at once, under another number.
  server->set(kFabrikam, domain("d8"));
  step();
  EXPECT_EQ(bgpd->heard().at(0).vrf, 2U);
}

TEST_F(Zserv, RefusesAnotherReleasesGreeting) {
  server->set(kContoso, domain("d7"));
  bgpd.emplace(where, size);
  server->set_release(zapi_release_of("8.4.4"));
  bgpd->say("0012fe060000000000130900000000000000");  // FRR 10: command 19, 18 bytes
  step();
  EXPECT_EQ(server->state(), State::refused);
  EXPECT_NE(server->fault().find("8.4 to 8.5"), std::string::npos) << server->fault();
  EXPECT_TRUE(bgpd->heard().empty());
}

TEST_F(Zserv, RefusesAGreetingWhoseRestHasAnotherLayout) {
  server->set(kContoso, domain("d7"));
  bgpd.emplace(where, size);
  server->set_release(zapi_release_of("8.4.4"));
  bgpd->say(kHello);
  bgpd->say("000ffe06000000000025 00001abb 00");
  step();
  EXPECT_EQ(server->state(), State::refused);
  EXPECT_EQ(bgpd->commands(), (std::vector<uint16_t>{19})) << "no VRF";
  bgpd->say(kBfdClient);
  step();
  EXPECT_EQ(server->state(), State::refused) << "nothing more is believed";
}

TEST_F(Zserv, SkipsAMessageThatItCannotReadAndSaysSo) {
  arrive_with_domains();
  bgpd->say("000dfe0600000001000b010200");
  route_add(1, 1);
  step();
  EXPECT_EQ(server->state(), State::ready);
  EXPECT_EQ(server->fault().find("ZAPI REDISTRIBUTE_ADD"), 0U) << server->fault();
  EXPECT_EQ(changes.size(), 1U);
}

TEST_F(Zserv, ASecondProtocolOfTheSameProcessIsIgnored) {
  arrive_with_domains();
  const Bgpd vnc(where, size);
  vnc.say(kVncHello);
  vnc.say("000afe06000000000000");
  step();
  EXPECT_EQ(server->state(), State::ready);
  EXPECT_TRUE(bgpd->heard().empty());
}

TEST_F(Zserv, TellsInterfaceAddressesAndRouterIdWhenAsked) {
  arrive_with_domains();
  bgpd->say("000afe06000000010000");
  bgpd->say("000cfe0600000001000f0001");
  bgpd->say("000afe06000000630000");  // a VRF that is not ours
  step();
  EXPECT_EQ(bgpd->commands(), (std::vector<uint16_t>{0, 2, 4, 17}));
  auto changed = domain("d7");
  changed.addresses = {InterfaceAddress<Space::customer>::parse("10.0.0.3/24").value()};
  changed.router_id = address("10.0.0.3").v4();
  server->set(kContoso, changed);
  step();
  EXPECT_EQ(bgpd->commands(), (std::vector<uint16_t>{2, 3, 17})) << "new before old";
}

TEST_F(Zserv, NextHopsFollowTheDomainsTable) {
  arrive_with_domains();
  bgpd->say("0015fe06000000010014 01 00 0001 0002 20 0a000002");  // a peer, one hop away
  bgpd->say("0015fe06000000010014 01 00 0001 0002 20 c0000201");  // another, behind the default
  bgpd->say("0015fe06000000010014 00 00 0001 0002 20 c0000202");  // several hops away, likewise
  bgpd->say("0015fe06000000010014 00 01 0001 0002 18 0a000000");  // `network`
  bgpd->say("0015fe06000000010014 00 01 0001 0002 10 0a000000");  // `network` that nobody has
  step();
  const auto counts = [&] {
    std::vector<std::string> out;
    for (const auto& frame : bgpd->heard()) {
      EXPECT_EQ(frame.command, 22);
      // No next hop: the message ends with a count of zero.
      out.push_back(frame.bytes.size() == 58 ? "nowhere" : "somewhere");
    }
    return out;
  };
  EXPECT_EQ(counts(),
            (std::vector<std::string>{"somewhere", "nowhere", "nowhere", "somewhere", "nowhere"}));
  server->next_hops_changed(kContoso);
  step();
  EXPECT_TRUE(bgpd->heard().empty()) << "nothing is new";
  tables.routes[kContoso] = {{prefix("192.0.2.0/24"), RouteSource::static_route, 5}};
  server->next_hops_changed(kFabrikam);
  step();
  EXPECT_TRUE(bgpd->heard().empty()) << "it is not fabrikam that changed";
  server->next_hops_changed(kContoso);
  step();
  auto now = counts();
  std::sort(now.begin(), now.end());
  EXPECT_EQ(now, (std::vector<std::string>{"nowhere", "nowhere", "somewhere"}));
  bgpd->say("0015fe06000000010015 00 00 0001 0002 20 c0000202");
  tables.routes[kContoso].clear();
  step();
  server->next_hops_changed(kContoso);
  step();
  EXPECT_TRUE(bgpd->heard().empty()) << "what was reachable is no longer watched";
}

TEST_F(Zserv, WhatBgpBroughtIsNoNetworkOfOurs) {
  tables.routes[kContoso] = {{prefix("10.1.0.0/16"), RouteSource::ebgp, 0}};
  arrive_with_domains();
  bgpd->say("0015fe06000000010014 00 01 0001 0002 10 0a010000");
  bgpd->say("0015fe06000000010014 00 00 0001 0002 20 0a010001");
  step();
  const auto heard = bgpd->heard();
  ASSERT_EQ(heard.size(), 2U);
  EXPECT_EQ(heard[0].bytes.size(), 58U);
  EXPECT_NE(heard[1].bytes.size(), 58U) << "but a next hop may lie behind it";
}

TEST_F(Zserv, LinkLocalNextHopsAreOnTheLink) {
  arrive_with_domains();
  bgpd->say("0021fe06000000010014 01 00 0001 000a 80 fe800000000000000000000000000002");
  step();
  const auto heard = bgpd->heard();
  ASSERT_EQ(heard.size(), 1U);
  EXPECT_TRUE(
      heard[0].bytes.ends_with("01000000010100"
                               "00000002"))
      << heard[0].bytes;
}

TEST_F(Zserv, RoutesComeUnderTheirDomainAndNoOther) {
  arrive_with_domains();
  route_add(1, 10);
  route_add(2, 10, kZapiInternal | kZapiAllowRecursion);
  route_add(99, 10);
  step();
  RouteChange expected;
  expected.domain = kContoso;
  expected.prefix = prefix("192.168.10.0/24");
  expected.next_hops = {address("10.0.0.2")};
  expected.distance = 15;
  expected.metric = 33;
  RouteChange other = expected;
  other.domain = kFabrikam;
  other.source = RouteSource::ibgp;
  EXPECT_EQ(taken(), (std::vector<RouteChange>{expected, other}));
  route_delete(1, 10);
  route_delete(1, 11);
  step();
  const auto gone = taken();
  ASSERT_EQ(gone.size(), 1U) << "what was never there does not go";
  EXPECT_EQ(gone[0].kind, Kind::withdrawn);
  EXPECT_EQ(gone[0].domain, kContoso);
  EXPECT_EQ(server->count(kContoso).routes, 0U);
  EXPECT_EQ(server->count(kFabrikam).routes, 1U);
}

TEST_F(Zserv, AnAggregateIsDiscarded) {
  arrive_with_domains();
  bgpd->say("0028fe060000000100080900000000000500000007010210c0a8000100000000060001c800000000");
  step();
  const auto all = taken();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_TRUE(all[0].next_hops.empty());
  EXPECT_EQ(all[0].source, RouteSource::ibgp);
}

TEST_F(Zserv, RedistributesWhatIsAskedForAndFollowsIt) {
  arrive_with_domains();
  const RouteKnowledge::Reach late{prefix("10.9.0.0/16"), RouteSource::network_connection, 4};
  server->redistribute(kContoso, ZapiSwitch::on, late);
  step();
  EXPECT_TRUE(bgpd->heard().empty()) << "nobody asked";
  bgpd->say("000efe0600000001000b 01 03 0000");  // IPv4, static
  step();
  auto heard = bgpd->heard();
  ASSERT_EQ(heard.size(), 1U);
  EXPECT_EQ(heard[0].command, 30);
  EXPECT_TRUE(heard[0].bytes.starts_with("03")) << "the default route, not the connected one";
  server->redistribute(kContoso, ZapiSwitch::on, late);
  server->redistribute(kFabrikam, ZapiSwitch::on, late);
  server->redistribute(kContoso, ZapiSwitch::on, {prefix("10.8.0.0/16"), RouteSource::ebgp, 4});
  server->redistribute(kContoso, ZapiSwitch::off, late);
  step();
  EXPECT_EQ(bgpd->commands(), (std::vector<uint16_t>{30, 31}));
  bgpd->say("000efe0600000001000c 01 03 0000");
  step();
  server->redistribute(kContoso, ZapiSwitch::on, late);
  step();
  EXPECT_TRUE(bgpd->heard().empty());
}

TEST_F(Zserv, RoutesOutliveTheirBgpdUntilEndOfRib) {
  arrive_with_domains();
  for (unsigned n = 0; n < 4; ++n) route_add(1, n);
  route_add(2, 0);
  step();
  (void)taken();
  bgpd.reset();
  step();
  EXPECT_EQ(losses, 1);
  EXPECT_EQ(server->state(), State::away);
  EXPECT_TRUE(changes.empty()) << "they stay";
  EXPECT_EQ(server->count(kContoso).stale, 4U);
  clock.advance(seconds(3));
  arrive();
  // The new one knows contoso's VRF as 3, and tells two of four routes.
  EXPECT_EQ(bgpd->heard().size(), 3U);
  route_add(3, 1);
  route_add(3, 2);
  route_delete(3, 3);
  step();
  EXPECT_EQ(taken().size(), 3U);
  EXPECT_EQ(server->count(kContoso).stale, 1U);
  complete(3, 2);
  step();
  EXPECT_TRUE(changes.empty()) << "that was IPv6";
  complete(3);
  step();
  EXPECT_TRUE(changes.empty()) << "some may still come";
  clock.advance(seconds(4));
  step();
  const auto swept = taken();
  ASSERT_EQ(swept.size(), 1U);
  EXPECT_EQ(swept[0].kind, Kind::withdrawn);
  EXPECT_EQ(swept[0].prefix, prefix("192.168.0.0/24"));
  EXPECT_EQ(server->count(kContoso).routes, 2U);
  EXPECT_EQ(server->count(kFabrikam).stale, 1U) << "another domain's wait for theirs";
}

TEST_F(Zserv, StaleRoutesGoByTheTimerAtLast) {
  arrive_with_domains();
  route_add(1, 1);
  step();
  (void)taken();
  bgpd.reset();
  step();
  clock.advance(seconds(119));
  step();
  EXPECT_TRUE(changes.empty());
  clock.advance(seconds(2));
  step();
  ASSERT_EQ(taken().size(), 1U);
  EXPECT_EQ(server->count(kContoso).routes, 0U);
}

TEST_F(Zserv, WhatIsRemovedTakesItsRoutesAlongInBoundedSteps) {
  arrive_with_domains();
  for (unsigned n = 0; n < 20'000; ++n) {
    bgpd->say(
        fmt::format("0030fe06000000010008 09 0000 00000000 00000007 01 02 18 {:06x}"
                    "0001 00000001 02 00 0a000002 00000000 0f 00000021",
                    0x0a0000 + n));
    const size_t before = changes.size();
    server->step(clock.now());
    ASSERT_LE(changes.size() - before, 1'400U);
  }
  ASSERT_EQ(taken().size(), 20'000U);
  route_add(2, 0);
  step();
  (void)taken();
  server->remove(kContoso);
  EXPECT_FALSE(server->knows(kContoso));
  unsigned steps = 0;
  for (; server->busy() && steps < 100; ++steps) server->step(clock.now());
  EXPECT_GT(steps, 3U) << "not all at once";
  EXPECT_EQ(taken().size(), 20'000U);
  EXPECT_EQ(bgpd->commands(), (std::vector<uint16_t>{34}));
  EXPECT_EQ(server->count(kFabrikam).routes, 1U);
  // And it may come again, under a number that was never used.
  server->set(kContoso, domain("d7"));
  step();
  EXPECT_EQ(bgpd->heard().at(0).vrf, 3U);
}

TEST_F(Zserv, BfdSessionsGoToTheOwnerAndTheirStateBack) {
  arrive_with_domains();
  bgpd->say(
      "0028fe0600000001001a 00001abb 0002 0a000002 0000012c 0000012c 03 00 0002 00000000 01 00 00 "
      "00");
  step();
  ASSERT_EQ(bfd.size(), 1U);
  EXPECT_EQ(bfd[0].first, kContoso);
  EXPECT_EQ(bfd[0].second.destination, address("10.0.0.2"));
  server->tell_bfd(kContoso, bfd[0].second, ZapiBfdState::down);
  step();
  EXPECT_EQ(bgpd->commands(), (std::vector<uint16_t>{25}));
}

TEST_F(Zserv, GarbageEndsTheConnectionAndTellsTheOwner) {
  arrive_with_domains();
  bgpd->say("ffffffffffffffffffffffff");
  step();
  EXPECT_EQ(losses, 1);
  EXPECT_TRUE(bgpd->ended());
}

}  // namespace
}  // namespace hnv
