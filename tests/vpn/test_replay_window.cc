// SPDX-License-Identifier: Apache-2.0
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "vpn/replay_window.h"

namespace hnv {
namespace {

using Verdict = ReplayWindow::Verdict;

TEST(ReplayWindow, TakesEachNumberOnce) {
  ReplayWindow window(64);
  for (uint64_t n = 1; n <= 1000; ++n) {
    EXPECT_EQ(window.check(n), Verdict::fresh);
    EXPECT_TRUE(window.accept(n));
    EXPECT_EQ(window.check(n), Verdict::replayed);
    EXPECT_FALSE(window.accept(n));
  }
}

// RFC 4303 §3.3.3: the first packet has number 1.
TEST(ReplayWindow, KnowsNoNumberZero) {
  ReplayWindow window(64);
  EXPECT_EQ(window.check(0), Verdict::too_old);
  EXPECT_FALSE(window.accept(0));
}

TEST(ReplayWindow, ReachesBackExactlyItsSize) {
  for (const uint32_t size : {64U, 128U, 1024U, 4096U}) {
    ReplayWindow window(size);
    ASSERT_TRUE(window.accept(10'000));
    EXPECT_EQ(window.check(10'000 - size + 1), Verdict::fresh) << size;
    EXPECT_EQ(window.check(10'000 - size), Verdict::too_old) << size;
  }
}

TEST(ReplayWindow, RoundsItsSizeIntoBounds) {
  EXPECT_EQ(ReplayWindow(1).size(), 64U);
  EXPECT_EQ(ReplayWindow(65).size(), 128U);
  EXPECT_EQ(ReplayWindow(100'000).size(), 4096U);
  EXPECT_EQ(ReplayWindow(0).size(), 0U);
}

TEST(ReplayWindow, ChecksNothingWithoutSize) {
  ReplayWindow window(0);
  EXPECT_TRUE(window.accept(5));
  EXPECT_TRUE(window.accept(5));
}

TEST(ReplayWindow, ForgetsNothingAndKeepsNothingOverAFarJump) {
  ReplayWindow window(4096);
  for (uint64_t n = 1; n <= 4096; ++n) ASSERT_TRUE(window.accept(n));
  ASSERT_TRUE(window.accept(1'000'000));
  for (uint64_t n = 1'000'000 - 4095; n < 1'000'000; ++n) {
    ASSERT_EQ(window.check(n), Verdict::fresh) << n;
  }
}

// Against a set of all numbers ever accepted.
TEST(ReplayWindow, AgreesWithAList) {
  std::mt19937_64 random(7);
  for (const uint32_t size : {64U, 192U, 4096U}) {
    ReplayWindow window(size);
    std::set<uint64_t> seen;
    uint64_t top = 0;
    for (int i = 0; i < 100'000; ++i) {
      const uint64_t far = random() % 100 == 0 ? 20'000 : 300;
      const uint64_t back = random() % (uint64_t{2} * size);
      const uint64_t n = random() % 2 == 0 ? top + random() % far : top - std::min(top, back);
      const bool fresh = n != 0 && (n > top || top - n < size) && !seen.contains(n);
      ASSERT_EQ(window.check(n) == Verdict::fresh, fresh) << n << " of " << top;
      ASSERT_EQ(window.accept(n), fresh);
      if (fresh) seen.insert(n);
      top = std::max(top, n);
    }
  }
}

// RFC 4303 appendix A2.1: whatever lies in the window, or less than half the space ahead, is found.
TEST(ReplayWindow, ExtendsTheLowerHalf) {
  std::mt19937_64 random(9);
  for (const uint64_t top :
       {uint64_t{100}, uint64_t{0xffffffff}, uint64_t{0x100000000}, uint64_t{0x100000010},
        uint64_t{0x7ffffff00}, uint64_t{0x12345678'00000040}}) {
    ReplayWindow window(1024);
    ASSERT_TRUE(window.accept(top));
    for (int i = 0; i < 1000; ++i) {
      const uint64_t ahead = top + random() % 0x7fffffff;
      EXPECT_EQ(window.extend(static_cast<uint32_t>(ahead)), ahead) << top;
      const uint64_t behind = top - std::min(top - 1, random() % 1024);
      EXPECT_EQ(window.extend(static_cast<uint32_t>(behind)), behind) << top;
    }
  }
}

}  // namespace
}  // namespace hnv
