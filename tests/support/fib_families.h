// SPDX-License-Identifier: Apache-2.0
//
// The FIB of each family under one set of names, for tests that say the same of both.
#pragma once

#include <cstdint>

#include "compartments/address.h"
#include "compartments/fib.h"
#include "compartments/fib6.h"

namespace hnv {

struct Ipv4Fib {
  using Table = Fib4;
  using Route = Route4;
  using Root = FibRoot;
  using Asked = uint32_t;
  static constexpr auto kVariantOf = &fib_variant;
  static constexpr uint8_t kBits = 32;
  static const Root* root(const Table& table) { return &table.root(); }
  static Route route(const Prefix<Space::customer>& p, HopId hop) {
    return {p.address().v4(), p.length(), hop};
  }
  static Asked asked(const IpAddress<Space::customer>& a) { return a.v4().value(); }
};

struct Ipv6Fib {
  using Table = Fib6;
  using Route = Route6;
  using Root = Fib6;
  using Asked = CaAddress6;
  static constexpr auto kVariantOf = &fib6_variant;
  static constexpr uint8_t kBits = 128;
  static const Root* root(const Table& table) { return &table; }
  static Route route(const Prefix<Space::customer>& p, HopId hop) {
    return {p.address().v6(), p.length(), hop};
  }
  static Asked asked(const IpAddress<Space::customer>& a) { return a.v6(); }
};

}  // namespace hnv
