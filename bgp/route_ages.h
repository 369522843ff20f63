// SPDX-License-Identifier: Apache-2.0
//
// Which bgpd told a route: a generation for each prefix. A full table asks a million times while it
// loads, so that a question is one line of the cache, and an answer no allocation.
//
// Threads: its owner's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bgp/zapi_codec.h"

namespace hnv {

class RouteAges {
 public:
  struct Place {
    BgpPrefix prefix;
    uint32_t generation = 0;  // 0: nothing is here
  };

  // The generation of the prefix: the one given, where there is none yet. Holds until the next
  // call that is not const. REQUIRES generation > 0.
  uint32_t& put(const BgpPrefix& prefix, uint32_t generation);
  // 0: there is none.
  [[nodiscard]] uint32_t find(const BgpPrefix& prefix) const;
  // Harmless when there is none. Others may move, to places with smaller numbers or from the first
  // ones to the last.
  void erase(const BgpPrefix& prefix);

  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] const std::vector<Place>& places() const { return places_; }

 private:
  [[nodiscard]] size_t home_of(const BgpPrefix& prefix) const;
  [[nodiscard]] size_t next(size_t place) const { return (place + 1) & (places_.size() - 1); }
  // Where it is, or has to be. REQUIRES a place that is free.
  [[nodiscard]] size_t place_of(const BgpPrefix& prefix) const;
  void grow();

  std::vector<Place> places_;  // a power of two, at most three quarters of them taken
  size_t size_ = 0;
};

}  // namespace hnv
