// SPDX-License-Identifier: Apache-2.0
//
// Tables of frames and what becomes of them. Every case runs for both twin tenants: what comes out
// is compared byte by byte, the drops are exactly the named one, the other tenant's counters do not
// move, the ledger balances and every buffer is accounted for.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "tests/support/twin_tenants.h"

namespace hnv {

using Scene = Frame (*)(const Tenant&);

struct LineCase {
  const char* name = "";
  Scene in = nullptr;
  unsigned port = kFabricPort;
  std::optional<DropReason> drop{};
  Scene out = nullptr;  // a case may drop and answer
  unsigned out_port = kFabricPort;
};

void run_cases(std::span<const LineCase> cases);

// Every table, so that a test can see that each reason has a case.
[[nodiscard]] std::vector<std::span<const LineCase>> all_case_tables();
[[nodiscard]] std::span<const LineCase> classify_cases();
[[nodiscard]] std::span<const LineCase> outside_answer_cases();
[[nodiscard]] std::span<const LineCase> gre_cases();
[[nodiscard]] std::span<const LineCase> inner_cases();
[[nodiscard]] std::span<const LineCase> source_cases();
[[nodiscard]] std::span<const LineCase> l3_cases();
[[nodiscard]] std::span<const LineCase> route_cases();
[[nodiscard]] std::span<const LineCase> leave_cases();
[[nodiscard]] std::span<const LineCase> answer_cases();
[[nodiscard]] std::span<const LineCase> ipv6_cases();
[[nodiscard]] std::span<const LineCase> nd_cases();
[[nodiscard]] std::span<const LineCase> icmp6_cases();

// What is one sentence to write: an inner packet's frame in the tenant's web subnet's gateway VSID.
[[nodiscard]] inline Frame from_vm(const Tenant& t, const Frame& inner) {
  return fabric() / nvgre(t.gateway) / inner;
}

}  // namespace hnv
