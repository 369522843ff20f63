// SPDX-License-Identifier: Apache-2.0
#include "compartments/route_table.h"

#include <algorithm>
#include <cassert>
#include <tuple>

#include <fmt/format.h>

namespace hnv {
namespace {

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
  // Candidates of one source that are equal so far will share the load; here the lowest wins.
  if (const auto order = compare_hops(a.hop, b.hop); std::is_neq(order)) {
    return {order, Attribute::next_hop};
  }
  return {std::tie(a.source, a.origin) <=> std::tie(b.source, b.origin), Attribute::offer};
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
  return std::nullopt;
}

std::string to_string(const RouteHop& hop) {
  struct Text {
    std::string operator()(const LocalHop&) const { return "local"; }
    std::string operator()(const SubnetHop&) const { return "on-link"; }
    std::string operator()(const SubnetViaHop& h) const { return "via " + h.via.to_string(); }
    std::string operator()(const ConnectionHop&) const { return "on-link"; }
    std::string operator()(const ConnectionViaHop& h) const { return "via " + h.via.to_string(); }
    std::string operator()(const BroadcastHop&) const { return "not forwarded"; }
    std::string operator()(const UnreachableHop&) const { return "unreachable"; }
  };
  return std::visit(Text{}, hop);
}

// ---- The order of the tree.

bool RouteTable::Order::operator()(const RouteCandidate& a, const RouteCandidate& b) const {
  return std::tie(a.prefix, a.source, a.origin) < std::tie(b.prefix, b.source, b.origin);
}
bool RouteTable::Order::operator()(const RouteCandidate& a, const Key& b) const {
  return std::tie(a.prefix, a.source, a.origin) < std::tie(b.prefix, b.source, b.origin);
}
bool RouteTable::Order::operator()(const Key& a, const RouteCandidate& b) const {
  return std::tie(a.prefix, a.source, a.origin) < std::tie(b.prefix, b.source, b.origin);
}
bool RouteTable::Order::operator()(const RouteCandidate& a,
                                   const Prefix<Space::customer>& b) const {
  return a.prefix < b;
}
bool RouteTable::Order::operator()(const Prefix<Space::customer>& a,
                                   const RouteCandidate& b) const {
  return a < b.prefix;
}

RouteTable::Group RouteTable::group_at(Candidates::const_iterator first,
                                       Candidates::const_iterator end,
                                       const RoutePreferences& preferences) {
  const RouteCandidate* best = &*first;
  const Prefix<Space::customer>& prefix = first->prefix;
  for (++first; first != end && first->prefix == prefix; ++first) {
    if (std::is_lt(compare(*first, *best, preferences).order)) best = &*first;
  }
  return {best, first};
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
  if (const auto old = candidates_.find(candidate); old != candidates_.end()) {
    if (same_but_age(*old, candidate)) return std::nullopt;
    auto node = candidates_.extract(old);
    node.value() = candidate;
    candidates_.insert(std::move(node));
  } else {
    candidates_.insert(candidate);
  }
  return watch.delta();
}

std::optional<RouteDelta> RouteTable::remove(const Prefix<Space::customer>& prefix,
                                             RouteSource source, RouteOrigin origin) {
  const auto old = candidates_.find(Key{prefix, source, origin});
  if (old == candidates_.end()) return std::nullopt;
  Watch watch(*this, prefix);
  candidates_.erase(old);
  return watch.delta();
}

std::vector<RouteDelta> RouteTable::set_preferences(const RoutePreferences& preferences) {
  std::vector<RouteDelta> deltas;
  for (auto at = candidates_.begin(); at != candidates_.end();) {
    const Group before = group_at(at);
    const Group after = group_at(at, candidates_.end(), preferences);
    if (before.best != after.best) deltas.push_back({at->prefix, *before.best, *after.best});
    at = before.end;
  }
  preferences_ = preferences;
  return deltas;
}

// ---- Questions.

const RouteCandidate* RouteTable::best(const Prefix<Space::customer>& prefix) const {
  const auto first = candidates_.lower_bound(prefix);
  if (first == candidates_.end() || first->prefix != prefix) return nullptr;
  return group_at(first).best;
}

const RouteCandidate* RouteTable::longest_match(const IpAddress<Space::customer>& address) const {
  for (int length = address.bits(); length >= 0; --length) {
    const Prefix<Space::customer> prefix(address, static_cast<uint8_t>(length));
    if (const RouteCandidate* found = best(prefix)) return found;
  }
  return nullptr;
}

std::vector<RouteExplanation> RouteTable::explain(const Prefix<Space::customer>& prefix) const {
  std::vector<RouteExplanation> result;
  for (auto at = candidates_.lower_bound(prefix); at != candidates_.end() && at->prefix == prefix;
       ++at) {
    result.push_back({*at, preference_of(at->source, preferences_), false, {}});
  }
  std::sort(result.begin(), result.end(), [this](const auto& a, const auto& b) {
    return std::is_lt(compare(a.candidate, b.candidate, preferences_).order);
  });
  for (size_t i = 0; i < result.size(); ++i) {
    const RouteCandidate& best = result.front().candidate;
    const RouteCandidate* second = result.size() > 1 ? &result[1].candidate : nullptr;
    result[i].best = i == 0;
    result[i].reason = i == 0 ? reason_for_win(best, second, preferences_)
                              : reason_for_loss(result[i].candidate, best, preferences_);
  }
  return result;
}

}  // namespace hnv
