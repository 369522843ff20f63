// SPDX-License-Identifier: Apache-2.0
#include "gateway/ike_gate.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <random>

namespace hnv {
namespace {

struct Parts {
  uint64_t sender = 0;
  bool begins = false;
};

uint16_t number_at(std::span<const uint8_t> bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

// RFC 7296 §3.1: the responder's SPI is zero in the first message only. What is too short to tell,
// or a later fragment, is of something under way.
bool begins(std::span<const uint8_t> udp) {
  constexpr size_t kUdpHeader = 8;
  constexpr size_t kSpi = 8;
  constexpr uint16_t kWithMarker = 4500;
  if (udp.size() < kUdpHeader) return false;
  const size_t ike = kUdpHeader + (number_at(udp, 2) == kWithMarker ? 4 : 0);
  if (udp.size() < ike + 2 * kSpi) return false;
  const auto spi = udp.subspan(ike + kSpi, kSpi);
  return std::all_of(spi.begin(), spi.end(), [](uint8_t byte) { return byte == 0; });
}

std::optional<Parts> parts_of(std::span<const uint8_t> packet) {
  Parts out;
  if (packet.size() >= 20 && packet[0] >> 4 == 4) {
    uint32_t source = 0;
    std::memcpy(&source, &packet[12], sizeof source);
    out.sender = source;
    const size_t header = size_t{4} * (packet[0] & 0xfU);
    const bool first = (number_at(packet, 6) & 0x1fff) == 0;
    out.begins = first && packet.size() > header && begins(packet.subspan(header));
    return out;
  }
  if (packet.size() < 40 || packet[0] >> 4 != 6) return std::nullopt;
  std::memcpy(&out.sender, &packet[8], sizeof out.sender);
  constexpr uint8_t kUdp = 17;
  out.begins = packet[6] == kUdp && begins(packet.subspan(40));
  return out;
}

// The finalizer of a 64-bit mixing hash: every bit of the input moves every bit of the output.
uint64_t mixed(uint64_t value) {
  value ^= value >> 33;
  value *= 0xff51afd7ed558ccdULL;
  value ^= value >> 33;
  value *= 0xc4ceb9fe1a85ec53ULL;
  return value ^ value >> 33;
}

uint64_t random_number() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace

IkeGate::IkeGate()
    : secret_(random_number()), senders_(std::make_unique<std::array<Sender, kPlaces>>()) {}

bool IkeGate::admit(std::span<const uint8_t> packet, unsigned waiting, Instant now) {
  const auto parts = parts_of(packet);
  if (!parts) return false;
  Sender& sender = (*senders_)[mixed(parts->sender ^ secret_) % kPlaces];
  if (parts->begins) return waiting < kBeginningUpTo && sender.beginning.take(kBeginning, now);
  return waiting < kUnderWayUpTo && sender.under_way.take(kUnderWay, now);
}

}  // namespace hnv
