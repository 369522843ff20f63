// SPDX-License-Identifier: Apache-2.0
//
// The forwarding table of one compartment: longest prefix match for IPv6.
//
// Ranges as in fib.h, but an address is two words of 64 bits. A tree of cache lines searches the
// upper half; a /64 that holds longer prefixes has a tree of its own for the lower half, which its
// range's answer refers to. Most tables need the second step for a /64 with an own address only,
// and that is a single leaf.
//
//   node: 7 separators | where the 8 children are      one line
//   leaf: 5 separators | 6 answers                     one line
//
// A table of more than 4,096 ranges is such a tree of pieces, each a table of at most 512 routes
// under one prefix, chosen so that every route lies in a piece or covers whole ones
// (fib6_pieces.h). A piece answers "inherit" where it has no route, and its entry says what that
// means. So a change rebuilds one piece and the tree above, and shares the rest.
//
// An answer is a HopId below 2^31, or "no route", or (top bit set) the tree of a /64. Separators
// are last addresses and lie with the top bit flipped, as there. 48 ranges need one node above the
// leaves, 384 two, 3072 three.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "compartments/address.h"
#include "compartments/fib.h"
#include "compartments/fib_ranges.h"
#include "compartments/ids.h"

namespace hnv {

class Fib6Pieces;

// Immutable: built by the control thread, read by workers, kept alive by the CompartmentView. A
// change of routes is a new table.
class alignas(64) Fib6 {
 public:
  // REQUIRES routes sorted by (network, length), without duplicates; hops below 2^31 or invalid.
  [[nodiscard]] static std::shared_ptr<const Fib6> build(std::span<const Route6> routes);
  // This table after `changes`, each of an IPv6 prefix of its own. A small table is built anew; of
  // a large one only the pieces that the changes lie in, for which `routes_in` is asked.
  [[nodiscard]] std::shared_ptr<const Fib6> with(const std::vector<FibChange>& changes,
                                                 const RoutesIn<Route6>& routes_in) const;

  Fib6(const Fib6&) = delete;
  Fib6(Fib6&&) = delete;
  Fib6& operator=(const Fib6&) = delete;
  Fib6& operator=(Fib6&&) = delete;

  // The hop of the longest prefix that holds the address; invalid when none does.
  [[nodiscard]] HopId lookup(const CaAddress6& address) const;

  [[nodiscard]] size_t bytes() const { return info_.bytes; }  // that workers may read
  [[nodiscard]] bool large() const { return info_.pieces != nullptr; }
  // Of a small table; neighbours of one answer are one.
  [[nodiscard]] size_t ranges() const { return info_.ranges; }

 private:
  friend struct Fib6Walk;
  friend class Fib6Writer;
  friend class Fib6Pieces;
  struct alignas(64) Line {
    std::array<uint64_t, 8> word{};
  };
  struct Entry {  // of a piece
    const Fib6* table = nullptr;
    HopId hop;  // where the piece knows no route
  };
  struct alignas(64) Info {
    const Entry* entries = nullptr;  // by what the tree answers; null: that is the hop
    size_t bytes = 0;
    size_t ranges = 0;
    std::shared_ptr<const Fib6Pieces> pieces;  // of a large table; owns the entries
  };

  Fib6() = default;
  ~Fib6() = default;
  // A tree over ranges of all addresses, which are neighbours.
  [[nodiscard]] static std::shared_ptr<Fib6> of(
      const std::vector<FibRange<unsigned __int128>>& ranges);
  // What the tree answers are the numbers of entries, which `pieces` keeps alive.
  void become_large(const Entry* entries, std::shared_ptr<const Fib6Pieces> pieces,
                    size_t bytes_of_pieces);
  [[nodiscard]] const Line* lines() const { return reinterpret_cast<const Line*>(this); }

  Line root_;  // line 0 of the allocation
  Info info_;  // line 1, not touched by lookups; nodes and leaves follow
};

// lookup() for a vector of packets, each in its own compartment's table: out[i] is
// tables[i]->lookup(addresses[i]). REQUIRES n <= 64 and no null table; the arrays do not overlap.
void lookup_bulk(const Fib6* const* tables, const CaAddress6* addresses, HopId* out, unsigned n);

// The variants, for tests that compare them bit by bit.
using Fib6LookupBulk = void (*)(const Fib6* const*, const CaAddress6*, HopId*, unsigned);
[[nodiscard]] Fib6LookupBulk fib6_variant(FibVariant variant);  // null: not on this processor

}  // namespace hnv
