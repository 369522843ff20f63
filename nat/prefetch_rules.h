// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nat/nat_plan.h"

namespace hnv {

// A domain's rules take three lines; a packet reads something in each. Null: there are none.
inline void prefetch_rules(const NatRules* rules) {
  const auto* at = reinterpret_cast<const char*>(rules);
  __builtin_prefetch(at);
  __builtin_prefetch(at + 64);
  __builtin_prefetch(at + 128);
}

// What a packet counts. REQUIRES rules that have been read, or fetched before.
inline void prefetch_counters(const NatRules& rules, unsigned worker) {
  __builtin_prefetch(&rules.counters[worker], 1);
}

}  // namespace hnv
