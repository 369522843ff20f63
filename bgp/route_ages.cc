// SPDX-License-Identifier: Apache-2.0
#include "bgp/route_ages.h"

#include <cstring>
#include <utility>

namespace hnv {
namespace {

constexpr size_t kFirstPlaces = 64;

}  // namespace

size_t RouteAges::home_of(const BgpPrefix& prefix) const {
  uint64_t high = 0;
  uint64_t low = 0;
  std::memcpy(&high, prefix.address().bytes().data(), sizeof high);
  std::memcpy(&low, prefix.address().bytes().data() + sizeof high, sizeof low);
  uint64_t mixed = (high ^ (low * 0x9e3779b97f4a7c15U)) + prefix.length();
  mixed = (mixed ^ (mixed >> 32)) * 0xd6e8feb86659fd93U;
  return (mixed ^ (mixed >> 32)) & (places_.size() - 1);
}

size_t RouteAges::place_of(const BgpPrefix& prefix) const {
  size_t place = home_of(prefix);
  while (places_[place].generation != 0 && places_[place].prefix != prefix) place = next(place);
  return place;
}

void RouteAges::grow() {
  const std::vector<Place> before = std::exchange(
      places_, std::vector<Place>(places_.empty() ? kFirstPlaces : 2 * places_.size()));
  for (const Place& old : before) {
    if (old.generation != 0) places_[place_of(old.prefix)] = old;
  }
}

uint32_t& RouteAges::put(const BgpPrefix& prefix, uint32_t generation) {
  if ((size_ + 1) * 4 > places_.size() * 3) grow();
  Place& place = places_[place_of(prefix)];
  if (place.generation == 0) {
    place = {prefix, generation};
    ++size_;
  }
  return place.generation;
}

uint32_t RouteAges::find(const BgpPrefix& prefix) const {
  return places_.empty() ? 0 : places_[place_of(prefix)].generation;
}

// Those behind it come nearer to their homes, so that no search ends too early.
void RouteAges::erase(const BgpPrefix& prefix) {
  if (find(prefix) == 0) return;
  size_t hole = place_of(prefix);
  for (size_t at = next(hole); places_[at].generation != 0; at = next(at)) {
    const size_t home = home_of(places_[at].prefix);
    const size_t mask = places_.size() - 1;
    if (((at - home) & mask) < ((at - hole) & mask)) continue;  // its home lies behind the hole
    places_[hole] = places_[at];
    hole = at;
  }
  places_[hole] = {};
  if (--size_ == 0) places_ = {};
}

}  // namespace hnv
