// SPDX-License-Identifier: Apache-2.0
//
// How a large IPv6 table is cut (control side of fib6.h): the address space in pieces, each under a
// prefix of its own. A route whose prefix is as long as its piece's or longer belongs to the piece;
// a shorter one covers whole pieces and is kept apart. A piece of too many routes becomes two.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "compartments/cow_map.h"
#include "compartments/fib6.h"
#include "compartments/fib_change.h"
#include "compartments/fib_route.h"

namespace hnv {

// Immutable; shares what a change does not touch with the one before.
class Fib6Pieces {
 public:
  // REQUIRES routes sorted by (network, length), without duplicates.
  [[nodiscard]] static std::shared_ptr<const Fib6> build(std::span<const Route6> routes);
  // Null when the table is small now, or cut so fine that it should be built anew.
  [[nodiscard]] static std::shared_ptr<const Fib6> with(const Fib6Pieces& before,
                                                        const std::vector<FibChange>& changes,
                                                        const RoutesIn<Route6>& routes_in);

 private:
  using Address = unsigned __int128;

  struct Piece {
    std::shared_ptr<const Fib6> table;
    uint8_t length = 0;
    uint32_t routes = 0;
  };

  void add(Address first, unsigned length, std::span<const Route6> routes);
  void change_wide(const FibChange& change);
  void put_wide(const Route6& route);
  void write_entries(std::vector<FibRange<Address>>& tree);
  [[nodiscard]] static std::shared_ptr<const Fib6> finish(std::shared_ptr<Fib6Pieces> pieces);

  CowMap<Address, Piece> pieces_;     // by first address
  std::vector<Route6> wide_;          // routes that cover whole pieces, sorted
  std::vector<Fib6::Entry> entries_;  // by piece, in order
  size_t routes_ = 0;
  size_t bytes_ = 0;  // of the pieces' tables
};

}  // namespace hnv
