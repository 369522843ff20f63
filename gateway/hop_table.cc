// SPDX-License-Identifier: Apache-2.0
#include "gateway/hop_table.h"

#include <algorithm>
#include <array>
#include <utility>

namespace hnv {
namespace {

uint64_t mixed(uint64_t x) {  // every bit of x counts in every bit of the result
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

uint64_t seed_of(const RouteHop& hop) {
  uint64_t seed = hop.index();
  if (const auto via = via_of(hop)) {
    for (const uint8_t byte : via->bytes()) seed = mixed(seed << 8 ^ byte);
  }
  return seed;
}

bool is_recursive(const RouteHops& hops) {
  return std::any_of(hops.begin(), hops.end(),
                     [](const RouteHop& hop) { return is_found_by_routes(hop); });
}
bool is_recursive(const RouteWays& ways) {
  return is_recursive(ways.first) ||
         std::any_of(ways.others.begin(), ways.others.end(),
                     [](const RouteHops& hops) { return is_recursive(hops); });
}

// A hop itself, not something that leads to some.
bool is_hop(const RouteWays& ways) {
  return ways.others.empty() && ways.first.size() == 1 && !is_recursive(ways.first);
}

// The highest of the members' draws has the bucket. A member that goes leaves the draws of the
// others as they are, so that only its own buckets move; when it comes back it wins those again.
void fill_buckets(HopGroup& group, const RouteHops& members, const std::vector<HopId>& ids) {
  std::vector<uint64_t> seeds;
  seeds.reserve(members.size());
  for (const RouteHop& member : members) seeds.push_back(seed_of(member));
  for (size_t bucket = 0; bucket < group.bucket.size(); ++bucket) {
    size_t highest = 0;
    uint64_t most = 0;
    for (size_t i = 0; i < seeds.size(); ++i) {
      const uint64_t draw = mixed(seeds[i] + bucket * 0x9e3779b97f4a7c15);
      if (i == 0 || draw > most) {
        highest = i;
        most = draw;
      }
    }
    group.bucket[bucket] = ids[highest];
  }
  group.members.fill(HopId());
  std::copy(ids.begin(), ids.end(), group.members.begin());
}

}  // namespace

HopId HopTable::find(const RouteWays& ways) const {
  const Number* number = numbers_.find(ways);
  return number == nullptr ? HopId() : number->id;
}

void HopTable::show_in(CompartmentView& view) const {
  view.hops_owner = hops_;
  view.hops = hops_->data();
  view.groups_owner = groups_;
  view.groups = groups_->data();
}

void HopTable::for_each_next_hop(const std::function<void(NextHopId)>& visit) const {
  for (const auto& [ways, number] : numbers_) {
    if (!is_hop(ways)) continue;
    const Hop& hop = (*hops_)[number.id.value()];
    if (hop.kind == HopKind::connection_via) visit(hop.next_hop);
  }
}

Hop& HopTable::Editor::entry(HopId id) {
  if (!hops_) hops_ = std::make_shared<std::vector<Hop>>(*next_.hops_);
  if (hops_->size() <= id.value()) hops_->resize(id.value() + 1);
  return (*hops_)[id.value()];
}

std::vector<HopGroup>& HopTable::Editor::groups() {
  if (!groups_) groups_ = std::make_shared<std::vector<HopGroup>>(*next_.groups_);
  return *groups_;
}

void HopTable::Editor::free_group_of(HopId id) {
  Hop& hop = entry(id);
  if (hop.group != 0) next_.free_groups_.push_back(std::exchange(hop.group, uint16_t{0}));
}

// What is under `id` leads to the members, each of which has a number.
void HopTable::Editor::write_members(HopId id, const RouteHops& members) {
  free_group_of(id);
  if (members.empty()) {
    entry(id) = Hop{.kind = HopKind::unreachable};
    return;
  }
  std::vector<HopId> ids;
  ids.reserve(members.size());
  for (const RouteHop& member : members) ids.push_back(next_.find({{member}, {}}));
  Hop hop = entry(ids.front());
  if (members.size() > 1 && (!next_.free_groups_.empty() || groups().size() < UINT16_MAX)) {
    if (next_.free_groups_.empty()) {
      groups().emplace_back();
      hop.group = static_cast<uint16_t>(groups().size());
    } else {
      hop.group = next_.free_groups_.back();
      next_.free_groups_.pop_back();
    }
    fill_buckets(groups()[hop.group - 1U], members, ids);
  }
  entry(id) = hop;
}

HopId HopTable::Editor::new_id(const RouteWays& ways) {
  const auto* on_link = std::get_if<SubnetHop>(&ways.first.front());
  if (on_link != nullptr && is_hop(ways)) return on_link_hop(on_link->subnet);
  if (!next_.free_hops_.empty()) {
    const HopId id = next_.free_hops_.back();
    next_.free_hops_.pop_back();
    return id;
  }
  const size_t size = (hops_ ? *hops_ : *next_.hops_).size();
  return HopId(static_cast<uint32_t>(size + size % 2));
}

// One more use of all that the ways may lead to, instead of the members there were.
void HopTable::Editor::hold_members(const RouteWays& ways, Number& number) {
  RouteHops members = owner_.resolve(ways).all;
  for (const RouteHop& member : members) acquire({{member}, {}});
  std::swap(members, number.members);
  number.in_use = owner_.resolve(ways).hops;  // only now is it known which of the new ones work
  write_members(number.id, number.in_use);
  for (const RouteHop& member : members) release({{member}, {}});
}

HopId HopTable::Editor::acquire(const RouteWays& ways) {
  if (const Number* known = next_.numbers_.find(ways); known != nullptr) {
    Number more = *known;
    ++more.uses;
    next_.numbers_.insert_or_assign(ways, more);
    return more.id;
  }
  Number number;
  number.uses = 1;
  number.id = new_id(ways);
  entry(number.id) = Hop{};
  if (is_hop(ways)) {
    entry(number.id) = owner_.make(ways.first.front());
  } else {
    hold_members(ways, number);
    if (is_recursive(ways)) next_.recursive_.insert(ways);
  }
  next_.numbers_.insert_or_assign(ways, number);
  return number.id;
}

void HopTable::Editor::release(const RouteWays& ways) {
  const Number* known = next_.numbers_.find(ways);
  if (known == nullptr) return;
  Number number = *known;
  if (--number.uses != 0) {
    next_.numbers_.insert_or_assign(ways, number);
    return;
  }
  next_.numbers_.erase(ways);
  next_.recursive_.erase(ways);
  if (is_hop(ways)) owner_.give_back(ways.first.front(), entry(number.id));
  free_group_of(number.id);
  for (const RouteHop& member : number.members) release({{member}, {}});
  if (!is_on_link(number.id)) next_.free_hops_.push_back(number.id);
}

void HopTable::Editor::resolve_again() {
  for (const RouteWays& ways : next_.recursive_) {
    Number number = *next_.numbers_.find(ways);
    const Resolution found = owner_.resolve(ways);
    if (found.all == number.members && found.hops == number.in_use) continue;
    hold_members(ways, number);
    next_.numbers_.insert_or_assign(ways, number);
  }
}

void HopTable::Editor::reconsider(const RouteHop& hop) {
  std::vector<std::pair<RouteWays, Number>> concerned;
  for (const auto& [ways, number] : next_.numbers_) {
    if (std::binary_search(number.members.begin(), number.members.end(), hop)) {
      concerned.emplace_back(ways, number);
    }
  }
  for (auto& [ways, number] : concerned) {
    RouteHops in_use = owner_.resolve(ways).hops;
    // Of more than are held, those that are not wait for the next change of routes.
    std::erase_if(in_use, [&](const RouteHop& one) { return !next_.holds(one); });
    if (in_use == number.in_use) continue;
    number.in_use = std::move(in_use);
    write_members(number.id, number.in_use);
    next_.numbers_.insert_or_assign(ways, number);
  }
}

HopTable HopTable::Editor::finish() && {
  if (hops_) next_.hops_ = std::move(hops_);
  if (groups_) next_.groups_ = std::move(groups_);
  return std::move(next_);
}

}  // namespace hnv
