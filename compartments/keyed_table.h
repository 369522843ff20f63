// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace hnv {

// A read-only hash table of small entries with an integral `key` (0 is no key), in buckets of one
// cache line; at most two thirds full. Built anew when an entry comes or goes; of two entries with
// one key the first stays. Threads: read by any.
template <class Entry>
class KeyedTable {
 public:
  explicit KeyedTable(const std::vector<Entry>& entries)
      : buckets_(entries.size() * 3 / (2 * kWays) + 1) {
    for (const Entry& entry : entries) add(entry);
  }
  void prefetch(uint64_t key) const { __builtin_prefetch(&buckets_[bucket_of(key)]); }
  // REQUIRES key != 0.
  [[nodiscard]] const Entry* find(uint64_t key) const {
    assert(key != 0);
    for (size_t at = bucket_of(key);; at = behind(at)) {
      const auto& entries = buckets_[at].entries;
      // Which one cannot be foreseen: chosen by arithmetic, not by branches.
      size_t index = 0;
      for (size_t way = 1; way < kWays; ++way) index += entries[way].key == key ? way : 0;
      if (entries[index].key == key) [[likely]] {
        return &entries[index];
      }
      if (entries[kWays - 1].key == 0) return nullptr;  // not full: none went further
    }
  }

 private:
  static constexpr size_t kWays = 64 / sizeof(Entry);
  static_assert(kWays >= 2);
  struct alignas(64) Bucket {
    std::array<Entry, kWays> entries{};
  };

  void add(const Entry& entry) {
    for (size_t at = bucket_of(entry.key);; at = behind(at)) {
      for (Entry& place : buckets_[at].entries) {
        if (place.key == entry.key) return;
        if (place.key != 0) continue;
        place = entry;
        return;
      }
    }
  }
  // The top bits of the product, those that every bit of the key has a part in, scaled to the
  // buckets: as many as are needed, for what is looked up at every packet should stay in a cache.
  [[nodiscard]] size_t bucket_of(uint64_t key) const {
    return (key * 0x9e3779b97f4a7c15 >> 32) * buckets_.size() >> 32;
  }
  [[nodiscard]] size_t behind(size_t bucket) const {
    return bucket + 1 == buckets_.size() ? 0 : bucket + 1;
  }

  std::vector<Bucket> buckets_;  // fewer than 2^32
};

}  // namespace hnv
