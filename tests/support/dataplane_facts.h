// SPDX-License-Identifier: Apache-2.0
//
// Everything that workers would read of a Dataplane, by names and addresses instead of the numbers
// that compile chose, a line a fact. Two that were compiled in different ways from one desired
// state have the same facts.
#pragma once

#include <string>
#include <vector>

#include "tests/support/test_dataplane.h"

namespace hnv {

[[nodiscard]] std::vector<std::string> facts(const TestDataplane& network);
// Those that mention this routing domain.
[[nodiscard]] std::vector<std::string> facts_of(const TestDataplane& network,
                                                const std::string& domain);
// What one has and the other has not; empty when they are equal.
[[nodiscard]] std::string difference(const std::vector<std::string>& wanted,
                                     const std::vector<std::string>& found);

}  // namespace hnv
