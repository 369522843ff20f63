// SPDX-License-Identifier: Apache-2.0
//
// How much IKE a worker lets go to the control thread, and so to charon (RFC 6192). Every sender
// has a share of its own, large enough for a site with thousands of tunnels behind one address:
// what one sends beyond it takes nothing from the others. An exchange that begins (IKE_SA_INIT
// without a responder's SPI) has less than those under way, and gives way first when the control
// thread is behind. Senders with forged addresses are charon's: it asks for cookies (RFC 7296
// §2.6).
//
// Senders are told apart by a hash of their address (IPv6: its /64) with a secret, in 1,024 places:
// who shares a place shares its rate, and nobody can choose with whom.
//
// Threads: its worker's.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "compartments/packet_meter.h"

namespace hnv {

class IkeGate {
 public:
  static constexpr PacketRate kBeginning{.per_second = 1'000, .burst = 1'000};
  static constexpr PacketRate kUnderWay{.per_second = 4'000, .burst = 2'000};
  // Of the 1,024 places on the way to the control thread; the last are for ARP and ND.
  static constexpr unsigned kBeginningUpTo = 512;
  static constexpr unsigned kUnderWayUpTo = 896;

  IkeGate();

  // `packet`: an IP packet that classify sends to charon. `waiting`: how many wait there.
  [[nodiscard]] bool admit(std::span<const uint8_t> packet, unsigned waiting, Instant now);

 private:
  static constexpr size_t kPlaces = 1024;
  struct Sender {
    PacketMeter beginning, under_way;
  };
  uint64_t secret_;
  std::unique_ptr<std::array<Sender, kPlaces>> senders_;
};

}  // namespace hnv
