// SPDX-License-Identifier: Apache-2.0
#include "gateway/learned_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "compartments/prefix_order.h"

namespace hnv {
namespace {

// A /8 of IPv4, a /24 of IPv6 (without what all have in common): some thousand routes of the
// internet's each.
uint32_t part_of(const Prefix<Space::customer>& prefix) {
  const auto bytes = prefix.address().bytes();
  if (prefix.family() == Family::ipv4) return bytes[0];
  return 0x1000000U + (uint32_t{bytes[0]} << 16U | uint32_t{bytes[1]} << 8U | bytes[2]);
}

// Each prefix once; the last of those that are alike stays.
void keep_last_words(std::vector<LearnedRoute>& routes) {
  std::stable_sort(routes.begin(), routes.end(), [](const auto& a, const auto& b) {
    return std::is_lt(order(a.prefix, b.prefix));
  });
  size_t kept = 0;
  for (size_t i = 0; i < routes.size(); ++i) {
    if (i + 1 < routes.size() && routes[i].prefix == routes[i + 1].prefix) continue;
    if (kept != i) routes[kept] = std::move(routes[i]);
    ++kept;
  }
  routes.resize(kept);
}

}  // namespace

void LearnedQueue::push(LearnedRoute route) {
  parts_[part_of(route.prefix)].routes.push_back(std::move(route));
  ++size_;
}

std::vector<LearnedRoute> LearnedQueue::take(size_t most) {
  std::vector<LearnedRoute> out;
  size_t room = std::min(most, size_);
  while (room != 0) {
    auto at = parts_.lower_bound(next_part_);
    if (at == parts_.end()) at = parts_.begin();
    Part& part = at->second;
    const auto first = part.routes.begin() + static_cast<ptrdiff_t>(part.from);
    const size_t count = std::min(room, part.routes.size() - part.from);
    out.insert(out.end(), std::make_move_iterator(first),
               std::make_move_iterator(first + static_cast<ptrdiff_t>(count)));
    part.from += count;
    room -= count;
    size_ -= count;
    next_part_ = at->first + 1;
    if (part.from == part.routes.size()) parts_.erase(at);
  }
  keep_last_words(out);
  return out;
}

}  // namespace hnv
