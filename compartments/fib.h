// SPDX-License-Identifier: Apache-2.0
//
// The forwarding table of one compartment: longest prefix match for IPv4.
//
// Prefixes either nest or are disjoint, so a route table cuts the address space into at most
// 2n+1 ranges of one answer each, and a lookup is a search among sorted range ends. The ranges lie
// in a 16-ary tree of cache lines:
//
//   root: 14 separators | where the children are      one line: a compare, a mask, a popcount
//   node: 15 separators | where the children are      one line
//   leaf: 15 separators |  -   and 16 answers         two lines, prefetched together
//
// The root is a value of its own: a copy of it lies in the CompartmentView, beside what every
// packet touches anyway.
//
// A separator is the last address of a range (not the first of the next): an address belongs to
// child number "how many separators are smaller than it", and the padding 255.255.255.255 is
// smaller than none, so there is no edge case at either end. Separators are stored with the top bit
// flipped, because vector instructions compare signed numbers.
//
// 240 ranges (about 120 routes) need the root above the leaves, 3840 one more level of nodes,
// 61,440 two. A whole table is one allocation of some 20 bytes a route, so the tables of thousands
// of compartments fit in the caches together.
//
// A table of more than 4,096 ranges has another encoding behind the same calls (fib_trie.h), in
// which a change costs what it touches and not what the table holds.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "compartments/fib_change.h"
#include "compartments/fib_route.h"
#include "compartments/fib_trie.h"
#include "compartments/ids.h"

namespace hnv {

// Where every lookup begins. Holds as long as its table lives.
class alignas(64) FibRoot {
 private:
  friend class Fib4;
  friend struct FibWalk;
  std::array<uint32_t, 14> separators_{};
  const char* below_ = nullptr;  // the first child or entry, and in the low bits what is there
};
static_assert(sizeof(FibRoot) == 64);

// Immutable: built by the control thread, read by workers, kept alive by the CompartmentView. A
// change of routes is a new table.
class alignas(128) Fib4 {
 public:
  // REQUIRES routes sorted by (network, length), without duplicates. One sweep.
  [[nodiscard]] static std::shared_ptr<const Fib4> build(std::span<const Route4> routes);
  // This table after `changes`, each of an IPv4 prefix of its own. A small table is built anew; of
  // a large one only the blocks that the changes lie in, for which `routes_in` is asked.
  [[nodiscard]] std::shared_ptr<const Fib4> with(const std::vector<FibChange>& changes,
                                                 const RoutesIn<Route4>& routes_in) const;

  Fib4(const Fib4&) = delete;
  Fib4(Fib4&&) = delete;
  Fib4& operator=(const Fib4&) = delete;
  Fib4& operator=(Fib4&&) = delete;

  // The hop of the longest prefix that holds the address (host order); invalid when none does.
  [[nodiscard]] HopId lookup(uint32_t address) const;
  [[nodiscard]] const FibRoot& root() const { return root_; }

  [[nodiscard]] size_t bytes() const { return info_.bytes; }  // that workers may read
  [[nodiscard]] bool large() const { return info_.trie != nullptr; }
  // Of a small table; neighbours of one answer are one.
  [[nodiscard]] size_t ranges() const { return info_.ranges; }

 private:
  friend struct FibWalk;
  struct alignas(64) Line {
    std::array<uint32_t, 16> word{};
  };
  struct alignas(64) Info {
    size_t bytes = 0;
    size_t ranges = 0;
    std::shared_ptr<const FibTrie> trie;  // of a large table
  };

  Fib4() = default;
  ~Fib4() = default;
  [[nodiscard]] static std::shared_ptr<const Fib4> of(std::shared_ptr<const FibTrie> trie);
  FibRoot root_;  // line 0 of the allocation
  Info info_;     // line 1, not touched by lookups; nodes and leaves follow
};

// lookup() for a vector of packets, each in its own compartment's table: out[i] is the lookup of
// addresses[i] below roots[i]. Memory accesses of all packets overlap; the roots are at hand or
// have been fetched. REQUIRES n <= 64 and no null root; the arrays do not overlap. The fastest
// variant for this processor is chosen once, at start.
void lookup_bulk(const FibRoot* const* roots, const uint32_t* addresses, HopId* out, unsigned n);

// The variants, for tests that compare them bit by bit.
enum class FibVariant : uint8_t { scalar, avx2, avx512 };
using FibLookupBulk = void (*)(const FibRoot* const*, const uint32_t*, HopId*, unsigned);
[[nodiscard]] FibLookupBulk fib_variant(FibVariant variant);  // null: not on this processor

}  // namespace hnv
