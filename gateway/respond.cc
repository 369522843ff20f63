// SPDX-License-Identifier: Apache-2.0
#include "gateway/respond.h"

#include <algorithm>
#include <array>
#include <cassert>

#include "compartments/checksum.h"
#include "compartments/line/answer.h"
#include "compartments/line/fragment.h"
#include "gateway/encapsulate.h"
#include "gateway/respond_parts.h"
#include "gateway/stations_ipv6.h"

namespace hnv {
namespace {

void drop(Lanes& lanes, const PacketSlot& slot, rte_mbuf* mbuf, DropReason reason) {
  const auto index = static_cast<size_t>(reason);
  lanes.counters().drops[index].add();
  if (slot.compartment != nullptr) slot.compartment->counters[lanes.worker()].drops[index].add();
  rte_pktmbuf_free(mbuf);
}

OriginReason reason_for(const PacketSlot& slot) {
  if (slot.icmp_type == 11) return OriginReason::time_exceeded;
  return slot.icmp_code == 4 ? OriginReason::fragmentation_needed : OriginReason::unreachable;
}

// The sender's own address space sees the error come from the address the gateway has where the
// packet came in, else from the domain's gateway subnet. A session that ends here is told in its
// peer's name: the kernel behind the TUN believes nothing that comes from its own addresses.
uint32_t icmp_source(const PacketSlot& slot) {
  const CompartmentView& tenant = *slot.compartment;
  if (slot.ingress == Ingress::session) {
    return rte_pktmbuf_mtod(slot.mbuf, const wire::Ipv4*)->destination.value();
  }
  uint32_t source = 0;
  if (slot.ingress == Ingress::nvgre) source = tenant.subnet(slot.in_subnet).icmp_source;
  if (slot.ingress == Ingress::l3 || slot.ingress == Ingress::ipsec) {
    source = tenant.connection(slot.in_connection).icmp_source;
  }
  return source != 0 ? source : tenant.icmp_source;
}

// The packet was counted as dropped where it was refused; only an error that is sent counts here.
void icmp_error(PacketSlot& slot, Instant now, Lanes& lanes, ReentryQueue& reentry) {
  CompartmentCounters& counters = slot.compartment->counters[lanes.worker()];
  const uint32_t source = icmp_source(slot);
  const IcmpError error{slot.icmp_type, slot.icmp_code, slot.icmp_mtu};
  if (source == 0 || slot.ingress == Ingress::self || !may_send_icmp_error(*slot.mbuf) ||
      !take_icmp_token(counters, lanes.workers(), now)) {
    rte_pktmbuf_free(slot.mbuf);
    return;
  }
  // What is quoted is the packet as it came (RFC 1812 §4.3.2.3).
  if (slot.ttl_decremented) increment_ttl(*rte_pktmbuf_mtod(slot.mbuf, wire::Ipv4*));
  if (!make_icmp_error(*slot.mbuf, error, source)) {
    rte_pktmbuf_free(slot.mbuf);
    return;
  }
  count(lanes, slot, reason_for(slot));
  reentry.push(inside(slot));
}

void arp_outside(PacketSlot& slot, const Dataplane& plane, Lanes& lanes, ReentryQueue& reentry) {
  const Packet<Side::outside> packet(slot);
  const wire::Mac& mac = own_mac(slot, plane);
  auto& arp = packet.at<wire::Arp>(slot.l2_bytes);
  make_arp_reply(arp, mac);
  auto& ethernet = packet.at<wire::Ethernet>(0);
  ethernet.destination = arp.target_mac;
  ethernet.source = mac;
  slot.bytes = slot.l2_bytes + static_cast<uint32_t>(sizeof(wire::Arp));  // without padding
  slot.store();
  count(lanes, ConsumeReason::arp_request);
  count(lanes, slot, OriginReason::arp_reply);
  reentry.push(whole_frame(slot));
}

void echo_outside(PacketSlot& slot, Lanes& lanes, ReentryQueue& reentry) {
  const Packet<Side::outside> packet(slot);
  auto& ethernet = packet.at<wire::Ethernet>(0);
  std::swap(ethernet.destination, ethernet.source);
  make_echo_reply(packet.at<wire::Ipv4>(slot.l2_bytes));
  count(lanes, ConsumeReason::echo_request);
  count(lanes, slot, OriginReason::echo_reply);
  reentry.push(whole_frame(slot));
}

// The mbuf begins with the inner Ethernet header; the answer goes back to the sender's record.
void arp_nvgre(PacketSlot& slot, const Dataplane& plane, Lanes& lanes, ReentryQueue& reentry) {
  const Packet<Side::inside> packet(slot);
  const CompartmentView& tenant = *slot.compartment;
  const SubnetView& subnet = tenant.subnet(slot.in_subnet);
  auto& arp = packet.at<wire::Arp>(sizeof(wire::Ethernet));
  const CustomerRecord* record = record_of_arp_sender(tenant, slot.in_subnet, arp);
  count(lanes, ConsumeReason::arp_request);
  if (record == nullptr) {  // enter_nvgre has looked; only a change in between leads here
    rte_pktmbuf_free(slot.mbuf);
    return;
  }
  make_arp_reply(arp, subnet.header.inner.source);
  slot.strip(sizeof(wire::Ethernet));
  slot.bytes = sizeof(wire::Arp);
  if (!encapsulate(slot, subnet, *record, 0, 0, wire::ether_type::kArp)) {
    rte_pktmbuf_free(slot.mbuf);  // cannot be: the request's own headers stood there
    return;
  }
  slot.store();
  count(lanes, slot, OriginReason::arp_reply);
  reentry.push(Reentry{.mbuf = slot.mbuf,
                       .stage = Stage::rewrite,
                       .next_hop = record->next_hop,
                       .next_hop_uid = plane.next_hops[record->next_hop.value()].uid});
}

void echo_inside(PacketSlot& slot, Lanes& lanes, ReentryQueue& reentry) {
  make_echo_reply(*rte_pktmbuf_mtod(slot.mbuf, wire::Ipv4*));
  count(lanes, ConsumeReason::echo_request);
  count(lanes, slot, OriginReason::echo_reply);
  reentry.push(inside(slot));
}

// RFC 1812 §4.2.2.7. The pieces find their way like the packet before them, and fit this time.
void fragment_inside(PacketSlot& slot, Lanes& lanes, ReentryQueue& reentry) {
  // Smaller ones take ever more buffers: a tenant's 64 KiB datagram never comes in one piece.
  constexpr unsigned kMostPieces = 64;
  const auto& ip = *rte_pktmbuf_mtod(slot.mbuf, const wire::Ipv4*);
  const unsigned needed = fragments_needed(ip, slot.icmp_mtu);
  if (needed == 0) return drop(lanes, slot, slot.mbuf, DropReason::inner_bad_header);
  std::array<rte_mbuf*, kMostPieces> pieces{};
  // Whole or not at all, and answers must find a place, too.
  if (needed > kMostPieces || reentry.room() < needed + kVector ||
      !fragment(*slot.mbuf, slot.icmp_mtu, {pieces.data(), needed})) {
    return drop(lanes, slot, slot.mbuf, DropReason::fragment_no_buffer);
  }
  count(lanes, ConsumeReason::fragmented);
  for (unsigned i = 0; i < needed; ++i) {
    count(lanes, slot, OriginReason::fragment);
    reentry.push({.mbuf = pieces[i], .stage = Stage::route, .origin = origin_of(slot)});
  }
}

}  // namespace

void respond(Burst<Side::outside> in, const Dataplane& plane, Instant now, Lanes& lanes,
             ReentryQueue& reentry) {
  for (const auto packet : in) {
    PacketSlot& slot = packet.slot();
    if (slot.family == Family::ipv6) {
      respond_ipv6(packet, plane, now, lanes, reentry);
      continue;
    }
    switch (slot.answer) {
      case Answer::icmp_error:
        icmp_error(slot, now, lanes, reentry);
        break;
      case Answer::arp_reply_outside:
        arp_outside(slot, plane, lanes, reentry);
        break;
      case Answer::echo_reply_outside:
        echo_outside(slot, lanes, reentry);
        break;
      case Answer::arp_reply_nvgre:
        arp_nvgre(slot, plane, lanes, reentry);
        break;
      case Answer::echo_reply_inside:
        echo_inside(slot, lanes, reentry);
        break;
      case Answer::fragment:
        fragment_inside(slot, lanes, reentry);
        break;
      case Answer::nd_reply_outside:
      case Answer::nd_reply_nvgre:
      case Answer::none:
        assert(false);
        break;
    }
  }
}

}  // namespace hnv
