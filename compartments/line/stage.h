// SPDX-License-Identifier: Apache-2.0
//
// The line: the order of the stations every packet walks once (gateway/ARCHITECTURE.md §2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace hnv {

// In line order. The doors stand side by side: which of them a packet takes, classify says of those
// outside, route of those inside.
enum class Stage : uint8_t {
  classify,
  enter_nvgre,
  enter_ipsec,
  enter_nat,
  enter_l3,
  route,
  leave_nvgre,
  leave_ipsec,
  leave_nat,
  leave_l3,
  rewrite,
  tx,
  // Side exits, from anywhere.
  respond,
  handoff,
  punt,
};
inline constexpr size_t kStages = static_cast<size_t>(Stage::punt) + 1;

// Where a packet is: outside every compartment, or inside one.
enum class Side : uint8_t { outside, inside };

// On which side the packets are that a stage receives.
[[nodiscard]] constexpr Side side_of(Stage stage) {
  return stage >= Stage::route && stage <= Stage::leave_l3 ? Side::inside : Side::outside;
}
[[nodiscard]] constexpr bool is_enter_door(Stage stage) {
  return stage >= Stage::enter_nvgre && stage <= Stage::enter_l3;
}
[[nodiscard]] constexpr bool is_leave_door(Stage stage) {
  return stage >= Stage::leave_nvgre && stage <= Stage::leave_l3;
}

[[nodiscard]] std::string_view to_string(Stage stage);

}  // namespace hnv
