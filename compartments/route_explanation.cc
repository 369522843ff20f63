// SPDX-License-Identifier: Apache-2.0
//
// Why a candidate serves, or does not, in sentences.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "compartments/route_order.h"
#include "compartments/route_table.h"

namespace hnv {
namespace {

// What `mine` has and how it relates to what `other` has: "metric 10 is lower than 256 ...".
std::string comparison(const RouteCandidate& mine, const RouteCandidate& other,
                       RouteAttribute attribute, std::string_view relation,
                       const RoutePreferences& preferences) {
  switch (attribute) {
    case RouteAttribute::preference:
      return fmt::format("preference {} ({}) is {} than {} ({})",
                         preference_of(mine.source, preferences), to_string(mine.source), relation,
                         preference_of(other.source, preferences), to_string(other.source));
    case RouteAttribute::metric:
      return fmt::format("metric {} is {} than {}, with equal preference", mine.metric, relation,
                         other.metric);
    case RouteAttribute::next_hop:
      return fmt::format(
          "next hop ({}) is {} than the other ({}), with equal preference and metric",
          to_string(mine.hop), relation, to_string(other.hop));
    case RouteAttribute::offer:
      return fmt::format("{} origin is {} than the other, with everything else equal",
                         to_string(mine.source), relation);
  }
  return {};
}

std::string reason_for_win(const RouteCandidate& best, const RouteCandidate* second,
                           const RoutePreferences& preferences) {
  if (second == nullptr) return "Best: it is the only candidate.";
  const RouteAttribute attribute = compare(best, *second, preferences).attribute;
  return "Best: its " + comparison(best, *second, attribute, "lower", preferences) + ".";
}

std::string reason_for_loss(const RouteCandidate& loser, const RouteCandidate& best,
                            const RoutePreferences& preferences) {
  const RouteAttribute attribute = compare(best, loser, preferences).attribute;
  return "Not best: its " + comparison(loser, best, attribute, "higher", preferences) + ".";
}

}  // namespace

// The verdicts on the candidates of one prefix.
class RouteTable::Verdicts {
 public:
  // `sorted`: all of them, the best one first.
  Verdicts(const RouteTable& table, const RouteWays& ways,
           const std::vector<RouteExplanation>& sorted)
      : table_(table),
        sorted_(sorted),
        now_(table.resolve(ways)),
        taken_(now_.way == 0 ? ways.first : ways.others[now_.way - 1]) {
    for (const RouteHop& hop : taken_) sharing_ += in_use(hop) ? 1 : 0;
    while (!in_way(sorted_[leader_].candidate.hop)) ++leader_;
  }

  // Of the `place`th; `again`: a better one has the same next hop.
  enum class Seen : uint8_t { first, again };
  void judge(RouteExplanation& one, size_t place, Seen seen) const {
    const RouteCandidate& leader = sorted_[leader_].candidate;
    const bool leads = seen == Seen::first && shares_load(one.candidate, leader, prefs());
    if (leads && in_way(one.candidate.hop) && in_use(one.candidate.hop)) {
      one.best = true;
      one.reason = win(leader);
    } else if (place < leader_ || (leads && in_way(one.candidate.hop))) {
      one.reason = "Not used while there is another.";
    } else if (leads) {
      one.reason = fmt::format("Not best: {} others share the load already.", kMaxSharing);
    } else {
      one.reason = reason_for_loss(one.candidate, leader, prefs());
    }
    if (may_fail(one.candidate.hop)) one.reason += next_hop_of(one.candidate.hop);
  }

 private:
  [[nodiscard]] const RoutePreferences& prefs() const { return table_.preferences_; }
  [[nodiscard]] bool in_way(const RouteHop& hop) const {
    return std::binary_search(taken_.begin(), taken_.end(), hop);
  }
  [[nodiscard]] bool in_use(const RouteHop& hop) const {
    return !now_.works || !may_fail(hop) || table_.resolve({{hop}, {}}).works;
  }
  [[nodiscard]] std::string win(const RouteCandidate& leader) const {
    if (now_.way > 0) {
      return "Best of those whose next hop is in working order." +
             (sharing_ > 1 ? sharers(" It") : "");
    }
    if (sharing_ > 1) return sharers("Best: it");
    if (taken_.size() > 1) return "Best: the others of equal preference and metric do not work.";
    return reason_for_win(leader, sorted_.size() > 1 ? &sorted_[1].candidate : nullptr, prefs());
  }
  [[nodiscard]] std::string sharers(std::string_view begin) const {
    return fmt::format("{} shares the load with {} other{} of equal preference and metric.", begin,
                       sharing_ - 1, sharing_ == 2 ? "" : "s");
  }
  [[nodiscard]] std::string next_hop_of(const RouteHop& hop) const {
    const Resolution found = table_.resolve({{hop}, {}});
    if (found.hops.empty()) return fmt::format(" Its next hop is unresolved: {}.", found.how);
    std::string silence = found.works ? "" : " Its next hop does not answer.";
    if (found.how.empty()) return silence;
    return fmt::format(" Its next hop is found {}.", found.how) + silence;
  }

  const RouteTable& table_;
  const std::vector<RouteExplanation>& sorted_;
  const Resolution now_;
  const RouteHops& taken_;  // the way that is in use
  size_t sharing_ = 0;      // of its hops
  size_t leader_ = 0;       // its best candidate
};

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
  const RouteWays ways = choice(prefix)->ways;
  const Verdicts verdicts(*this, ways, result);
  std::set<RouteHop> seen;
  for (size_t i = 0; i < result.size(); ++i) {
    const bool again = !seen.insert(result[i].candidate.hop).second;
    verdicts.judge(result[i], i, again ? Verdicts::Seen::again : Verdicts::Seen::first);
  }
  return result;
}

}  // namespace hnv
