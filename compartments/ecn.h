// SPDX-License-Identifier: Apache-2.0
//
// What a tunnel does with the traffic class byte (IPv4's TOS): congestion marks by RFC 6040,
// differentiated services by RFC 2983.
#pragma once

#include <cstdint>
#include <optional>

namespace hnv {

inline constexpr uint8_t kEcnMask = 0x03;
inline constexpr uint8_t kEcnNotCapable = 0;
inline constexpr uint8_t kEcnCapable1 = 1;  // ECT(1)
inline constexpr uint8_t kEcnCapable0 = 2;  // ECT(0)
inline constexpr uint8_t kEcnCongestion = 3;

// The ECN field of the packet that a tunnel gives out, of those that came (RFC 6040 §4.2, figure
// 4). Nothing: the packet must be dropped, for its sender would not understand the mark.
[[nodiscard]] constexpr std::optional<uint8_t> decapsulated_ecn(uint8_t outer, uint8_t inner) {
  if (outer == kEcnCongestion) {
    if (inner == kEcnNotCapable) return std::nullopt;
    return kEcnCongestion;
  }
  if (outer == kEcnCapable1 && inner == kEcnCapable0) return kEcnCapable1;
  return inner;
}

// Which bits of the inner byte the outer one takes over: the mark always (RFC 6040 §4.1, normal
// mode), the code point in the uniform model only (RFC 2983 §3).
[[nodiscard]] constexpr uint8_t copied_class_bits(bool uniform) {
  return uniform ? uint8_t{0xff} : kEcnMask;
}

}  // namespace hnv
