// SPDX-License-Identifier: Apache-2.0
#include "compartments/route_table.h"

#include <algorithm>

#include <fmt/format.h>

#include "compartments/route_order.h"

namespace hnv {
namespace {

constexpr size_t kMaxDepth = 8;  // of routes on the way to a next hop

void make_set(RouteHops& hops) {
  std::sort(hops.begin(), hops.end());
  hops.erase(std::unique(hops.begin(), hops.end()), hops.end());
  if (hops.size() > kMaxSharing) hops.resize(kMaxSharing);
}

bool same_but_age(const RouteCandidate& a, const RouteCandidate& b) {
  RouteCandidate aged = b;
  aged.installed_at = a.installed_at;
  return a == aged;
}

}  // namespace

std::string_view to_string(RouteSource source) {
  switch (source) {
    case RouteSource::local:
      return "local";
    case RouteSource::connected:
      return "connected";
    case RouteSource::static_route:
      return "static";
    case RouteSource::network_connection:
      return "networkConnection";
    case RouteSource::nat:
      return "nat";
    case RouteSource::ebgp:
      return "ebgp";
    case RouteSource::ibgp:
      return "ibgp";
  }
  return "";
}

uint32_t preference_of(RouteSource source, const RoutePreferences& preferences) {
  switch (source) {
    case RouteSource::local:
      return preferences.local;
    case RouteSource::connected:
      return preferences.connected;
    case RouteSource::static_route:
      return preferences.static_route;
    case RouteSource::network_connection:
      return preferences.network_connection;
    case RouteSource::nat:
      return preferences.nat;
    case RouteSource::ebgp:
      return preferences.ebgp;
    case RouteSource::ibgp:
      return preferences.ibgp;
  }
  return UINT32_MAX;
}

std::optional<IpAddress<Space::customer>> via_of(const RouteHop& hop) {
  if (const auto* subnet = std::get_if<SubnetViaHop>(&hop)) return subnet->via;
  if (const auto* connection = std::get_if<ConnectionViaHop>(&hop)) return connection->via;
  if (const auto* recursive = std::get_if<RecursiveHop>(&hop)) return recursive->via;
  return std::nullopt;
}

std::string to_string(const RouteHop& hop) {
  struct Text {
    std::string operator()(const LocalHop&) const { return "local"; }
    std::string operator()(const SubnetHop&) const { return "on-link"; }
    std::string operator()(const SubnetViaHop& h) const { return "via " + h.via.to_string(); }
    std::string operator()(const ConnectionHop&) const { return "on-link"; }
    std::string operator()(const ConnectionViaHop& h) const { return "via " + h.via.to_string(); }
    std::string operator()(const RecursiveHop& h) const { return "via " + h.via.to_string(); }
    std::string operator()(const TunnelHop&) const { return "through a tunnel"; }
    std::string operator()(const NatHop&) const { return "NAT"; }
    std::string operator()(const ExceptNatHop&) const { return "without NAT"; }
    std::string operator()(const BroadcastHop&) const { return "not forwarded"; }
    std::string operator()(const UnreachableHop&) const { return "unreachable"; }
  };
  return std::visit(Text{}, hop);
}

RouteTable::Group RouteTable::group_at(Candidates::const_iterator first,
                                       Candidates::const_iterator end,
                                       const RoutePreferences& preferences) {
  const RouteCandidate* best = &first->second;
  const Prefix<Space::customer>& prefix = first->first.prefix;
  for (++first; first != end && first->first.prefix == prefix; ++first) {
    if (std::is_lt(compare(first->second, *best, preferences).order)) best = &first->second;
  }
  return {best, first};
}

RouteChoice RouteTable::choice_of(Candidates::const_iterator first, const Group& group) const {
  RouteChoice choice{group.best, {}};
  std::vector<const RouteCandidate*> rest;
  for (; first != group.end; ++first) {
    const RouteCandidate& candidate = first->second;
    if (shares_load(candidate, *group.best, preferences_)) {
      choice.ways.first.push_back(candidate.hop);
    } else {
      rest.push_back(&candidate);
    }
  }
  make_set(choice.ways.first);
  if (rest.empty() || !may_all_fail(choice.ways.first)) return choice;
  std::sort(rest.begin(), rest.end(), [this](const auto* a, const auto* b) {
    return std::is_lt(compare(*a, *b, preferences_).order);
  });
  add_other_ways(std::move(rest), choice.ways);
  return choice;
}

// `rest`: the candidates that are not in the first way, the best one first.
void RouteTable::add_other_ways(std::vector<const RouteCandidate*> rest, RouteWays& ways) const {
  std::set<RouteHop> known(ways.first.begin(), ways.first.end());
  while (!rest.empty() && ways.others.size() + 1 < kMaxWays) {
    RouteHops way;
    // Those of another source may stand between them.
    std::erase_if(rest, [&, leader = rest.front()](const RouteCandidate* candidate) {
      if (!shares_load(*candidate, *leader, preferences_)) return false;
      if (known.insert(candidate->hop).second) way.push_back(candidate->hop);
      return true;
    });
    if (way.empty()) continue;
    make_set(way);
    ways.others.push_back(std::move(way));
    if (!may_all_fail(ways.others.back())) return;
  }
}

// ---- Changes.

// Remembers a prefix's best route while the prefix changes, and tells what became of it.
class RouteTable::Watch {
 public:
  Watch(RouteTable& table, const Prefix<Space::customer>& prefix)
      : table_(table), prefix_(prefix), before_(best()) {}
  std::optional<RouteDelta> delta() {
    std::optional<RouteCandidate> after = best();
    if (!before_ && after) ++table_.prefixes_;
    if (before_ && !after) --table_.prefixes_;
    if (!before_ && !after) return std::nullopt;
    if (before_ && after && same_but_age(*before_, *after)) return std::nullopt;
    return RouteDelta{prefix_, before_, after};
  }

 private:
  [[nodiscard]] std::optional<RouteCandidate> best() const {
    const RouteCandidate* found = table_.best(prefix_);
    return found == nullptr ? std::nullopt : std::optional(*found);
  }

  RouteTable& table_;
  const Prefix<Space::customer> prefix_;
  const std::optional<RouteCandidate> before_;
};

std::optional<RouteDelta> RouteTable::put(const RouteCandidate& candidate) {
  Watch watch(*this, candidate.prefix);
  const Key key{candidate.prefix, candidate.source, candidate.origin};
  const RouteCandidate* old = candidates_.find(key);
  if (old != nullptr && same_but_age(*old, candidate)) return std::nullopt;
  candidates_.insert_or_assign(key, candidate);
  return watch.delta();
}

std::optional<RouteDelta> RouteTable::remove(const Prefix<Space::customer>& prefix,
                                             RouteSource source, RouteOrigin origin) {
  const Key key{prefix, source, origin};
  if (!candidates_.contains(key)) return std::nullopt;
  Watch watch(*this, prefix);
  candidates_.erase(key);
  return watch.delta();
}

std::vector<RouteDelta> RouteTable::set_preferences(const RoutePreferences& preferences) {
  std::vector<RouteDelta> deltas;
  if (preferences == preferences_) return deltas;
  for (auto at = candidates_.begin(); at != candidates_.end();) {
    const Group before = group_at(at);
    const Group after = group_at(at, candidates_.end(), preferences);
    if (before.best != after.best)
      deltas.push_back({before.best->prefix, *before.best, *after.best});
    at = before.end;
  }
  preferences_ = preferences;
  return deltas;
}

void RouteTable::fail(const RouteHop& hop) {
  if (has_failed(hop)) return;
  auto failed = failed_ ? *failed_ : std::set<RouteHop>();
  failed.insert(hop);
  failed_ = std::make_shared<const std::set<RouteHop>>(std::move(failed));
}

void RouteTable::recover(const RouteHop& hop) {
  if (!has_failed(hop)) return;
  auto failed = *failed_;
  failed.erase(hop);
  failed_ =
      failed.empty() ? nullptr : std::make_shared<const std::set<RouteHop>>(std::move(failed));
}

// ---- Questions.

const RouteCandidate* RouteTable::best(const Prefix<Space::customer>& prefix) const {
  const auto first = first_of(prefix);
  if (first == candidates_.end() || first->first.prefix != prefix) return nullptr;
  return group_at(first).best;
}

std::optional<RouteChoice> RouteTable::choice(const Prefix<Space::customer>& prefix) const {
  const auto first = first_of(prefix);
  if (first == candidates_.end() || first->first.prefix != prefix) return std::nullopt;
  return choice_of(first, group_at(first));
}

const RouteCandidate* RouteTable::longest_match(const IpAddress<Space::customer>& address) const {
  for (int length = address.bits(); length >= 0; --length) {
    const Prefix<Space::customer> prefix(address, static_cast<uint8_t>(length));
    if (const RouteCandidate* found = best(prefix)) return found;
  }
  return nullptr;
}

// ---- Where ways lead.

RouteTable::Found RouteTable::find(const RouteHop& hop, const IpAddress<Space::customer>* wanted,
                                   Search& search) const {
  if (const auto* recursive = std::get_if<RecursiveHop>(&hop)) {
    return find_through(*recursive, search);
  }
  if (const auto* except = std::get_if<ExceptNatHop>(&hop)) {
    return find_without_nat(except->prefix, wanted, search);
  }
  RouteHop found = hop;
  if (const auto* subnet = std::get_if<SubnetHop>(&hop); subnet != nullptr && wanted != nullptr) {
    found = SubnetViaHop{*wanted, subnet->subnet};
  } else if (const auto* connection = std::get_if<ConnectionHop>(&hop);
             connection != nullptr && wanted != nullptr) {
    found = ConnectionViaHop{*wanted, connection->connection};
  } else if (wanted != nullptr && !via_of(hop) && !std::holds_alternative<TunnelHop>(hop)) {
    return {.failure = fmt::format("{} is {}", wanted->to_string(), to_string(hop))};
  }
  if (search.standing.size() < kMaxStanding) search.standing.insert(found);
  return {.hops = {found}, .works = !has_failed(found)};
}

// The best candidate that is not NAT's, of the longest prefix that has one.
RouteTable::Found RouteTable::find_without_nat(const Prefix<Space::customer>& prefix,
                                               const IpAddress<Space::customer>* wanted,
                                               Search& search) const {
  for (int length = prefix.length(); length >= 0; --length) {
    const Prefix<Space::customer> wider(prefix.address(), static_cast<uint8_t>(length));
    const RouteCandidate* best = nullptr;
    for (auto at = first_of(wider); at != candidates_.end() && at->first.prefix == wider; ++at) {
      const RouteCandidate& candidate = at->second;
      if (candidate.source == RouteSource::nat) continue;
      if (best == nullptr || std::is_lt(compare(candidate, *best, preferences_).order)) {
        best = &candidate;
      }
    }
    if (best == nullptr) continue;
    Found found = find(best->hop, wanted, search);
    if (!found.hops.empty()) found.passed.insert(found.passed.begin(), wider);
    return found;
  }
  return {.failure = prefix.to_string() + " has no other route"};
}

// Through the best route to the next hop, and from there on.
RouteTable::Found RouteTable::find_through(const RecursiveHop& hop, Search& search) const {
  const std::string via = hop.via.to_string();
  const RouteCandidate* match = longest_match(hop.via);
  if (match == nullptr) return {.failure = via + " has no route"};
  if (std::find(search.stack.begin(), search.stack.end(), match->prefix) != search.stack.end()) {
    return {.failure = fmt::format("{} leads back to {}", via, match->prefix.to_string())};
  }
  if (search.stack.size() == kMaxDepth || ++search.looks > kMaxLooks) {
    return {.failure = search.stack.size() == kMaxDepth
                           ? fmt::format("{} is more than {} routes away", via, kMaxDepth)
                           : fmt::format("{} is behind more than {} routes", via, kMaxLooks)};
  }
  search.stack.push_back(match->prefix);
  Found found = find_first(choice(match->prefix)->ways, &hop.via, search);
  search.stack.pop_back();
  if (!found.hops.empty()) found.passed.insert(found.passed.begin(), match->prefix);
  return found;
}

// Of hops that share the load those that work; all while none does.
RouteTable::Found RouteTable::find_shared(const RouteHops& hops,
                                          const IpAddress<Space::customer>* wanted,
                                          Search& search) const {
  Found shared;
  for (const RouteHop& hop : hops) {
    Found found = find(hop, wanted, search);
    if (!found.failure.empty()) shared.failure = std::move(found.failure);
    if (shared.works && !found.works) continue;
    if (found.works && !shared.works) {
      shared.works = true;
      shared.hops.clear();
      shared.passed.clear();
    }
    shared.hops.insert(shared.hops.end(), found.hops.begin(), found.hops.end());
    shared.passed.insert(shared.passed.end(), found.passed.begin(), found.passed.end());
  }
  return shared;
}

// The first that works, else the first that leads anywhere.
RouteTable::Found RouteTable::find_first(const RouteWays& ways,
                                         const IpAddress<Space::customer>* wanted,
                                         Search& search) const {
  Found best = find_shared(ways.first, wanted, search);
  for (size_t i = 0; i < ways.others.size() && (search.all || !best.works); ++i) {
    Found found = find_shared(ways.others[i], wanted, search);
    if (best.works || (!found.works && (!best.hops.empty() || found.hops.empty()))) continue;
    best = std::move(found);
    best.way = i + 1;
  }
  return best;
}

Resolution RouteTable::resolve(const RouteWays& ways) const {
  Search search;
  Found found = find_first(ways, nullptr, search);
  Search everything{.all = true};
  (void)find_first(ways, nullptr, everything);
  Resolution result{.hops = std::move(found.hops),
                    .all = {everything.standing.begin(), everything.standing.end()},
                    .works = found.works,
                    .way = found.way,
                    .how = {}};
  make_set(result.hops);
  for (const RouteHop& hop : result.hops) {  // more than kMaxStanding
    const auto place = std::lower_bound(result.all.begin(), result.all.end(), hop);
    if (place == result.all.end() || *place != hop) result.all.insert(place, hop);
  }
  if (result.hops.empty()) {
    result.how = found.failure;
  } else {
    for (const auto& prefix : found.passed) {
      result.how += (result.how.empty() ? "through " : ", ") + prefix.to_string();
    }
  }
  return result;
}

}  // namespace hnv
