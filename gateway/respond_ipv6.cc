// SPDX-License-Identifier: Apache-2.0
//
// The answers of IPv6: neighbour advertisements, echo replies, ICMPv6 errors.
#include <cassert>

#include "compartments/line/answer.h"
#include "compartments/neighbor_discovery.h"
#include "gateway/encapsulate.h"
#include "gateway/respond_parts.h"
#include "gateway/stations_ipv6.h"

namespace hnv {
namespace {

OriginReason reason_for(const PacketSlot& slot) {
  switch (slot.icmp_type) {
    case wire::icmp6::kPacketTooBig:
      return OriginReason::packet_too_big;
    case wire::icmp6::kTimeExceeded:
      return OriginReason::time_exceeded;
    case wire::icmp6::kParameterProblem:
      return OriginReason::parameter_problem;
    default:
      return OriginReason::unreachable;
  }
}

// As IPv4's, in a session's case too.
wire::Address6 icmp_source(const PacketSlot& slot) {
  const CompartmentView& tenant = *slot.compartment;
  if (slot.ingress == Ingress::session) {
    return rte_pktmbuf_mtod(slot.mbuf, const wire::Ipv6*)->destination;
  }
  const wire::Address6* source = &tenant.icmp_source6;
  if (slot.ingress == Ingress::nvgre) source = &tenant.subnet(slot.in_subnet).icmp_source6;
  if (slot.ingress == Ingress::l3 || slot.ingress == Ingress::ipsec) {
    source = &tenant.connection(slot.in_connection).icmp_source6;
  }
  return is_unspecified6(*source) ? tenant.icmp_source6 : *source;
}

// The packet was counted as dropped where it was refused; only an error that is sent counts here.
void icmp_error(PacketSlot& slot, Instant now, Lanes& lanes, ReentryQueue& reentry) {
  const wire::Address6 source = icmp_source(slot);
  const IcmpError error{slot.icmp_type, slot.icmp_code, slot.icmp_mtu};
  if (is_unspecified6(source) || slot.ingress == Ingress::self ||
      !may_send_icmp6_error(*slot.mbuf) ||
      !take_icmp_token(slot.compartment->counters[lanes.worker()], lanes.workers(), now)) {
    rte_pktmbuf_free(slot.mbuf);
    return;
  }
  // What is quoted is the packet as it came.
  if (slot.ttl_decremented) ++rte_pktmbuf_mtod(slot.mbuf, wire::Ipv6*)->hop_limit;
  if (!make_icmp6_error(*slot.mbuf, error, source)) {
    rte_pktmbuf_free(slot.mbuf);
    return;
  }
  count(lanes, slot, reason_for(slot));
  reentry.push(inside(slot));
}

// The advertisement is longer than a solicitation may be: whether the buffer has the room behind.
bool has_room(const PacketSlot& slot, uint32_t bytes) {
  const auto* buffer = static_cast<const uint8_t*>(slot.mbuf->buf_addr);
  return slot.data + bytes <= buffer + slot.mbuf->buf_len;
}

void nd_outside(PacketSlot& slot, const Dataplane& plane, Lanes& lanes, ReentryQueue& reentry) {
  const Packet<Side::outside> packet(slot);
  const auto& ip = packet.at<wire::Ipv6>(slot.l2_bytes);
  const auto message = read_nd(ip, sizeof(wire::Ipv6));  // classify has seen that it is one
  count(lanes, ConsumeReason::neighbor_solicitation);
  if (!message || !has_room(slot, slot.l2_bytes + kNdBytes)) {
    rte_pktmbuf_free(slot.mbuf);
    return;
  }
  // Only behind an L3 connection is the gateway somebody's router.
  const uint32_t router = slot.in_connection.valid() ? wire::kNdRouter : 0;
  // RFC 4429 §3.3: while it is not verified, what others know of the address stays.
  const auto& unsettled = plane.attachments->attachments[slot.attachment.value()].unsettled6;
  const bool verified =
      std::find(unsettled.begin(), unsettled.end(), message->target) == unsettled.end();
  const NdAdvertisement answer{.target = message->target,
                               .asker = ip.source,
                               .own_mac = own_mac(slot, plane),
                               .flags = router | (verified ? wire::kNdOverride : 0)};
  auto& ethernet = packet.at<wire::Ethernet>(0);
  ethernet.destination = is_unspecified6(answer.asker)
                             ? mac_of_group(kAllNodes)
                             : message->source_mac.value_or(ethernet.source);
  ethernet.source = answer.own_mac;
  write_advertisement(slot.data + slot.l2_bytes, answer);
  slot.bytes = slot.l2_bytes + kNdBytes;
  slot.store();
  count(lanes, slot, OriginReason::neighbor_advertisement);
  reentry.push(whole_frame(slot));
}

// The mbuf begins with the inner Ethernet header; the answer goes back to the sender's record.
void nd_nvgre(PacketSlot& slot, const Dataplane& plane, Lanes& lanes, ReentryQueue& reentry) {
  const Packet<Side::inside> packet(slot);
  const CompartmentView& tenant = *slot.compartment;
  const SubnetView& subnet = tenant.subnet(slot.in_subnet);
  const wire::Mac& mac = packet.at<wire::Ethernet>(0).source;
  const auto& ip = packet.at<wire::Ipv6>(sizeof(wire::Ethernet));
  const auto message = read_nd(ip, sizeof(wire::Ipv6));  // enter_nvgre has seen that it is one
  const CustomerRecord* record = record_of_nd_sender(tenant, slot.in_subnet, ip.source, mac);
  count(lanes, ConsumeReason::neighbor_solicitation);
  if (!message || record == nullptr || !has_room(slot, sizeof(wire::Ethernet) + kNdBytes)) {
    rte_pktmbuf_free(slot.mbuf);
    return;
  }
  const NdAdvertisement answer{.target = message->target,
                               .asker = ip.source,
                               .own_mac = subnet.mac(),
                               .flags = wire::kNdRouter | wire::kNdOverride};
  slot.strip(sizeof(wire::Ethernet));
  write_advertisement(slot.data, answer);
  slot.bytes = kNdBytes;
  if (!encapsulate(slot, subnet, *record, 0, 0, wire::ether_type::kIpv6)) {
    rte_pktmbuf_free(slot.mbuf);  // cannot be: the request's own headers stood there
    return;
  }
  slot.store();
  count(lanes, slot, OriginReason::neighbor_advertisement);
  reentry.push(Reentry{.mbuf = slot.mbuf,
                       .stage = Stage::rewrite,
                       .next_hop = record->next_hop,
                       .next_hop_uid = plane.next_hops[record->next_hop.value()].uid});
}

void echo(PacketSlot& slot, wire::Ipv6& ip, Lanes& lanes) {
  make_echo_reply6(ip, upper_layer_of(ip).offset);
  count(lanes, ConsumeReason::echo_request);
  count(lanes, slot, OriginReason::echo_reply);
}

}  // namespace

void respond_ipv6(Packet<Side::outside> packet, const Dataplane& plane, Instant now, Lanes& lanes,
                  ReentryQueue& reentry) {
  PacketSlot& slot = packet.slot();
  switch (slot.answer) {
    case Answer::icmp_error:
      icmp_error(slot, now, lanes, reentry);
      break;
    case Answer::nd_reply_outside:
      nd_outside(slot, plane, lanes, reentry);
      break;
    case Answer::nd_reply_nvgre:
      nd_nvgre(slot, plane, lanes, reentry);
      break;
    case Answer::echo_reply_outside: {
      auto& ethernet = packet.at<wire::Ethernet>(0);
      std::swap(ethernet.destination, ethernet.source);
      echo(slot, packet.at<wire::Ipv6>(slot.l2_bytes), lanes);
      reentry.push(whole_frame(slot));
      break;
    }
    case Answer::echo_reply_inside:
      echo(slot, packet.at<wire::Ipv6>(0), lanes);
      reentry.push(inside(slot));
      break;
    case Answer::arp_reply_outside:
    case Answer::arp_reply_nvgre:
    case Answer::fragment:  // a router never cuts IPv6
    case Answer::none:
      assert(false);
      break;
  }
}

}  // namespace hnv
