// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "bgp/bgpd_process.h"
#include "tests/support/manual_clock.h"

namespace hnv {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Asked = BgpdRequest::Kind;
using Said = BgpdReport::Kind;

IpAddress<Space::customer> address(uint8_t last) { return CaAddress(0x0a000000U | last); }

// The launcher by hand.
struct BgpdProcessTest : testing::Test {
  BgpdProcessTest() {
    std::array<int, 2> ends{};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()),
              0);
    launcher = OwnedFd(ends[1]);
    process.emplace(
        OwnedFd(ends[0]), -1,
        BgpdProcess::Events{[this](const OwnedFd& commands, const OwnedFd& reads) {
                              if (commands && reads) ++connected;
                            },
                            [this](int status) { ended.push_back(status); },
                            [this](uint32_t domain, const OwnedFd& tun, unsigned interface) {
                              if (tun) added.emplace_back(domain, interface);
                            },
                            [this](uint32_t domain, int why) { failed.emplace_back(domain, why); },
                            [this](uint32_t domain, unsigned here, unsigned limbo) {
                              seen.push_back({domain, here, limbo});
                            },
                            [this](const OwnedFd& reader) { readers.push_back(bool{reader}); }});
  }
  void step() { process->step(clock.now()); }
  std::vector<BgpdRequest> requests() {
    std::vector<BgpdRequest> out;
    BgpdRequest request;
    while (recv(launcher.get(), &request, sizeof request, 0) == sizeof request) {
      out.push_back(request);
    }
    return out;
  }
  std::vector<Asked> asked() {
    std::vector<Asked> out;
    for (const BgpdRequest& request : requests()) out.push_back(request.kind);
    return out;
  }
  void say(const BgpdReport& report, std::initializer_list<int> fds = {}) {
    ASSERT_TRUE(send_with_fds(launcher.get(), &report, sizeof report, fds));
    step();
  }
  // How long after its end it is started again.
  Duration pause_after(int status) {
    say({Said::ended, {}, 0, status, 0});
    const Instant end = clock.now();
    (void)requests();
    for (int i = 0; i < 1'000; ++i) {
      step();
      for (const Asked kind : asked()) {
        if (kind != Asked::start) continue;
        say({Said::started, {}, 0, 4'711, 0});
        return clock.now() - end;
      }
      clock.advance(milliseconds(100));
    }
    return Duration::max();
  }

  ManualClock clock;
  OwnedFd launcher;
  int connected = 0;
  std::vector<int> ended;
  std::vector<std::pair<uint32_t, unsigned>> added;
  std::vector<std::pair<uint32_t, int>> failed;
  std::vector<std::array<unsigned, 3>> seen;
  std::vector<bool> readers;
  std::optional<BgpdProcess> process;
};

TEST_F(BgpdProcessTest, StartsWhenItShallAndConnectsUntilItAnswers) {
  step();
  EXPECT_TRUE(asked().empty());
  process->start();
  step();
  step();
  EXPECT_EQ(asked(), std::vector{Asked::start});
  say({Said::started, {}, 0, 4'711, 0});
  EXPECT_EQ(process->pid(), 4'711);
  EXPECT_EQ(asked(), std::vector{Asked::connect});
  say({Said::failed, Asked::connect, 0, ENOENT, 0});
  EXPECT_TRUE(asked().empty()) << "not at once again";
  clock.advance(milliseconds(100));
  step();
  EXPECT_EQ(asked(), std::vector{Asked::connect});
  say({Said::connected, Asked::connect, 0, 0, 0}, {launcher.get(), launcher.get()});
  EXPECT_EQ(connected, 1);
  clock.advance(seconds(1));
  step();
  EXPECT_TRUE(asked().empty());
}

TEST_F(BgpdProcessTest, PausesGrowAndBeginAnewAfterAGoodRun) {
  process->start();
  step();
  say({Said::started, {}, 0, 4'711, 0});
  EXPECT_EQ(pause_after(SIGKILL), milliseconds(100));
  EXPECT_EQ(pause_after(SIGKILL), milliseconds(200));
  for (int i = 0; i < 10; ++i) (void)pause_after(SIGKILL);
  EXPECT_EQ(pause_after(SIGKILL), seconds(30));
  clock.advance(seconds(61));
  EXPECT_EQ(pause_after(SIGKILL), milliseconds(100));
  EXPECT_EQ(process->restarts(), 14U);
  EXPECT_EQ(ended.size(), 14U);
}

TEST_F(BgpdProcessTest, WhatIsStoppedStaysSo) {
  process->start();
  step();
  say({Said::started, {}, 0, 4'711, 0});
  process->stop();
  say({Said::ended, {}, 0, 0, 0});
  clock.advance(seconds(60));
  step();
  const auto all = asked();
  EXPECT_EQ(std::count(all.begin(), all.end(), Asked::start), 1);
  EXPECT_EQ(process->pid(), -1);
  EXPECT_EQ(process->restarts(), 0U);
}

TEST_F(BgpdProcessTest, OnlyOneThatRunsIsKilled) {
  process->start();
  step();
  process->kill();
  say({Said::started, {}, 0, 4'711, 0});
  EXPECT_EQ(asked(), (std::vector{Asked::start, Asked::connect}));
  process->kill();
  step();
  EXPECT_EQ(asked(), std::vector{Asked::kill});
}

TEST_F(BgpdProcessTest, WhoAsksForAReaderHearsOfItEitherWay) {
  process->connect_reader();
  process->connect_reader();
  step();
  EXPECT_EQ(asked(), (std::vector{Asked::connect_reader, Asked::connect_reader}));
  say({Said::failed, Asked::connect_reader, 0, ECONNREFUSED, 0});
  say({Said::reader, Asked::connect_reader, 0, 0, 0}, {launcher.get()});
  EXPECT_EQ(readers, (std::vector{false, true}));
}

TEST_F(BgpdProcessTest, DomainsHaveTheirOwnAddresses) {
  process->add_domain(7, 1'400);
  process->set_addresses(7, {address(2), address(1)});
  process->set_addresses(8, {address(1)});
  step();
  auto all = requests();
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0].kind, Asked::add_domain);
  EXPECT_EQ(all[0].value, 1'400U);
  EXPECT_EQ(all[3].domain, 8U);
  process->set_addresses(7, {address(2), address(3)});
  step();
  all = requests();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].kind, Asked::add_address);
  EXPECT_EQ(all[0].address[3], 3);
  EXPECT_EQ(all[0].value, 4U);
  EXPECT_EQ(all[1].kind, Asked::remove_address);
  EXPECT_EQ(all[1].address[3], 1);
  process->remove_domain(7);
  process->set_addresses(7, {address(2)});
  step();
  EXPECT_EQ(asked(), (std::vector{Asked::remove_domain, Asked::add_address}))
      << "what is made anew has none";
}

TEST_F(BgpdProcessTest, ReportsGoToTheirOwners) {
  say({Said::domain_added, Asked::add_domain, 7, 3, 0}, {launcher.get()});
  EXPECT_EQ(added, (std::vector<std::pair<uint32_t, unsigned>>{{7, 3}}));
  say({Said::failed, Asked::add_domain, 8, EPERM, 0});
  EXPECT_EQ(failed, (std::vector<std::pair<uint32_t, int>>{{8, EPERM}}));
  say({Said::listeners, Asked::look, 7, 2, 4});
  EXPECT_EQ(seen, (std::vector<std::array<unsigned, 3>>{{7, 2, 4}}));
}

// A gateway that starts with many domains asks more than a socket holds.
TEST_F(BgpdProcessTest, NoRequestIsLostWhenTheSocketIsFull) {
  for (uint32_t domain = 0; domain < 5'000; ++domain) process->add_domain(domain, 1'500);
  uint32_t next = 0;
  for (int i = 0; i < 1'000 && next < 5'000; ++i) {
    step();
    for (const BgpdRequest& request : requests()) ASSERT_EQ(request.domain, next++);
  }
  EXPECT_EQ(next, 5'000U);
}

}  // namespace
}  // namespace hnv
