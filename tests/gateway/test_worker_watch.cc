// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "gateway/worker_watch.h"
#include "tests/support/manual_clock.h"

namespace hnv {
namespace {

using News = WorkerWatch::News;
using std::chrono::milliseconds;

}  // namespace

TEST(WorkerWatch, SaysNothingOfAWorkerThatBreathes) {
  ManualClock clock;
  WorkerWatch watch;
  for (uint64_t breaths = 0; breaths < 100; ++breaths) {
    EXPECT_EQ(watch.look(breaths, clock.now()), News::none);
    clock.advance(milliseconds(100));
  }
}

TEST(WorkerWatch, SaysOnceThatItIsStuckAndOnceThatItIsNot) {
  ManualClock clock;
  WorkerWatch watch;
  EXPECT_EQ(watch.look(7, clock.now()), News::none);
  for (int i = 1; i <= 12; ++i) {
    clock.advance(milliseconds(100));
    EXPECT_EQ(watch.look(7, clock.now()), i == 5 ? News::stuck : News::none) << i;
    EXPECT_EQ(watch.stuck(), i >= 5);
  }
  clock.advance(milliseconds(100));
  EXPECT_EQ(watch.look(8, clock.now()), News::recovered);
  EXPECT_FALSE(watch.stuck());
  EXPECT_EQ(watch.missed(), milliseconds(1200));
  clock.advance(milliseconds(100));
  EXPECT_EQ(watch.look(9, clock.now()), News::none);
}

TEST(WorkerWatch, BeginsAnewWithEveryBreath) {
  ManualClock clock;
  WorkerWatch watch;
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(watch.look(static_cast<uint64_t>(i / 4), clock.now()), News::none);
    clock.advance(milliseconds(100));
  }
}

// The process was stopped, or the machine asleep: the worker is not to blame for that.
TEST(WorkerWatch, CountsOnlyTheTimeThatItWatched) {
  ManualClock clock;
  WorkerWatch watch;
  EXPECT_EQ(watch.look(1, clock.now()), News::none);
  clock.advance(std::chrono::seconds(3600));
  EXPECT_EQ(watch.look(1, clock.now()), News::none);
  clock.advance(milliseconds(100));
  EXPECT_EQ(watch.look(2, clock.now()), News::none);
}

}  // namespace hnv
