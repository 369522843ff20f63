// SPDX-License-Identifier: Apache-2.0
#include "compartments/fib6_pieces.h"

#include <algorithm>
#include <map>
#include <utility>

namespace hnv {
namespace {

using fib_internal::kInherit;

// A piece of more routes than this is cut; two halves of a full one have room to grow.
constexpr size_t kMaxPieceRoutes = 512;
// A table that is cut into more pieces than one for so many routes, and then some, is built anew.
constexpr size_t kMinPieceRoutes = 16;

unsigned __int128 last_of(unsigned __int128 first, unsigned length) {
  return length == 128 ? first : first | ~static_cast<unsigned __int128>(0) >> length;
}

bool before(const Route6& a, const Route6& b) {
  return a.network != b.network ? a.network < b.network : a.length < b.length;
}

}  // namespace

void Fib6Pieces::put_wide(const Route6& route) {
  const auto at = std::lower_bound(wide_.begin(), wide_.end(), route, before);
  if (at != wide_.end() && at->network == route.network && at->length == route.length) {
    *at = route;
  } else {
    wide_.insert(at, route);
  }
}

// The piece under a prefix that holds all these routes, or its halves. A route of just that prefix
// covers both halves.
void Fib6Pieces::add(Address first, unsigned length, std::span<const Route6> routes) {
  if (routes.size() <= kMaxPieceRoutes) {
    FibFlattener<Address> flattener(0, ~Address{0}, kInherit);
    for (const Route6& route : routes) flattener.enter(route.first(), route.last(), route.hop);
    Piece piece;
    piece.table = Fib6::of(std::move(flattener).finish());
    piece.length = static_cast<uint8_t>(length);
    piece.routes = static_cast<uint32_t>(routes.size());
    bytes_ += piece.table->bytes();
    pieces_.insert_or_assign(first, std::move(piece));
    return;
  }
  if (routes.front().length == length) {
    put_wide(routes.front());
    routes = routes.subspan(1);
  }
  const Address upper = first | Address{1} << (127 - length);
  const auto middle = std::partition_point(
      routes.begin(), routes.end(), [&](const Route6& route) { return route.first() < upper; });
  const auto lower_count = static_cast<size_t>(middle - routes.begin());
  add(first, length + 1, routes.first(lower_count));
  add(upper, length + 1, routes.subspan(lower_count));
}

void Fib6Pieces::change_wide(const FibChange& change) {
  const Route6 route{change.prefix.address().v6(), change.prefix.length(),
                     change.hop.value_or(HopId())};
  const size_t count = wide_.size();
  if (change.hop) {
    put_wide(route);
  } else {
    std::erase_if(wide_, [&](const Route6& r) {
      return r.network == route.network && r.length == route.length;
    });
  }
  routes_ += wide_.size() - count;
}

// The entries, and the tree whose answers are their numbers.
void Fib6Pieces::write_entries(std::vector<FibRange<Address>>& tree) {
  FibFlattener<Address> flattener(0, ~Address{0}, HopId());
  for (const Route6& route : wide_) flattener.enter(route.first(), route.last(), route.hop);
  const auto wide = std::move(flattener).finish();
  entries_.clear();
  entries_.reserve(pieces_.size());
  tree.reserve(pieces_.size());
  size_t range = 0;
  for (const auto& [first, piece] : pieces_) {
    while (wide[range].last < first) ++range;
    tree.push_back({last_of(first, piece.length), HopId(static_cast<uint32_t>(entries_.size()))});
    entries_.push_back({piece.table.get(), wide[range].hop});
  }
}

std::shared_ptr<const Fib6> Fib6Pieces::finish(std::shared_ptr<Fib6Pieces> pieces) {
  std::vector<FibRange<Address>> tree;
  pieces->write_entries(tree);
  const std::shared_ptr<Fib6> table = Fib6::of(tree);
  const Fib6::Entry* const entries = pieces->entries_.data();
  const size_t bytes = pieces->bytes_ + pieces->entries_.size() * sizeof(Fib6::Entry);
  table->become_large(entries, std::move(pieces), bytes);
  return table;
}

std::shared_ptr<const Fib6> Fib6Pieces::build(std::span<const Route6> routes) {
  auto pieces = std::make_shared<Fib6Pieces>();
  pieces->routes_ = routes.size();
  pieces->add(0, 0, routes);
  return finish(std::move(pieces));
}

std::shared_ptr<const Fib6> Fib6Pieces::with(const Fib6Pieces& before,
                                             const std::vector<FibChange>& changes,
                                             const RoutesIn<Route6>& routes_in) {
  auto next = std::make_shared<Fib6Pieces>(before);
  std::map<Address, uint8_t> touched;  // pieces: first address and length
  for (const FibChange& change : changes) {
    const Route6 route{change.prefix.address().v6(), change.prefix.length(), HopId()};
    const auto& [first, piece] = *before.pieces_.floor(route.first());
    if (route.length < piece.length) {
      next->change_wide(change);
    } else {
      touched.emplace(first, piece.length);
    }
  }
  for (const auto& [first, length] : touched) {
    const Piece& old = *before.pieces_.find(first);
    next->bytes_ -= old.table->bytes();
    const auto routes = routes_in({Route6::address_of(first), length});
    next->routes_ += routes.size() - size_t{old.routes};
    next->add(first, length, routes);
  }
  if (next->routes_ < fib_internal::kMinLargeRoutes ||
      next->pieces_.size() > next->routes_ / kMinPieceRoutes + 256) {
    return nullptr;
  }
  return finish(std::move(next));
}

}  // namespace hnv
