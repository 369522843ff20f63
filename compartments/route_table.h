// SPDX-License-Identifier: Apache-2.0
//
// The route table of one compartment, control side.
//
// Like RRAS's RTM it keeps every candidate that any source offers for a prefix and says which one
// is best: the lowest preference (a property of the source), then the lowest metric, then the
// lowest next hop. Candidates of one source that are equal up to the metric share the load when
// they all lead through a next hop.
//
// A next hop that lies on no interface is found through the table itself: through the best route to
// it, and that one's next hops, at most eight routes deep.
//
// Next hops behind L3 connections fail and recover (`fail`, `recover`). That changes no choice:
// candidates that may fail stand in front of those that follow them (RouteWays), and only where
// ways lead is looked at again (`resolve`), however many routes take them. While no way is in
// working order the best one stays, and its packets are refused.
//
// The candidates lie in a CowMap, ordered by prefix and then by who offered them: a copy of the
// table costs a count, a change of the copy one chunk. The candidates of a prefix are neighbours,
// and prefixes come in the order that Fib4::build wants.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "compartments/address.h"
#include "compartments/clock.h"
#include "compartments/cow_map.h"
#include "compartments/ids.h"
#include "compartments/prefix_order.h"
#include "compartments/spec.h"

namespace hnv {

enum class RouteSource : uint8_t {
  local,               // an own address of the gateway
  connected,           // a prefix that is on-link
  static_route,        // a customer route
  network_connection,  // a route of a network connection
  nat,
  ebgp,
  ibgp,
};
[[nodiscard]] std::string_view to_string(RouteSource source);  // as the API names it
[[nodiscard]] uint32_t preference_of(RouteSource source, const RoutePreferences& preferences);

// Who offered a candidate, among those of one source: a customer route, a peer. The owner of the
// source numbers them.
using RouteOrigin = Index<struct RouteOriginTag>;

// Where a route leads.
struct LocalHop {  // to the gateway itself
  friend auto operator<=>(const LocalHop&, const LocalHop&) = default;
};
struct SubnetHop {  // on-link in a virtual subnet: the next hop is the destination
  SubnetId subnet;
  friend auto operator<=>(const SubnetHop&, const SubnetHop&) = default;
};
struct SubnetViaHop {  // through a customer address in a virtual subnet
  IpAddress<Space::customer> via;
  SubnetId subnet;
  friend auto operator<=>(const SubnetViaHop&, const SubnetViaHop&) = default;
};
struct ConnectionHop {  // on-link on an L3 connection
  ConnectionId connection;
  friend auto operator<=>(const ConnectionHop&, const ConnectionHop&) = default;
};
struct ConnectionViaHop {  // through a router on an L3 connection
  IpAddress<Space::customer> via;
  ConnectionId connection;
  friend auto operator<=>(const ConnectionViaHop&, const ConnectionViaHop&) = default;
};
struct RecursiveHop {  // through an address that another route leads to
  IpAddress<Space::customer> via;
  friend auto operator<=>(const RecursiveHop&, const RecursiveHop&) = default;
};
struct TunnelHop {  // into the tunnel of an IPsec connection; fails while that is down
  ConnectionId connection;
  friend auto operator<=>(const TunnelHop&, const TunnelHop&) = default;
};
struct NatHop {  // out through NAT
  friend auto operator<=>(const NatHop&, const NatHop&) = default;
};
// Not through NAT, though a shorter prefix is: as if no NAT route were there.
struct ExceptNatHop {
  Prefix<Space::customer> prefix;
  friend auto operator<=>(const ExceptNatHop&, const ExceptNatHop&) = default;
};
struct BroadcastHop {  // a network or directed broadcast address: not forwarded
  friend auto operator<=>(const BroadcastHop&, const BroadcastHop&) = default;
};
struct UnreachableHop {
  friend auto operator<=>(const UnreachableHop&, const UnreachableHop&) = default;
};
using RouteHop =
    std::variant<LocalHop, SubnetHop, ConnectionHop, SubnetViaHop, ConnectionViaHop, RecursiveHop,
                 BroadcastHop, UnreachableHop, NatHop, ExceptNatHop, TunnelHop>;
// What the table is asked for to know where it leads.
[[nodiscard]] inline bool is_found_by_routes(const RouteHop& hop) {
  return std::holds_alternative<RecursiveHop>(hop) || std::holds_alternative<ExceptNatHop>(hop);
}

// The next-hop address; none for hops without one.
[[nodiscard]] std::optional<IpAddress<Space::customer>> via_of(const RouteHop& hop);
// "via 10.0.0.1", "on-link", "local", "unreachable", "not forwarded".
[[nodiscard]] std::string to_string(const RouteHop& hop);

struct RouteCandidate {
  Prefix<Space::customer> prefix;
  RouteSource source = RouteSource::static_route;
  RouteOrigin origin{};
  uint32_t metric = 0;
  RouteHop hop = UnreachableHop{};
  Instant installed_at{};
  friend bool operator==(const RouteCandidate&, const RouteCandidate&) = default;
};

// Hops that share the load of one prefix: sorted, each once, at most kMaxSharing. One hop when
// nothing is shared.
using RouteHops = std::vector<RouteHop>;
constexpr size_t kMaxSharing = 16;

// Hops in the order in which they are taken: those behind the first serve while none of those in
// front of them is in working order. No hop stands twice. Only where all hops in front may fail is
// there another way, and there are at most kMaxWays.
struct RouteWays {
  RouteHops first;
  std::vector<RouteHops> others;
  friend auto operator<=>(const RouteWays&, const RouteWays&) = default;
};
constexpr size_t kMaxWays = 4;

// What the candidates of a prefix come to. The pointer holds until the table changes.
struct RouteChoice {
  const RouteCandidate* best = nullptr;  // whether its next hop works or not
  RouteWays ways;
};

// Where ways lead now. No hop here is found by other routes.
struct Resolution {
  RouteHops hops;     // that are in use; empty: `how` says why
  RouteHops all;      // those and the ones that may come to be used: sorted, each once
  bool works = true;  // false: each of `hops` has failed, or there is none
  size_t way = 0;     // which of the ways has `hops`
  std::string how;    // "through 10.9.0.0/16", or "10.9.0.1 has no route"; empty: nothing to find
};

// The best route of a prefix changed; at least one side is set, and they differ in more than age.
struct RouteDelta {
  Prefix<Space::customer> prefix;
  std::optional<RouteCandidate> before;
  std::optional<RouteCandidate> after;
  [[nodiscard]] bool hop_changed() const { return !before || !after || before->hop != after->hop; }
};

// A candidate with the verdict on it.
struct RouteExplanation {
  RouteCandidate candidate;
  uint32_t preference = 0;
  bool best = false;   // of those that share the load, each
  std::string reason;  // a sentence that names the deciding attribute; a second one where the next
                       // hop is found through other routes
};

// Threads: that of a value. A copy is independent and may be read by other threads.
class RouteTable {
 public:
  explicit RouteTable(const RoutePreferences& preferences = {}) : preferences_(preferences) {}
  [[nodiscard]] const RoutePreferences& preferences() const { return preferences_; }

  // Adds the candidate, or replaces the one with the same (prefix, source, origin). An offer that
  // changes nothing keeps the age of the first.
  [[nodiscard]] std::optional<RouteDelta> put(const RouteCandidate& candidate);
  // Nothing happens when there is no such candidate.
  [[nodiscard]] std::optional<RouteDelta> remove(const Prefix<Space::customer>& prefix,
                                                 RouteSource source, RouteOrigin origin);
  // Weighs everything anew; nothing to do when they are the same.
  [[nodiscard]] std::vector<RouteDelta> set_preferences(const RoutePreferences& preferences);
  // The next hop does not answer; it answers again. Of a hop that no route takes nothing is known:
  // recover() it when its last route goes.
  void fail(const RouteHop& hop);
  void recover(const RouteHop& hop);
  void recover_all() { failed_ = nullptr; }
  [[nodiscard]] bool has_failed(const RouteHop& hop) const {
    return failed_ != nullptr && failed_->contains(hop);
  }

  // Null: nobody offers that. Pointers hold until the next change of the table.
  [[nodiscard]] const RouteCandidate* find(const Prefix<Space::customer>& prefix,
                                           RouteSource source, RouteOrigin origin) const {
    return candidates_.find(Key{prefix, source, origin});
  }
  // The best candidate, or null. Pointers hold until the next change of the table.
  [[nodiscard]] const RouteCandidate* best(const Prefix<Space::customer>& prefix) const;
  // The best candidate of the longest prefix that holds the address, or null.
  [[nodiscard]] const RouteCandidate* longest_match(
      const IpAddress<Space::customer>& address) const;
  // Nothing when the prefix has no candidate.
  [[nodiscard]] std::optional<RouteChoice> choice(const Prefix<Space::customer>& prefix) const;
  // Follows at most kMaxLooks routes, and as many again to know at most kMaxStanding hops beside
  // those in use.
  [[nodiscard]] Resolution resolve(const RouteWays& ways) const;
  static constexpr size_t kMaxLooks = 256;
  static constexpr size_t kMaxStanding = 64;
  // Every candidate of the prefix, the best one first, then in the order in which they would
  // follow.
  [[nodiscard]] std::vector<RouteExplanation> explain(const Prefix<Space::customer>& prefix) const;

  // Calls visit(const RouteCandidate& best) for each prefix: IPv4 first, then by address, then the
  // shorter prefix first.
  template <class Visit>
  void for_each_best(Visit visit) const {
    for (auto at = candidates_.begin(); at != candidates_.end();) {
      const auto group = group_at(at);
      visit(*group.best);
      at = group.end;
    }
  }
  // Likewise for each prefix behind `after` (absent: for each), while `visit` says to go on.
  template <class Visit>
  void for_each_best_behind(const std::optional<Prefix<Space::customer>>& after,
                            Visit visit) const {
    for (auto at = after ? first_of(*after) : candidates_.begin(); at != candidates_.end();) {
      const auto group = group_at(at);
      if (at->first.prefix != after && !visit(*group.best)) return;
      at = group.end;
    }
  }
  // Calls visit(prefix, choice) for each prefix that is or lies in `block`, in that order.
  template <class Visit>
  void for_each_choice_in(const Prefix<Space::customer>& block, Visit visit) const {
    for (auto at = first_of(block); at != candidates_.end();) {
      const auto group = group_at(at);
      const Prefix<Space::customer>& prefix = at->first.prefix;
      if (!block.contains(prefix.address())) break;
      if (prefix.length() >= block.length()) visit(prefix, choice_of(at, group));
      at = group.end;
    }
  }
  // Calls visit(const Prefix<Space::customer>&) for each prefix whose candidates differ, once, in
  // that order. Costs what differs where one table was made from a copy of the other.
  template <class Visit>
  static void for_each_changed(const RouteTable& before, const RouteTable& after, Visit visit) {
    std::optional<Prefix<Space::customer>> last;
    Candidates::difference(before.candidates_, after.candidates_,
                           [&](const Key& key, const RouteCandidate*, const RouteCandidate*) {
                             if (last == key.prefix) return;
                             last = key.prefix;
                             visit(key.prefix);
                           });
  }
  template <class Visit>
  void for_each_candidate(Visit visit) const {
    for (const auto& [key, candidate] : candidates_) visit(candidate);
  }

  [[nodiscard]] size_t candidates() const { return candidates_.size(); }
  [[nodiscard]] size_t prefixes() const { return prefixes_; }

 private:
  struct Key {
    Prefix<Space::customer> prefix;
    RouteSource source = RouteSource::local;
    RouteOrigin origin{0};
    friend bool operator==(const Key&, const Key&) = default;
    friend std::strong_ordering operator<=>(const Key& a, const Key& b) {
      if (const auto by_prefix = order(a.prefix, b.prefix); std::is_neq(by_prefix)) {
        return by_prefix;
      }
      if (a.source != b.source) return a.source <=> b.source;
      return a.origin <=> b.origin;
    }
  };
  using Candidates = CowMap<Key, RouteCandidate>;
  struct Group {  // the candidates of one prefix
    const RouteCandidate* best = nullptr;
    Candidates::const_iterator end;
  };
  struct Found {  // where a hop, or ways, lead
    RouteHops hops{};
    bool works = false;
    size_t way = 0;
    std::vector<Prefix<Space::customer>> passed{};  // routes that were of use, in order
    std::string failure{};                          // of the last hop that leads nowhere
  };
  struct Search {                                  // a resolution under way
    bool all = false;                              // also the ways that stand by
    std::vector<Prefix<Space::customer>> stack{};  // from where it began to where it is
    std::set<RouteHop> standing{};                 // every hop that was met
    size_t looks = 0;
  };

  [[nodiscard]] Candidates::const_iterator first_of(const Prefix<Space::customer>& prefix) const {
    return candidates_.lower_bound(Key{prefix});  // no source and no origin is lower
  }
  [[nodiscard]] static Group group_at(Candidates::const_iterator first,
                                      Candidates::const_iterator end,
                                      const RoutePreferences& preferences);
  [[nodiscard]] Group group_at(Candidates::const_iterator first) const {
    return group_at(first, candidates_.end(), preferences_);
  }
  [[nodiscard]] RouteChoice choice_of(Candidates::const_iterator first, const Group& group) const;
  void add_other_ways(std::vector<const RouteCandidate*> rest, RouteWays& ways) const;
  // `wanted`: an address that is looked for behind a route with this hop.
  [[nodiscard]] Found find(const RouteHop& hop, const IpAddress<Space::customer>* wanted,
                           Search& search) const;
  [[nodiscard]] Found find_shared(const RouteHops& hops, const IpAddress<Space::customer>* wanted,
                                  Search& search) const;
  [[nodiscard]] Found find_first(const RouteWays& ways, const IpAddress<Space::customer>* wanted,
                                 Search& search) const;
  [[nodiscard]] Found find_without_nat(const Prefix<Space::customer>& prefix,
                                       const IpAddress<Space::customer>* wanted,
                                       Search& search) const;
  [[nodiscard]] Found find_through(const RecursiveHop& hop, Search& search) const;

  class Watch;
  class Verdicts;

  RoutePreferences preferences_;
  Candidates candidates_;
  size_t prefixes_ = 0;
  std::shared_ptr<const std::set<RouteHop>> failed_;  // null: none
};

}  // namespace hnv
