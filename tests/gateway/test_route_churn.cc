// SPDX-License-Identifier: Apache-2.0
//
// The whole way of a route, from who offers it to what a worker finds for a packet: RouteTable,
// HopTable and both FIBs under random offers, withdrawals, preferences and failing next hops,
// against a list of candidates that is searched from end to end.
#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "compartments/fib.h"
#include "compartments/fib6.h"
#include "compartments/route_table.h"
#include "gateway/hop_table.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

using Ca = IpAddress<Space::customer>;
using CaPrefix = Prefix<Space::customer>;
using Hops = std::set<RouteHop>;

// ---- The list.

class NaiveRoutes {
 public:
  void put(const RouteCandidate& c) {
    remove(c);
    all_.push_back(c);
  }
  void remove(const RouteCandidate& c) {
    std::erase_if(all_, [&](const RouteCandidate& known) {
      return known.prefix == c.prefix && known.source == c.source && known.origin == c.origin;
    });
  }
  void set_preferences(const RoutePreferences& preferences) { preferences_ = preferences; }
  void turn(const RouteHop& hop) {
    if (failed_.erase(hop) == 0) failed_.insert(hop);
  }
  [[nodiscard]] size_t size() const { return all_.size(); }

  // Where packets to the address go; nothing: there is no route at all. `steps` is how many routes
  // were followed to know.
  [[nodiscard]] std::optional<Hops> hops_for(const Ca& address, size_t& steps) const {
    const auto match = longest(address);
    if (!match) return std::nullopt;
    Hops found = used_of(*match, nullptr, {}, steps);
    while (found.size() > kMaxSharing) found.erase(std::prev(found.end()));
    return found;
  }

 private:
  [[nodiscard]] std::optional<CaPrefix> longest(const Ca& address) const {
    std::optional<CaPrefix> longest;
    for (const RouteCandidate& c : all_) {
      if (c.prefix.contains(address) && (!longest || c.prefix.length() > longest->length())) {
        longest = c.prefix;
      }
    }
    return longest;
  }

  [[nodiscard]] static bool silent_one(const RouteHop& hop) {
    return std::holds_alternative<ConnectionViaHop>(hop) ||
           std::holds_alternative<RecursiveHop>(hop);
  }

  // Candidates in the order of their ranks, those that share the load together, up to the first
  // group that has one for which no other ever has to serve.
  [[nodiscard]] std::vector<Hops> ways(const CaPrefix& prefix) const {
    std::vector<RouteCandidate> mine;
    for (const RouteCandidate& c : all_) {
      if (c.prefix == prefix) mine.push_back(c);
    }
    const auto rank = [&](const RouteCandidate& c) {
      return std::tuple(preference_of(c.source, preferences_), c.metric, via_of(c.hop), c.hop,
                        c.source, c.origin);
    };
    std::sort(mine.begin(), mine.end(),
              [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
    std::vector<Hops> ways;
    Hops known;
    while (!mine.empty() && ways.size() < kMaxWays) {
      const RouteCandidate leader = mine.front();
      Hops way;
      std::erase_if(mine, [&](const RouteCandidate& c) {
        const bool with_leader =
            c == leader || (via_of(c.hop) && via_of(leader.hop) && c.source == leader.source &&
                            c.metric == leader.metric);
        if (with_leader && known.insert(c.hop).second) way.insert(c.hop);
        return with_leader;
      });
      while (way.size() > kMaxSharing) way.erase(std::prev(way.end()));
      if (way.empty()) continue;
      ways.push_back(way);
      if (!std::all_of(way.begin(), way.end(), silent_one)) break;
    }
    return ways;
  }

  [[nodiscard]] Hops used_of(const CaPrefix& prefix, const Ca* wanted, std::vector<CaPrefix> path,
                             size_t& steps) const {
    std::optional<Hops> silent;
    if (wanted != nullptr) path.push_back(prefix);
    for (const Hops& way : ways(prefix)) {
      Hops found;
      for (const RouteHop& hop : way) found.merge(leaves_of(hop, wanted, path, steps));
      Hops working;
      for (const RouteHop& hop : found) {
        if (!failed_.contains(hop)) working.insert(hop);
      }
      if (!working.empty()) return working;
      if (!silent && !found.empty()) silent = found;
    }
    return silent.value_or(Hops{});
  }

  [[nodiscard]] Hops leaves_of(const RouteHop& hop, const Ca* wanted,
                               const std::vector<CaPrefix>& path, size_t& steps) const {
    if (const auto* recursive = std::get_if<RecursiveHop>(&hop)) {
      const auto match = longest(recursive->via);
      if (!match || path.size() == 8 || std::find(path.begin(), path.end(), *match) != path.end()) {
        return {};
      }
      ++steps;
      return used_of(*match, &recursive->via, path, steps);
    }
    if (wanted == nullptr || via_of(hop)) return {hop};
    if (const auto* subnet = std::get_if<SubnetHop>(&hop)) {
      return {SubnetViaHop{*wanted, subnet->subnet}};
    }
    if (const auto* connection = std::get_if<ConnectionHop>(&hop)) {
      return {ConnectionViaHop{*wanted, connection->connection}};
    }
    return {};
  }

  std::vector<RouteCandidate> all_;
  RoutePreferences preferences_;
  Hops failed_;
};

// ---- The product's, put together as a domain's compilation does.

class Tables {
 public:
  void offer(const RouteCandidate& c) {
    change({c.prefix}, [&](RouteTable& table) { (void)table.put(c); });
  }
  void withdraw(const RouteCandidate& c) {
    change({c.prefix},
           [&](RouteTable& table) { (void)table.remove(c.prefix, c.source, c.origin); });
  }
  void set_preferences(const RoutePreferences& preferences) {
    (void)table_.set_preferences(preferences);
    taken_.clear();
    table_.recover_all();
    HopTable::Editor hops = editor(HopTable());
    for (const CaPrefix& all : {kAll4, kAll6}) {
      table_.for_each_choice_in(
          all, [&](const auto&, const RouteChoice& choice) { hops.acquire(choice.ways); });
    }
    hops_ = std::move(hops).finish();
    fib_ = Fib4::build(routes4()(kAll4));
    fib6_ = Fib6::build(routes6()(kAll6));
    hops_.show_in(view_);
  }
  void turn(const RouteHop& hop) {
    if (failed_.erase(hop) == 0) failed_.insert(hop);
    if (!hops_.holds(hop)) return;
    HopTable::Editor hops = editor(hops_);
    if (failed_.contains(hop)) {
      table_.fail(hop);
    } else {
      table_.recover(hop);
    }
    hops.reconsider(hop);
    hops_ = std::move(hops).finish();
    hops_.show_in(view_);
  }

  // What the worker finds, as `hops_for`; dies of a bucket that leads to none of the members.
  [[nodiscard]] std::optional<Hops> hops_for(const Ca& address) const {
    const HopId id =
        address.is_v4() ? fib_->lookup(address.v4().value()) : fib6_->lookup(address.v6());
    if (!id.valid()) return std::nullopt;
    const Hop& hop = view_.hop(id);
    if (hop.group == 0) return hops_of({id});
    const HopGroup& group = view_.groups[hop.group - 1];
    const Hops members = hops_of({group.members.begin(), group.members.end()});
    EXPECT_GT(members.size(), 1U);
    const Hops chosen = hops_of({group.bucket.begin(), group.bucket.end()});
    EXPECT_TRUE(std::includes(members.begin(), members.end(), chosen.begin(), chosen.end()));
    return members;
  }
  [[nodiscard]] size_t held() const { return taken_.size(); }
  [[nodiscard]] const RouteTable& table() const { return table_; }

 private:
  static inline const CaPrefix kAll4{CaAddress(0), 0};
  static inline const CaPrefix kAll6{CaAddress6(), 0};

  template <class Edit>
  void change(const std::vector<CaPrefix>& touched, Edit edit) {
    const RouteTable before = table_;
    edit(table_);
    HopTable::Editor hops = editor(hops_);
    std::vector<FibChange> changes4;
    std::vector<FibChange> changes6;
    for (const CaPrefix& prefix : touched) {
      const auto was = before.choice(prefix);
      const auto is = table_.choice(prefix);
      if (was && is && was->ways == is->ways) continue;
      FibChange changed{prefix, std::nullopt};
      if (is) changed.hop = hops.acquire(is->ways);
      if (was) hops.release(was->ways);
      if (was || is) (prefix.address().is_v4() ? changes4 : changes6).push_back(changed);
    }
    hops.resolve_again();
    hops_ = std::move(hops).finish();
    if (!changes4.empty()) fib_ = fib_->with(changes4, routes4());
    if (!changes6.empty()) fib6_ = fib6_->with(changes6, routes6());
    hops_.show_in(view_);
  }

  // A Hop only has to be told apart: its place in `made_`.
  HopTable::Editor editor(HopTable base) {
    return {std::move(base),
            {.make =
                 [this](const RouteHop& hop) {
                   EXPECT_TRUE(taken_.insert(hop).second) << "held twice";
                   if (failed_.contains(hop)) table_.fail(hop);
                   const auto [at, fresh] =
                       made_.try_emplace(hop, static_cast<uint32_t>(made_.size()));
                   return Hop{.kind = HopKind::connection_via, .next_hop = NextHopId(at->second)};
                 },
             .give_back =
                 [this](const RouteHop& hop, const Hop&) {
                   EXPECT_EQ(taken_.erase(hop), 1U) << "given back twice";
                   table_.recover(hop);
                 },
             .resolve = [this](const RouteWays& ways) { return table_.resolve(ways); }}};
  }
  template <class Route, class Make>
  RoutesIn<Route> routes(Make make) {
    return [this, make](const CaPrefix& block) {
      std::vector<Route> inside;
      table_.for_each_choice_in(block, [&](const CaPrefix& prefix, const RouteChoice& choice) {
        inside.push_back(make(prefix, hops_.find(choice.ways)));
      });
      return inside;
    };
  }
  RoutesIn<Route4> routes4() {
    return routes<Route4>([](const CaPrefix& p, HopId hop) {
      return Route4{p.address().v4(), p.length(), hop};
    });
  }
  RoutesIn<Route6> routes6() {
    return routes<Route6>([](const CaPrefix& p, HopId hop) {
      return Route6{p.address().v6(), p.length(), hop};
    });
  }
  [[nodiscard]] Hops hops_of(const std::vector<HopId>& ids) const {
    Hops result;
    for (const HopId id : ids) {
      if (!id.valid() || view_.hop(id).kind == HopKind::unreachable) continue;
      const auto at = std::find_if(made_.begin(), made_.end(), [&](const auto& known) {
        return NextHopId(known.second) == view_.hop(id).next_hop;
      });
      EXPECT_NE(at, made_.end());
      if (at != made_.end()) result.insert(at->first);
    }
    return result;
  }

  RouteTable table_;
  HopTable hops_;
  std::shared_ptr<const Fib4> fib_ = Fib4::build({});
  std::shared_ptr<const Fib6> fib6_ = Fib6::build({});
  CompartmentView view_;
  std::map<RouteHop, uint32_t> made_;
  Hops taken_, failed_;
};

// ---- The churn.

class Churn {
 public:
  explicit Churn(uint64_t seed) : random_(seed) {}

  Ca address(Family family) {
    if (family == Family::ipv4) return CaAddress(0x0a000000 | (random_() & 0x00ff0303));
    CaAddress6::Bytes bytes{0xfd, 0x10};
    bytes[3] = static_cast<uint8_t>(random_());
    bytes[7] = static_cast<uint8_t>(random_() & 3);
    bytes[15] = static_cast<uint8_t>(random_() & 3);
    return CaAddress6(bytes);
  }
  RouteHop hop(Family family) {
    const auto few = [&] { return random_.below(3); };
    // Next hops from few addresses, so that candidates share them; recursive ones from many.
    const Ca via = family == Family::ipv4
                       ? Ca(CaAddress(0xc0000200 | few()))
                       : Ca(CaAddress6({0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                        static_cast<uint8_t>(few())}));
    switch (random_.below(16)) {
      case 0:
        return LocalHop{};
      case 1:
        return SubnetHop{SubnetId(few())};
      case 2:
        return ConnectionHop{ConnectionId(few())};
      case 3:
        return BroadcastHop{};
      case 4:
        return UnreachableHop{};
      case 5:
      case 6:
        return SubnetViaHop{via, SubnetId(few())};
      case 7:
      case 8:
        return RecursiveHop{address(family)};
      default:
        return ConnectionViaHop{via, ConnectionId(few())};
    }
  }
  RouteCandidate candidate() {
    const Family family = random_() % 2 == 0 ? Family::ipv4 : Family::ipv6;
    const Ca network = address(family);
    const auto length =
        static_cast<uint8_t>(family == Family::ipv4 ? random_.below(33) : random_.below(129));
    const RouteHop leads = hop(family);
    if (const auto via = via_of(leads); via && random_() % 2 == 0) known_vias_.insert(leads);
    return {
        CaPrefix(network, length),
        random_() % 2 == 0 ? RouteSource::static_route : static_cast<RouteSource>(random_.below(7)),
        RouteOrigin(random_.below(4)),
        random_.below(2),
        leads,
        Instant{random_()}};
  }
  // A next hop that fails when it works, and the other way round.
  std::optional<RouteHop> turned() {
    if (known_vias_.empty()) return std::nullopt;
    auto at = known_vias_.begin();
    std::advance(at, random_.below(known_vias_.size()));
    if (!std::holds_alternative<ConnectionViaHop>(*at)) return std::nullopt;
    return *at;
  }
  RoutePreferences preferences() {
    RoutePreferences made;
    for (uint32_t RoutePreferences::*source :
         {&RoutePreferences::local, &RoutePreferences::connected, &RoutePreferences::static_route,
          &RoutePreferences::network_connection, &RoutePreferences::nat, &RoutePreferences::ebgp,
          &RoutePreferences::ibgp}) {
      made.*source = 1 + random_.below(4);
    }
    return made;
  }
  uint32_t below(uint32_t n) { return random_.below(n); }

 private:
  Random random_;
  Hops known_vias_;
};

struct Size {
  uint64_t seed;
  size_t routes;  // about so many at a time
  int steps;
};

class RouteChurn : public testing::TestWithParam<Size> {
 protected:
  void grow_or_shrink() {
    if (known_.size() < GetParam().routes || churn_.below(2) == 0) {
      known_.push_back(churn_.candidate());
      // Every fourth has another's prefix: they compete.
      if (churn_.below(4) != 0) {
        const RouteCandidate& other = known_[churn_.below(static_cast<uint32_t>(known_.size()))];
        const Family family = other.prefix.family();
        known_.back().prefix = other.prefix;
        known_.back().hop = churn_.hop(family);
      }
      tables_.offer(known_.back());
      naive_.put(known_.back());
      return;
    }
    const size_t place = churn_.below(static_cast<uint32_t>(known_.size()));
    tables_.withdraw(known_[place]);
    naive_.remove(known_[place]);
    known_.erase(known_.begin() + static_cast<std::ptrdiff_t>(place));
  }
  void compare(int step) {
    for (int i = 0; i < 8; ++i) {
      const Ca asked =
          i < 6 ? known_[churn_.below(static_cast<uint32_t>(known_.size()))].prefix.address()
                : churn_.address(i == 6 ? Family::ipv4 : Family::ipv6);
      size_t steps = 0;
      const auto wanted = naive_.hops_for(asked, steps);
      // The table does not go through so many; nor do routes that anybody has made.
      if (steps > RouteTable::kMaxLooks) continue;
      ++compared_;
      shared_ += wanted && wanted->size() > 1 ? 1 : 0;
      through_others_ += steps > 0 ? 1 : 0;
      ASSERT_EQ(tables_.hops_for(asked), wanted) << "step " << step << ": " << asked.to_string();
    }
  }

  Churn churn_{GetParam().seed};
  Tables tables_;
  NaiveRoutes naive_;
  std::vector<RouteCandidate> known_;
  size_t compared_ = 0, shared_ = 0, through_others_ = 0;
};

TEST_P(RouteChurn, WorkersFindWhatTheListSays) {
  while (known_.size() < GetParam().routes) grow_or_shrink();
  for (int step = 0; step < GetParam().steps; ++step) {
    if (churn_.below(200) == 0) {
      const RoutePreferences preferences = churn_.preferences();
      tables_.set_preferences(preferences);
      naive_.set_preferences(preferences);
    } else if (const auto turned = churn_.turned(); turned && churn_.below(3) == 0) {
      tables_.turn(*turned);
      naive_.turn(*turned);
    } else {
      grow_or_shrink();
    }
    ASSERT_NO_FATAL_FAILURE(compare(step));
    ASSERT_EQ(tables_.table().candidates(), naive_.size());
  }
  EXPECT_GT(shared_, compared_ / 100);
  EXPECT_GT(through_others_, compared_ / 50);
  for (const RouteCandidate& left : known_) tables_.withdraw(left);
  EXPECT_EQ(tables_.held(), 0U) << "hops that nobody gave back";
  EXPECT_EQ(tables_.table().candidates(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Sizes, RouteChurn,
                         testing::Values(Size{1, 40, 3000}, Size{2, 40, 3000}, Size{3, 100, 2000},
                                         Size{4, 400, 1000}, Size{5, 1000, 300}),
                         [](const auto& one) {
                           return "Of" + std::to_string(one.param.routes) + "Seed" +
                                  std::to_string(one.param.seed);
                         });

}  // namespace
}  // namespace hnv
