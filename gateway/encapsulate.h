// SPDX-License-Identifier: Apache-2.0
//
// What the two halves of the NVGRE door and `respond` share.
#pragma once

#include <cstring>

#include "compartments/checksum.h"
#include "compartments/compartment_view.h"
#include "compartments/ip6_checks.h"
#include "compartments/line/packet.h"
#include "compartments/wire.h"

namespace hnv {

// Over an IPv6 fabric: no checksum, but a flow label (RFC 6437 §3, never zero) from the flow's
// hash.
[[nodiscard]] inline bool encapsulate_over_ipv6(PacketSlot& slot, const SubnetView& subnet,
                                                const CustomerRecord& record, uint32_t flow,
                                                uint8_t tos, be16 inner_type) {
  const uint32_t inner = slot.bytes;
  auto* start = slot.prepend(sizeof(NvgreHeader6));
  if (start == nullptr) [[unlikely]]
    return false;
  auto& header = *reinterpret_cast<NvgreHeader6*>(start);
  header = subnet.header6;
  const uint32_t label = flow >> 12;
  header.ip.version_class_flow =
      be32{wire::kIpv6Version | uint32_t{tos} << 20 | (label != 0 ? label : 1)};
  header.ip.payload_length =
      be16{static_cast<uint16_t>(inner + sizeof(NvgreHeader6) - sizeof(wire::Ipv6))};
  header.ip.destination = record.pa;
  reinterpret_cast<uint8_t*>(&header.gre.key)[3] = static_cast<uint8_t>(flow >> 24);
  header.inner.destination = wire::Mac::of(record.mac);
  header.inner.type = inner_type;
  return true;
}

// Puts the NVGRE header (outer IP, GRE, inner Ethernet) of `subnet` toward `record` in front of the
// inner packet: one template copy, then what differs. The outer header checksum is the template's
// sum plus the record's plus the length and the traffic class, no header is read back. The FlowID
// is the top of `flow`. False when there is no room in front.
[[nodiscard, gnu::always_inline]] inline bool encapsulate(
    PacketSlot& slot, const SubnetView& subnet, const CustomerRecord& record, uint32_t flow,
    uint8_t tos, be16 inner_type = wire::ether_type::kIpv4) {
  if (subnet.outer_ipv6) return encapsulate_over_ipv6(slot, subnet, record, flow, tos, inner_type);
  auto* start = slot.prepend(sizeof(NvgreHeader));
  if (start == nullptr) [[unlikely]]
    return false;
  auto& header = *reinterpret_cast<NvgreHeader*>(start);
  header = subnet.header;
  const be16 length{static_cast<uint16_t>(slot.bytes)};
  header.ip.total_length = length;
  std::memcpy(&header.ip.destination, record.pa.data(), sizeof header.ip.destination);
  header.ip.tos = tos;
  header.ip.checksum = be16::from_raw(static_cast<uint16_t>(~checksum_fold(
      uint64_t{subnet.header_sum} + record.header_sum + length.raw() + (uint32_t{tos} << 8))));
  reinterpret_cast<uint8_t*>(&header.gre.key)[3] = static_cast<uint8_t>(flow >> 24);
  header.inner.destination = wire::Mac::of(record.mac);
  header.inner.type = inner_type;
  return true;
}

// A hash of an inner IPv4 packet's flow: the same in both directions of it; the ports count only
// where every packet of the flow has them (facts: 3-tuple for fragments).
[[nodiscard]] inline uint32_t flow_of(const wire::Ipv4& ip, uint32_t bytes) {
  uint32_t mix = ip.source.raw() ^ ip.destination.raw();
  mix ^= ip.protocol;
  const bool has_ports =
      ip.protocol == wire::ip_protocol::kTcp || ip.protocol == wire::ip_protocol::kUdp;
  if (has_ports && !ip.is_fragment() && bytes >= ip.header_bytes() + sizeof(wire::Ports)) {
    wire::Ports ports{};
    std::memcpy(&ports, reinterpret_cast<const uint8_t*>(&ip) + ip.header_bytes(), sizeof ports);
    mix ^= static_cast<uint32_t>(ports.source.raw() ^ ports.destination.raw()) << 8;
  }
  return mix * 0x9e3779b1U;
}

// The same of an inner IPv6 packet. Its own flow label does not count: only its sender knows what
// it means by it. REQUIRES ipv6_header_fits.
[[nodiscard]] inline uint32_t flow_of(const wire::Ipv6& ip) {
  uint64_t source[2];
  uint64_t destination[2];
  std::memcpy(source, ip.source.data(), sizeof source);
  std::memcpy(destination, ip.destination.data(), sizeof destination);
  uint64_t mix = (source[0] ^ destination[0]) * 0x9e3779b97f4a7c15U;
  mix ^= source[1] ^ destination[1];
  const auto is_ported = [](uint8_t p) {
    return p == wire::ip_protocol::kTcp || p == wire::ip_protocol::kUdp;
  };
  Upper6 upper{.offset = sizeof(wire::Ipv6), .protocol = ip.next_header, .whole = true};
  if (!is_ported(ip.next_header)) upper = upper_layer_of(ip);
  mix ^= upper.protocol;
  if (is_ported(upper.protocol) && !upper.fragment && upper.whole &&
      upper.offset + sizeof(wire::Ports) <= ip.total_length()) {
    wire::Ports ports{};
    std::memcpy(&ports, reinterpret_cast<const uint8_t*>(&ip) + upper.offset, sizeof ports);
    mix ^= uint64_t{static_cast<uint16_t>(ports.source.raw() ^ ports.destination.raw())} << 8;
  }
  return static_cast<uint32_t>((mix * 0x9e3779b97f4a7c15U) >> 32);
}

// The record that vouches for the sender of an ARP packet in a virtual subnet: its customer
// address's own, or an L2Only record of its MAC. Null: nobody does. Slow path.
[[nodiscard]] const CustomerRecord* record_of_arp_sender(const CompartmentView& tenant,
                                                         SubnetId subnet, const wire::Arp& arp);

// Likewise, of a neighbour solicitation from `source`.
[[nodiscard]] const CustomerRecord* record_of_nd_sender(const CompartmentView& tenant,
                                                        SubnetId subnet,
                                                        const wire::Address6& source,
                                                        const wire::Mac& mac);

}  // namespace hnv
