// SPDX-License-Identifier: Apache-2.0
#include "nat/nat_spec.h"

#include <algorithm>
#include <bit>

namespace hnv {

uint16_t port_block_size(const PortRange& range) {
  constexpr uint32_t kLargest = 64;
  constexpr uint32_t kSmallest = 4;
  // Some 128 blocks at least, where that is possible: many inside addresses share the range.
  return static_cast<uint16_t>(
      std::clamp(std::bit_floor(range.size() / 128 + 1), kSmallest, kLargest));
}

uint16_t port_block_size(const PublicAddressPoolSpec& pool) {
  return pool.port_block_size.value_or(port_block_size(pool.port_range));
}

}  // namespace hnv
