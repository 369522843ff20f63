// SPDX-License-Identifier: Apache-2.0
#include "gateway/discovery_frames.h"

#include <array>
#include <cstring>
#include <new>
#include <span>

#include "compartments/neighbor_discovery.h"
#include "compartments/wire.h"
#include "gateway/reentry.h"

namespace hnv {
namespace {

const wire::Mac kEverybody = wire::Mac::of(MacAddress::broadcast());

rte_mbuf* frame(rte_mempool& packets, const OutLink& link, const wire::Mac& destination, be16 type,
                std::span<const uint8_t> packet) {
  rte_mbuf* mbuf = rte_pktmbuf_alloc(&packets);
  if (mbuf == nullptr) return nullptr;
  const uint16_t l2 = link.vlan.tagged() ? 18 : 14;
  auto* start = reinterpret_cast<uint8_t*>(
      rte_pktmbuf_append(mbuf, static_cast<uint16_t>(l2 + packet.size())));
  auto& ethernet = *reinterpret_cast<wire::Ethernet*>(start);
  ethernet = {.destination = destination, .source = link.mac, .type = type};
  if (link.vlan.tagged()) {
    const wire::VlanTag tag{wire::ether_type::kVlan, be16{link.vlan.value()}};
    std::memcpy(start + 12, &tag, sizeof tag);
    std::memcpy(start + 16, &type, sizeof type);
  }
  std::memcpy(start + l2, packet.data(), packet.size());
  mbuf->port = static_cast<uint16_t>(link.port.value());
  SideNote& note = *new (mbuf->buf_addr) SideNote;
  note.complete_frame = true;
  return mbuf;
}

rte_mbuf* arp_request(rte_mempool& packets, const OutLink& link, const wire::Mac& to,
                      uint32_t sender, uint32_t target) {
  const wire::Arp arp{.hardware_type = be16{1},
                      .protocol_type = wire::ether_type::kIpv4,
                      .hardware_bytes = 6,
                      .protocol_bytes = 4,
                      .operation = wire::kArpRequest,
                      .sender_mac = link.mac,
                      .sender_ip = be32{sender},
                      .target_mac = wire::Mac{},
                      .target_ip = be32{target}};
  return frame(packets, link, to, wire::ether_type::kArp,
               {reinterpret_cast<const uint8_t*>(&arp), sizeof arp});
}

rte_mbuf* solicitation(rte_mempool& packets, const OutLink& link, const NdSolicitation& ask,
                       const std::optional<MacAddress>& to) {
  std::array<uint8_t, kNdBytes> packet{};
  const uint32_t bytes = write_solicitation(packet.data(), ask);
  return frame(packets, link, to ? wire::Mac::of(*to) : mac_of_group(solicited_node_of(ask.target)),
               wire::ether_type::kIpv6, {packet.data(), bytes});
}

}  // namespace

rte_mbuf* make_request(rte_mempool& packets, const OutLink& link, const LinkAddress& source,
                       const LinkAddress& target, const std::optional<MacAddress>& to) {
  if (source.is_v4()) {
    return arp_request(packets, link, to ? wire::Mac::of(*to) : kEverybody, source.v4().value(),
                       target.v4().value());
  }
  return solicitation(packets, link,
                      {.source = source.bytes(),
                       .target = target.bytes(),
                       .source_mac = link.mac,
                       .probe = to.has_value()},
                      to);
}

rte_mbuf* make_own_address_message(rte_mempool& packets, const OutLink& link,
                                   const OwnAddresses::Message& message) {
  const LinkAddress& address = message.key.address;
  const bool probe = message.kind == OwnAddresses::Message::Kind::probe;
  if (address.is_v4()) {
    const uint32_t own = address.v4().value();
    return arp_request(packets, link, kEverybody, probe ? 0 : own, own);
  }
  if (probe) {
    return solicitation(packets, link, {.target = address.bytes(), .source_mac = link.mac}, {});
  }
  std::array<uint8_t, kNdBytes> packet{};
  write_advertisement(packet.data(),
                      {.target = address.bytes(),
                       .own_mac = link.mac,
                       .flags = wire::kNdOverride | (link.router ? wire::kNdRouter : 0)});
  return frame(packets, link, mac_of_group(kAllNodes), wire::ether_type::kIpv6, packet);
}

}  // namespace hnv
