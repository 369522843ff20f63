// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

#include "compartments/wire.h"

namespace hnv {

// Chooses one of several equal ways for an inner IPv4 packet, so that all packets of a flow take
// the same (RFC 2992): of addresses, protocol and, where every packet of the flow has them, ports.
// All fragments of a packet agree; those of a flow with and without fragments need not. REQUIRES a
// checked header.
[[nodiscard]] inline uint32_t flow_hash(const wire::Ipv4& ip) {
  uint64_t mix = uint64_t{ip.source.raw()} << 32 | ip.destination.raw();
  mix = (mix ^ ip.protocol) * 0x9e3779b97f4a7c15;
  const bool has_ports =
      ip.protocol == wire::ip_protocol::kTcp || ip.protocol == wire::ip_protocol::kUdp;
  if (has_ports && !ip.is_fragment() &&
      ip.total_length.value() >= ip.header_bytes() + sizeof(wire::Ports)) {
    uint32_t ports = 0;
    std::memcpy(&ports, reinterpret_cast<const uint8_t*>(&ip) + ip.header_bytes(), sizeof ports);
    mix ^= ports;
  }
  mix = (mix ^ mix >> 32) * 0xd6e8feb86659fd93;
  return static_cast<uint32_t>(mix >> 32);
}

}  // namespace hnv
