// SPDX-License-Identifier: Apache-2.0
//
// From a key's hash to the number of an entry that lies elsewhere: one cache line a bucket, seven
// hashes and seven numbers, so that a lookup costs the bucket's line and the entry's. The bucket
// can be fetched before it is read, the entry before it is compared (prefetch, candidate).
//
// It grows bucket by bucket (linear hashing): an insertion now and then splits one bucket in two,
// which reads nothing but that bucket. So no insertion takes long, and a table of few entries lies
// in few lines. What does not fit into a bucket goes on in overflow buckets. It never shrinks.
//
// Keys are the entries' own: whoever asks says whether an entry is meant.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstdint>
#include <immintrin.h>

#include "nat/reserved_array.h"

namespace hnv {

// Threads: its owner's.
class FlowIndex {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  // For at most `capacity` entries.
  explicit FlowIndex(uint32_t capacity)
      : buckets_(std::bit_ceil(capacity / kLoad + kFirstBuckets)),
        overflow_(capacity / kWays + kFirstBuckets) {}

  [[nodiscard]] uint32_t size() const { return size_; }

  void prefetch(uint64_t hash) const { __builtin_prefetch(&buckets_[bucket_of(hash)]); }
  // The first entry that may be the one, for fetching; kNone: there is none.
  [[nodiscard]] uint32_t candidate(uint64_t hash) const {
    const Bucket& bucket = buckets_[bucket_of(hash)];
    const uint32_t ways = matches(bucket, hash);
    return ways == 0 ? kNone : bucket.entry[first_way(ways)] - 1;
  }
  // The entry for which is_it(number) holds, or kNone.
  template <class IsIt>
  [[nodiscard]] uint32_t find(uint64_t hash, IsIt&& is_it) const {
    for (const Bucket* bucket = &buckets_[bucket_of(hash)];; bucket = behind(*bucket)) {
      for (uint32_t ways = matches(*bucket, hash); ways != 0; ways &= ways - 1) {
        const uint32_t entry = bucket->entry[first_way(ways)] - 1;
        if (is_it(entry)) return entry;
      }
      if (bucket->overflow == 0) return kNone;
    }
  }

  // REQUIRES size() < capacity, and an entry that is not there yet.
  void insert(uint64_t hash, uint32_t entry) {
    put_into(buckets_[bucket_of(hash)], static_cast<uint32_t>(hash), entry + 1);
    ++size_;
    grow();
  }
  // REQUIRES that it is there.
  void erase(uint64_t hash, uint32_t entry) {
    Bucket* before = nullptr;
    for (Bucket* bucket = &buckets_[bucket_of(hash)];; bucket = behind(*bucket)) {
      for (unsigned way = 0; way < kWays; ++way) {
        if (bucket->entry[way] != entry + 1) continue;
        bucket->entry[way] = 0;
        --size_;
        if (before != nullptr) give_back_if_empty(*before, *bucket);
        return;
      }
      assert(bucket->overflow != 0);
      before = bucket;
    }
  }

  // Makes the lines present that it needs for so many entries; from any thread.
  void populate(uint32_t entries) const {
    buckets_.populate(0, std::min<size_t>(buckets_.capacity(), entries / kLoad + kFirstBuckets));
  }

 private:
  static constexpr unsigned kWays = 7;
  static constexpr uint32_t kAllWays = (1U << kWays) - 1;
  static constexpr unsigned kLoad = 4;  // entries a bucket, on average
  static constexpr uint32_t kFirstBuckets = 64;

  struct alignas(64) Bucket {
    std::array<uint32_t, kWays> hash{};   // the lower half; its lowest bits are the bucket's number
    uint32_t overflow = 0;                // 1 + the number of the bucket behind; 0: none
    std::array<uint32_t, kWays> entry{};  // 1 + its number; 0: free
    uint32_t unused = 0;
  };
  static_assert(sizeof(Bucket) == 64);

  // REQUIRES ways != 0.
  [[nodiscard]] static size_t first_way(uint32_t ways) {
    return static_cast<size_t>(std::countr_zero(ways));
  }
  // One bit for each lane of `eight` that holds `value`.
  [[nodiscard]] static uint32_t lanes_with(const uint32_t* eight, uint32_t value) {
    const __m256i lanes = _mm256_load_si256(reinterpret_cast<const __m256i*>(eight));
    const __m256i equal = _mm256_cmpeq_epi32(lanes, _mm256_set1_epi32(static_cast<int>(value)));
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(equal)));
  }
  [[nodiscard]] static uint32_t free_ways(const Bucket& bucket) {
    return lanes_with(bucket.entry.data(), 0) & kAllWays;
  }
  [[nodiscard]] static uint32_t matches(const Bucket& bucket, uint64_t hash) {
    return lanes_with(bucket.hash.data(), static_cast<uint32_t>(hash)) & kAllWays &
           ~free_ways(bucket);
  }
  // Buckets before split_ are divided already: there one more bit of the hash counts.
  [[nodiscard]] size_t bucket_of(uint64_t hash) const {
    const size_t bucket = hash & (level_ - 1);
    return bucket < split_ ? hash & (2 * level_ - 1) : bucket;
  }
  [[nodiscard]] const Bucket* behind(const Bucket& bucket) const {
    return &overflow_[bucket.overflow - 1];
  }
  [[nodiscard]] Bucket* behind(Bucket& bucket) { return &overflow_[bucket.overflow - 1]; }

  // `entry`: as it stands in a bucket.
  void put_into(Bucket& first, uint32_t hash, uint32_t entry) {
    for (Bucket* bucket = &first;; bucket = behind(*bucket)) {
      const uint32_t free = free_ways(*bucket);
      if (free != 0) {
        const size_t way = first_way(free);
        bucket->hash[way] = hash;
        bucket->entry[way] = entry;
        return;
      }
      if (bucket->overflow == 0) bucket->overflow = take_overflow();
    }
  }
  [[nodiscard]] uint32_t take_overflow() {
    if (free_overflow_ == 0) return ++overflow_count_;
    const uint32_t taken = free_overflow_;
    free_overflow_ = overflow_[taken - 1].overflow;
    overflow_[taken - 1].overflow = 0;
    return taken;
  }

  // In the long run every bucket overflows once: what is empty again must serve others.
  void give_back_if_empty(Bucket& before, Bucket& bucket) {
    if (free_ways(bucket) != kAllWays) return;
    const uint32_t number = before.overflow;
    before.overflow = bucket.overflow;
    bucket.overflow = free_overflow_;
    free_overflow_ = number;
  }

  // A bucket more for every kLoad entries; it is fetched some insertions before.
  void grow() {
    if (size_ <= grown_for_) return;
    grown_for_ = size_;
    const size_t buckets = level_ + split_;
    if (size_ < buckets * kLoad) {
      if (buckets * kLoad - size_ == 2 && buckets < buckets_.capacity()) {
        __builtin_prefetch(&buckets_[split_], 1);
        __builtin_prefetch(&buckets_[buckets], 1);
      }
      return;
    }
    if (buckets < buckets_.capacity()) split();
  }
  void split() {
    Bucket& low = buckets_[split_];
    Bucket& high = buckets_[split_ + level_];
    const auto bit = static_cast<uint32_t>(level_);
    if (++split_ == level_) {
      level_ *= 2;
      split_ = 0;
    }
    // The first pass takes what moves; overflow buckets are emptied and filled again.
    for (unsigned way = 0; way < kWays; ++way) {
      if (low.entry[way] == 0 || (low.hash[way] & bit) == 0) continue;
      put_into(high, low.hash[way], low.entry[way]);
      low.entry[way] = 0;
    }
    uint32_t more = low.overflow;
    low.overflow = 0;
    while (more != 0) {
      Bucket& bucket = overflow_[more - 1];
      const uint32_t next = bucket.overflow;
      const Bucket taken = bucket;
      bucket = Bucket{};
      bucket.overflow = free_overflow_;
      free_overflow_ = more;
      for (unsigned way = 0; way < kWays; ++way) {
        if (taken.entry[way] == 0) continue;
        put_into((taken.hash[way] & bit) == 0 ? low : high, taken.hash[way], taken.entry[way]);
      }
      more = next;
    }
  }

  ReservedArray<Bucket> buckets_;
  ReservedArray<Bucket> overflow_;
  size_t level_ = kFirstBuckets;
  size_t split_ = 0;
  uint32_t size_ = 0;
  uint32_t grown_for_ = 0;
  uint32_t overflow_count_ = 0;
  uint32_t free_overflow_ = 0;
};

}  // namespace hnv
