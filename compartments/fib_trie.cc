// SPDX-License-Identifier: Apache-2.0
#include "compartments/fib_trie.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <utility>

#include "compartments/fib_ranges.h"

namespace hnv {
namespace {

using fib_internal::kInherit;
using Node = FibTrie::Node;
using Range = FibRange<uint32_t>;

constexpr unsigned kTopStride = 12;
constexpr unsigned kStride = 6;
constexpr unsigned kSlots = 1U << kStride;
constexpr unsigned kVector = 64;
// The strides end four bits behind an address; keys are addresses with four zero bits behind them.
constexpr unsigned kSpareBits = 4;
constexpr unsigned kTopShift = 32 + kSpareBits - kTopStride - kStride;  // of the slots of a /12
// Entries and blocks lie at even addresses, so an odd one tells that it is a table's.
bool is_table(const char* below) { return (reinterpret_cast<uintptr_t>(below) & 1) != 0; }
// Routes of a /12 from which on it has a table of /18s: a block of them is rebuilt in well below a
// millisecond. It has one block again below half of that.
constexpr size_t kMaxBlockRoutes = 2048;

uint64_t key_of(uint32_t address) { return uint64_t{address} << kSpareBits; }

// A word of a block: an answer, or (top bit set, and not "no route") where a node is, in bytes from
// the block's begin.
constexpr uint32_t kNodeBit = uint32_t{1} << 31;
bool is_node(uint32_t word) { return static_cast<int32_t>(word) < -1; }
static_assert(HopId::kNone == UINT32_MAX && kInherit.value() < kNodeBit);

// ---- Building one block.

class BlockBuilder {
 public:
  explicit BlockBuilder(const std::vector<Range>& ranges) : ranges_(ranges) {}

  // The block of a /12 or an /18 for the addresses from `first` on: words of a /12 or nothing, then
  // nodes, then leaves, in one allocation.
  std::shared_ptr<const char[]> build(uint32_t first, unsigned length) {
    if (length == kTopStride) {
      fill_words(first);
    } else {
      nodes_.resize(1);
      fill(0, first, kTopShift - kStride, 0);
    }
    const size_t nodes_at = words_.size() * sizeof(uint32_t);
    const size_t leaves_at = nodes_at + nodes_.size() * sizeof(Node);
    for (uint32_t& word : words_) {
      if (is_node(word)) {
        word = kNodeBit | static_cast<uint32_t>(nodes_at + (word & ~kNodeBit) * sizeof(Node));
      }
    }
    for (Node& node : nodes_) {
      node.first_node = static_cast<uint32_t>(nodes_at + node.first_node * sizeof(Node));
      node.first_leaf =
          static_cast<uint32_t>(leaves_at + (size_t{node.first_leaf} - 1) * sizeof(uint32_t));
    }
    bytes_ = leaves_at + leaves_.size() * sizeof(uint32_t);
    std::shared_ptr<char[]> block(new char[bytes_]);
    copy(block.get(), words_);
    copy(block.get() + nodes_at, nodes_);
    copy(block.get() + leaves_at, leaves_);
    return block;
  }
  [[nodiscard]] size_t bytes() const { return bytes_; }

 private:
  struct Child {
    uint32_t first;
    size_t range;
  };

  template <class T>
  static void copy(char* to, const std::vector<T>& from) {
    if (!from.empty()) std::memcpy(to, from.data(), from.size() * sizeof(T));
  }

  void fill_words(uint32_t first) {
    constexpr uint32_t kWidth = 1U << (32 - kTopStride - kStride);
    size_t range = 0;
    for (unsigned slot = 0; slot < kSlots; ++slot, first += kWidth) {
      while (ranges_[range].last < first) ++range;
      if (ranges_[range].last - first >= kWidth - 1) {
        words_.push_back(ranges_[range].hop.value());
      } else {
        const size_t node = nodes_.size();
        words_.push_back(kNodeBit | static_cast<uint32_t>(node));
        nodes_.resize(node + 1);
        fill(node, first, kTopShift - kStride, range);
      }
    }
  }

  // Node `at` for the addresses from `first` on; `range` holds the first of them.
  void fill(size_t at, uint32_t first, unsigned shift, size_t range) {
    Node node;
    node.first_leaf = static_cast<uint32_t>(leaves_.size());
    std::array<Child, kSlots> children;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    unsigned count = 0;
    // On the last step only every sixteenth slot is an address.
    const unsigned step = shift == 0 ? 1U << kSpareBits : 1;
    for (unsigned slot = 0; slot < kSlots; slot += step) {
      const uint32_t from = first + static_cast<uint32_t>((uint64_t{slot} << shift) >> kSpareBits);
      const uint64_t width = (uint64_t{step} << shift) >> kSpareBits;
      const auto to = static_cast<uint32_t>(from + (width - 1));
      while (ranges_[range].last < from) ++range;
      if (ranges_[range].last < to) {
        node.inner |= uint64_t{1} << slot;
        children[count++] = {from, range};
        continue;
      }
      const uint32_t hop = ranges_[range].hop.value();
      if (leaves_.size() == node.first_leaf || leaves_.back() != hop) {
        node.leaf |= uint64_t{1} << slot;
        leaves_.push_back(hop);
      }
    }
    node.first_node = static_cast<uint32_t>(nodes_.size());
    nodes_.resize(nodes_.size() + count);
    nodes_[at] = node;
    for (unsigned i = 0; i < count; ++i) {
      fill(node.first_node + i, children[i].first, shift - kStride, children[i].range);
    }
  }

  const std::vector<Range>& ranges_;
  std::vector<uint32_t> words_;
  std::vector<Node> nodes_;  // until the end with indexes, not bytes
  std::vector<uint32_t> leaves_;
  size_t bytes_ = 0;
};

bool before(const Route4& a, const Route4& b) {
  return a.network != b.network ? a.network < b.network : a.length < b.length;
}

}  // namespace

// ---- Entries.

FibTrie::Owned FibTrie::block_of(std::span<const Route4> routes, uint32_t first, unsigned length) {
  const uint32_t last = first | ~(UINT32_MAX << (32 - length));
  FibFlattener<uint32_t> flattener(first, last, kInherit);
  for (const Route4& route : routes) flattener.enter(route.first(), route.last(), route.hop);
  const std::vector<Range> ranges = std::move(flattener).finish();
  Owned owned;
  owned.routes = static_cast<uint32_t>(routes.size());
  if (ranges.size() == 1) {
    owned.own = ranges[0].hop;
    return owned;
  }
  BlockBuilder builder(ranges);
  owned.block = builder.build(first, length);
  owned.block_bytes = static_cast<uint32_t>(builder.bytes());
  return owned;
}

FibTrie::Owned FibTrie::entry_of(std::span<const Route4> routes, uint32_t first, unsigned length) {
  if (length != kTopStride || routes.size() <= kMaxBlockRoutes) {
    return block_of(routes, first, length);
  }
  Owned owned;
  owned.routes = static_cast<uint32_t>(routes.size());
  owned.table = of(routes, first, length, kStride);
  return owned;
}

FibTrie::Owned FibTrie::entry_with(const Owned& before, const std::vector<FibChange>& changes,
                                   const RoutesIn<Route4>& routes_in, uint32_t first,
                                   unsigned length) {
  if (before.table && before.routes >= kMaxBlockRoutes / 2) {
    Owned owned = before;
    owned.table = with(*before.table, changes, routes_in);
    owned.routes = static_cast<uint32_t>(owned.table->routes());
    return owned;
  }
  const std::vector<Route4> routes = routes_in({CaAddress(first), static_cast<uint8_t>(length)});
  return entry_of(routes, first, length);
}

void FibTrie::write_entry(size_t slot, const Owned& owned, HopId wide) {
  Entry& entry = entries_[slot];
  entry.below =
      owned.table ? reinterpret_cast<const char*>(owned.table->entries()) + 1 : owned.block.get();
  entry.hop = owned.own == kInherit ? wide : owned.own;
}

// All entries anew, from what they own and from the wide routes.
void FibTrie::write_entries() {
  const bool top = base_ == 0;
  const uint32_t last = top ? UINT32_MAX : first_ | ~(UINT32_MAX << (32 - base_));
  FibFlattener<uint32_t> flattener(first_, last, top ? HopId() : kInherit);
  for (const Route4& route : wide_) flattener.enter(route.first(), route.last(), route.hop);
  const std::vector<Range> ranges = std::move(flattener).finish();
  entries_.resize(size_t{1} << stride_);
  wide_hop_.resize(entries_.size());
  size_t range = 0;
  for (size_t slot = 0; slot < entries_.size(); ++slot) {
    while (ranges[range].last < first_of(slot)) ++range;
    wide_hop_[slot] = ranges[range].hop;
    write_entry(slot, owned_[slot], wide_hop_[slot]);
  }
}

// ---- Tables.

std::shared_ptr<FibTrie> FibTrie::of(std::span<const Route4> routes, uint32_t first, unsigned base,
                                     unsigned stride) {
  std::shared_ptr<FibTrie> table(new FibTrie(first, base, stride));
  table->routes_ = routes.size();
  CowArray<Owned>::Editor owned{CowArray<Owned>()};
  std::vector<Route4> inside;
  const auto flush = [&] {
    if (inside.empty()) return;
    const size_t slot = table->slot_of(inside.front().first());
    Owned entry = entry_of(inside, table->first_of(slot), table->deep());
    table->bytes_ += entry.bytes();
    owned.set(slot, entry);
    inside.clear();
  };
  for (const Route4& route : routes) {
    if (route.length < table->deep()) {
      table->wide_.push_back(route);
      continue;
    }
    if (!inside.empty() &&
        table->slot_of(inside.front().first()) != table->slot_of(route.first())) {
      flush();
    }
    inside.push_back(route);
  }
  flush();
  table->owned_ = std::move(owned).finish();
  table->write_entries();
  table->bytes_ += table->entries_.size() * sizeof(Entry);
  return table;
}

std::shared_ptr<const FibTrie> FibTrie::build(std::span<const Route4> routes) {
  return of(routes, 0, 0, kTopStride);
}

void FibTrie::change_wide(const FibChange& change) {
  const Route4 route{change.prefix.address().v4(), change.prefix.length(),
                     change.hop.value_or(HopId())};
  const auto at = std::lower_bound(wide_.begin(), wide_.end(), route, before);
  const bool known =
      at != wide_.end() && at->network == route.network && at->length == route.length;
  if (!change.hop) {
    if (!known) return;
    wide_.erase(at);
    --routes_;
  } else if (known) {
    *at = route;
  } else {
    wide_.insert(at, route);
    ++routes_;
  }
}

std::shared_ptr<const FibTrie> FibTrie::with(const FibTrie& before,
                                             const std::vector<FibChange>& changes,
                                             const RoutesIn<Route4>& routes_in) {
  std::shared_ptr<FibTrie> next(new FibTrie(before));
  bool wide_changed = false;
  std::vector<std::pair<size_t, FibChange>> deep;
  for (const FibChange& change : changes) {
    if (change.prefix.length() < next->deep()) {
      next->change_wide(change);
      wide_changed = true;
    } else {
      deep.emplace_back(next->slot_of(change.prefix.address().v4().value()), change);
    }
  }
  std::stable_sort(deep.begin(), deep.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  CowArray<Owned>::Editor owned(before.owned_);
  std::vector<FibChange> inside;
  for (size_t i = 0; i < deep.size();) {
    const size_t slot = deep[i].first;
    inside.clear();
    for (; i < deep.size() && deep[i].first == slot; ++i) inside.push_back(deep[i].second);
    const Owned& old = owned[slot];
    Owned entry = entry_with(old, inside, routes_in, next->first_of(slot), next->deep());
    next->routes_ += entry.routes - size_t{old.routes};
    next->bytes_ += entry.bytes() - old.bytes();
    next->write_entry(slot, entry, next->wide_hop_[slot]);
    owned.set(slot, entry);
  }
  next->owned_ = std::move(owned).finish();
  if (wide_changed) next->write_entries();
  return next;
}

// ---- Looking up.

namespace {

using Entry = FibTrie::Entry;

const Entry& top_entry(const Entry* entries, uint32_t address) {
  return entries[address >> (32 - kTopStride)];
}
unsigned slot_at(uint32_t address, unsigned shift) {
  return static_cast<unsigned>(key_of(address) >> shift) & (kSlots - 1);
}
const Entry& below_table(const Entry& top, uint32_t address) {
  return reinterpret_cast<const Entry*>(top.below - 1)[slot_at(address, kTopShift)];
}
// What the entries say where the blocks below know nothing.
HopId inherited(const Entry& top, uint32_t address) {
  if (!is_table(top.below)) return top.hop;
  const HopId hop = below_table(top, address).hop;
  return hop == kInherit ? top.hop : hop;
}

// Where the packets of a vector are. Those that stand at a node are listed in `active`; what is
// settled falls out of it.
struct Walkers {  // NOLINT(cppcoreguidelines-pro-type-member-init): filled up to a count
  std::array<const char*, kVector> block;
  std::array<const char*, kVector> at;
  std::array<uint8_t, kVector> active;
  unsigned count = 0;
};

// The first eighteen bits. `entries_of(i)` are packet i's.
template <class EntriesOf>
[[gnu::always_inline]] inline void enter(EntriesOf entries_of, const uint32_t* addresses,
                                         HopId* out, unsigned n, Walkers& walkers) {
  auto& [block, at, active, count] = walkers;
  for (unsigned i = 0; i < n; ++i) __builtin_prefetch(&top_entry(entries_of(i), addresses[i]));
  for (unsigned i = 0; i < n; ++i) {
    block[i] = top_entry(entries_of(i), addresses[i]).below;
    // Of no block, or of a table of /18s, this fetches something of no use.
    const auto answer =
        reinterpret_cast<uintptr_t>(block[i]) + slot_at(addresses[i], kTopShift) * sizeof(uint32_t);
    __builtin_prefetch(reinterpret_cast<const void*>(answer));  // NOLINT(performance-no-int-to-ptr)
  }
  for (unsigned i = 0; i < n; ++i) {
    uint32_t word = kInherit.value();
    if (block[i] != nullptr && !is_table(block[i])) [[likely]] {
      std::memcpy(&word, block[i] + slot_at(addresses[i], kTopShift) * sizeof(uint32_t),
                  sizeof word);
    } else if (block[i] != nullptr) {
      block[i] = below_table(top_entry(entries_of(i), addresses[i]), addresses[i]).below;
      if (block[i] != nullptr) word = kNodeBit;  // its first node
    }
    out[i] = HopId(word);
    active[count] = static_cast<uint8_t>(i);
    if (is_node(word)) {
      at[i] = block[i] + (word & ~kNodeBit);
      __builtin_prefetch(at[i]);
      ++count;
    }
  }
}

// The rest, in step: each round all packets that still stand at a node read it and fetch what they
// need next, so that their cache misses overlap.
[[gnu::always_inline]] inline void descend(const uint32_t* addresses, HopId* out,
                                           Walkers& walkers) {
  auto& [block, at, active, count] = walkers;
  std::array<uint8_t, kVector> settled;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  unsigned settled_count = 0;
  for (unsigned shift = kTopShift; count != 0;) {
    shift -= kStride;
    unsigned kept = 0;
    for (unsigned k = 0; k < count; ++k) {
      const unsigned i = active[k];
      const auto& node = *reinterpret_cast<const Node*>(at[i]);
      const uint64_t bit = uint64_t{1} << slot_at(addresses[i], shift);
      if ((node.inner & bit) != 0) {
        const auto rank = static_cast<unsigned>(__builtin_popcountll(node.inner & (bit - 1)));
        at[i] = block[i] + node.first_node + rank * sizeof(Node);
        active[kept++] = static_cast<uint8_t>(i);
      } else {
        const auto rank = static_cast<unsigned>(__builtin_popcountll(node.leaf & (2 * bit - 1)));
        at[i] = block[i] + node.first_leaf + rank * sizeof(uint32_t);
        settled[settled_count++] = static_cast<uint8_t>(i);
      }
      __builtin_prefetch(at[i]);
    }
    count = kept;
  }
  for (unsigned k = 0; k < settled_count; ++k) {
    uint32_t word = 0;
    std::memcpy(&word, at[settled[k]], sizeof word);
    out[settled[k]] = HopId(word);
  }
}

template <class EntriesOf>
[[gnu::always_inline]] inline void walk(EntriesOf entries_of, const uint32_t* addresses, HopId* out,
                                        unsigned n) {
  assert(n <= kVector);
  Walkers walkers;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  enter(entries_of, addresses, out, n, walkers);
  descend(addresses, out, walkers);
  for (unsigned i = 0; i < n; ++i) {
    if (out[i] == kInherit) {
      out[i] = inherited(top_entry(entries_of(i), addresses[i]), addresses[i]);
    }
  }
}

}  // namespace

void FibTrie::lookup_bulk(const Entry* entries, const uint32_t* addresses, HopId* out, unsigned n) {
  walk([=](unsigned) { return entries; }, addresses, out, n);
}

void FibTrie::lookup_bulk(const Entry* const* tables, const uint32_t* addresses, HopId* out,
                          unsigned n) {
  walk([=](unsigned i) { return tables[i]; }, addresses, out, n);
}

}  // namespace hnv
