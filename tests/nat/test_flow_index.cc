// SPDX-License-Identifier: Apache-2.0
//
// FlowIndex beside std::unordered_multimap: whatever is inserted and erased, both find the same.
#include <unordered_map>
#include <vector>

#include <gtest/gtest.h>

#include "compartments/secret_hash.h"
#include "nat/flow_index.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

// Entries with the hashes that a key gives them; `kinds` keys only, so that many have the same.
class Pair {
 public:
  Pair(uint32_t capacity, uint64_t kinds) : index_(capacity), kinds_(kinds), hashes_(capacity) {
    for (uint32_t i = capacity; i > 0; --i) free_.push_back(i - 1);
  }

  void insert(uint64_t key) {
    const uint32_t entry = free_.back();
    free_.pop_back();
    hashes_[entry] = secret_hash(key % kinds_, 1, 99);
    index_.insert(hashes_[entry], entry);
    model_.emplace(hashes_[entry], entry);
    entries_.push_back(entry);
  }
  void erase(size_t which) {
    const uint32_t entry = entries_[which];
    entries_[which] = entries_.back();
    entries_.pop_back();
    index_.erase(hashes_[entry], entry);
    const auto [begin, end] = model_.equal_range(hashes_[entry]);
    for (auto at = begin; at != end; ++at) {
      if (at->second != entry) continue;
      model_.erase(at);
      break;
    }
    free_.push_back(entry);
  }
  [[nodiscard]] size_t size() const { return entries_.size(); }
  [[nodiscard]] bool full() const { return free_.empty(); }

  // Every entry is found, and every one of its hash is looked at exactly once.
  void check() const {
    ASSERT_EQ(index_.size(), model_.size());
    for (const uint32_t entry : entries_) {
      ASSERT_EQ(index_.find(hashes_[entry], [&](uint32_t e) { return e == entry; }), entry);
    }
    for (uint64_t key = 0; key < std::min<uint64_t>(kinds_, 2000); ++key) {
      const uint64_t hash = secret_hash(key, 1, 99);
      size_t seen = 0;
      const uint32_t found = index_.find(hash, [&](uint32_t e) {
        seen += hashes_[e] == hash ? 1 : 0;
        return false;
      });
      ASSERT_EQ(found, FlowIndex::kNone);
      ASSERT_EQ(seen, model_.count(hash));
    }
  }

 private:
  FlowIndex index_;
  uint64_t kinds_;
  std::vector<uint64_t> hashes_;
  std::vector<uint32_t> free_, entries_;
  std::unordered_multimap<uint64_t, uint32_t> model_;
};

TEST(FlowIndex, GrowsToItsCapacityAndEmptiesAgain) {
  constexpr uint32_t kCapacity = 200'000;
  Pair pair(kCapacity, UINT64_MAX);
  Random random(1);
  while (!pair.full()) pair.insert(random());
  pair.check();
  while (pair.size() > 0) pair.erase(random() % pair.size());
  pair.check();
  while (!pair.full()) pair.insert(random());
  pair.check();
}

TEST(FlowIndex, FindsTheSameAsAMultimap) {
  Random random(2);
  Pair pair(20'000, 15'000);
  for (int round = 0; round < 20; ++round) {
    const bool growing = round % 4 < 2;
    for (int i = 0; i < 20'000; ++i) {
      const bool insert = random() % 8 < (growing ? 6U : 2U);
      if (insert && !pair.full()) pair.insert(random());
      if (!insert && pair.size() > 0) pair.erase(random() % pair.size());
    }
    pair.check();
  }
}

// A few keys with very many entries each: chains of overflow buckets.
TEST(FlowIndex, HoldsManyOfOneHash) {
  Random random(3);
  Pair pair(600, 3);
  for (int i = 0; i < 20'000; ++i) {
    if (!pair.full() && (pair.size() == 0 || random() % 3 != 0)) {
      pair.insert(random());
    } else {
      pair.erase(random() % pair.size());
    }
  }
  pair.check();
}

// Full, for hundreds of lifetimes of what is in it: every bucket has overflown by then.
TEST(FlowIndex, LastsWhenItIsFull) {
  constexpr uint32_t kCapacity = 6000;
  Pair pair(kCapacity, UINT64_MAX);
  Random random(4);
  while (!pair.full()) pair.insert(random());
  for (uint32_t i = 0; i < 300 * kCapacity; ++i) {
    pair.erase(random() % pair.size());
    pair.insert(random());
  }
  pair.check();
}

}  // namespace
}  // namespace hnv
