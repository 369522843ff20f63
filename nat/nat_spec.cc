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
  const PortRange& range = pool.port_range;
  uint32_t size = pool.port_block_size.value_or(port_block_size(range));
  while (range.last / size - range.first / size + 1 > kMostPortBlocks) size *= 2;
  return static_cast<uint16_t>(size);
}

}  // namespace hnv
