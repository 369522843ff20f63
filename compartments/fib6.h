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
// An answer is a HopId below 2^31, or "no route", or (top bit set) the tree of a /64. Separators
// are last addresses and lie with the top bit flipped, as there. 48 ranges need one node above the
// leaves, 384 two, 3072 three.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "compartments/address.h"
#include "compartments/fib.h"
#include "compartments/ids.h"

namespace hnv {

struct Route6 {
  CaAddress6 network;  // host bits are zero
  uint8_t length = 0;  // 0..128
  HopId hop;           // invalid: the addresses of this prefix have no route
  friend constexpr auto operator<=>(const Route6&, const Route6&) = default;
};

// Immutable: built by the control thread, read by workers, kept alive by the CompartmentView. A
// change of routes is a new table.
class alignas(64) Fib6 {
 public:
  // REQUIRES routes sorted by (network, length), without duplicates; hops below 2^31 or invalid.
  [[nodiscard]] static std::shared_ptr<const Fib6> build(std::span<const Route6> routes);

  Fib6(const Fib6&) = delete;
  Fib6(Fib6&&) = delete;
  Fib6& operator=(const Fib6&) = delete;
  Fib6& operator=(Fib6&&) = delete;

  // The hop of the longest prefix that holds the address; invalid when none does.
  [[nodiscard]] HopId lookup(const CaAddress6& address) const;

  [[nodiscard]] size_t bytes() const { return info_.bytes; }    // of the one allocation
  [[nodiscard]] size_t ranges() const { return info_.ranges; }  // neighbours of one answer are one

 private:
  friend struct Fib6Walk;
  friend class Fib6Writer;
  struct alignas(64) Line {
    std::array<uint64_t, 8> word{};
  };
  struct alignas(64) Info {
    size_t bytes = 0;
    size_t ranges = 0;
  };

  Fib6() = default;
  ~Fib6() = default;
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
