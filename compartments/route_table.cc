// SPDX-License-Identifier: Apache-2.0
#include "compartments/route_table.h"

#include <algorithm>
#include <cassert>
#include <tuple>

#include <fmt/format.h>

namespace hnv {
namespace {

constexpr size_t kMaxDepth = 8;  // of routes on the way to a next hop

// ---- Which route is better.

// In the order in which they are asked.
enum class Attribute : uint8_t { preference, metric, next_hop, offer };

struct Verdict {
  std::strong_ordering order = std::strong_ordering::equal;  // less: the first one is better
  Attribute attribute = Attribute::offer;                    // the one that decided
};

// A hop without an address is lower than any address; the rest only makes the order total.
std::strong_ordering compare_hops(const RouteHop& a, const RouteHop& b) {
  if (const auto order = via_of(a) <=> via_of(b); std::is_neq(order)) return order;
  return a <=> b;
}

Verdict compare(const RouteCandidate& a, const RouteCandidate& b,
                const RoutePreferences& preferences) {
  if (const auto order =
          preference_of(a.source, preferences) <=> preference_of(b.source, preferences);
      std::is_neq(order)) {
    return {order, Attribute::preference};
  }
  if (const auto order = a.metric <=> b.metric; std::is_neq(order)) {
    return {order, Attribute::metric};
  }
  // Candidates of one source that are equal so far share the load (shares_load); of those that
  // cannot, the lowest wins.
  if (const auto order = compare_hops(a.hop, b.hop); std::is_neq(order)) {
    return {order, Attribute::next_hop};
  }
  return {std::tie(a.source, a.origin) <=> std::tie(b.source, b.origin), Attribute::offer};
}

// Whether both are used at once: equal up to the metric, of one source, and through next hops. The
// best one shares with itself.
bool shares_load(const RouteCandidate& candidate, const RouteCandidate& best,
                 const RoutePreferences& preferences) {
  if (&candidate == &best || candidate == best) return true;
  return candidate.source == best.source && via_of(candidate.hop) && via_of(best.hop) &&
         candidate.metric == best.metric &&
         preference_of(candidate.source, preferences) == preference_of(best.source, preferences);
}

bool same_but_age(const RouteCandidate& a, const RouteCandidate& b) {
  RouteCandidate aged = b;
  aged.installed_at = a.installed_at;
  return a == aged;
}

// ---- Sentences.

// What `mine` has and how it relates to what `other` has: "metric 10 is lower than 256 ...".
std::string comparison(const RouteCandidate& mine, const RouteCandidate& other, Attribute attribute,
                       std::string_view relation, const RoutePreferences& preferences) {
  switch (attribute) {
    case Attribute::preference:
      return fmt::format("preference {} ({}) is {} than {} ({})",
                         preference_of(mine.source, preferences), to_string(mine.source), relation,
                         preference_of(other.source, preferences), to_string(other.source));
    case Attribute::metric:
      return fmt::format("metric {} is {} than {}, with equal preference", mine.metric, relation,
                         other.metric);
    case Attribute::next_hop:
      return fmt::format(
          "next hop ({}) is {} than the other ({}), with equal preference and metric",
          to_string(mine.hop), relation, to_string(other.hop));
    case Attribute::offer:
      return fmt::format("{} origin is {} than the other, with everything else equal",
                         to_string(mine.source), relation);
  }
  return {};
}

std::string reason_for_win(const RouteCandidate& best, const RouteCandidate* second,
                           const RoutePreferences& preferences) {
  if (second == nullptr) return "Best: it is the only candidate.";
  const Attribute attribute = compare(best, *second, preferences).attribute;
  return "Best: its " + comparison(best, *second, attribute, "lower", preferences) + ".";
}

std::string reason_to_share(size_t sharers) {
  return fmt::format("Best: it shares the load with {} other{} of equal preference and metric.",
                     sharers - 1, sharers == 2 ? "" : "s");
}

std::string reason_for_loss(const RouteCandidate& loser, const RouteCandidate& best,
                            const RoutePreferences& preferences) {
  const Attribute attribute = compare(best, loser, preferences).attribute;
  return "Not best: its " + comparison(loser, best, attribute, "higher", preferences) + ".";
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
  for (; first != group.end; ++first) {
    if (shares_load(first->second, *group.best, preferences_))
      choice.hops.push_back(first->second.hop);
  }
  std::sort(choice.hops.begin(), choice.hops.end());
  choice.hops.erase(std::unique(choice.hops.begin(), choice.hops.end()), choice.hops.end());
  if (choice.hops.size() > kMaxSharing) choice.hops.resize(kMaxSharing);
  return choice;
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

// Through the best route to the next hop, and from there on.
void RouteTable::find(const RouteHop& hop, Finding& finding) const {
  const auto* recursive = std::get_if<RecursiveHop>(&hop);
  if (recursive == nullptr) {
    finding.hops.push_back(hop);
    return;
  }
  const std::string via = recursive->via.to_string();
  const RouteCandidate* match = longest_match(recursive->via);
  if (match == nullptr) {
    finding.failure = via + " has no route";
  } else if (std::find(finding.stack.begin(), finding.stack.end(), match->prefix) !=
             finding.stack.end()) {
    finding.failure = fmt::format("{} leads back to {}", via, match->prefix.to_string());
  } else if (finding.stack.size() == kMaxDepth) {
    finding.failure = fmt::format("{} is more than {} routes away", via, kMaxDepth);
  } else {
    finding.stack.push_back(match->prefix);
    find_behind(*match, *recursive, finding);
    finding.stack.pop_back();
  }
}

void RouteTable::find_behind(const RouteCandidate& match, const RecursiveHop& hop,
                             Finding& finding) const {
  const size_t before = finding.hops.size();
  const size_t place = finding.passed.size();
  const RouteHops nexts = choice(match.prefix)->hops;
  for (const RouteHop& next : nexts) {
    if (const auto* subnet = std::get_if<SubnetHop>(&next)) {
      finding.hops.emplace_back(SubnetViaHop{hop.via, subnet->subnet});
    } else if (const auto* connection = std::get_if<ConnectionHop>(&next)) {
      finding.hops.emplace_back(ConnectionViaHop{hop.via, connection->connection});
    } else if (via_of(next)) {
      find(next, finding);
    } else {
      finding.failure = fmt::format("{} is {}", hop.via.to_string(), to_string(next));
    }
  }
  if (finding.hops.size() > before) {
    finding.passed.insert(finding.passed.begin() + static_cast<std::ptrdiff_t>(place),
                          match.prefix);
  }
}

Resolution RouteTable::resolve(const RouteHops& hops) const {
  Finding finding;
  for (const RouteHop& hop : hops) find(hop, finding);
  Resolution result{std::move(finding.hops), {}};
  std::sort(result.hops.begin(), result.hops.end());
  result.hops.erase(std::unique(result.hops.begin(), result.hops.end()), result.hops.end());
  if (result.hops.size() > kMaxSharing) result.hops.resize(kMaxSharing);
  if (result.hops.empty()) {
    result.how = finding.failure;
  } else {
    for (const auto& prefix : finding.passed) {
      result.how += (result.how.empty() ? "through " : ", ") + prefix.to_string();
    }
  }
  return result;
}

std::vector<RouteExplanation> RouteTable::explain(const Prefix<Space::customer>& prefix) const {
  std::vector<RouteExplanation> result;
  for (auto at = first_of(prefix); at != candidates_.end() && at->first.prefix == prefix; ++at) {
    const RouteCandidate& candidate = at->second;
    result.push_back({candidate, preference_of(candidate.source, preferences_), false, {}});
  }
  std::sort(result.begin(), result.end(), [this](const auto& a, const auto& b) {
    return std::is_lt(compare(a.candidate, b.candidate, preferences_).order);
  });
  if (result.empty()) return result;
  const RouteCandidate& best = result.front().candidate;
  const RouteCandidate* second = result.size() > 1 ? &result[1].candidate : nullptr;
  const RouteHops sharing = choice(prefix)->hops;
  RouteHops seen;
  for (RouteExplanation& one : result) {
    const RouteHop& hop = one.candidate.hop;
    const bool again = std::find(seen.begin(), seen.end(), hop) != seen.end();
    seen.push_back(hop);
    if (again || !shares_load(one.candidate, best, preferences_)) {
      one.reason = reason_for_loss(one.candidate, best, preferences_);
    } else if (!std::binary_search(sharing.begin(), sharing.end(), hop)) {
      one.reason = fmt::format("Not best: {} others share the load already.", kMaxSharing);
    } else {
      one.best = true;
      one.reason = sharing.size() > 1 ? reason_to_share(sharing.size())
                                      : reason_for_win(one.candidate, second, preferences_);
    }
    if (!std::holds_alternative<RecursiveHop>(hop)) continue;
    const Resolution found = resolve({hop});
    one.reason += found.hops.empty() ? fmt::format(" Its next hop is unresolved: {}.", found.how)
                                     : fmt::format(" Its next hop is found {}.", found.how);
  }
  return result;
}

}  // namespace hnv
