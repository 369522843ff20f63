// SPDX-License-Identifier: Apache-2.0
//
// NAT's sessions across a planned restart: written when the workers have ended, read before they
// begin, then gone, so that it is never read twice. A crash leaves none. Domains stand in it by
// name, times as ages, which grow by the time that the gateway was away; what does not fit the
// configuration any more, or belongs to another number of workers, is left out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "compartments/clock.h"
#include "compartments/result.h"
#include "nat/nat_plan.h"
#include "nat/nat_table.h"

namespace hnv {

struct NatKept {
  bool found = false;     // there was a file
  uint64_t restored = 0;  // sessions
  uint64_t left_out = 0;
  double away_seconds = 0;
};

// REQUIRES that no worker runs. `now` by the workers' clock. How many were written.
[[nodiscard]] Result<uint64_t> save_nat_sessions(const std::string& path, const NatPlan& plan,
                                                 const std::vector<NatTable*>& tables, Instant now);
// Likewise. An error: there is a file, but it cannot be used; it is left where it is.
[[nodiscard]] Result<NatKept> restore_nat_sessions(const std::string& path, const NatPlan& plan,
                                                   const std::vector<NatTable*>& tables,
                                                   Instant now);

}  // namespace hnv
