// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/manual_clock.h"
#include "vpn/vici_client.h"

namespace hnv {
namespace {

using std::chrono::seconds;

// charon's end of one connection, by hand.
class Charon {
 public:
  explicit Charon(int fd) : connection_(OwnedFd(fd)) {}
  std::vector<ViciPacket> read() {
    auto packets = connection_->step(100);
    return packets ? std::move(*packets) : std::vector<ViciPacket>{};
  }
  void write(const ViciPacket& packet) {
    auto bytes = encode(packet);
    ASSERT_TRUE(bytes);
    ASSERT_TRUE(connection_->send(std::move(*bytes)));
  }
  void end() { connection_.reset(); }

 private:
  std::optional<ViciConnection> connection_;
};

struct ViciClientTest : testing::Test {
  ViciClientTest()
      : client(
            {"ike-updown", "child-rekey"},
            [this](const std::string& event, const ViciSection&) { seen.push_back(event); },
            [this](const Error& why) { lost.push_back(why.message); }) {
    reconnect();
  }
  static int pair(std::optional<Charon>& far) {
    std::array<int, 2> fds{};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()), 0);
    far.emplace(fds[1]);
    return fds[0];
  }
  void reconnect() {
    OwnedFd near_commands(pair(commands));
    OwnedFd near_events(pair(events));
    client.attach(std::move(near_commands), std::move(near_events));
  }
  ViciClient::Command command(const std::string& name, const std::string& stream = {}) {
    return {name, ViciSection().add("child", "x"), stream, seconds(10),
            [this, name](const Result<ViciClient::Answer>& answer) {
              if (answer) {
                done.push_back(name + " " + to_string(answer->response) + " " +
                               std::to_string(answer->stream.size()));
              } else {
                done.push_back(name + " failed: " + answer.error().message);
              }
            }};
  }
  void step() { client.step(clock.now()); }

  ManualClock clock;
  std::optional<Charon> commands;
  std::optional<Charon> events;
  std::vector<std::string> seen;
  std::vector<std::string> lost;
  std::vector<std::string> done;
  ViciClient client;
};

TEST_F(ViciClientTest, SendsOneCommandAtATime) {
  client.request(command("load-conn"));
  client.request(command("initiate"));
  step();
  auto packets = commands->read();
  ASSERT_EQ(packets.size(), 1U);
  EXPECT_EQ(packets[0].name, "load-conn");
  EXPECT_EQ(*packets[0].message.value("child"), "x");
  commands->write({ViciType::command_response, "", ViciSection().add("success", "yes")});
  step();
  packets = commands->read();
  ASSERT_EQ(packets.size(), 1U);
  EXPECT_EQ(packets[0].name, "initiate");
  EXPECT_EQ(client.waiting(), 1U);
  EXPECT_EQ(done, std::vector<std::string>{"load-conn {success=yes} 0"});
}

TEST_F(ViciClientTest, CollectsAStream) {
  client.request(command("list-sas", "list-sa"));
  step();
  auto packets = commands->read();
  ASSERT_EQ(packets.size(), 1U);
  EXPECT_EQ(packets[0].type, ViciType::event_register);
  commands->write({ViciType::event_confirm, "", {}});
  step();
  packets = commands->read();
  ASSERT_EQ(packets.size(), 1U);
  EXPECT_EQ(packets[0].type, ViciType::command_request);
  for (int i = 0; i < 3; ++i) commands->write({ViciType::event, "list-sa", {}});
  commands->write({ViciType::command_response, "", {}});
  step();
  packets = commands->read();
  ASSERT_EQ(packets.size(), 1U);
  EXPECT_EQ(packets[0].type, ViciType::event_unregister);
  EXPECT_TRUE(done.empty());
  commands->write({ViciType::event_confirm, "", {}});
  step();
  EXPECT_EQ(done, std::vector<std::string>{"list-sas {} 3"});
}

TEST_F(ViciClientTest, SaysWhatCharonDoesNotKnow) {
  client.request(command("no-such"));
  client.request(command("list-sas", "no-event"));
  step();
  commands->write({ViciType::command_unknown, "", {}});
  step();
  commands->write({ViciType::event_unknown, "", {}});
  step();
  EXPECT_EQ(done,
            (std::vector<std::string>{"no-such failed: charon does not know the command no-such",
                                      "list-sas failed: charon does not know the event no-event"}));
  EXPECT_TRUE(client.attached());
}

TEST_F(ViciClientTest, HearsEventsOnTheSecondConnection) {
  step();
  const auto packets = events->read();
  ASSERT_EQ(packets.size(), 2U);
  EXPECT_EQ(packets[0].name, "ike-updown");
  EXPECT_EQ(packets[1].name, "child-rekey");
  events->write({ViciType::event_confirm, "", {}});
  events->write({ViciType::event_confirm, "", {}});
  events->write({ViciType::event, "child-rekey", {}});
  step();
  EXPECT_EQ(seen, std::vector<std::string>{"child-rekey"});
}

TEST_F(ViciClientTest, ATimeoutEndsTheConnectionsAndAnswersAll) {
  client.request(command("initiate"));
  client.request(command("terminate"));
  step();
  clock.advance(seconds(9));
  step();
  EXPECT_TRUE(client.attached());
  clock.advance(seconds(1));
  step();
  EXPECT_FALSE(client.attached());
  ASSERT_EQ(done.size(), 2U);
  EXPECT_EQ(done[0], "initiate failed: charon did not answer initiate in time");
  EXPECT_EQ(lost.size(), 1U);
  client.request(command("version"));
  EXPECT_EQ(done.back(), "version failed: charon is not connected");
}

TEST_F(ViciClientTest, CharonsEndIsSeenOnceAndANewOneIsUsed) {
  client.request(command("initiate"));
  step();
  commands->end();
  step();
  step();
  EXPECT_EQ(lost, std::vector<std::string>{"charon ended the connection"});
  EXPECT_EQ(done.size(), 1U);
  reconnect();
  client.request(command("version"));
  step();
  ASSERT_EQ(commands->read().size(), 1U);
  commands->write({ViciType::command_response, "", ViciSection().add("version", "5.9.8")});
  step();
  EXPECT_EQ(done.back(), "version {version=5.9.8} 0");
}

TEST_F(ViciClientTest, AnAnswerThatNobodyAskedForEndsTheConnections) {
  step();
  commands->write({ViciType::command_response, "", {}});
  step();
  EXPECT_FALSE(client.attached());
  EXPECT_EQ(lost, std::vector<std::string>{"charon answers what nobody asked"});
}

TEST_F(ViciClientTest, WhatCannotBeEncodedIsRefusedAtOnce) {
  auto large = command("load-cert");
  large.message.add("data", std::string(65536, 'x'));
  client.request(std::move(large));
  ASSERT_EQ(done.size(), 1U);
  EXPECT_TRUE(client.attached());
  EXPECT_EQ(client.waiting(), 0U);
}

TEST_F(ViciClientTest, ALargeCommandIsWrittenInPieces) {
  auto large = command("load-conn");
  for (int i = 0; i < 7; ++i) large.message.add("k", std::string(65000, 'v'));
  client.request(std::move(large));
  std::vector<ViciPacket> packets;
  for (int i = 0; i < 1000 && packets.empty(); ++i) {
    step();
    packets = commands->read();
  }
  ASSERT_EQ(packets.size(), 1U);
  EXPECT_EQ(packets[0].message.items.size(), 8U);
}

TEST_F(ViciClientTest, ACallbackMayAskAgain) {
  auto first = command("version");
  first.done = [this](const Result<ViciClient::Answer>&) { client.request(command("stats")); };
  client.request(std::move(first));
  step();
  (void)commands->read();
  commands->write({ViciType::command_response, "", {}});
  step();
  const auto packets = commands->read();
  ASSERT_EQ(packets.size(), 1U);
  EXPECT_EQ(packets[0].name, "stats");
}

TEST(ConnectVici, NamesThePath) {
  const auto fd = connect_vici("/nonexistent/charon.vici");
  ASSERT_FALSE(fd);
  EXPECT_NE(fd.error().message.find("/nonexistent/charon.vici"), std::string::npos);
  EXPECT_FALSE(connect_vici(std::string(200, 'x')));
}

}  // namespace
}  // namespace hnv
