// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace hnv {

// Heap allocations of this thread since count_allocations(). The binary replaces operator new and,
// where no sanitizer does, malloc itself.
void count_allocations();
void note_allocation();  // by the hooks
[[nodiscard]] size_t allocations();

}  // namespace hnv
