// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "bgp/vty_reader.h"
#include "tests/bgp/fake_bgpd.h"

namespace hnv {
namespace {

VtyReader::Clock::time_point soon() { return VtyReader::Clock::now() + std::chrono::minutes(1); }

TEST(VtyReader, ReadsALongAnswerInPieces) {
  const std::string text(1'000'000, 'x');
  FakeBgpd bgpd({{"show table", {text, 1}}, {"show more", {"", 0}}});
  {
    VtyReader reader(bgpd.connection(), soon());
    size_t seen = 0;
    size_t longest = 0;
    const auto code = reader.read("show table", [&](std::string_view piece) {
      seen += piece.size();
      longest = std::max(longest, piece.size());
      return true;
    });
    ASSERT_TRUE(code.has_value());
    EXPECT_EQ(*code, 1);
    EXPECT_EQ(seen, text.size());
    EXPECT_LE(longest, 65'536U);
    EXPECT_EQ(reader.read("show more", [](std::string_view) { return true; }), uint8_t{0});
  }
  EXPECT_EQ(bgpd.asked(), (std::vector<std::string>{"show table", "show more"}));
}

TEST(VtyReader, LetsGoWhenThereIsEnough) {
  FakeBgpd bgpd({{"show table", {std::string(8'000'000, 'x'), 0}}});
  {
    VtyReader reader(bgpd.connection(), soon());
    size_t pieces = 0;
    EXPECT_TRUE(reader.read("show table", [&](std::string_view) { return ++pieces < 3; }));
    EXPECT_EQ(pieces, 3U);
  }
  EXPECT_EQ(bgpd.asked().size(), 1U);  // it ended, though much was left to say
}

TEST(VtyReader, KeepsManyQuestionsUnderWayAndInOrder) {
  std::map<std::string, FakeBgpd::Answer> answers;
  std::vector<std::string> commands;
  for (int i = 0; i < 500; ++i) {
    commands.push_back("show " + std::to_string(i));
    answers[commands.back()] = {std::string(static_cast<size_t>(i), 'a'), 0};
  }
  FakeBgpd bgpd(answers);
  {
    VtyReader reader(bgpd.connection(), soon());
    size_t next = 0;
    ASSERT_TRUE(reader.ask(commands, [&](size_t i, const VtyAnswer& answer) {
      EXPECT_EQ(i, next++);
      EXPECT_EQ(answer.text.size(), i);
    }));
    EXPECT_EQ(next, 500U);
  }
  EXPECT_EQ(bgpd.asked(), commands);
}

TEST(VtyReader, SaysWhenBgpdIsGoneOrSilent) {
  std::array<int, 2> ends{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  OwnedFd other(ends[1]);
  VtyReader late(OwnedFd(ends[0]), VtyReader::Clock::now());
  const auto slow = late.read("show table", [](std::string_view) { return true; });
  ASSERT_FALSE(slow.has_value());
  EXPECT_EQ(slow.error().code, ErrorCode::unavailable);
  EXPECT_NE(slow.error().message.find("did not answer in time"), std::string::npos);

  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  VtyReader alone(OwnedFd(ends[0]), soon());
  other = OwnedFd(ends[1]);
  other = OwnedFd();
  const auto gone = alone.read("show table", [](std::string_view) { return true; });
  ASSERT_FALSE(gone.has_value());
  EXPECT_EQ(gone.error().code, ErrorCode::unavailable);
}

}  // namespace
}  // namespace hnv
