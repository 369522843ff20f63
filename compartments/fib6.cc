// SPDX-License-Identifier: Apache-2.0
#include "compartments/fib6.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <immintrin.h>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "compartments/fib6_pieces.h"
#include "compartments/fib_ranges.h"

namespace hnv {
namespace {

using Address = unsigned __int128;

// Many routes may have few ranges: neighbours of one answer. A table of more than this is large, so
// that a change does not look at all of them.
constexpr size_t kMaxSmallRoutes = 8192;
constexpr unsigned kFanout = 8;
constexpr unsigned kNodeSeparators = kFanout - 1;
// Of a node: line of its first child << 2 | the table is large (in the root) | the child is a leaf.
constexpr unsigned kChildrenWord = 7;
constexpr uint64_t kLeafBit = 1;
constexpr uint64_t kLargeBit = 2;
constexpr unsigned kLineShift = 2;
constexpr unsigned kLeafRanges = 6;
constexpr unsigned kLeafSeparators = kLeafRanges - 1;
constexpr unsigned kFirstAnswer = 2 * kLeafSeparators;  // of a leaf, in words of 32 bits
constexpr unsigned kVector = 64;
constexpr uint64_t kSignBit = uint64_t{1} << 63;
constexpr uint32_t kTreeBit = uint32_t{1} << 31;  // of an answer: the rest is a line << 1 | leaf

uint64_t half_of(const CaAddress6& address, unsigned which) {
  uint64_t word = 0;
  std::memcpy(&word, address.bytes().data() + static_cast<size_t>(8 * which), sizeof word);
  return __builtin_bswap64(word);
}

uint64_t upper(Address address) { return static_cast<uint64_t>(address >> 64); }
uint64_t lower(Address address) { return static_cast<uint64_t>(address); }

// ---- Searching a line: which of its eight words, as separators, are smaller than the address.

using Smaller = unsigned (*)(const uint64_t* separators, uint64_t flipped_address);

unsigned smaller_scalar(const uint64_t* separators, uint64_t flipped) {
  unsigned mask = 0;
  for (unsigned i = 0; i < kFanout; ++i) {
    mask |= static_cast<int64_t>(flipped) > static_cast<int64_t>(separators[i]) ? 1U << i : 0;
  }
  return mask;
}

unsigned smaller_avx2(const uint64_t* separators, uint64_t flipped) {
  const __m256i address = _mm256_set1_epi64x(static_cast<int64_t>(flipped));
  const auto* line = reinterpret_cast<const __m256i*>(separators);
  const __m256i low = _mm256_cmpgt_epi64(address, _mm256_load_si256(line));
  const __m256i high = _mm256_cmpgt_epi64(address, _mm256_load_si256(line + 1));
  const auto low_mask = static_cast<unsigned>(_mm256_movemask_pd(_mm256_castsi256_pd(low)));
  const auto high_mask = static_cast<unsigned>(_mm256_movemask_pd(_mm256_castsi256_pd(high)));
  return low_mask | high_mask << 4;
}

[[gnu::target("avx512f,avx512bw,avx512vl")]] inline unsigned smaller_avx512(
    const uint64_t* separators, uint64_t flipped) {
  const __m512i address = _mm512_set1_epi64(static_cast<int64_t>(flipped));
  return _mm512_cmpgt_epi64_mask(address, _mm512_load_si512(separators));
}

}  // namespace

// ---- Walking down. Only these functions and the writer know the layout.

struct Fib6Walk {
  using Line = Fib6::Line;

  struct Step {
    const Line* child;
    uint64_t is_leaf;
  };
  template <Smaller kSmaller>
  [[gnu::always_inline]] static inline Step step(const Fib6* table, const Line& node,
                                                 uint64_t flipped) {
    const uint64_t children = node.word[kChildrenWord];
    const unsigned mask = kSmaller(node.word.data(), flipped) & ((1U << kNodeSeparators) - 1);
    const Line* child = table->lines() + (children >> kLineShift) + __builtin_popcount(mask);
    __builtin_prefetch(child);
    return {child, children & kLeafBit};
  }
  template <Smaller kSmaller>
  [[gnu::always_inline]] static inline uint32_t answer(const Line* leaf, uint64_t flipped) {
    const unsigned mask = kSmaller(leaf->word.data(), flipped) & ((1U << kLeafSeparators) - 1);
    uint32_t word = 0;
    std::memcpy(&word,
                reinterpret_cast<const uint32_t*>(leaf->word.data()) + kFirstAnswer +
                    __builtin_popcount(mask),
                sizeof word);
    return word;
  }
  [[nodiscard]] static bool is_tree(uint32_t answer) {
    return (answer & kTreeBit) != 0 && answer != HopId::kNone;
  }

  // Where the packets of a vector are.
  struct Walkers {
    std::array<const Line*, kVector> at;
    std::array<uint64_t, kVector> flipped;  // the half of the address that is searched
  };

  // Takes the packets of `deep`, each at a node, down to their leaves, level by level.
  template <Smaller kSmaller>
  [[gnu::always_inline]] static inline void descend(const Fib6* const* tables, Walkers& walkers,
                                                    uint64_t deep) {
    while (deep != 0) {
      for (uint64_t rest = std::exchange(deep, 0); rest != 0; rest &= rest - 1) {
        const auto i = static_cast<unsigned>(std::countr_zero(rest));
        const Step next = step<kSmaller>(tables[i], *walkers.at[i], walkers.flipped[i]);
        walkers.at[i] = next.child;
        deep |= (1 - next.is_leaf) << i;
      }
    }
  }

  // The answers of the packets' trees. Bit i of the result: it is the number of a piece.
  template <Smaller kSmaller>
  [[gnu::always_inline]] static inline uint64_t walk(const Fib6* const* tables,
                                                     const CaAddress6* addresses, HopId* out,
                                                     unsigned n) {
    assert(n <= kVector);
    Walkers walkers;    // NOLINT(cppcoreguidelines-pro-type-member-init)
    uint64_t deep = 0;  // bit i: packet i stands at a node, not at a leaf
    uint64_t large = 0;
    for (unsigned i = 0; i < n; ++i) __builtin_prefetch(tables[i]);
    for (unsigned i = 0; i < n; ++i) {
      walkers.flipped[i] = half_of(addresses[i], 0) ^ kSignBit;
      const Step next = step<kSmaller>(tables[i], tables[i]->root_, walkers.flipped[i]);
      walkers.at[i] = next.child;
      deep |= (1 - next.is_leaf) << i;
      large |= uint64_t{(tables[i]->root_.word[kChildrenWord] & kLargeBit) != 0} << i;
    }
    descend<kSmaller>(tables, walkers, deep);
    uint64_t longer = 0;  // bit i: packet i is in a /64 with longer prefixes
    deep = 0;
    for (unsigned i = 0; i < n; ++i) {
      const uint32_t found = answer<kSmaller>(walkers.at[i], walkers.flipped[i]);
      out[i] = HopId(found);
      if (is_tree(found)) {
        longer |= uint64_t{1} << i;
        deep |= uint64_t{1 - (found & 1)} << i;
        walkers.at[i] = tables[i]->lines() + ((found & ~kTreeBit) >> 1);
        walkers.flipped[i] = half_of(addresses[i], 1) ^ kSignBit;
        __builtin_prefetch(walkers.at[i]);
      }
    }
    if (longer == 0) return large;
    descend<kSmaller>(tables, walkers, deep);
    for (; longer != 0; longer &= longer - 1) {
      const auto i = static_cast<unsigned>(std::countr_zero(longer));
      out[i] = HopId(answer<kSmaller>(walkers.at[i], walkers.flipped[i]));
    }
    return large;
  }

  template <Smaller kSmaller>
  [[gnu::always_inline]] static inline void bulk(const Fib6* const* tables,
                                                 const CaAddress6* addresses, HopId* out,
                                                 unsigned n) {
    const uint64_t large = walk<kSmaller>(tables, addresses, out, n);
    if (large == 0) [[likely]]
      return;
    std::array<const Fib6::Entry*, kVector> entries;  // NOLINT(*-pro-type-member-init)
    std::array<const Fib6*, kVector> pieces;          // NOLINT(*-pro-type-member-init)
    std::array<CaAddress6, kVector> asked;
    std::array<HopId, kVector> hops;
    unsigned count = 0;
    for (uint64_t rest = large; rest != 0; rest &= rest - 1, ++count) {
      const auto i = static_cast<unsigned>(std::countr_zero(rest));
      entries[count] = &tables[i]->info_.entries[out[i].value()];
      asked[count] = addresses[i];
      __builtin_prefetch(entries[count]);
    }
    for (unsigned k = 0; k < count; ++k) pieces[k] = entries[k]->table;
    walk<kSmaller>(pieces.data(), asked.data(), hops.data(), count);
    count = 0;
    for (uint64_t rest = large; rest != 0; rest &= rest - 1, ++count) {
      out[std::countr_zero(rest)] =
          hops[count] == fib_internal::kInherit ? entries[count]->hop : hops[count];
    }
  }

  static void scalar(const Fib6* const* tables, const CaAddress6* addresses, HopId* out,
                     unsigned n) {
    bulk<smaller_scalar>(tables, addresses, out, n);
  }
  static void avx2(const Fib6* const* tables, const CaAddress6* addresses, HopId* out, unsigned n) {
    bulk<smaller_avx2>(tables, addresses, out, n);
  }
  [[gnu::target("avx512f,avx512bw,avx512vl")]] static void avx512(const Fib6* const* tables,
                                                                  const CaAddress6* addresses,
                                                                  HopId* out, unsigned n) {
    bulk<smaller_avx512>(tables, addresses, out, n);
  }
};

// ---- Building.

namespace {

struct HalfRange {  // of one half of the address
  uint64_t last;
  uint32_t answer;
};

std::vector<FibRange<Address>> ranges_of(std::span<const Route6> routes) {
  FibFlattener<Address> flattener(0, ~Address{0}, HopId());
  for (const Route6& route : routes) {
    assert(route.length <= 128 && (route.first() & (route.last() - route.first())) == 0);
    assert(!route.hop.valid() || route.hop < fib_internal::kInherit);
    flattener.enter(route.first(), route.last(), route.hop);
  }
  return std::move(flattener).finish();
}

}  // namespace

class Fib6Writer {
 public:
  using Line = Fib6::Line;

  std::vector<Line> write(const std::vector<FibRange<Address>>& ranges) {
    lines_.resize(2);  // root and info
    Address first = 0;
    for (const FibRange<Address>& range : ranges) {
      add(first, range.last, range.hop.value());
      first = range.last + 1;
    }
    write_tree(top_, Root::line_0);
    return std::move(lines_);
  }

 private:
  enum class Root : uint8_t { line_0, anywhere };

  // A range of whole addresses: what it has of a /64 that others share with it goes to that one's
  // tree, the rest to the tree above.
  void add(Address first, Address last, uint32_t answer) {
    constexpr uint64_t kEnd = UINT64_MAX;
    uint64_t from = upper(first);
    const uint64_t to = upper(last);
    if (lower(first) != 0) {
      shared_.push_back({from == to ? lower(last) : kEnd, answer});
      if (shared_.back().last != kEnd) return;
      top_.push_back({from, kTreeBit | write_tree(std::exchange(shared_, {}), Root::anywhere)});
      if (from == to) return;
      ++from;
    }
    if (lower(last) == kEnd) {
      top_.push_back({to, answer});
      return;
    }
    if (to > from) top_.push_back({to - 1, answer});
    shared_.push_back({lower(last), answer});
  }

  // Node `n` of `level`: its child j holds the ranges from (8n + j) * below on. Places behind the
  // last range repeat its end.
  static void fill_node(Line& line, const std::vector<HalfRange>& ranges, size_t n, size_t below,
                        uint64_t children) {
    for (size_t j = 0; j < kNodeSeparators; ++j) {
      const size_t end = (n * kFanout + j + 1) * below;
      line.word[j] = ranges[std::min(end, ranges.size()) - 1].last ^ kSignBit;
    }
    line.word[kChildrenWord] = children;
  }
  static void fill_leaf(Line& line, const std::vector<HalfRange>& ranges, size_t n) {
    auto* answers = reinterpret_cast<uint32_t*>(line.word.data()) + kFirstAnswer;
    for (size_t j = 0; j < kLeafRanges; ++j) {
      const HalfRange& range = ranges[std::min(n * kLeafRanges + j, ranges.size() - 1)];
      if (j < kLeafSeparators) line.word[j] = range.last ^ kSignBit;
      std::memcpy(answers + j, &range.answer, sizeof range.answer);
    }
  }

  // Its root's line << 1 | the root is a leaf.
  uint32_t write_tree(const std::vector<HalfRange>& ranges, Root root) {
    std::vector<size_t> sizes{(ranges.size() + kLeafRanges - 1) / kLeafRanges};  // leaves first
    while (sizes.back() > 1 || (root == Root::line_0 && sizes.size() < 2)) {
      sizes.push_back((sizes.back() + kFanout - 1) / kFanout);
    }
    std::vector<size_t> first_line(sizes.size(), 0);
    for (size_t level = sizes.size(); level-- > 0;) {
      if (level + 1 == sizes.size() && root == Root::line_0) continue;
      first_line[level] = lines_.size();
      lines_.resize(lines_.size() + sizes[level]);
    }
    assert(lines_.size() < HopId::kNone >> 2);
    size_t below = kLeafRanges;
    for (size_t level = 1; level < sizes.size(); ++level, below *= kFanout) {
      for (size_t n = 0; n < sizes[level]; ++n) {
        const size_t child = first_line[level - 1] + n * kFanout;
        fill_node(lines_[first_line[level] + n], ranges, n, below,
                  child << kLineShift | (level == 1 ? kLeafBit : 0));
      }
    }
    for (size_t n = 0; n < sizes[0]; ++n) fill_leaf(lines_[first_line[0] + n], ranges, n);
    return static_cast<uint32_t>(first_line.back() << 1 | (sizes.size() == 1 ? 1 : 0));
  }

  std::vector<Line> lines_;
  std::vector<HalfRange> top_;
  std::vector<HalfRange> shared_;  // of the /64 that is being cut
};

std::shared_ptr<const Fib6> Fib6::build(std::span<const Route6> routes) {
  assert(std::is_sorted(routes.begin(), routes.end(), [](const Route6& a, const Route6& b) {
    return a.network != b.network ? a.network < b.network : a.length < b.length;
  }));
  if (routes.size() > kMaxSmallRoutes) return Fib6Pieces::build(routes);
  const std::vector<FibRange<Address>> ranges = ranges_of(routes);
  if (ranges.size() > fib_internal::kMaxSmallRanges) return Fib6Pieces::build(routes);
  return of(ranges);
}

void Fib6::become_large(const Entry* entries, std::shared_ptr<const Fib6Pieces> pieces,
                        size_t bytes_of_pieces) {
  root_.word[kChildrenWord] |= kLargeBit;
  info_.entries = entries;
  info_.bytes += bytes_of_pieces;
  info_.ranges = 0;
  info_.pieces = std::move(pieces);
}

std::shared_ptr<Fib6> Fib6::of(const std::vector<FibRange<Address>>& ranges) {
  const std::vector<Line> lines = Fib6Writer().write(ranges);
  constexpr std::align_val_t kAlignment{alignof(Fib6)};
  void* memory = ::operator new(lines.size() * sizeof(Line), kAlignment);
  auto* table = new (memory) Fib6;
  table->root_ = lines[0];
  table->info_.bytes = lines.size() * sizeof(Line);
  table->info_.ranges = ranges.size();
  std::uninitialized_copy(lines.begin() + 2, lines.end(), static_cast<Line*>(memory) + 2);
  return {table, [](const Fib6* old) {
            old->~Fib6();
            ::operator delete(const_cast<Fib6*>(old), kAlignment);
          }};
}

std::shared_ptr<const Fib6> Fib6::with(const std::vector<FibChange>& changes,
                                       const RoutesIn<Route6>& routes_in) const {
  if (info_.pieces != nullptr) {
    if (auto next = Fib6Pieces::with(*info_.pieces, changes, routes_in)) return next;
  }
  return build(routes_in({CaAddress6(), 0}));
}

// ---- Choosing a variant.

Fib6LookupBulk fib6_variant(FibVariant variant) {
  switch (variant) {
    case FibVariant::scalar:
      return Fib6Walk::scalar;
    case FibVariant::avx2:
      return Fib6Walk::avx2;
    case FibVariant::avx512:
      return fib_variant(variant) != nullptr ? Fib6Walk::avx512 : nullptr;
  }
  return nullptr;
}

namespace {
const Fib6LookupBulk kFastestBulk = [] {
  const Fib6LookupBulk wide = fib6_variant(FibVariant::avx512);
  return wide != nullptr ? wide : fib6_variant(FibVariant::avx2);
}();
}  // namespace

void lookup_bulk(const Fib6* const* tables, const CaAddress6* addresses, HopId* out, unsigned n) {
  kFastestBulk(tables, addresses, out, n);
}

HopId Fib6::lookup(const CaAddress6& address) const {
  const Fib6* const table = this;
  HopId hop;
  Fib6Walk::avx2(&table, &address, &hop, 1);
  return hop;
}

}  // namespace hnv
