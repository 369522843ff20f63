// SPDX-License-Identifier: Apache-2.0
#include "compartments/fib.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <immintrin.h>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "compartments/fib_ranges.h"

namespace hnv {
namespace {

constexpr unsigned kFanout = 16;
constexpr unsigned kSeparators = kFanout - 1;
// Of a node: line of its first child << 1 | it is a leaf. 0 in the root: the table is large, and
// words 0 and 1 are where its entries are.
constexpr unsigned kChildrenWord = 15;
constexpr unsigned kVector = 64;
constexpr unsigned kSignBit = 0x80000000;

// ---- Flattening: from nested prefixes to neighbouring ranges.

using Range = FibRange<uint32_t>;

std::vector<Range> ranges_of(std::span<const Route4> routes) {
  FibFlattener<uint32_t> flattener(0, UINT32_MAX, HopId());
  for (const Route4& route : routes) {
    assert(route.length <= 32 && (route.first() & (route.last() - route.first())) == 0);
    assert(!route.hop.valid() || route.hop < fib_internal::kInherit);
    flattener.enter(route.first(), route.last(), route.hop);
  }
  return std::move(flattener).finish();
}

// ---- Searching a line: how many of its 15 separators are smaller than the address.

using Rank = unsigned (*)(const uint32_t* separators, uint32_t flipped_address);

unsigned rank_scalar(const uint32_t* separators, uint32_t flipped) {
  unsigned smaller = 0;
  for (unsigned i = 0; i < kSeparators; ++i) {
    smaller += static_cast<int32_t>(flipped) > static_cast<int32_t>(separators[i]) ? 1 : 0;
  }
  return smaller;
}

unsigned rank_avx2(const uint32_t* separators, uint32_t flipped) {
  const __m256i address = _mm256_set1_epi32(static_cast<int>(flipped));
  const auto* lines = reinterpret_cast<const __m256i*>(separators);
  const __m256i low = _mm256_cmpgt_epi32(address, _mm256_load_si256(lines));
  const __m256i high = _mm256_cmpgt_epi32(address, _mm256_load_si256(lines + 1));
  const auto low_mask = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(low)));
  const auto high_mask = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(high)));
  return static_cast<unsigned>(__builtin_popcount(low_mask | (high_mask & 0x7f) << 8));
}

[[gnu::target("avx512f,avx512bw,avx512vl")]] inline unsigned rank_avx512(const uint32_t* separators,
                                                                         uint32_t flipped) {
  const __m512i address = _mm512_set1_epi32(static_cast<int>(flipped));
  const unsigned mask = _mm512_cmpgt_epi32_mask(address, _mm512_load_si512(separators));
  return static_cast<unsigned>(__builtin_popcount(mask & 0x7fff));
}

}  // namespace

namespace {
constexpr std::align_val_t kAlignment{alignof(Fib4)};
}  // namespace

// ---- Walking down. Only these functions and build() know the layout.

struct FibWalk {
  using Line = Fib4::Line;

  static void destroy(const Fib4* old) {
    old->~Fib4();
    ::operator delete(const_cast<Fib4*>(old), kAlignment);
  }

  // The child of `node` that holds the address, and whether it is a leaf. Prefetches what the next
  // step reads: a node's line, or both lines of a leaf.
  struct Step {
    const Line* child;
    uint32_t is_leaf;
  };
  template <Rank kRank>
  [[gnu::always_inline]] static inline Step step(const Fib4* table, const Line& node,
                                                 uint32_t flipped) {
    const uint32_t children = node.word[kChildrenWord];
    const uint32_t is_leaf = children & 1;
    const Line* child =
        table->lines() + (children >> 1) + (kRank(node.word.data(), flipped) << is_leaf);
    __builtin_prefetch(child);
    __builtin_prefetch(child + is_leaf);
    return {child, is_leaf};
  }
  template <Rank kRank>
  [[gnu::always_inline]] static inline HopId answer(const Line* leaf, uint32_t flipped) {
    return HopId(leaf[1].word[kRank(leaf[0].word.data(), flipped)]);
  }

  [[nodiscard]] static const FibTrie::Entry* entries_of(const Fib4* table) {
    return std::bit_cast<const FibTrie::Entry*>(
        std::array<uint32_t, 2>{table->root_.word[0], table->root_.word[1]});
  }
  [[nodiscard]] static bool is_large(const Fib4* table) {
    return table->root_.word[kChildrenWord] == 0;
  }
  // The whole vector in one table, as it is when one tenant has a full one.
  [[nodiscard]] static bool all_of(const Fib4* table, const Fib4* const* tables, unsigned n) {
    uintptr_t differs = 0;
    for (unsigned i = 0; i < n; ++i) {
      differs |= reinterpret_cast<uintptr_t>(tables[i]) ^ reinterpret_cast<uintptr_t>(table);
    }
    return differs == 0;
  }
  [[nodiscard]] static uint64_t large_among(const Fib4* const* tables, uint64_t deep) {
    uint64_t large = 0;
    for (; deep != 0; deep &= deep - 1) {
      const auto i = static_cast<unsigned>(std::countr_zero(deep));
      large |= uint64_t{is_large(tables[i])} << i;
    }
    return large;
  }
  // The lookups of the vector that are in large tables.
  [[gnu::noinline]] static void bulk_large(const Fib4* const* tables, const uint32_t* addresses,
                                           HopId* out, uint64_t large) {
    std::array<const FibTrie::Entry*, kVector> entries;  // NOLINT(*-pro-type-member-init)
    std::array<uint32_t, kVector> asked;                 // NOLINT(*-pro-type-member-init)
    std::array<HopId, kVector> hops;
    unsigned n = 0;
    for (uint64_t rest = large; rest != 0; rest &= rest - 1) {
      const auto i = static_cast<unsigned>(std::countr_zero(rest));
      entries[n] = entries_of(tables[i]);
      asked[n++] = addresses[i];
    }
    FibTrie::lookup_bulk(entries.data(), asked.data(), hops.data(), n);
    n = 0;
    for (uint64_t rest = large; rest != 0; rest &= rest - 1) {
      out[std::countr_zero(rest)] = hops[n++];
    }
  }

  template <Rank kRank>
  [[gnu::always_inline]] static inline void bulk(const Fib4* const* tables,
                                                 const uint32_t* addresses, HopId* out,
                                                 unsigned n) {
    assert(n <= kVector);
    std::array<const Line*, kVector> at;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    uint64_t deep = 0;  // bit i: table i has another level of nodes above its leaves
    if (n > 0 && all_of(tables[0], tables, n) && is_large(tables[0])) {
      return FibTrie::lookup_bulk(entries_of(tables[0]), addresses, out, n);
    }
    for (unsigned i = 0; i < n; ++i) __builtin_prefetch(tables[i]);
    for (unsigned i = 0; i < n; ++i) {
      const Step next = step<kRank>(tables[i], tables[i]->root_, addresses[i] ^ kSignBit);
      at[i] = next.child;
      deep |= uint64_t{1 - next.is_leaf} << i;
    }
    const uint64_t large = deep == 0 ? 0 : large_among(tables, deep);
    deep &= ~large;
    while (deep != 0) {
      for (uint64_t rest = std::exchange(deep, 0); rest != 0; rest &= rest - 1) {
        const auto i = static_cast<unsigned>(std::countr_zero(rest));
        const Step next = step<kRank>(tables[i], *at[i], addresses[i] ^ kSignBit);
        at[i] = next.child;
        deep |= uint64_t{1 - next.is_leaf} << i;
      }
    }
    if (large == 0) [[likely]] {
      for (unsigned i = 0; i < n; ++i) out[i] = answer<kRank>(at[i], addresses[i] ^ kSignBit);
      return;
    }
    bulk_large(tables, addresses, out, large);
    for (unsigned i = 0; i < n; ++i) {
      if ((large >> i & 1) == 0) out[i] = answer<kRank>(at[i], addresses[i] ^ kSignBit);
    }
  }

  static void scalar(const Fib4* const* tables, const uint32_t* addresses, HopId* out, unsigned n) {
    bulk<rank_scalar>(tables, addresses, out, n);
  }
  static void avx2(const Fib4* const* tables, const uint32_t* addresses, HopId* out, unsigned n) {
    bulk<rank_avx2>(tables, addresses, out, n);
  }
  [[gnu::target("avx512f,avx512bw,avx512vl")]] static void avx512(const Fib4* const* tables,
                                                                  const uint32_t* addresses,
                                                                  HopId* out, unsigned n) {
    bulk<rank_avx512>(tables, addresses, out, n);
  }

  static HopId one(const Fib4* table, uint32_t address) {
    if (is_large(table)) {
      HopId hop;
      FibTrie::lookup_bulk(entries_of(table), &address, &hop, 1);
      return hop;
    }
    const uint32_t flipped = address ^ kSignBit;
    Step at = step<rank_avx2>(table, table->root_, flipped);
    while (at.is_leaf == 0) at = step<rank_avx2>(table, *at.child, flipped);
    return answer<rank_avx2>(at.child, flipped);
  }
};

// ---- Building.

namespace {

// How many nodes each level has: [0] the leaves, the last one the root.
std::vector<size_t> level_sizes(size_t ranges) {
  std::vector<size_t> sizes;
  size_t below = ranges;
  do {
    below = (below + kFanout - 1) / kFanout;
    sizes.push_back(below);
  } while (below > 1 || sizes.size() < 2);
  return sizes;
}

// Separators of node `n` at `level`: its child j holds the ranges from (16n + j) * 16^level on.
// Places behind the last range repeat 255.255.255.255.
void fill_separators(std::array<uint32_t, 16>& words, const std::vector<Range>& ranges, size_t n,
                     unsigned level) {
  for (size_t j = 0; j < kSeparators; ++j) {
    const size_t end = (n * kFanout + j + 1) << (4 * level);
    words[j] = ranges[std::min(end, ranges.size()) - 1].last ^ kSignBit;
  }
}

}  // namespace

std::shared_ptr<const Fib4> Fib4::build(std::span<const Route4> routes) {
  assert(std::is_sorted(routes.begin(), routes.end(), [](const Route4& a, const Route4& b) {
    return a.network != b.network ? a.network < b.network : a.length < b.length;
  }));
  const std::vector<Range> ranges = ranges_of(routes);
  if (ranges.size() > fib_internal::kMaxSmallRanges) return of(FibTrie::build(routes));
  const std::vector<size_t> levels = level_sizes(ranges.size());

  // Root, info, nodes from the top down, leaves of two lines each from an even line on.
  const auto top = static_cast<unsigned>(levels.size() - 1);
  std::vector<size_t> first_line(levels.size(), 0);
  size_t line_count = 2;
  for (unsigned level = top - 1; level > 0; --level) {
    first_line[level] = line_count;
    line_count += levels[level];
  }
  first_line[0] = (line_count + 1) & ~size_t{1};
  line_count = first_line[0] + 2 * levels[0];

  void* memory = ::operator new(line_count * sizeof(Line), kAlignment);
  auto* lines = static_cast<Line*>(memory);
  auto* table = new (memory) Fib4;
  std::uninitialized_value_construct(lines + 2, lines + line_count);
  table->info_ = {.bytes = line_count * sizeof(Line), .ranges = ranges.size(), .trie = nullptr};

  for (unsigned level = top; level > 0; --level) {
    const size_t line_of_child = level == 1 ? 2 * kFanout : kFanout;  // of a node's first child
    for (size_t n = 0; n < levels[level]; ++n) {
      auto& words = lines[first_line[level] + n].word;
      fill_separators(words, ranges, n, level);
      words[kChildrenWord] = static_cast<uint32_t>(
          (first_line[level - 1] + n * line_of_child) << 1 | (level == 1 ? 1 : 0));
    }
  }
  for (size_t n = 0; n < levels[0]; ++n) {
    Line* leaf = lines + first_line[0] + 2 * n;
    fill_separators(leaf[0].word, ranges, n, 0);
    for (size_t j = 0; j < kFanout; ++j) {
      leaf[1].word[j] = ranges[std::min(n * kFanout + j, ranges.size() - 1)].hop.value();
    }
  }
  return {table, FibWalk::destroy};
}

std::shared_ptr<const Fib4> Fib4::of(std::shared_ptr<const FibTrie> trie) {
  auto* table = new (::operator new(sizeof(Fib4), kAlignment)) Fib4;
  const auto words = std::bit_cast<std::array<uint32_t, 2>>(trie->entries());
  std::copy(words.begin(), words.end(), table->root_.word.begin());
  table->info_.bytes = sizeof(Fib4) + trie->bytes();
  table->info_.trie = std::move(trie);
  return {table, FibWalk::destroy};
}

std::shared_ptr<const Fib4> Fib4::with(const std::vector<FibChange>& changes,
                                       const RoutesIn<Route4>& routes_in) const {
  if (info_.trie != nullptr) {
    auto trie = FibTrie::with(*info_.trie, changes, routes_in);
    if (trie->routes() >= fib_internal::kMinLargeRoutes) return of(std::move(trie));
  }
  return build(routes_in({CaAddress(0), 0}));
}

// ---- Choosing a variant.

FibLookupBulk fib_variant(FibVariant variant) {
  switch (variant) {
    case FibVariant::scalar:
      return FibWalk::scalar;
    case FibVariant::avx2:
      return FibWalk::avx2;
    case FibVariant::avx512:
      __builtin_cpu_init();
      if (__builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
          __builtin_cpu_supports("avx512vl") != 0) {
        return FibWalk::avx512;
      }
      return nullptr;
  }
  return nullptr;
}

namespace {
const FibLookupBulk kFastestBulk = [] {
  const FibLookupBulk wide = fib_variant(FibVariant::avx512);
  return wide != nullptr ? wide : fib_variant(FibVariant::avx2);
}();
}  // namespace

void lookup_bulk(const Fib4* const* tables, const uint32_t* addresses, HopId* out, unsigned n) {
  kFastestBulk(tables, addresses, out, n);
}

HopId Fib4::lookup(uint32_t address) const { return FibWalk::one(this, address); }

}  // namespace hnv
