// SPDX-License-Identifier: GPL-2.0-or-later
//
// The plugin's end of the SA channel against the gateway's own, with threads and sockets as they
// are in charon; strongSwan itself is not needed. Waits for events, each with an end.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "tests/vpn/sa_requests.h"
#include "vpn/charon/gateway_link.h"
#include "vpn/sa_channel.h"

namespace hnv {
namespace {

using charon::CharonCalls;
using charon::GatewayLink;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint32_t kContoso = 7;
constexpr auto kEnd = seconds(10);

// charon, as far as the link knows it.
class Calls final : public CharonCalls {
 public:
  void expire(const sa_protocol::SaName& name, Expiry kind) override {
    note((kind == Expiry::hard ? "hard " : "soft ") + std::to_string(name.spi));
  }
  void mapping(const sa_protocol::SaName& name, const sa_protocol::Endpoint& remote) override {
    note("mapping " + std::to_string(name.spi) + " " + std::to_string(remote.port));
  }
  void acquire(uint32_t reqid) override { note("acquire " + std::to_string(reqid)); }
  void log(const std::string&) override {}

  bool wait_for(const std::string& call) {
    std::unique_lock lock(mutex_);
    return told_.wait_for(
        lock, kEnd, [&] { return std::find(calls_.begin(), calls_.end(), call) != calls_.end(); });
  }
  std::vector<std::string> calls() {
    const std::scoped_lock lock(mutex_);
    return calls_;
  }

 private:
  void note(std::string call) {
    const std::scoped_lock lock(mutex_);
    calls_.push_back(std::move(call));
    told_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable told_;
  std::vector<std::string> calls_;
};

// A gateway on a thread of its own; paused, it hangs.
class Gateway {
 public:
  explicit Gateway(const std::string& path) {
    auto listener = listen_for_sas(path, geteuid());
    EXPECT_TRUE(listener) << listener.error().message;
    sas_.add_tunnel(kContoso, 0);
    channel_.emplace(std::move(*listener),
                     SaChannel::Options{0, geteuid(), {100, 50}, milliseconds(10)}, sas_, [] {});
    thread_ = std::thread([this] {
      while (!stop_) {
        std::vector<pollfd> fds;
        with([&] { channel_->add_to(fds); });
        (void)poll(fds.data(), fds.size(), 1);
        with([&] {
          if (!paused_) channel_->step(now());
        });
      }
    });
  }
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;
  ~Gateway() {
    stop_ = true;
    thread_.join();
  }
  void with(const std::function<void()>& body) {
    const std::scoped_lock lock(mutex_);
    body();
  }
  bool wait(const std::function<bool(SaDatabase&, SaChannel&)>& condition) {
    const auto end = std::chrono::steady_clock::now() + kEnd;
    for (;;) {
      bool holds = false;
      with([&] { holds = condition(sas_, *channel_); });
      if (holds || std::chrono::steady_clock::now() > end) return holds;
      std::this_thread::yield();
    }
  }
  void pause(bool paused) {
    with([&] { paused_ = paused; });
  }
  SaDatabase& sas() { return sas_; }
  SaChannel& channel() { return *channel_; }

 private:
  static Instant now() {
    return Instant{static_cast<uint64_t>(
        std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())
            .count())};
  }
  std::mutex mutex_;
  SaDatabase sas_;
  std::optional<SaChannel> channel_;
  bool paused_ = false;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

struct GatewayLinkTest : testing::Test {
  GatewayLinkTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "hnv-link-XXXXXX").string();
    folder = mkdtemp(pattern.data());
  }
  void TearDown() override {
    link.reset();
    gateway.reset();
    std::filesystem::remove_all(folder);
  }
  [[nodiscard]] std::string path() const { return folder + "/sa"; }
  void start() {
    gateway = std::make_unique<Gateway>(path());
    link = std::make_unique<GatewayLink>(
        GatewayLink::Options{path(), geteuid(), milliseconds(300), milliseconds(10), 1000}, calls);
    ASSERT_TRUE(synced());
  }
  bool synced() {
    return gateway->wait([](SaDatabase&, SaChannel& channel) {
      return channel.state() == SaChannel::State::synced;
    }) && wait([&] { return link->connected(); });
  }
  static bool wait(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + kEnd;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }
  bool add(uint32_t spi, uint32_t flags, GatewayLink::Lifetime lifetime = {}) {
    auto message = add_message(spi, kContoso, flags);
    message.source_selectors = message.destination_selectors = 0;
    const bool added = link->add(message, {}, lifetime);
    EXPECT_EQ(message.encryption_key[0], 0) << "wiped";
    return added;
  }
  static sa_protocol::Endpoint ours() { return wire_endpoint(1); }
  static sa_protocol::Endpoint theirs() { return wire_endpoint(9); }

  std::string folder;
  Calls calls;
  std::unique_ptr<Gateway> gateway;
  std::unique_ptr<GatewayLink> link;
};

TEST_F(GatewayLinkTest, SpisAreOfTheGatewaysRangeAndGivenOnce) {
  start();
  std::vector<uint32_t> indexes;
  indexes.reserve(50);
  for (int i = 0; i < 50; ++i) {
    const auto spi = link->next_spi();
    ASSERT_TRUE(spi);
    EXPECT_GE(*spi, 1U << sa_protocol::kIndexBits);
    indexes.push_back(sa_protocol::index_of_spi(*spi));
  }
  EXPECT_FALSE(link->next_spi()) << "all in use";
  std::sort(indexes.begin(), indexes.end());
  EXPECT_EQ(indexes.front(), 100U);
  EXPECT_EQ(indexes.back(), 149U);
  EXPECT_EQ(std::unique(indexes.begin(), indexes.end()), indexes.end());
}

TEST_F(GatewayLinkTest, AnSpiThatCameToNothingIsGivenAgain) {
  start();
  std::vector<uint32_t> spis;
  spis.reserve(50);
  for (int i = 0; i < 50; ++i) spis.push_back(*link->next_spi());
  ASSERT_TRUE(add(spis[3], sa_protocol::kInbound));
  link->remove(spis[7], ours());  // never added
  const auto again = link->next_spi();
  ASSERT_TRUE(again);
  EXPECT_EQ(sa_protocol::index_of_spi(*again), sa_protocol::index_of_spi(spis[7]));
  EXPECT_FALSE(link->next_spi());
  link->remove(spis[3], ours());
  EXPECT_TRUE(link->next_spi());
}

TEST_F(GatewayLinkTest, AnSaIsThereWhenAddReturns) {
  start();
  const uint32_t spi = *link->next_spi();
  ASSERT_TRUE(add(spi, sa_protocol::kInbound));
  ASSERT_TRUE(add(1001, 0));
  gateway->with([&] {
    const auto& sa = gateway->sas().table().inbound[sa_protocol::index_of_spi(spi)];
    ASSERT_NE(sa, nullptr);
    EXPECT_EQ(sa->spec.keys->encryption.reveal()[0], 1);
    EXPECT_NE(gateway->sas().table().outbound[kContoso], nullptr);
  });
  link->remove(spi, ours());
  EXPECT_TRUE(gateway->wait([](SaDatabase& sas, SaChannel&) { return sas.size() == 1; }));
}

TEST_F(GatewayLinkTest, ARefusalIsAFailure) {
  start();
  auto message = add_message(*link->next_spi(), 99, sa_protocol::kInbound);
  message.source_selectors = message.destination_selectors = 0;
  EXPECT_FALSE(link->add(message, {}, {}));
}

TEST_F(GatewayLinkTest, NobodyWaitsForAGatewayThatHangs) {
  start();
  gateway->pause(true);
  EXPECT_FALSE(add(1001, 0)) << "not answered in time";
  const auto begin = std::chrono::steady_clock::now();
  for (uint32_t i = 0; i < 100; ++i) EXPECT_FALSE(add(2000 + i, 0));
  EXPECT_TRUE(link->next_spi());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(300)) << "no second wait";
  gateway->pause(false);
  // The late answer shows that it lives; what was called failed is deleted there.
  EXPECT_TRUE(wait([&] { return add(3001, 0); }));
  EXPECT_TRUE(gateway->wait([](SaDatabase& sas, SaChannel&) {
    const auto& sa = sas.table().outbound[kContoso];
    return sas.size() == 1 && sa != nullptr && sa->spec.spi == 3001;
  }));
}

TEST_F(GatewayLinkTest, WithoutAGatewayEverythingFailsAtOnce) {
  link = std::make_unique<GatewayLink>(
      GatewayLink::Options{path(), geteuid(), seconds(60), milliseconds(10), 1000}, calls);
  EXPECT_FALSE(link->next_spi());
  EXPECT_FALSE(add(1001, 0));
  link->remove(1001, theirs());
}

TEST_F(GatewayLinkTest, ARestartedGatewayGetsInboundWithKeysAndOutboundWithout) {
  start();
  const uint32_t spi = *link->next_spi();
  ASSERT_TRUE(add(spi, sa_protocol::kInbound));
  ASSERT_TRUE(add(1001, 0));
  gateway.reset();
  gateway = std::make_unique<Gateway>(path());
  ASSERT_TRUE(synced());
  gateway->with([&] {
    const auto& sa = gateway->sas().table().inbound[sa_protocol::index_of_spi(spi)];
    ASSERT_NE(sa, nullptr);
    EXPECT_EQ(sa->spec.keys->salt.reveal()[0], 33);
    EXPECT_EQ(gateway->sas().table().outbound[kContoso], nullptr);
    EXPECT_EQ(gateway->sas().tunnel(kContoso).outbound, TunnelSas::Outbound::closed);
  });
  EXPECT_TRUE(calls.wait_for("soft 1001")) << "charon is asked to rekey";
  // Its SPI stays its own.
  for (int i = 0; i < 49; ++i) {
    const auto other = link->next_spi();
    ASSERT_TRUE(other);
    EXPECT_NE(sa_protocol::index_of_spi(*other), sa_protocol::index_of_spi(spi));
  }
}

TEST_F(GatewayLinkTest, AGatewayThatStillHasThemGoesOn) {
  start();
  ASSERT_TRUE(add(*link->next_spi(), sa_protocol::kInbound));
  ASSERT_TRUE(add(1001, 0));
  gateway->with([&] { gateway->channel().disconnect("for the test"); });
  ASSERT_TRUE(synced());
  gateway->with([&] { EXPECT_NE(gateway->sas().table().outbound[kContoso], nullptr); });
  EXPECT_TRUE(calls.calls().empty());
}

TEST_F(GatewayLinkTest, LifetimesAreTimedHere) {
  start();
  // Not both of one: a thread that comes a second late reports the hard one only.
  ASSERT_TRUE(add(1001, 0, {1, 0}));
  ASSERT_TRUE(add(1002, 0, {0, 1}));
  ASSERT_TRUE(add(1003, 0, {0, 0}));
  EXPECT_TRUE(calls.wait_for("soft 1001"));
  EXPECT_TRUE(calls.wait_for("hard 1002"));
  EXPECT_EQ(calls.calls().size(), 2U);
}

TEST_F(GatewayLinkTest, CountersComeByThemselves) {
  start();
  ASSERT_TRUE(add(1001, 0));
  EXPECT_EQ(link->usage(1001, theirs())->packets, 0U);
  EXPECT_FALSE(link->usage(1001, ours()).has_value());
  gateway->with([&] {
    const auto& sa = gateway->sas().table().outbound[kContoso];
    gateway->sas().count(sa->uid, {840, 10, Instant{5'000'000'000}});
  });
  ASSERT_TRUE(wait([&] { return link->usage(1001, theirs())->packets == 10; }));
  EXPECT_EQ(link->usage(1001, theirs())->bytes, 840U);
  EXPECT_EQ(link->usage(1001, theirs())->last_use_seconds, 5U);
}

TEST_F(GatewayLinkTest, WhatTheGatewaySeesReachesCharon) {
  start();
  const uint32_t spi = *link->next_spi();
  ASSERT_TRUE(add(spi, sa_protocol::kInbound));
  gateway->with([&] {
    gateway->channel().mapping({SaDirection::inbound, spi, Ip4<Space::external>(0xcb007101)},
                               {Ip4<Space::external>(0xcb00714d), 40287});
    gateway->channel().acquire(5);
  });
  EXPECT_TRUE(calls.wait_for("mapping " + std::to_string(spi) + " 40287"));
  EXPECT_TRUE(calls.wait_for("acquire 5"));
}

TEST_F(GatewayLinkTest, AMovedPeerKeepsItsSaUnderTheNewAddress) {
  start();
  ASSERT_TRUE(add(1001, 0));
  sa_protocol::UpdateSa update{};
  update.source = ours();
  update.destination = wire_endpoint(77, 40287);
  update.udp_encapsulated = 1;
  EXPECT_TRUE(link->update(1001, theirs(), update));
  EXPECT_TRUE(gateway->wait([](SaDatabase& sas, SaChannel&) {
    const auto& sa = sas.table().outbound[kContoso];
    return sa != nullptr && sa->spec.destination.port == 40287;
  }));
  EXPECT_FALSE(link->usage(1001, theirs()).has_value());
  EXPECT_TRUE(link->usage(1001, wire_endpoint(77)).has_value());
  EXPECT_FALSE(link->update(1001, theirs(), update));
}

TEST_F(GatewayLinkTest, AnotherUsersSocketGetsNothing) {
  gateway = std::make_unique<Gateway>(path());
  link = std::make_unique<GatewayLink>(
      GatewayLink::Options{path(), geteuid() + 1, milliseconds(300), milliseconds(10), 1000},
      calls);
  // Its twin connects.
  auto twin = std::make_unique<GatewayLink>(
      GatewayLink::Options{path(), geteuid(), milliseconds(300), milliseconds(10), 1000}, calls);
  ASSERT_TRUE(wait([&] { return twin->connected(); }));
  EXPECT_FALSE(link->connected());
}

}  // namespace
}  // namespace hnv
