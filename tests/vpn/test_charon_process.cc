// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/manual_clock.h"
#include "vpn/charon_process.h"

namespace hnv {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Asked = LauncherRequest::Kind;
using Said = LauncherReport::Kind;

IpAddress<Space::external> address(uint8_t last) {
  return Ip4<Space::external>(0xcb007100U | last);
}

// The launcher by hand.
struct CharonProcessTest : testing::Test {
  CharonProcessTest() {
    std::array<int, 2> ends{};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()),
              0);
    launcher = OwnedFd(ends[1]);
    process.emplace(OwnedFd(ends[0]), -1,
                    CharonProcess::Events{[this](const OwnedFd& commands, const OwnedFd& events) {
                                            if (commands && events) ++connected;
                                          },
                                          [this](int status) { ended.push_back(status); }});
  }
  void step() { process->step(clock.now()); }
  std::vector<LauncherRequest> requests() {
    std::vector<LauncherRequest> out;
    LauncherRequest request;
    while (recv(launcher.get(), &request, sizeof request, 0) == sizeof request) {
      out.push_back(request);
    }
    return out;
  }
  std::vector<Asked> asked() {
    std::vector<Asked> out;
    for (const LauncherRequest& request : requests()) out.push_back(request.kind);
    return out;
  }
  void say(const LauncherReport& report) {
    ASSERT_EQ(send(launcher.get(), &report, sizeof report, 0), static_cast<ssize_t>(sizeof report));
    step();
  }
  void connect() {
    LauncherReport report{Said::connected, {}, 0};
    iovec part{&report, sizeof report};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(2 * sizeof(int))> room{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = room.data();
    message.msg_controllen = room.size();
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(2 * sizeof(int));
    const std::array<int, 2> fds{launcher.get(), launcher.get()};
    std::memcpy(CMSG_DATA(head), fds.data(), sizeof fds);
    ASSERT_EQ(sendmsg(launcher.get(), &message, 0), static_cast<ssize_t>(sizeof report));
    step();
  }
  // How long after its end it is started again.
  Duration pause_after(int status) {
    say({Said::ended, {}, status});
    const Instant end = clock.now();
    (void)requests();
    for (int i = 0; i < 1000; ++i) {
      step();
      for (const Asked kind : asked()) {
        if (kind == Asked::start) {
          say({Said::started, {}, 4711});
          return clock.now() - end;
        }
      }
      clock.advance(milliseconds(100));
    }
    return Duration::max();
  }

  ManualClock clock;
  OwnedFd launcher;
  int connected = 0;
  std::vector<int> ended;
  std::optional<CharonProcess> process;
};

TEST_F(CharonProcessTest, StartsWhenItShallAndConnectsUntilItAnswers) {
  step();
  EXPECT_TRUE(asked().empty());
  process->start();
  step();
  step();
  EXPECT_EQ(asked(), std::vector{Asked::start});
  say({Said::started, {}, 4711});
  EXPECT_EQ(process->pid(), 4711);
  EXPECT_EQ(asked(), std::vector{Asked::connect});
  say({Said::failed, Asked::connect, ENOENT});
  EXPECT_TRUE(asked().empty()) << "not at once again";
  clock.advance(milliseconds(100));
  step();
  EXPECT_EQ(asked(), std::vector{Asked::connect});
  connect();
  EXPECT_EQ(connected, 1);
  clock.advance(seconds(1));
  step();
  EXPECT_TRUE(asked().empty());
}

TEST_F(CharonProcessTest, PausesGrowAndBeginAnewAfterAGoodRun) {
  process->start();
  step();
  say({Said::started, {}, 4711});
  EXPECT_EQ(pause_after(SIGKILL), milliseconds(100));
  EXPECT_EQ(pause_after(SIGKILL), milliseconds(200));
  EXPECT_EQ(pause_after(SIGKILL), milliseconds(400));
  for (int i = 0; i < 10; ++i) (void)pause_after(SIGKILL);
  EXPECT_EQ(pause_after(SIGKILL), seconds(30));
  clock.advance(seconds(61));
  EXPECT_EQ(pause_after(SIGKILL), milliseconds(100));
  EXPECT_EQ(process->restarts(), 15U);
  EXPECT_EQ(ended.size(), 15U);
}

TEST_F(CharonProcessTest, WhatIsStoppedStaysSo) {
  process->start();
  step();
  say({Said::started, {}, 4711});
  process->stop();
  say({Said::ended, {}, 0});
  clock.advance(seconds(60));
  step();
  const auto all = asked();
  EXPECT_EQ(std::count(all.begin(), all.end(), Asked::start), 1);
  EXPECT_EQ(process->pid(), -1);
  EXPECT_EQ(process->restarts(), 0U);
}

TEST_F(CharonProcessTest, OnlyDifferencesOfAddressesAreTold) {
  process->set_addresses({address(2), address(1)});
  EXPECT_EQ(asked(), (std::vector{Asked::add_address, Asked::add_address}));
  process->set_addresses({address(2), address(3)});
  const auto changes = requests();
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(changes[0].kind, Asked::add_address);
  EXPECT_EQ(changes[0].family, 4U);
  EXPECT_EQ(changes[0].address[3], 3);
  EXPECT_EQ(changes[1].kind, Asked::remove_address);
  EXPECT_EQ(changes[1].address[3], 1);
}

TEST_F(CharonProcessTest, AnAddressThatFailsDoesNotHoldCharonUp) {
  process->set_addresses({address(1)});
  (void)requests();
  say({Said::failed, Asked::add_address, EINVAL});
  process->start();
  step();
  EXPECT_EQ(asked(), std::vector{Asked::start});
}

TEST_F(CharonProcessTest, ConnectionsOfACharonThatEndedAreClosed) {
  process->start();
  step();
  say({Said::started, {}, 4711});
  say({Said::ended, {}, SIGKILL});
  connect();
  EXPECT_EQ(connected, 0);
}

}  // namespace
}  // namespace hnv
