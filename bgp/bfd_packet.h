// SPDX-License-Identifier: Apache-2.0
//
// BFD's control packet (RFC 5880 §4.1), without authentication: as a value, read and written.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "compartments/clock.h"

namespace hnv {

enum class BfdState : uint8_t { admin_down = 0, down = 1, init = 2, up = 3 };

// §4.1; what is not named here is known by its number only, 0 to 31.
enum class BfdDiagnostic : uint8_t {
  none = 0,
  detection_time_expired = 1,
  neighbor_signaled_down = 3,
  administratively_down = 7,
};

struct BfdPacket {
  static constexpr size_t kBytes = 24;

  BfdState state = BfdState::down;
  BfdDiagnostic diagnostic = BfdDiagnostic::none;
  bool poll = false;
  bool final = false;
  bool control_plane_independent = false;
  bool demand = false;
  uint8_t multiplier = 3;             // never 0
  uint32_t my_discriminator = 0;      // never 0
  uint32_t your_discriminator = 0;    // 0 while it is not known
  uint32_t desired_min_transmit = 0;  // microseconds, as the next two
  uint32_t required_min_receive = 0;  // 0: wants no packets
  uint32_t required_min_echo = 0;     // 0: answers no echo
  friend bool operator==(const BfdPacket&, const BfdPacket&) = default;
};

// Of a UDP payload. Nothing: §6.8.6 says to discard it, whatever session it is for.
[[nodiscard]] std::optional<BfdPacket> read_bfd(std::span<const uint8_t> payload);
[[nodiscard]] std::array<uint8_t, BfdPacket::kBytes> write_bfd(const BfdPacket& packet);

}  // namespace hnv
