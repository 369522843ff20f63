// SPDX-License-Identifier: Apache-2.0
//
// What the two halves of the NVGRE door and `respond` share.
#pragma once

#include <cstring>

#include "compartments/checksum.h"
#include "compartments/compartment_view.h"
#include "compartments/line/packet.h"
#include "compartments/wire.h"

namespace hnv {

// Puts the NVGRE header (outer IP, GRE, inner Ethernet) of `subnet` toward `record` in front of the
// inner packet: one template copy, then what differs. The outer header checksum is the template's
// sum plus the record's plus the length and the traffic class, no header is read back. False when
// there is no room in front.
[[nodiscard, gnu::always_inline]] inline bool encapsulate(
    PacketSlot& slot, const SubnetView& subnet, const CustomerRecord& record, uint8_t flow_id,
    uint8_t tos, be16 inner_type = wire::ether_type::kIpv4) {
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
  reinterpret_cast<uint8_t*>(&header.gre.key)[3] = flow_id;
  header.inner.destination = wire::Mac::of(record.mac);
  header.inner.type = inner_type;
  return true;
}

// The FlowID of an inner IPv4 packet: the same in both directions of a flow; the ports count only
// where every packet of the flow has them (facts: 3-tuple for fragments).
[[nodiscard]] inline uint8_t flow_id_of(const wire::Ipv4& ip, uint32_t bytes) {
  uint32_t mix = ip.source.raw() ^ ip.destination.raw();
  mix ^= ip.protocol;
  const bool has_ports =
      ip.protocol == wire::ip_protocol::kTcp || ip.protocol == wire::ip_protocol::kUdp;
  if (has_ports && !ip.is_fragment() && bytes >= ip.header_bytes() + sizeof(wire::Ports)) {
    wire::Ports ports{};
    std::memcpy(&ports, reinterpret_cast<const uint8_t*>(&ip) + ip.header_bytes(), sizeof ports);
    mix ^= static_cast<uint32_t>(ports.source.raw() ^ ports.destination.raw()) << 8;
  }
  return static_cast<uint8_t>((mix * 0x9e3779b1U) >> 24);
}

// The record that vouches for the sender of an ARP packet in a virtual subnet: its customer
// address's own, or an L2Only record of its MAC. Null: nobody does. Slow path.
[[nodiscard]] const CustomerRecord* record_of_arp_sender(const CompartmentView& tenant,
                                                         SubnetId subnet, const wire::Arp& arp);

}  // namespace hnv
