// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "bgp/vty_client.h"
#include "tests/support/manual_clock.h"

namespace hnv {
namespace {

using std::chrono::seconds;

// bgpd's ends of both connections, by hand.
struct VtyClientTest : testing::Test {
  VtyClientTest() {
    std::array<int, 2> first{};
    std::array<int, 2> second{};
    const int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    EXPECT_EQ(socketpair(AF_UNIX, type, 0, first.data()), 0);
    EXPECT_EQ(socketpair(AF_UNIX, type, 0, second.data()), 0);
    commands = OwnedFd(first[1]);
    reads = OwnedFd(second[1]);
    client.attach(OwnedFd(first[0]), OwnedFd(second[0]));
    step();
    EXPECT_EQ(heard(commands), std::vector<std::string>{"enable"});
    EXPECT_EQ(heard(reads), std::vector<std::string>{"enable"});
    answer(commands, 0);
    answer(reads, 0);
    step();
  }
  void step() { client.step(clock.now()); }
  static std::vector<std::string> heard(const OwnedFd& at) {
    std::array<char, 65'536> room{};
    const ssize_t n = recv(at.get(), room.data(), room.size(), 0);
    std::vector<std::string> out;
    for (const char* from = room.data(); from < room.data() + n; from += out.back().size() + 1) {
      out.emplace_back(from);
    }
    return out;
  }
  static void answer(const OwnedFd& at, char code, std::string text = {}) {
    text.append(3, '\0').push_back(code);
    ASSERT_EQ(send(at.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }
  // Does everything that the client says, and gives that; what begins with `bad` is refused.
  std::vector<std::string> obey() {
    std::vector<std::string> all;
    for (int i = 0; i < 1'000; ++i) {
      step();
      const auto lines = heard(commands);
      if (lines.empty() && i > 2) break;
      for (const std::string& line : lines) {
        all.push_back(line);
        const bool bad = line.starts_with("bad");
        answer(commands, bad ? 2 : 0, bad ? "% Unknown command\n" : "");
      }
    }
    return all;
  }
  void apply(BgpdBatch batch) {
    client.apply(std::move(batch), [this](Result<std::vector<VtyFault>> result) {
      results.push_back(std::move(result));
    });
  }

  ManualClock clock;
  OwnedFd commands;
  OwnedFd reads;
  std::vector<std::string> losses;
  std::vector<Result<std::vector<VtyFault>>> results;
  VtyClient client{[this](const Error& why) { losses.push_back(why.message); }};
};

TEST(VtyStream, CutsWhateverThePieces) {
  std::string all("first\nline\0\0\0\0", 14);
  all += std::string("\0\0\0\2", 4);       // no text, code 2
  all += std::string("text\0\0\0\15", 8);  // code 13
  for (size_t piece = 1; piece <= all.size(); ++piece) {
    VtyStream stream;
    std::vector<VtyAnswer> out;
    for (size_t at = 0; at < all.size(); at += piece) {
      const std::string part = all.substr(at, piece);
      stream.feed({reinterpret_cast<const uint8_t*>(part.data()), part.size()});
      while (auto answer = stream.next()) out.push_back(*answer);
    }
    ASSERT_EQ(out.size(), 3U) << piece;
    EXPECT_EQ(out[0].text, "first\nline");
    EXPECT_EQ(out[0].code, 0);
    EXPECT_EQ(out[1].text, "");
    EXPECT_EQ(out[1].code, 2);
    EXPECT_EQ(out[2].code, 13);
    EXPECT_EQ(stream.waiting(), 0U);
  }
}

TEST_F(VtyClientTest, EntersEveryPlaceFromTheTop) {
  apply({{{}, {{"one"}}}, {{"router bgp 1", "address-family ipv4"}, {{"two"}, {"three"}}}});
  EXPECT_EQ(obey(), (std::vector<std::string>{"end", "configure terminal", "one", "end",
                                              "configure terminal", "router bgp 1",
                                              "address-family ipv4", "two", "three"}));
  ASSERT_EQ(results.size(), 1U);
  ASSERT_TRUE(results[0].has_value());
  EXPECT_TRUE(results[0]->empty());
}

TEST_F(VtyClientTest, WaitsForWhatLeadsToAPlace) {
  apply({{{"router bgp 1"}, {{"inside"}}}});
  step();
  step();
  EXPECT_EQ(heard(commands),
            (std::vector<std::string>{"end", "configure terminal", "router bgp 1"}));
  answer(commands, 0);
  answer(commands, 0);
  step();
  EXPECT_TRUE(heard(commands).empty());
  answer(commands, 0);
  step();
  step();
  EXPECT_EQ(heard(commands), std::vector<std::string>{"inside"});
}

TEST_F(VtyClientTest, LinesOfAPlaceThatWasNotReachedAreNotSaid) {
  apply({{{"bad place", "deeper"}, {{"inside"}}}, {{}, {{"after"}}}});
  EXPECT_EQ(obey(), (std::vector<std::string>{"end", "configure terminal", "bad place", "deeper",
                                              "end", "configure terminal", "after"}));
  ASSERT_EQ(results.size(), 1U);
  ASSERT_EQ(results[0]->size(), 1U);
  EXPECT_EQ(results[0]->at(0).line, "bad place");
}

TEST_F(VtyClientTest, TellsWhichLinesWereRefusedAndGoesOn) {
  apply({{{}, {{"bad one"}, {"good"}, {"bad two"}}}});
  apply({{{}, {{"next"}}}});
  EXPECT_EQ(obey().back(), "next");
  ASSERT_EQ(results.size(), 2U);
  ASSERT_EQ(results[0]->size(), 2U);
  EXPECT_EQ(results[0]->at(1).line, "bad two");
  EXPECT_EQ(results[0]->at(1).answer.code, 2);
  EXPECT_EQ(results[0]->at(1).answer.text, "% Unknown command\n");
  EXPECT_TRUE(results[1]->empty());
}

TEST_F(VtyClientTest, KeepsAWindowOfLinesUnderWay) {
  BgpdBatch batch{{{}, {}}};
  for (int i = 0; i < 200; ++i) batch[0].lines.push_back({"line " + std::to_string(i)});
  apply(std::move(batch));
  step();
  step();
  ASSERT_EQ(heard(commands).size(), 2U);
  answer(commands, 0);
  answer(commands, 0);
  step();
  step();
  EXPECT_EQ(heard(commands).size(), VtyClient::kWindow);
  answer(commands, 0);
  step();
  step();
  EXPECT_EQ(heard(commands).size(), 1U);
}

TEST_F(VtyClientTest, ASecretFollowsItsLineAndStandsInNoFault) {
  apply({{{}, {{"bad neighbor password ", SharedSecret(SecretBytes::of("swordfish"))}}}});
  EXPECT_EQ(obey().back(), "bad neighbor password swordfish");
  ASSERT_EQ(results.at(0)->size(), 1U);
  EXPECT_EQ(results[0]->at(0).line, "bad neighbor password ");
}

TEST_F(VtyClientTest, ALineThatIsTooLongIsAFaultOfItsOwn) {
  apply({{{}, {{std::string(4'090, 'x')}, {"good"}}}});
  const auto all = obey();
  EXPECT_EQ(all.back(), "good");
  for (const std::string& line : all) EXPECT_LE(line.size(), VtyClient::kLongestLine);
}

TEST_F(VtyClientTest, ReadsBesideAnythingElse) {
  std::vector<std::string> read;
  const auto done = [&](const Result<VtyAnswer>& answer) {
    read.push_back(answer ? answer->text : answer.error().message);
  };
  client.read("show one", done);
  client.read("show two", done);
  apply({{{}, {{"slow"}}}});
  step();
  EXPECT_EQ(heard(reads), std::vector<std::string>{"show one"}) << "one after the other";
  answer(reads, 0, std::string(100'000, 'x'));
  step();
  step();
  EXPECT_EQ(heard(reads), std::vector<std::string>{"show two"});
  answer(reads, 0, "{}");
  step();
  ASSERT_EQ(read.size(), 2U);
  EXPECT_EQ(read[0].size(), 100'000U);
  EXPECT_EQ(read[1], "{}");
  EXPECT_TRUE(results.empty());
}

TEST_F(VtyClientTest, ALostConnectionAnswersWhatWaits) {
  std::optional<std::string> read;
  client.read("show", [&](const Result<VtyAnswer>& answer) {
    read = answer ? "?" : answer.error().message;
  });
  apply({{{}, {{"one"}}}});
  commands = OwnedFd();
  step();
  EXPECT_EQ(losses, std::vector<std::string>{"bgpd ended the vty connection"});
  ASSERT_EQ(results.size(), 1U);
  EXPECT_FALSE(results[0].has_value());
  EXPECT_EQ(read, "bgpd ended the vty connection");
  apply({});
  EXPECT_EQ(results.size(), 2U) << "at once";
}

TEST_F(VtyClientTest, ASilentBgpdIsLost) {
  apply({{{}, {{"one"}}}});
  step();
  clock.advance(seconds(59));
  step();
  EXPECT_TRUE(losses.empty());
  clock.advance(seconds(2));
  step();
  EXPECT_EQ(losses, std::vector<std::string>{"bgpd does not answer"});
}

TEST_F(VtyClientTest, AnAnswerThatNobodyAskedForEndsIt) {
  answer(commands, 0);
  step();
  EXPECT_EQ(losses, std::vector<std::string>{"bgpd answers what nobody asked"});
}

}  // namespace
}  // namespace hnv
