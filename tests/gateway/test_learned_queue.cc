// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "gateway/learned_queue.h"

namespace hnv {
namespace {

using Customer = Prefix<Space::customer>;

Customer prefix(const std::string& text) { return Customer::parse(text).value(); }

LearnedRoute route(const std::string& text, uint32_t metric, bool withdrawn = false) {
  return {.prefix = prefix(text), .withdrawn = withdrawn, .metric = metric};
}

bool ordered_and_single(const std::vector<LearnedRoute>& routes) {
  return std::adjacent_find(routes.begin(), routes.end(), [](const auto& a, const auto& b) {
           return !(a.prefix < b.prefix);
         }) == routes.end();
}

TEST(LearnedQueue, GivesTheLastWordOnAPrefix) {
  LearnedQueue queue;
  queue.push(route("10.1.0.0/16", 1));
  queue.push(route("10.0.0.0/16", 2));
  queue.push(route("10.1.0.0/16", 3));
  queue.push(route("10.1.0.0/24", 4, true));
  EXPECT_EQ(queue.size(), 4U);
  const auto taken = queue.take(8);
  ASSERT_EQ(taken.size(), 3U);
  EXPECT_EQ(taken[0].metric, 2U);
  EXPECT_EQ(taken[1].prefix, prefix("10.1.0.0/16"));
  EXPECT_EQ(taken[1].metric, 3U);
  EXPECT_TRUE(taken[2].withdrawn);
  EXPECT_TRUE(queue.empty());
}

TEST(LearnedQueue, LaterWordsLeaveLater) {
  LearnedQueue queue;
  for (uint32_t i = 0; i < 10; ++i) queue.push(route("10.1.0.0/16", i));
  for (const uint32_t last : {3U, 7U, 9U}) {
    const auto taken = queue.take(4);
    ASSERT_EQ(taken.size(), 1U);
    EXPECT_EQ(taken[0].metric, last);
  }
  EXPECT_TRUE(queue.empty());
}

TEST(LearnedQueue, NoPartOfTheAddressSpaceWaitsForAnotherForGood) {
  LearnedQueue queue;
  queue.push(route("200.0.0.0/8", 1));
  queue.push(route("2001:db8::/32", 2));
  bool four = false;
  bool six = false;
  for (int turn = 0; turn < 3; ++turn) {
    for (int i = 0; i < 64; ++i) queue.push(route("10.0.0.0/8", 0));
    for (const LearnedRoute& one : queue.take(8)) {
      four = four || one.metric == 1;
      six = six || one.metric == 2;
    }
  }
  EXPECT_TRUE(four);
  EXPECT_TRUE(six);
}

// Whatever comes in whatever order, what was taken says in the end what was said.
TEST(LearnedQueue, EndsAsItWasTold) {
  std::mt19937 random(11);
  LearnedQueue queue;
  std::map<Customer, uint32_t> told;
  std::map<Customer, uint32_t> heard;
  const auto hear = [&] {
    const size_t most = 1 + random() % 300;
    const auto taken = queue.take(most);
    EXPECT_LE(taken.size(), most);
    EXPECT_TRUE(ordered_and_single(taken));
    for (const LearnedRoute& one : taken) {
      if (one.withdrawn) {
        heard.erase(one.prefix);
      } else {
        heard[one.prefix] = one.metric;
      }
    }
  };
  for (uint32_t i = 0; i < 50'000; ++i) {
    const bool six = random() % 4 == 0;
    const Customer some =
        six ? prefix("2" + std::to_string(random() % 3) + "00:" + std::to_string(random() % 90) +
                     "00::/" + std::to_string(32 + random() % 3))
            : Customer(
                  CaAddress(static_cast<uint32_t>((random() % 5) << 24U | (random() % 40) << 8U)),
                  static_cast<uint8_t>(24 + random() % 3));
    const bool withdrawn = random() % 3 == 0;
    queue.push({.prefix = some, .withdrawn = withdrawn, .metric = i});
    if (withdrawn) {
      told.erase(some);
    } else {
      told[some] = i;
    }
    if (random() % 200 == 0) hear();
  }
  while (!queue.empty()) hear();
  EXPECT_EQ(heard, told);
}

}  // namespace
}  // namespace hnv
