// SPDX-License-Identifier: Apache-2.0
#include "gateway/ike_packets.h"

#include <cstring>
#include <new>
#include <unistd.h>

#include "compartments/ip6_checks.h"
#include "compartments/wire.h"
#include "gateway/reentry.h"

namespace hnv {
namespace {

struct Ends {
  IpAddress<Space::external> source, destination;
  bool udp = false;
};

std::optional<Ends> ends_of(std::span<const uint8_t> packet) {
  Ends ends;
  if (packet.size() >= sizeof(wire::Ipv4) && packet[0] >> 4 == 4) {
    wire::Ipv4 ip;
    std::memcpy(&ip, packet.data(), sizeof ip);
    ends.source = Ip4<Space::external>(ip.source.value());
    ends.destination = Ip4<Space::external>(ip.destination.value());
    ends.udp = ip.protocol == wire::ip_protocol::kUdp;  // of every fragment, too
    return ends;
  }
  if (packet.size() < sizeof(wire::Ipv6) || packet[0] >> 4 != 6) return std::nullopt;
  wire::Ipv6 ip;
  std::memcpy(&ip, packet.data(), sizeof ip);
  ends.source = Ip6<Space::external>(ip.source);
  ends.destination = Ip6<Space::external>(ip.destination);
  constexpr uint8_t kFragment = 44;
  ends.udp = ip.next_header == wire::ip_protocol::kUdp || ip.next_header == kFragment;
  return ends;
}

}  // namespace

void give_to_charon(int tun, const rte_mbuf& frame) {
  const SideNote& note = *static_cast<const SideNote*>(frame.buf_addr);
  if (rte_pktmbuf_data_len(&frame) <= note.l2_bytes) return;
  const auto* packet = rte_pktmbuf_mtod_offset(&frame, const uint8_t*, note.l2_bytes);
  const size_t bytes = rte_pktmbuf_data_len(&frame) - note.l2_bytes;
  (void)!write(tun, packet, bytes);
}

std::optional<IkeWay> way_of(
    std::span<const uint8_t> packet,
    const std::map<IpAddress<Space::external>, OutsideNetworkId>& addresses,
    const Dataplane& plane) {
  const auto ends = ends_of(packet);
  if (!ends || !ends->udp) return std::nullopt;
  const auto own = addresses.find(ends->source);
  if (own == addresses.end()) return std::nullopt;
  const OutsideNetwork& network = (*plane.outside)[own->second.value()];
  if (network.name.empty()) return std::nullopt;  // it went before the address's last packets
  const CaKey key(ends->destination.bytes(), ends->destination.family());
  const OutsideHop* hop = nullptr;
  if (ends->destination.is_v4()) {
    const HopId found = network.fib_owner->lookup(ends->destination.v4().value());
    if (found.valid()) hop = &network.hops[found.value()];
  } else {
    const HopId found = network.fib6->lookup(CaAddress6(ends->destination.bytes()));
    if (found.valid()) hop = &network.hops6[found.value()];
  }
  if (hop == nullptr) return std::nullopt;
  return IkeWay{own->second, ends->destination,
                outside_next(network, *hop, key, plane.links, plane.next_hops)};
}

rte_mbuf* packet_to_inject(rte_mempool& packets, std::span<const uint8_t> packet) {
  rte_mbuf* mbuf = rte_pktmbuf_alloc(&packets);
  if (mbuf == nullptr) return nullptr;
  char* room = rte_pktmbuf_append(mbuf, static_cast<uint16_t>(packet.size()));
  if (room == nullptr) {
    rte_pktmbuf_free(mbuf);
    return nullptr;
  }
  std::memcpy(room, packet.data(), packet.size());
  new (mbuf->buf_addr) SideNote;
  return mbuf;
}

}  // namespace hnv
