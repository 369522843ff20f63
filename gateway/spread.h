// SPDX-License-Identifier: Apache-2.0
//
// Which worker a frame belongs to, for ports that have fewer receive queues than there are workers.
// The worker that receives parses just enough to name the flow; the owner does everything else, so
// a flow stays in order. Pure functions; they trust nothing in the frame.
#pragma once

#include <cstdint>
#include <optional>

namespace hnv {

// The hash of the flow of a frame that begins with its Ethernet header.
//
//   NVGRE on an IPv4 or IPv6 fabric: the VSID and the inner packet's flow
//   any other IP packet:             its own flow
//
// A flow is the two addresses, the protocol and, for TCP and UDP, the ports; both directions hash
// alike. No fragment counts its ports, not even the first, so that a datagram stays together; a
// flow's whole packets may then have another owner than its fragments.
// Absent: no flow (ARP, other Ethernet types, NVGRE that carries no IP, cut or malformed headers):
// such frames stay with the worker that received them.
[[nodiscard]] std::optional<uint32_t> flow_hash_of(const uint8_t* frame, uint32_t bytes);

// The owner of a flow among `workers` workers, 0..workers-1; stable as long as their number is.
[[nodiscard]] constexpr unsigned owner_of(uint32_t flow_hash, unsigned workers) {
  return static_cast<unsigned>(uint64_t{flow_hash} * workers >> 32);
}

}  // namespace hnv
