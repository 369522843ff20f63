// SPDX-License-Identifier: Apache-2.0
//
// Neighbour discovery's messages (RFC 4861): read with every check of §7.1, and written. Pure
// functions on bytes; who asks whom is decided elsewhere (compartments/neighbors.h on the control
// side, the stations on the workers').
#pragma once

#include <cstdint>
#include <optional>

#include "compartments/ip6_checks.h"
#include "compartments/wire.h"

namespace hnv {

// A solicitation or advertisement of a neighbour, or a solicitation of a router.
struct NdMessage {
  uint8_t type = 0;
  uint32_t flags = 0;                                   // kNdRouter and so on; advertisements only
  wire::Address6 target{};                              // not of a router solicitation
  std::optional<wire::Mac> source_mac{}, target_mac{};  // the options, when they are there
};

// The message at `offset` behind the IPv6 header; none when one of the checks of RFC 4861 §6.1.1,
// §7.1.1 or §7.1.2 fails: hop limit, checksum, code, length, target, options. REQUIRES
// ipv6_header_fits, and an ICMPv6 header's room at `offset`.
[[nodiscard]] std::optional<NdMessage> read_nd(const wire::Ipv6& ip, uint32_t offset);

// IPv6 header, message and one link-layer address option.
inline constexpr uint32_t kNdBytes =
    sizeof(wire::Ipv6) + sizeof(wire::NeighborMessage) + sizeof(wire::LinkLayerOption);

// Asks for `target` from `source`; to its solicited-node group, or to itself (a probe, §7.3.3). An
// unspecified source is duplicate address detection (RFC 4862 §5.4.2), which carries no option: the
// packet is then shorter. Returns its length; `at` has kNdBytes.
struct NdSolicitation {
  wire::Address6 source{};
  wire::Address6 target{};
  wire::Mac source_mac{};
  bool probe = false;  // to the target itself
};
uint32_t write_solicitation(uint8_t* at, const NdSolicitation& ask);

// Says that `own_mac` has `target`: kNdBytes at `at`. An unspecified asker (it looks for a
// duplicate of its address) is answered at all nodes, unsolicited (§7.2.4).
struct NdAdvertisement {
  wire::Address6 target{};  // the source as well
  wire::Address6 asker{};
  wire::Mac own_mac{};
  uint32_t flags = 0;  // without kNdSolicited, which follows from the asker
};
void write_advertisement(uint8_t* at, const NdAdvertisement& answer);

}  // namespace hnv
