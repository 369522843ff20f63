// SPDX-License-Identifier: Apache-2.0
//
// One writer and its readers: who reads what, when an old value dies, and (under TSan) that nobody
// looks at it any more.
#include <array>
#include <atomic>
#include <memory>
#include <thread>

#include <gtest/gtest.h>

#include "compartments/published.h"

namespace hnv {

class TestControl {
 public:
  [[nodiscard]] static ControlToken token() { return {}; }
};

namespace {

// Counts its living copies; `twice` is always twice `once`, or the value is being destroyed.
struct Value {
  explicit Value(uint64_t n, std::atomic<int>& alive) : once(n), twice(2 * n), living(alive) {
    ++living;
  }
  Value(const Value&) = delete;
  Value& operator=(const Value&) = delete;
  Value(Value&&) = delete;
  Value& operator=(Value&&) = delete;
  ~Value() {
    once = twice = 0xdead;
    --living;
  }
  uint64_t once, twice;
  std::atomic<int>& living;
};

}  // namespace

TEST(Published, ShowsTheLatestAtOnce) {
  std::atomic<int> alive = 0;
  Rcu rcu(1);
  Published<Value> published(rcu, std::make_shared<const Value>(1, alive));
  WorkerRcu worker(rcu, 0);
  EXPECT_EQ(published.read(worker.token()).once, 1U);
  published.publish(std::make_shared<const Value>(2, alive), TestControl::token());
  EXPECT_EQ(published.read(worker.token()).once, 2U);
}

TEST(Published, FreesWhatEveryWorkerHasLeftBehind) {
  std::atomic<int> alive = 0;
  Rcu rcu(2);
  Published<Value> published(rcu, std::make_shared<const Value>(1, alive));
  WorkerRcu first(rcu, 0);
  WorkerRcu second(rcu, 1);
  const Value& old = published.read(first.token());
  published.publish(std::make_shared<const Value>(2, alive), TestControl::token());
  published.sweep(TestControl::token());
  EXPECT_EQ(alive, 2);
  second.quiescent();
  published.sweep(TestControl::token());
  EXPECT_EQ(alive, 2) << "the first worker may still look at it";
  EXPECT_EQ(old.twice, 2U);
  first.quiescent();
  published.sweep(TestControl::token());
  EXPECT_EQ(alive, 1);
  EXPECT_EQ(published.waiting(), 0U);
}

TEST(Published, DoesNotWaitForAWorkerThatSleeps) {
  std::atomic<int> alive = 0;
  Rcu rcu(1);
  Published<Value> published(rcu, std::make_shared<const Value>(1, alive));
  WorkerRcu worker(rcu, 0);
  worker.offline();
  published.publish(std::make_shared<const Value>(2, alive), TestControl::token());
  published.sweep(TestControl::token());
  EXPECT_EQ(alive, 1);
  worker.online();
  EXPECT_EQ(published.read(worker.token()).once, 2U);
}

TEST(Published, FreesInTheOrderOfPublishing) {
  std::atomic<int> alive = 0;
  Rcu rcu(1);
  Published<Value> published(rcu, std::make_shared<const Value>(0, alive));
  WorkerRcu worker(rcu, 0);
  for (uint64_t n = 1; n <= 5; ++n) {
    published.publish(std::make_shared<const Value>(n, alive), TestControl::token());
  }
  EXPECT_EQ(published.waiting(), 5U);
  worker.quiescent();
  published.publish(std::make_shared<const Value>(6, alive), TestControl::token());
  published.sweep(TestControl::token());
  EXPECT_EQ(alive, 2) << "the one of before the last publish waits for the next quiescent state";
}

// A writer and two readers for a while: a reader never sees half a value, a freed one, or an older
// one than before.
TEST(Published, HoldsWhatItPromisesToThreads) {
  constexpr uint64_t kBreaths = 20'000;  // of each reader, at least
  std::atomic<int> alive = 0;
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> wrong = 0;
  std::array<std::atomic<uint64_t>, 2> breaths{};
  Rcu rcu(2);
  Published<Value> published(rcu, std::make_shared<const Value>(1, alive));
  const auto read = [&](unsigned id) {
    WorkerRcu worker(rcu, id);
    uint64_t newest = 0;
    for (uint64_t breath = 0; !stop; breaths[id] = ++breath) {
      const Value& value = published.read(worker.token());
      if (value.twice != 2 * value.once || value.once < newest) ++wrong;
      newest = value.once;
      if (breath % 64 == 63) {
        worker.offline();
        std::this_thread::yield();
        worker.online();
      } else {
        worker.quiescent();
      }
    }
  };
  std::thread first(read, 0U);
  std::thread second(read, 1U);
  for (uint64_t n = 2; breaths[0] < kBreaths || breaths[1] < kBreaths; ++n) {
    published.publish(std::make_shared<const Value>(n, alive), TestControl::token());
    published.sweep(TestControl::token());
    if (n % 64 == 0) std::this_thread::yield();  // readers may share the processor
  }
  stop = true;
  first.join();
  second.join();
  published.sweep(TestControl::token());
  EXPECT_EQ(wrong, 0U);
  EXPECT_EQ(alive, 1);
  EXPECT_EQ(published.waiting(), 0U);
}

}  // namespace hnv
