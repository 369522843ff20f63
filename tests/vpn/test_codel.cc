// SPDX-License-Identifier: Apache-2.0
//
// CoDel against a model that owns its queue and reads as RFC 8289 §5 does, packet for packet.
#include <cmath>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/random.h"
#include "vpn/codel.h"

namespace hnv {
namespace {

constexpr uint64_t kMilli = 1'000'000;

struct Waiting {
  unsigned number;
  uint64_t since;  // nanoseconds
  uint32_t bytes;
};

// What left a queue, in order; true: as a packet, false: dropped.
using Left = std::vector<std::pair<unsigned, bool>>;

class Model {
 public:
  void enqueue(const Waiting& packet) {
    queue_.push_back(packet);
    bytes_ += packet.bytes;
  }
  bool dequeue(uint64_t now, Left& left) {
    auto [packet, ok_to_drop] = take(now);
    if (dropping_) {
      if (!ok_to_drop) dropping_ = false;
      while (dropping_ && now >= next_) {
        left.emplace_back(packet->number, false);
        ++count_;
        std::tie(packet, ok_to_drop) = take(now);
        if (ok_to_drop) {
          next_ = law(next_);
        } else {
          dropping_ = false;
        }
      }
    } else if (ok_to_drop) {
      left.emplace_back(packet->number, false);
      std::tie(packet, ok_to_drop) = take(now);
      dropping_ = true;
      const unsigned before = count_ - last_count_;
      count_ = before > 1 && now - next_ < 1'600 * kMilli ? before : 1;
      next_ = law(now);
      last_count_ = count_;
    }
    if (!packet) return false;
    left.emplace_back(packet->number, true);
    return true;
  }

 private:
  std::pair<std::optional<Waiting>, bool> take(uint64_t now) {
    if (queue_.empty()) {
      above_ = 0;
      return {std::nullopt, false};
    }
    const Waiting packet = queue_.front();
    queue_.pop_front();
    bytes_ -= packet.bytes;
    if (now - packet.since < 5 * kMilli || bytes_ <= 1'500) {
      above_ = 0;
      return {packet, false};
    }
    if (above_ == 0) {
      above_ = now + 100 * kMilli;
      return {packet, false};
    }
    return {packet, now >= above_};
  }
  [[nodiscard]] uint64_t law(uint64_t than) const {
    return than + static_cast<uint64_t>(100e6 / std::sqrt(static_cast<double>(count_)));
  }

  std::deque<Waiting> queue_;
  uint32_t bytes_ = 0;
  uint64_t above_ = 0, next_ = 0;
  unsigned count_ = 0, last_count_ = 0;
  bool dropping_ = false;
};

// The same around Codel.
class Queue {
 public:
  void enqueue(const Waiting& packet) {
    queue_.push_back(packet);
    bytes_ += packet.bytes;
  }
  bool dequeue(uint64_t now, Left& left) {
    while (!queue_.empty()) {
      const Waiting packet = queue_.front();
      queue_.pop_front();
      bytes_ -= packet.bytes;
      const Duration waited(static_cast<int64_t>(now - packet.since));
      const bool goes = codel_.drops(waited, bytes_, Instant{now});
      left.emplace_back(packet.number, !goes);
      if (!goes) return true;
    }
    codel_.emptied();
    return false;
  }

 private:
  std::deque<Waiting> queue_;
  uint32_t bytes_ = 0;
  Codel codel_;
};

size_t dropped(const Left& left) {
  size_t count = 0;
  for (const auto& [number, passed] : left) count += passed ? 0 : 1;
  return count;
}

TEST(Codel, IsTheRfcsWhateverTheLoad) {
  for (const uint64_t seed : {1U, 2U, 3U, 4U}) {
    Random random(seed);
    Model model;
    Queue queue;
    Left expected, seen;
    uint64_t now = 1'000'000 * kMilli;
    unsigned number = 0;
    double load = 1;
    for (unsigned turn = 0; turn < 60'000; ++turn) {
      // A packet a millisecond leaves; loads from idle to three times that, each for half a second.
      now += kMilli / 2 + random.below(kMilli);
      if (turn % 500 == 0) load = random.below(4) == 0 ? 0.2 : 0.9 + random.below(200) / 100.0;
      for (double more = load; random.below(1000) < more * 1000; more -= 1) {
        const Waiting packet{number++, now - random.below(kMilli / 2), 64 + random.below(1437)};
        model.enqueue(packet);
        queue.enqueue(packet);
      }
      EXPECT_EQ(queue.dequeue(now, seen), model.dequeue(now, expected));
    }
    ASSERT_EQ(seen, expected) << "seed " << seed;
    EXPECT_GT(dropped(seen), 100U) << "or nothing was compared";
    EXPECT_LT(dropped(seen), seen.size() / 2);
  }
}

// 1,000 bytes each, `waited` long, one every millisecond from `begin` on; how many are dropped.
unsigned drops_of(Codel& codel, uint64_t begin, unsigned packets, Duration waited,
                  uint32_t behind = 10'000) {
  unsigned count = 0;
  for (unsigned i = 0; i < packets; ++i) {
    const Instant now{begin + i * kMilli};
    while (codel.drops(waited, behind, now)) ++count;
  }
  return count;
}

TEST(Codel, LeavesABurstAndWhatIsHardlyAQueueAlone) {
  Codel codel;
  EXPECT_EQ(drops_of(codel, 1'000 * kMilli, 99, std::chrono::milliseconds(80)), 0U);
  EXPECT_EQ(drops_of(codel, 1'099 * kMilli, 1, std::chrono::milliseconds(4)), 0U);
  EXPECT_EQ(drops_of(codel, 1'100 * kMilli, 99, std::chrono::milliseconds(80)), 0U)
      << "the interval begins anew";
  Codel slow;
  EXPECT_EQ(drops_of(slow, 1'000 * kMilli, 5'000, std::chrono::milliseconds(300), 1'500), 0U)
      << "one packet behind is no queue";
}

TEST(Codel, DropsEverFasterUntilTheDelayIsGone) {
  Codel codel;
  const auto bad = std::chrono::milliseconds(50);
  const unsigned first = drops_of(codel, 1'000 * kMilli, 1'000, bad);
  const unsigned second = drops_of(codel, 2'000 * kMilli, 1'000, bad);
  const unsigned third = drops_of(codel, 3'000 * kMilli, 1'000, bad);
  EXPECT_GT(first, 10U);
  EXPECT_GT(second, first);
  EXPECT_GT(third, second);
  EXPECT_EQ(drops_of(codel, 4'000 * kMilli, 100, std::chrono::milliseconds(1)), 0U);
}

TEST(Codel, AMarkCountsAsADropAndLosesNothing) {
  Codel marking, dropping;
  unsigned marks = 0, drops = 0;
  for (unsigned i = 0; i < 3'000; ++i) {
    const Instant now{(1'000 + i) * kMilli};
    if (marking.drops(std::chrono::milliseconds(50), 10'000, now)) {
      marking.marked();
      ++marks;
    }
    while (dropping.drops(std::chrono::milliseconds(50), 10'000, now)) ++drops;
  }
  EXPECT_GT(marks, 50U);
  // At most one in a millisecond, as often as packets leave; the law is the same.
  EXPECT_NEAR(marks, drops, drops / 20.0);
}

}  // namespace
}  // namespace hnv
