// SPDX-License-Identifier: Apache-2.0
//
// BFD's packets as they travel between two addresses of a routing domain: IP | UDP | control packet
// (RFC 5881 §4, RFC 5883 §5). Read and written; no lookups.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "bgp/bfd_packet.h"
#include "compartments/address.h"

namespace hnv {

// Between which two addresses, and over which port. A session is known by that until its
// discriminators are.
struct BfdEnds {
  IpAddress<Space::customer> source, destination;  // of one family
  bool multihop = false;                           // UDP 4784; else 3784
  friend auto operator<=>(const BfdEnds&, const BfdEnds&) = default;
};

struct BfdDatagram {
  BfdEnds ends;
  uint8_t ttl = 0;
  BfdPacket packet{};
};

// An IP packet. Nothing: it is no BFD, or a header, a checksum or the control packet is wrong, or
// it is of a single hop and has come farther (RFC 5881 §5: its TTL is not 255).
[[nodiscard]] std::optional<BfdDatagram> read_bfd_datagram(std::span<const uint8_t> ip);

// TTL 255, class CS6, checksums right. `source_port` is 49152 or more (RFC 5881 §4), and a
// session's own.
[[nodiscard]] std::vector<uint8_t> write_bfd_datagram(const BfdEnds& ends, uint16_t source_port,
                                                      const BfdPacket& packet);

}  // namespace hnv
