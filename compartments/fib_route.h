// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>

#include "compartments/address.h"
#include "compartments/ids.h"

namespace hnv {

struct Route4 {
  CaAddress network;   // host bits are zero
  uint8_t length = 0;  // 0..32
  HopId hop;           // invalid: the addresses of this prefix have no route; else below 2^31 - 1
  friend constexpr auto operator<=>(const Route4&, const Route4&) = default;

  [[nodiscard]] constexpr uint32_t first() const { return network.value(); }
  [[nodiscard]] constexpr uint32_t last() const {
    return length == 0 ? UINT32_MAX : first() | ~(UINT32_MAX << (32 - length));
  }
};

struct Route6 {
  CaAddress6 network;  // host bits are zero
  uint8_t length = 0;  // 0..128
  HopId hop;           // as above
  friend constexpr auto operator<=>(const Route6&, const Route6&) = default;

  using Address = unsigned __int128;
  [[nodiscard]] constexpr Address first() const {
    Address address = 0;
    for (const uint8_t byte : network.bytes()) address = address << 8 | byte;
    return address;
  }
  [[nodiscard]] constexpr Address last() const {
    return length == 128 ? first() : first() | ~Address{0} >> length;
  }
  [[nodiscard]] static constexpr CaAddress6 address_of(Address address) {
    CaAddress6::Bytes bytes{};
    for (size_t i = bytes.size(); i-- > 0; address >>= 8) bytes[i] = static_cast<uint8_t>(address);
    return CaAddress6(bytes);
  }
};

}  // namespace hnv
