// SPDX-License-Identifier: Apache-2.0
#include "bgp/bfd_packet.h"

#include <cstring>

#include "compartments/byte_order.h"

namespace hnv {
namespace {

constexpr uint8_t kVersion = 1;

struct Wire {
  uint8_t version_diagnostic = 0;  // 3 and 5 bits
  uint8_t state_flags = 0;         // 2 bits, then P F C A D M
  uint8_t multiplier = 0;
  uint8_t length = 0;
  be32 my_discriminator, your_discriminator;
  be32 desired_min_transmit, required_min_receive, required_min_echo;
};
static_assert(sizeof(Wire) == BfdPacket::kBytes);

constexpr uint8_t kPoll = 0x20, kFinal = 0x10, kIndependent = 0x08, kAuthentication = 0x04,
                  kDemand = 0x02, kMultipoint = 0x01;

}  // namespace

std::optional<BfdPacket> read_bfd(std::span<const uint8_t> payload) {
  Wire wire;
  if (payload.size() < sizeof wire) return std::nullopt;
  std::memcpy(&wire, payload.data(), sizeof wire);
  // §6.8.6, in its order. Authentication is not in use here, so a packet that has some is not ours.
  if (wire.version_diagnostic >> 5 != kVersion) return std::nullopt;
  if (wire.length < sizeof wire || wire.length > payload.size()) return std::nullopt;
  if (wire.multiplier == 0) return std::nullopt;
  if ((wire.state_flags & (kMultipoint | kAuthentication)) != 0) return std::nullopt;
  if (wire.my_discriminator.value() == 0) return std::nullopt;
  const auto state = static_cast<BfdState>(wire.state_flags >> 6);
  if (wire.your_discriminator.value() == 0 && state != BfdState::down &&
      state != BfdState::admin_down) {
    return std::nullopt;
  }
  return BfdPacket{.state = state,
                   .diagnostic = static_cast<BfdDiagnostic>(wire.version_diagnostic & 0x1f),
                   .poll = (wire.state_flags & kPoll) != 0,
                   .final = (wire.state_flags & kFinal) != 0,
                   .control_plane_independent = (wire.state_flags & kIndependent) != 0,
                   .demand = (wire.state_flags & kDemand) != 0,
                   .multiplier = wire.multiplier,
                   .my_discriminator = wire.my_discriminator.value(),
                   .your_discriminator = wire.your_discriminator.value(),
                   .desired_min_transmit = wire.desired_min_transmit.value(),
                   .required_min_receive = wire.required_min_receive.value(),
                   .required_min_echo = wire.required_min_echo.value()};
}

std::array<uint8_t, BfdPacket::kBytes> write_bfd(const BfdPacket& packet) {
  const unsigned flags = (packet.poll ? kPoll : 0U) | (packet.final ? kFinal : 0U) |
                         (packet.control_plane_independent ? kIndependent : 0U) |
                         (packet.demand ? kDemand : 0U);
  const Wire wire{
      .version_diagnostic =
          static_cast<uint8_t>(kVersion << 5 | (static_cast<uint8_t>(packet.diagnostic) & 0x1f)),
      .state_flags = static_cast<uint8_t>(static_cast<unsigned>(packet.state) << 6 | flags),
      .multiplier = packet.multiplier,
      .length = sizeof(Wire),
      .my_discriminator = be32(packet.my_discriminator),
      .your_discriminator = be32(packet.your_discriminator),
      .desired_min_transmit = be32(packet.desired_min_transmit),
      .required_min_receive = be32(packet.required_min_receive),
      .required_min_echo = be32(packet.required_min_echo)};
  std::array<uint8_t, BfdPacket::kBytes> bytes;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  std::memcpy(bytes.data(), &wire, sizeof wire);
  return bytes;
}

}  // namespace hnv
