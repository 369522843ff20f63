// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nat/nat_plan.h"

namespace hnv {

// What every packet reads of them. Null: there are none.
inline void prefetch_rules(const NatRules* rules) { __builtin_prefetch(rules); }

// What a packet counts. REQUIRES rules that have been read, or fetched before.
inline void prefetch_counters(const NatRules& rules, unsigned worker) {
  __builtin_prefetch(&rules.counters[worker], 1);
}

}  // namespace hnv
