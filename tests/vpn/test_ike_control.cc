// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/manual_clock.h"
#include "tests/vpn/tunnels.h"
#include "vpn/ike_control.h"

namespace hnv {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Texts = std::vector<std::string>;
using Phase = IkeTunnelState::Phase;

// charon by hand: it answers every command that it is sent, and notes them.
struct IkeControlTest : testing::Test {
  IkeControlTest() : ike([this] { ++lost; }) {}

  void attach() {
    std::array<OwnedFd, 2> near;
    for (size_t i = 0; i < 2; ++i) {
      std::array<int, 2> fds{};
      ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()), 0);
      near[i] = OwnedFd(fds[0]);
      far[i].emplace(OwnedFd(fds[1]));
    }
    ike.attach(std::move(near[0]), std::move(near[1]));
  }
  void tell(size_t connection, const ViciPacket& packet) {
    auto bytes = encode(packet);
    ASSERT_TRUE(bytes);
    ASSERT_TRUE(far[connection]->send(std::move(*bytes)));
  }
  void answer(const ViciPacket& command) {
    std::string noted = command.name;
    for (const char* key : {"child", "ike", "name", "id"}) {
      if (const auto* value = command.message.value(key)) {
        noted += " " + *value;
        break;
      }
    }
    if (command.name == "load-conn") noted += " " + command.message.items.front().name;
    told.push_back(noted);
    ViciSection response;
    response.add("success", "yes");
    if (command.name == "version") response.add("version", version);
    if (command.name == "load-key") response.add("id", "abcd");
    if (command.name == "get-conns") response.add("conns", loaded);
    tell(0, {ViciType::command_response, "", response});
  }
  // Until both sides have nothing more to say.
  void settle() {
    for (int quiet = 0; quiet < 3;) {
      ike.step(clock.now());
      const auto packets = far[0]->step(100);
      if (packets && !packets->empty()) {
        for (const ViciPacket& packet : *packets) answer(packet);
        quiet = 0;
      } else {
        ++quiet;
      }
    }
  }
  void pass(Duration time) {
    for (const Duration step = milliseconds(100); time > Duration::zero(); time -= step) {
      clock.advance(step);
      settle();
    }
  }
  [[nodiscard]] Texts take() { return std::exchange(told, {}); }
  [[nodiscard]] long initiated() {
    const Texts all = take();
    return std::count_if(all.begin(), all.end(),
                         [](const auto& text) { return text.starts_with("initiate"); });
  }
  void event(const std::string& name, bool up, const ViciSection& children) {
    ViciSection message;
    if (up) message.add("up", "yes");
    message.add("t7", ViciSection().add("remote-host", "198.51.100.10").add("child-sas", children));
    tell(1, {ViciType::event, name, message});
    settle();
  }
  static ViciSection child(const std::string& number) {
    return ViciSection().add("t7-" + number, ViciSection().add("uniqueid", number));
  }
  static TunnelSpec tunnel(Initiation initiation = Initiation::on_start) {
    TunnelSpec spec = psk_tunnel();
    spec.initiation = initiation;
    spec.number_of_tries = 2;
    spec.retry_interval_seconds = 10;
    return spec;
  }
  [[nodiscard]] Phase phase() const { return ike.tunnel(7)->phase; }

  ManualClock clock;
  std::array<std::optional<ViciConnection>, 2> far;
  std::string version = "5.9.8";
  Texts loaded;
  Texts told;
  int lost = 0;
  IkeControl ike;
};

TEST_F(IkeControlTest, LoadsThenStarts) {
  ike.set(7, tunnel(), clock.now());
  attach();
  settle();
  EXPECT_EQ(take(), (Texts{"version", "clear-creds", "get-conns", "load-shared t7", "load-conn t7",
                           "version", "initiate t7"}));
  EXPECT_EQ(ike.state(), IkeControl::State::ready);
  EXPECT_EQ(phase(), Phase::connecting);
}

TEST_F(IkeControlTest, ACharonOfAnotherReleaseIsToldNothing) {
  ike.set(7, tunnel(), clock.now());
  version = "6.0.1";
  attach();
  settle();
  pass(seconds(1));
  EXPECT_EQ(take(), Texts{"version"});
  EXPECT_EQ(ike.state(), IkeControl::State::refused);
  ike.set(8, psk_tunnel("other"), clock.now());
  settle();
  EXPECT_TRUE(take().empty());
}

TEST_F(IkeControlTest, WhatIsNoLongerWantedIsUnloadedFromACharonThatLivedOn) {
  ike.set(7, tunnel(), clock.now());
  loaded = {"t7", "t9"};
  attach();
  settle();
  const Texts all = take();
  EXPECT_TRUE(std::find(all.begin(), all.end(), "unload-conn t9") != all.end());
  EXPECT_TRUE(std::find(all.begin(), all.end(), "terminate t9") != all.end());
  EXPECT_TRUE(std::find(all.begin(), all.end(), "unload-conn t7") == all.end());
}

TEST_F(IkeControlTest, StartsAtABoundedPace) {
  constexpr uint32_t kMany = 300;
  for (uint32_t i = 0; i < kMany; ++i) {
    ike.set(100 + i, psk_tunnel("site" + std::to_string(i)), clock.now());
  }
  attach();
  settle();
  (void)initiated();
  pass(seconds(1));
  const auto in_a_second = initiated();
  EXPECT_LE(in_a_second, 100);
  EXPECT_GE(in_a_second, 90);
  pass(seconds(11));
  for (uint32_t i = 0; i < kMany; ++i) EXPECT_EQ(ike.tunnel(100 + i)->tries, 1U);
}

TEST_F(IkeControlTest, NoMoreThanSomeWaitForAnswersAtOnce) {
  for (uint32_t i = 0; i < 300; ++i) {
    ike.set(100 + i, psk_tunnel("site" + std::to_string(i)), clock.now());
  }
  attach();
  settle();
  pass(seconds(3));
  EXPECT_EQ(initiated(), 128);
  // Who is up waits no more.
  tell(1, {ViciType::event, "child-updown",
           ViciSection().add("up", "yes").add("t100", ViciSection().add("child-sas", child("1")))});
  pass(milliseconds(500));
  EXPECT_EQ(initiated(), 1);
  pass(seconds(2));
  EXPECT_GT(initiated(), 50) << "those whose sites are silent hold up the others";
}

TEST_F(IkeControlTest, IsUpWhileThereIsAChild) {
  ike.set(7, tunnel(), clock.now());
  attach();
  settle();
  event("child-updown", true, child("1"));
  EXPECT_EQ(phase(), Phase::up);
  event("child-updown", true, child("2"));
  event("child-updown", false, child("1"));
  EXPECT_EQ(phase(), Phase::up) << "the site came anew before the old one ended";
  event("child-rekey", false,
        ViciSection().add("t7", ViciSection()
                                    .add("old", ViciSection().add("uniqueid", "2"))
                                    .add("new", ViciSection().add("uniqueid", "3"))));
  EXPECT_EQ(ike.tunnel(7)->rekeys, 1U);
  event("child-updown", false, child("2"));
  EXPECT_EQ(phase(), Phase::up);
  event("child-updown", false, child("3"));
  EXPECT_EQ(phase(), Phase::connecting);
  EXPECT_EQ(ike.tunnel(7)->remote_host, "198.51.100.10");
}

TEST_F(IkeControlTest, TriesAgainAsOftenAsAskedAndNoMore) {
  ike.set(7, tunnel(), clock.now());
  attach();
  settle();
  EXPECT_EQ(initiated(), 1);
  pass(seconds(9));
  EXPECT_EQ(initiated(), 0);
  pass(seconds(2));
  EXPECT_EQ(initiated(), 1);
  pass(seconds(30));
  EXPECT_EQ(initiated(), 0);
  EXPECT_EQ(phase(), Phase::failed);
  ike.connect(7, clock.now());
  pass(seconds(1));
  EXPECT_EQ(initiated(), 1) << "by hand it begins anew";
}

TEST_F(IkeControlTest, OnDemandStartsWhenAskedAndAResponderNeedsNoStart) {
  ike.set(7, tunnel(Initiation::on_demand), clock.now());
  attach();
  settle();
  pass(seconds(1));
  EXPECT_EQ(initiated(), 0);
  ike.connect(7, clock.now());
  pass(seconds(1));
  EXPECT_EQ(initiated(), 1);
  ike.disconnect(7, clock.now());
  settle();
  EXPECT_EQ(take(), Texts{"terminate t7"});
  EXPECT_EQ(phase(), Phase::idle);
}

TEST_F(IkeControlTest, AfterACrashWhatWasUpIsMadeAgain) {
  ike.set(7, tunnel(Initiation::never), clock.now());
  attach();
  settle();
  event("child-updown", true, child("1"));
  EXPECT_EQ(phase(), Phase::up);
  (void)take();
  ike.charon_ended();
  EXPECT_EQ(ike.state(), IkeControl::State::away);
  EXPECT_EQ(phase(), Phase::idle);
  attach();
  settle();
  pass(seconds(1));
  EXPECT_EQ(initiated(), 1) << "the site would find out minutes later";
}

TEST_F(IkeControlTest, ALostConnectionIsSaidAndEverythingIsToldAgain) {
  ike.set(7, tunnel(), clock.now());
  attach();
  settle();
  far[0].reset();
  ike.step(clock.now());
  EXPECT_EQ(lost, 1);
  EXPECT_EQ(ike.state(), IkeControl::State::away);
  ike.remove(7);
  loaded = {"t7"};
  (void)take();
  attach();
  settle();
  EXPECT_EQ(take(), (Texts{"version", "clear-creds", "get-conns", "unload-conn t7", "terminate t7",
                           "version"}));
}

TEST_F(IkeControlTest, AChangeThatCharonDoesNotSeeStartsNothing) {
  ike.set(7, tunnel(), clock.now());
  attach();
  settle();
  event("child-updown", true, child("1"));
  (void)take();
  TunnelSpec rates = tunnel();
  rates.inbound_kilobits_per_second = 0;
  ike.set(7, rates, clock.now());
  settle();
  EXPECT_TRUE(take().empty());
  EXPECT_EQ(phase(), Phase::up);
}

}  // namespace
}  // namespace hnv
