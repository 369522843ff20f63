// SPDX-License-Identifier: Apache-2.0
//
// The hops of one domain, control side. Routes lead to hops, to sets of them, to sets of which one
// stands by for another (RouteWays); each has one number, what FIBs answer, for as long as a route
// leads to it. What workers find under the number:
//
//   one hop             → a Hop
//   several             → a Hop that names a HopGroup
//   a next hop that is  → what the route table says of it now: when another route changes, the
//   found through        entry changes and the FIB does not
//   other routes
//   a next hop fails    → the hops of the first way that works: again the entry changes, not the
//   FIB
//
// Hops that stand by are held as those in use are: their neighbours are known to answer or not.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "compartments/compartment_view.h"
#include "compartments/cow_map.h"
#include "compartments/route_table.h"

namespace hnv {

// Immutable; a copy costs little. Changed by an Editor.
class HopTable {
 public:
  class Editor;

  // Invalid when no route leads there.
  [[nodiscard]] HopId find(const RouteWays& ways) const;
  [[nodiscard]] bool holds(const RouteHop& hop) const { return find({{hop}, {}}).valid(); }
  void show_in(CompartmentView& view) const;
  // The outside next hops that the hops hold.
  void for_each_next_hop(const std::function<void(NextHopId)>& visit) const;

 private:
  struct Number {
    HopId id;
    uint32_t uses = 0;  // routes, and numbers that have it as a member
    RouteHops
        members;       // held: in use or standing by; empty: this is a hop itself, or leads nowhere
    RouteHops in_use;  // of the members
  };

  CowMap<RouteWays, Number> numbers_;
  std::set<RouteWays> recursive_;  // those that hold a RecursiveHop
  std::shared_ptr<const std::vector<Hop>> hops_ = std::make_shared<const std::vector<Hop>>();
  std::shared_ptr<const std::vector<HopGroup>> groups_ =
      std::make_shared<const std::vector<HopGroup>>();
  std::vector<HopId> free_hops_;
  std::vector<uint16_t> free_groups_;
};

// One thread; not reused after finish().
class HopTable::Editor {
 public:
  // What it asks its owner for.
  struct Owner {
    std::function<Hop(const RouteHop&)> make;  // of a hop that is not recursive; takes next hops
    std::function<void(const RouteHop&, const Hop&)> give_back;
    std::function<Resolution(const RouteWays&)> resolve;
  };

  Editor(HopTable base, Owner owner) : next_(std::move(base)), owner_(std::move(owner)) {}

  // One more route leads there, one less.
  HopId acquire(const RouteWays& ways);
  void release(const RouteWays& ways);
  // Routes have changed: looks again where next hops lead that are found through them.
  void resolve_again();
  // The hop has failed or recovered: looks again at what it is a member of. Takes and gives back
  // nothing.
  void reconsider(const RouteHop& hop);

  [[nodiscard]] const HopTable& now() const { return next_; }
  [[nodiscard]] HopTable finish() &&;

 private:
  [[nodiscard]] HopId new_id(const RouteWays& ways);
  [[nodiscard]] Hop& entry(HopId id);
  [[nodiscard]] std::vector<HopGroup>& groups();
  void hold_members(const RouteWays& ways, Number& number);
  void write_members(HopId id, const RouteHops& members);
  void free_group_of(HopId id);

  HopTable next_;
  Owner owner_;
  std::shared_ptr<std::vector<Hop>> hops_;  // a copy of ours, once something changes
  std::shared_ptr<std::vector<HopGroup>> groups_;
};

}  // namespace hnv
