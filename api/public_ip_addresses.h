// SPDX-License-Identifier: Apache-2.0
//
// A pool of public addresses in JSON, and what it shares with NAT's rules: ports, and addresses
// that are public.
#pragma once

#include <algorithm>
#include <vector>

#include "api/json_readers.h"
#include "nat/nat_spec.h"

namespace hnv {

// How many public addresses one pool or outbound rule may have.
inline constexpr uint32_t kMaxPublicAddresses = 4096;

// Notes what is wrong in `faults`; the spec counts only when nothing was noted.
[[nodiscard]] PublicAddressPoolSpec decode_public_address_pool(const Place& place, const Json& json,
                                                               Faults& faults);
[[nodiscard]] Json encode(const PublicAddressPoolSpec& spec);

// {"first":1024,"last":65535}: at least as many ports as the smallest block.
struct PortRangeReader {
  void operator()(const Place& place, const Json& json, Faults& faults, PortRange& out) const;
};
inline constexpr PortRangeReader kPortRangeReader{};
[[nodiscard]] Json port_range_json(const PortRange& range);

// "203.0.113.0/28", or "203.0.113.4" for one address. IPv4.
struct PublicAddressesReader {
  void operator()(const Place& place, const Json& json, Faults& faults,
                  std::vector<Prefix<Space::external>>& out) const;
};
inline constexpr PublicAddressesReader kPublicAddressesReader{};
[[nodiscard]] Json public_addresses_json(const std::vector<Prefix<Space::external>>& addresses);

}  // namespace hnv
