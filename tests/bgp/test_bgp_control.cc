// SPDX-License-Identifier: Apache-2.0
//
// The control of one bgpd, with the launcher and bgpd by hand.
#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "bgp/bgp_control.h"
#include "tests/bgp/hex.h"
#include "tests/support/manual_clock.h"

namespace hnv {
namespace {

using std::chrono::milliseconds;
using Asked = BgpdRequest::Kind;
using Said = BgpdReport::Kind;
using Phase = BgpDomainState::Phase;

constexpr uint32_t kContoso = 7;

struct NoRoutes : RouteKnowledge {
  [[nodiscard]] std::optional<Reach> reach(uint32_t, const BgpAddress&) const override {
    return std::nullopt;
  }
  [[nodiscard]] std::optional<Reach> route(uint32_t, const BgpPrefix&) const override {
    return std::nullopt;
  }
  void for_each(uint32_t, Family, const Visit&) const override {}
};

std::pair<OwnedFd, OwnedFd> both_ends(int type) {
  std::array<int, 2> ends{};
  EXPECT_EQ(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
  return {OwnedFd(ends[0]), OwnedFd(ends[1])};
}

struct BgpControlTest : testing::Test {
  BgpControlTest() {
    where.sun_family = AF_UNIX;
    const std::string name = fmt::format("hnv-test-bgp-{}-{}", getpid(), static_cast<void*>(this));
    std::memcpy(where.sun_path + 1, name.data(), name.size());
    size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    BgpdLauncher made;
    made.zserv = OwnedFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    EXPECT_EQ(bind(made.zserv.get(), reinterpret_cast<const sockaddr*>(&where), size), 0);
    EXPECT_EQ(listen(made.zserv.get(), 8), 0);
    std::tie(made.control, launcher) = both_ends(SOCK_SEQPACKET);
    ZservServer::Options options;
    options.user = geteuid();
    BgpControl::Events events;
    events.tun = [this](uint32_t domain, const OwnedFd&) { tuns.push_back(domain); };
    control = std::make_unique<BgpControl>(std::move(made), options, routes, std::move(events));
    control->start();
  }

  static BgpDomainSpec spec() {
    BgpDomainSpec out;
    out.router.as_number = 65'001;
    out.router.router_id = CaAddress(0x0a000001);
    return out;
  }
  void set(uint32_t domain = kContoso) {
    BgpDomainPlace place;
    place.addresses = {InterfaceAddress<Space::customer>::parse("10.0.0.1/24").value()};
    control->set(domain, spec(), place, clock.now());
  }
  void say(const BgpdReport& report, std::initializer_list<int> fds = {}) const {
    ASSERT_TRUE(send_with_fds(launcher.get(), &report, sizeof report, fds));
  }
  // bgpd starts, connects to zserv and answers on its vty.
  void bgpd_comes(const std::string& release) {
    version = release;
    say({Said::started, {}, 0, 4'711, 0});
    step();
    OwnedFd ours;
    OwnedFd other;
    std::tie(ours, commands) = both_ends(SOCK_STREAM);
    std::tie(other, reads) = both_ends(SOCK_STREAM);
    say({Said::connected, Asked::connect, 0, 0, 0}, {ours.get(), other.get()});
    zserv = OwnedFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ASSERT_EQ(connect(zserv.get(), reinterpret_cast<const sockaddr*>(&where), size), 0);
    const auto greeting = from_hex(
        "0013fe06000000000012090000000000000000"
        "000efe0600000000002500001abb");
    ASSERT_EQ(send(zserv.get(), greeting.data(), greeting.size(), 0),
              static_cast<ssize_t>(greeting.size()));
    step();
  }
  void bgpd_goes() {
    zserv = OwnedFd();
    commands = OwnedFd();
    reads = OwnedFd();
    say({Said::ended, {}, 0, SIGKILL, 0});
    step();
  }
  // Until nothing moves any more; the launcher's answers are the test's.
  void step() {
    for (int i = 0; i < 40; ++i) {
      control->step(clock.now());
      for (const std::string& line : answered(commands, "")) lines.push_back(line);
      for (const std::string& line :
           answered(reads, "FRRouting " + version + " (gate) on Linux\n")) {
        shown.insert(line);
      }
      BgpdRequest request;
      while (recv(launcher.get(), &request, sizeof request, 0) == sizeof request) {
        asked.push_back(request.kind);
      }
    }
  }
  static std::vector<std::string> answered(const OwnedFd& at, std::string text) {
    std::array<char, 65'536> room{};
    const ssize_t n = at ? recv(at.get(), room.data(), room.size(), 0) : 0;
    std::vector<std::string> out;
    text.append(4, '\0');
    for (const char* from = room.data(); from < room.data() + n; from += out.back().size() + 1) {
      out.emplace_back(from);
      EXPECT_EQ(send(at.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    }
    return out;
  }
  std::vector<uint16_t> told() {
    std::array<uint8_t, 65'536> room{};
    std::vector<uint16_t> out;
    ZapiStream stream;
    for (ssize_t n = 0; (n = recv(zserv.get(), room.data(), room.size(), 0)) > 0;) {
      stream.feed({room.data(), static_cast<size_t>(n)});
    }
    while (const auto frame = stream.next()) {
      if (!*frame) break;
      out.push_back((*frame)->command);
    }
    return out;
  }
  [[nodiscard]] bool said(const std::string& line) const {
    return std::find(lines.begin(), lines.end(), line) != lines.end();
  }
  [[nodiscard]] long times(Asked kind) const {
    return std::count(asked.begin(), asked.end(), kind);
  }
  Phase phase() const { return control->domain(kContoso)->phase; }

  ManualClock clock;
  sockaddr_un where{};
  socklen_t size = 0;
  NoRoutes routes;
  OwnedFd launcher;
  OwnedFd commands;
  OwnedFd reads;
  OwnedFd zserv;
  std::string version;
  std::vector<std::string> lines;
  std::set<std::string> shown;  // what was read
  std::vector<Asked> asked;
  std::vector<uint32_t> tuns;
  std::unique_ptr<BgpControl> control;
};

TEST_F(BgpControlTest, NothingIsToldToAReleaseThatIsNotKnown) {
  set();
  say({Said::domain_added, Asked::add_domain, kContoso, 2, 0}, {launcher.get()});
  bgpd_comes("10.2.1");
  EXPECT_EQ(control->state(), BgpControl::State::refused);
  EXPECT_NE(control->fault().find("10.2.1"), std::string::npos) << control->fault();
  EXPECT_TRUE(told().empty());
  EXPECT_EQ(lines, std::vector<std::string>{"enable"});
}

TEST_F(BgpControlTest, ADomainIsReadyWhenTheKernelSaysThatBgpdListensThere) {
  set();
  step();
  EXPECT_EQ(times(Asked::add_domain), 1);
  EXPECT_EQ(times(Asked::add_address), 1);
  bgpd_comes("8.4.4");
  EXPECT_EQ(control->state(), BgpControl::State::ready);
  EXPECT_EQ(phase(), Phase::waiting) << "there is no namespace yet";
  EXPECT_EQ(told(), std::vector<uint16_t>{19});
  say({Said::domain_added, Asked::add_domain, kContoso, 2, 0}, {launcher.get()});
  step();
  EXPECT_EQ(tuns, std::vector<uint32_t>{kContoso});
  EXPECT_EQ(told(), std::vector<uint16_t>{33});
  EXPECT_TRUE(said("router bgp 65535")) << "the default instance";
  EXPECT_TRUE(said("router bgp 65001 vrf d7"));
  EXPECT_EQ(phase(), Phase::configured);
  EXPECT_EQ(times(Asked::look), 1);
  say({Said::listeners, Asked::look, kContoso, 0, 2});
  step();
  EXPECT_EQ(phase(), Phase::configured) << "not yet";
  clock.advance(milliseconds(100));
  step();
  EXPECT_EQ(times(Asked::look), 2);
  say({Said::listeners, Asked::look, kContoso, 2, 2});
  step();
  EXPECT_EQ(phase(), Phase::ready);
}

TEST_F(BgpControlTest, ADomainThatBgpdDoesNotReachIsTakenFromIt) {
  set();
  say({Said::domain_added, Asked::add_domain, kContoso, 2, 0}, {launcher.get()});
  bgpd_comes("8.4.4");
  for (int i = 0; i < 60 && phase() == Phase::configured; ++i) {
    say({Said::listeners, Asked::look, kContoso, 0, 4});
    step();
    clock.advance(milliseconds(100));
  }
  EXPECT_EQ(phase(), Phase::failed);
  EXPECT_NE(control->domain(kContoso)->fault.find("namespace"), std::string::npos);
  step();
  EXPECT_TRUE(said("no router bgp 65001 vrf d7"));
  EXPECT_EQ(told(), (std::vector<uint16_t>{19, 33, 34}));
}

// With many domains the first are due again before the last were read once.
TEST_F(BgpControlTest, EveryDomainsPeersAreReadInTheirTurn) {
  constexpr uint32_t kMany = 100;
  for (uint32_t domain = 1; domain <= kMany; ++domain) {
    set(domain);
    say({Said::domain_added, Asked::add_domain, domain, 2, 0}, {launcher.get()});
    step();
  }
  bgpd_comes("8.4.4");
  for (int i = 0; i < 20 && !said(fmt::format("router bgp 65001 vrf d{}", kMany)); ++i) step();
  for (int round = 0; round < 2; ++round) {
    shown.clear();
    for (uint32_t i = 0; i < 2 * kMany; ++i) {
      clock.advance(milliseconds(20));
      step();
    }
    for (uint32_t domain = 1; domain <= kMany; ++domain) {
      EXPECT_TRUE(shown.contains(fmt::format("show bgp vrf d{} neighbors json", domain)))
          << domain << " in round " << round;
    }
  }
}

TEST_F(BgpControlTest, ALostZebraConnectionEndsBgpd) {
  bgpd_comes("8.4.4");
  zserv = OwnedFd();
  step();
  EXPECT_EQ(times(Asked::kill), 1);
}

TEST_F(BgpControlTest, ANewBgpdIsToldEverythingAgain) {
  set();
  step();
  EXPECT_EQ(times(Asked::start), 1);
  say({Said::domain_added, Asked::add_domain, kContoso, 2, 0}, {launcher.get()});
  bgpd_comes("8.4.4");
  bgpd_goes();
  EXPECT_EQ(control->state(), BgpControl::State::away);
  EXPECT_EQ(phase(), Phase::waiting);
  lines.clear();
  clock.advance(milliseconds(200));
  step();
  EXPECT_EQ(times(Asked::start), 2);
  bgpd_comes("8.4.4");
  EXPECT_EQ(told(), (std::vector<uint16_t>{19, 33}));
  EXPECT_TRUE(said("router bgp 65001 vrf d7"));
  EXPECT_EQ(times(Asked::add_domain), 1) << "its namespace stayed";
}

TEST_F(BgpControlTest, RemovalLeavesTheSocketsBeforeTheNamespace) {
  set();
  say({Said::domain_added, Asked::add_domain, kContoso, 2, 0}, {launcher.get()});
  bgpd_comes("8.4.4");
  (void)told();
  control->remove(kContoso);
  EXPECT_EQ(times(Asked::remove_domain), 0);
  step();
  EXPECT_TRUE(said("no router bgp 65001 vrf d7"));
  EXPECT_EQ(told(), std::vector<uint16_t>{34});
  EXPECT_EQ(times(Asked::remove_domain), 1);
  EXPECT_EQ(control->domain(kContoso), nullptr);
}

}  // namespace
}  // namespace hnv
