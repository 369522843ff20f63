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

// Many routes may have few ranges: neighbours of one answer. A table of more than this is large, so
// that a change does not look at all of them.
constexpr size_t kMaxSmallRoutes = 8192;
constexpr unsigned kFanout = 16;
constexpr unsigned kSeparators = kFanout - 1;
constexpr unsigned kRootFanout = 15;
constexpr unsigned kRootSeparators = kRootFanout - 1;
// Of a node: how many lines behind it its first child is << 1 | that is a leaf.
constexpr unsigned kChildrenWord = 15;
// Below the root, in the low bits of an address.
constexpr uintptr_t kNodes = 0;
constexpr uintptr_t kLeaves = 1;
constexpr uintptr_t kEntries = 2;  // the table is large
constexpr uintptr_t kBelowMask = 3;
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

// ---- Searching a line: how many of its first `count` separators are smaller than the address.

using Rank = unsigned (*)(const void* line, uint32_t flipped_address, unsigned count);

unsigned rank_scalar(const void* line, uint32_t flipped, unsigned count) {
  const auto* separators = static_cast<const uint32_t*>(line);
  unsigned smaller = 0;
  for (unsigned i = 0; i < count; ++i) {
    smaller += static_cast<int32_t>(flipped) > static_cast<int32_t>(separators[i]) ? 1 : 0;
  }
  return smaller;
}

[[gnu::always_inline]] inline unsigned rank_avx2(const void* line, uint32_t flipped,
                                                 unsigned count) {
  const __m256i address = _mm256_set1_epi32(static_cast<int>(flipped));
  const auto* halves = static_cast<const __m256i*>(line);
  const __m256i low = _mm256_cmpgt_epi32(address, _mm256_load_si256(halves));
  const __m256i high = _mm256_cmpgt_epi32(address, _mm256_load_si256(halves + 1));
  const auto low_mask = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(low)));
  const auto high_mask = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(high)));
  const unsigned wanted = (1U << count) - 1;
  return static_cast<unsigned>(__builtin_popcount((low_mask | high_mask << 8) & wanted));
}

[[gnu::target("avx512f,avx512bw,avx512vl")]] inline unsigned rank_avx512(const void* line,
                                                                         uint32_t flipped,
                                                                         unsigned count) {
  const __m512i address = _mm512_set1_epi32(static_cast<int>(flipped));
  const unsigned mask = _mm512_cmpgt_epi32_mask(address, _mm512_load_si512(line));
  return static_cast<unsigned>(__builtin_popcount(mask & ((1U << count) - 1)));
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

  [[nodiscard]] static uintptr_t kind_below(const FibRoot& root) {
    return reinterpret_cast<uintptr_t>(root.below_) & kBelowMask;
  }
  // The child that holds the address, and whether it is a leaf. Prefetches what the next step
  // reads: a node's line, or both lines of a leaf.
  struct Step {
    const Line* child;
    uintptr_t kind;  // of the child: kNodes, kLeaves or (behind a root only) kEntries
  };
  [[gnu::always_inline]] static inline Step child(const Line* first, unsigned rank,
                                                  uintptr_t kind) {
    const Line* child = first + (rank << (kind & kLeaves));
    __builtin_prefetch(child);
    __builtin_prefetch(child + (kind & kLeaves));
    return {child, kind};
  }
  template <Rank kRank>
  [[gnu::always_inline]] static inline Step step(const FibRoot& root, uint32_t flipped) {
    const uintptr_t kind = kind_below(root);
    const auto* first = reinterpret_cast<const Line*>(root.below_ - kind);
    return child(first, kRank(root.separators_.data(), flipped, kRootSeparators), kind);
  }
  template <Rank kRank>
  [[gnu::always_inline]] static inline Step step(const Line* node, uint32_t flipped) {
    const uint32_t children = node->word[kChildrenWord];
    return child(node + (children >> 1), kRank(node->word.data(), flipped, kSeparators),
                 children & kLeaves);
  }
  template <Rank kRank>
  [[gnu::always_inline]] static inline HopId answer(const Line* leaf, uint32_t flipped) {
    return HopId(leaf[1].word[kRank(leaf[0].word.data(), flipped, kSeparators)]);
  }

  [[nodiscard]] static bool is_large(const FibRoot& root) { return kind_below(root) == kEntries; }
  [[nodiscard]] static const FibTrie::Entry* entries_of(const FibRoot& root) {
    return reinterpret_cast<const FibTrie::Entry*>(root.below_ - kEntries);
  }
  // The whole vector in one table, as it is when one tenant has a full one.
  [[nodiscard]] static bool all_of(const FibRoot* root, const FibRoot* const* roots, unsigned n) {
    uintptr_t differs = 0;
    for (unsigned i = 0; i < n; ++i) {
      differs |= reinterpret_cast<uintptr_t>(roots[i]) ^ reinterpret_cast<uintptr_t>(root);
    }
    return differs == 0;
  }
  [[nodiscard]] static uint64_t large_among(const FibRoot* const* roots, uint64_t deep) {
    uint64_t large = 0;
    for (; deep != 0; deep &= deep - 1) {
      const auto i = static_cast<unsigned>(std::countr_zero(deep));
      large |= uint64_t{is_large(*roots[i])} << i;
    }
    return large;
  }
  // The lookups of the vector that are in large tables.
  [[gnu::noinline]] static void bulk_large(const FibRoot* const* roots, const uint32_t* addresses,
                                           HopId* out, uint64_t large) {
    std::array<const FibTrie::Entry*, kVector> entries;  // NOLINT(*-pro-type-member-init)
    std::array<uint32_t, kVector> asked;                 // NOLINT(*-pro-type-member-init)
    std::array<HopId, kVector> hops;
    unsigned n = 0;
    for (uint64_t rest = large; rest != 0; rest &= rest - 1) {
      const auto i = static_cast<unsigned>(std::countr_zero(rest));
      entries[n] = entries_of(*roots[i]);
      asked[n++] = addresses[i];
    }
    FibTrie::lookup_bulk(entries.data(), asked.data(), hops.data(), n);
    n = 0;
    for (uint64_t rest = large; rest != 0; rest &= rest - 1) {
      out[std::countr_zero(rest)] = hops[n++];
    }
  }

  template <Rank kRank>
  [[gnu::always_inline]] static inline void bulk(const FibRoot* const* roots,
                                                 const uint32_t* addresses, HopId* out,
                                                 unsigned n) {
    assert(n <= kVector);
    std::array<const Line*, kVector> at;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    uint64_t deep = 0;                    // bit i: below root i are not its leaves at once
    for (unsigned i = 0; i < n; ++i) {
      const Step next = step<kRank>(*roots[i], addresses[i] ^ kSignBit);
      at[i] = next.child;
      deep |= uint64_t{next.kind != kLeaves} << i;
    }
    const uint64_t large = deep == 0 ? 0 : large_among(roots, deep);
    if (large != 0 && std::popcount(large) == static_cast<int>(n) && all_of(roots[0], roots, n)) {
      return FibTrie::lookup_bulk(entries_of(*roots[0]), addresses, out, n);
    }
    deep &= ~large;
    while (deep != 0) {
      for (uint64_t rest = std::exchange(deep, 0); rest != 0; rest &= rest - 1) {
        const auto i = static_cast<unsigned>(std::countr_zero(rest));
        const Step next = step<kRank>(at[i], addresses[i] ^ kSignBit);
        at[i] = next.child;
        deep |= uint64_t{next.kind != kLeaves} << i;
      }
    }
    if (large == 0) [[likely]] {
      for (unsigned i = 0; i < n; ++i) out[i] = answer<kRank>(at[i], addresses[i] ^ kSignBit);
      return;
    }
    bulk_large(roots, addresses, out, large);
    for (unsigned i = 0; i < n; ++i) {
      if ((large >> i & 1) == 0) out[i] = answer<kRank>(at[i], addresses[i] ^ kSignBit);
    }
  }

  static void scalar(const FibRoot* const* roots, const uint32_t* addresses, HopId* out,
                     unsigned n) {
    bulk<rank_scalar>(roots, addresses, out, n);
  }
  static void avx2(const FibRoot* const* roots, const uint32_t* addresses, HopId* out, unsigned n) {
    bulk<rank_avx2>(roots, addresses, out, n);
  }
  [[gnu::target("avx512f,avx512bw,avx512vl")]] static void avx512(const FibRoot* const* roots,
                                                                  const uint32_t* addresses,
                                                                  HopId* out, unsigned n) {
    bulk<rank_avx512>(roots, addresses, out, n);
  }

  static HopId one(const FibRoot& root, uint32_t address) {
    if (is_large(root)) {
      HopId hop;
      FibTrie::lookup_bulk(entries_of(root), &address, &hop, 1);
      return hop;
    }
    const uint32_t flipped = address ^ kSignBit;
    Step at = step<rank_avx2>(root, flipped);
    while (at.kind != kLeaves) at = step<rank_avx2>(at.child, flipped);
    return answer<rank_avx2>(at.child, flipped);
  }
};

// ---- Building.

namespace {

// How many nodes each level below the root has: [0] the leaves.
std::vector<size_t> level_sizes(size_t ranges) {
  std::vector<size_t> sizes;
  size_t below = ranges;
  do {
    below = (below + kFanout - 1) / kFanout;
    sizes.push_back(below);
  } while (below > kRootFanout);
  return sizes;
}

// Separators of node `n` at `level`: its child j holds the ranges from (16n + j) * 16^level on.
// Places behind the last range repeat 255.255.255.255.
template <size_t kWords>
void fill_separators(std::array<uint32_t, kWords>& words, const std::vector<Range>& ranges,
                     size_t n, size_t level) {
  for (size_t j = 0; j < std::min<size_t>(kWords, kSeparators); ++j) {
    const size_t end = (n * kFanout + j + 1) << (4 * level);
    words[j] = ranges[std::min(end, ranges.size()) - 1].last ^ kSignBit;
  }
}

}  // namespace

std::shared_ptr<const Fib4> Fib4::build(std::span<const Route4> routes) {
  assert(std::is_sorted(routes.begin(), routes.end(), [](const Route4& a, const Route4& b) {
    return a.network != b.network ? a.network < b.network : a.length < b.length;
  }));
  if (routes.size() > kMaxSmallRoutes) return of(FibTrie::build(routes));
  const std::vector<Range> ranges = ranges_of(routes);
  if (ranges.size() > fib_internal::kMaxSmallRanges) return of(FibTrie::build(routes));
  const std::vector<size_t> levels = level_sizes(ranges.size());

  // Root, info, nodes from the top down, leaves of two lines each from an even line on.
  std::vector<size_t> first_line(levels.size(), 0);
  size_t line_count = 2;
  for (size_t level = levels.size() - 1; level > 0; --level) {
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

  FibRoot& root = table->root_;
  fill_separators(root.separators_, ranges, 0, levels.size());
  root.below_ = reinterpret_cast<const char*>(lines + first_line[levels.size() - 1]) +
                (levels.size() == 1 ? kLeaves : kNodes);
  for (size_t level = levels.size() - 1; level > 0; --level) {
    const size_t line_of_child = level == 1 ? 2 * kFanout : kFanout;  // of a node's first child
    for (size_t n = 0; n < levels[level]; ++n) {
      const size_t line = first_line[level] + n;
      fill_separators(lines[line].word, ranges, n, level);
      const size_t first = first_line[level - 1] + n * line_of_child;
      lines[line].word[kChildrenWord] =
          static_cast<uint32_t>((first - line) << 1 | (level == 1 ? kLeaves : kNodes));
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
  static_assert(alignof(FibTrie::Entry) > kBelowMask);
  table->root_.below_ = reinterpret_cast<const char*>(trie->entries()) + kEntries;
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

void lookup_bulk(const FibRoot* const* roots, const uint32_t* addresses, HopId* out, unsigned n) {
  kFastestBulk(roots, addresses, out, n);
}

HopId Fib4::lookup(uint32_t address) const { return FibWalk::one(root_, address); }

}  // namespace hnv
