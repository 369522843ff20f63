// SPDX-License-Identifier: Apache-2.0
//
// The large encoding of an IPv4 table, behind Fib4: a table of 4,096 entries for the first twelve
// bits, and a compressed trie with six bits a step for each entry that needs one (after Asai and
// Ohara, "Poptrie", SIGCOMM 2015).
//
//   entries[address >> 20] ─┬─ hop                         no longer prefix there
//                           ├─ block                       up to 2,048 routes in the /12
//                           └─ 64 entries, for /18s        more: each with a block of its own
//
//   block of a /12: 64 answers or nodes, one for each /18
//   node: slot i has a child (the children lie together), or it is in a run of slots with one
//         answer, which is kept once; the rank of its bit says where.
//
// A /24 ends on a step, so most lookups touch an entry, a word, a node and a leaf. A full internet
// table takes some 9 MiB.
//
// Prefixes shorter than an entry's are not copied into the blocks below: a block answers "inherit"
// where it has no route, and its entry says what that means. So a change rebuilds the one block
// that it lies in, or rewrites entries; everything else is shared with the table before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "compartments/cow_array.h"
#include "compartments/fib_change.h"
#include "compartments/fib_route.h"
#include "compartments/ids.h"

namespace hnv {

// One table of entries: the first twelve bits, or the six behind them. Immutable, as everything
// below. Built by the control thread; workers read `entries` and what they point to.
class FibTrie {
 public:
  struct Node {
    uint64_t inner = 0;       // bit i: slot i has a child
    uint64_t leaf = 0;        // bit i: slot i begins a run
    uint32_t first_node = 0;  // in bytes from the block's begin
    uint32_t first_leaf = 0;  // as well; of the run of rank 0, which there is not
  };
  struct Entry {
    // Null, a block, or one byte behind where the entries of the table below begin.
    const char* below = nullptr;
    HopId hop{};  // where nothing below knows better
  };

  // REQUIRES routes sorted by (network, length), without duplicates.
  [[nodiscard]] static std::shared_ptr<const FibTrie> build(std::span<const Route4> routes);
  [[nodiscard]] static std::shared_ptr<const FibTrie> with(const FibTrie& before,
                                                           const std::vector<FibChange>& changes,
                                                           const RoutesIn<Route4>& routes_in);

  [[nodiscard]] const Entry* entries() const { return entries_.data(); }
  [[nodiscard]] size_t routes() const { return routes_; }
  [[nodiscard]] size_t bytes() const { return bytes_; }  // that workers may read

  // The hops of addresses in host order; n <= 64. Of one table, and of a table each.
  static void lookup_bulk(const Entry* entries, const uint32_t* addresses, HopId* out, unsigned n);
  static void lookup_bulk(const Entry* const* tables, const uint32_t* addresses, HopId* out,
                          unsigned n);

 private:
  // What keeps an entry's block alive.
  struct Owned {
    std::shared_ptr<const char[]> block;
    std::shared_ptr<const FibTrie> table;
    HopId own = fib_internal::kInherit;  // of the whole entry, where there is neither
    uint32_t block_bytes = 0;
    uint32_t routes = 0;
    [[nodiscard]] size_t bytes() const { return block_bytes + (table ? table->bytes() : 0); }
  };

  FibTrie(uint32_t first, unsigned base, unsigned stride)
      : first_(first), base_(base), stride_(stride) {}

  [[nodiscard]] unsigned deep() const { return base_ + stride_; }  // an entry's prefix length
  [[nodiscard]] size_t slot_of(uint32_t address) const {
    return (address - first_) >> (32 - deep());
  }
  [[nodiscard]] uint32_t first_of(size_t slot) const {
    return first_ + (static_cast<uint32_t>(slot) << (32 - deep()));
  }
  [[nodiscard]] static std::shared_ptr<FibTrie> of(std::span<const Route4> routes, uint32_t first,
                                                   unsigned base, unsigned stride);
  [[nodiscard]] static Owned block_of(std::span<const Route4> routes, uint32_t first,
                                      unsigned length);
  [[nodiscard]] static Owned entry_of(std::span<const Route4> routes, uint32_t first,
                                      unsigned length);
  [[nodiscard]] static Owned entry_with(const Owned& before, const std::vector<FibChange>& changes,
                                        const RoutesIn<Route4>& routes_in, uint32_t first,
                                        unsigned length);
  void change_wide(const FibChange& change);
  void write_entry(size_t slot, const Owned& owned, HopId wide);
  void write_entries();

  uint32_t first_;
  unsigned base_;                // bits in front of this table
  unsigned stride_;              // bits that choose an entry
  std::vector<Entry> entries_;   // 2^stride
  CowArray<Owned> owned_;        // by entry
  std::vector<Route4> wide_;     // routes of prefixes shorter than an entry's, sorted
  std::vector<HopId> wide_hop_;  // by entry: what they say, or inherit
  size_t routes_ = 0;
  size_t bytes_ = 0;
};

}  // namespace hnv
