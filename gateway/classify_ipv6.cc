// SPDX-License-Identifier: Apache-2.0
//
// The outer headers of IPv6, and neighbour discovery on outside networks (RFC 4861).
//
//   Eth | [802.1Q] | IPv6 (→ our PA) | GRE           → enter_nvgre
//   Eth | [802.1Q] | IPv6 | ICMPv6 solicitation      → respond, for our addresses; punt when
//   somebody
//                                                      asks whether it may have one of them
//                         | ICMPv6 advertisement     → punt: the control thread takes what it
//                                                      asked for
//                         | ICMPv6 echo (→ us)       → respond
//                         | ICMPv6 packet too big (→ our PA) → punt: the path MTU of the fabric
//   Eth | [802.1Q] | IPv6 (→ a VPN address)          → as classify_ipsec.cc says
//   Eth | [802.1Q] | IPv6 (the MAC is an L3 connection's) → enter_l3
//
// Extension headers are walked by their lengths (RFC 7045). The gateway routes no groups, so what
// tells of listeners (MLD) ends here; RFC 4861 asks no host to hear it.
#include <algorithm>

#include "compartments/neighbor_discovery.h"
#include "gateway/stations.h"
#include "gateway/stations_ipv6.h"

namespace hnv {
namespace {

using Out = Exit<Stage::classify>;

bool is_own6(const Attachment& attachment, const wire::Address6& address) {
  return std::find(attachment.own_addresses6.begin(), attachment.own_addresses6.end(), address) !=
         attachment.own_addresses6.end();
}

bool is_discovery(uint8_t type) {
  return type >= wire::icmp6::kRouterSolicitation && type <= wire::icmp6::kRedirect;
}
bool is_listener_message(uint8_t type) {
  return (type >= wire::icmp6::kListenerQuery && type <= wire::icmp6::kListenerDone) ||
         type == wire::icmp6::kListenerReport2;
}

bool is_unsettled(const Attachment& attachment, const wire::Address6& address) {
  return std::find(attachment.unsettled6.begin(), attachment.unsettled6.end(), address) !=
         attachment.unsettled6.end();
}

// An address that we have, or want to have. What others say of it the control thread must know.
bool is_of_ours(const PacketSlot& slot, const Attachment& attachment, const wire::Address6& address,
                const Dataplane& plane) {
  return is_own6(attachment, address) || is_unsettled(attachment, address) ||
         !plane.l3->find_address6(slot.attachment, address).empty();
}

// Whose is the address that is asked for? The network's own first, else an L3 connection's: several
// tenants may have it on a shared network, and then only a solicitation to one's own MAC (a probe)
// can be answered.
void solicited(Packet<Side::outside> packet, const Attachment& attachment,
               const wire::Address6& target, const L3Table::Entry* door, const Dataplane& plane,
               Out out) {
  PacketSlot& slot = packet.slot();
  const bool network = attachment.kind != AttachmentKind::l3_connection;
  if (network && !attachment.own_addresses6.empty() &&
      (is_own6(attachment, target) || target == link_local_of(attachment.mac))) {
    slot.in_connection = ConnectionId();
    return out.respond(packet, Answer::nd_reply_outside);
  }
  if (network && (plane.nat->find6(slot.attachment, target) ||
                  plane.ipsec->addresses.contains(slot.attachment, target))) {
    slot.in_connection = ConnectionId();
    return out.respond(packet, Answer::nd_reply_outside);
  }
  const auto owners = plane.l3->find_address6(slot.attachment, target);
  const auto* owner = owners.size() == 1 ? owners.data() : nullptr;
  if (owners.size() > 1 && door != nullptr) {
    const auto meant = std::find_if(owners.begin(), owners.end(), [&](const auto& candidate) {
      return candidate.compartment == door->compartment && candidate.connection == door->connection;
    });
    if (meant != owners.end()) owner = &*meant;
  }
  if (owner == nullptr) {
    return out.drop(packet, owners.empty() ? DropReason::nd_not_ours : DropReason::nd_ambiguous);
  }
  slot.compartment = plane.compartment(owner->compartment);
  slot.in_connection = owner->connection;
  out.respond(packet, Answer::nd_reply_outside);
}

// RFC 6980 lets no fragment carry discovery, and nobody puts extension headers before it.
void discover(Packet<Side::outside> packet, const Attachment& attachment, const wire::Ipv6& ip,
              const L3Table::Entry* door, const Dataplane& plane, Out out) {
  const auto message = read_nd(ip, sizeof(wire::Ipv6));
  if (packet.at<wire::Ethernet>(0).source.multicast()) {
    return out.drop(packet, DropReason::nd_bad);
  }
  const uint8_t type = packet.at<wire::Icmp>(packet.slot().l2_bytes + 40U).type;
  switch (type) {
    case wire::icmp6::kNeighborSolicitation:
      if (!message) return out.drop(packet, DropReason::nd_bad);
      // RFC 4862 §5.4.3: somebody wants it for its own.
      if (is_unspecified6(ip.source) &&
          is_of_ours(packet.slot(), attachment, message->target, plane)) {
        return out.punt(packet);
      }
      return solicited(packet, attachment, message->target, door, plane, out);
    case wire::icmp6::kNeighborAdvertisement: {
      if (!message) return out.drop(packet, DropReason::nd_bad);
      // A takeover that nobody asked for concerns the fabric only (gateway/resolver.h).
      const bool to_group = packet.at<wire::Ethernet>(0).destination.multicast();
      if (to_group && attachment.kind != AttachmentKind::provider &&
          !is_of_ours(packet.slot(), attachment, message->target, plane)) {
        break;
      }
      return out.punt(packet);
    }
    default:
      break;  // other routers' advertisements and redirects: routes here are configured
  }
  out.drop(packet, DropReason::nd_not_ours);
}

// An address of the network's own. Addresses are checked by now.
void to_own(Packet<Side::outside> packet, const Attachment& attachment, const wire::Ipv6& ip,
            const Upper6& upper, const Dataplane& plane, Out out) {
  if (!upper.whole) return out.drop(packet, DropReason::extension_header_bad);
  const PacketSlot& slot = packet.slot();
  const bool is_vpn = attachment.kind == AttachmentKind::external &&
                      plane.ipsec->addresses.contains(slot.attachment, ip.destination);
  if (is_vpn && classify_ipsec(packet,
                               {.protocol = upper.protocol,
                                .fragment = upper.fragment,
                                .at = slot.l2_bytes + upper.offset,
                                .bytes = ip.total_length() - upper.offset},
                               out)) {
    return;
  }
  if (upper.protocol == wire::ip_protocol::kGre && attachment.kind != AttachmentKind::provider) {
    return out.drop(packet, DropReason::gre_not_on_fabric);
  }
  if (!is_own6(attachment, ip.destination) && !is_vpn) {
    return out.drop(packet, DropReason::outer_not_ours);
  }
  // RFC 7637 §4.4: a receiver may discard fragments; nothing here puts them together.
  if (upper.fragment) return out.drop(packet, DropReason::outer_fragment);
  if (upper.protocol == wire::ip_protocol::kGre) return out.to<Stage::enter_nvgre>(packet);
  if (upper.protocol == wire::ip_protocol::kIcmpV6 &&
      ip.total_length() >= upper.offset + sizeof(wire::Icmp)) {
    const uint8_t type = packet.at<wire::Icmp>(packet.slot().l2_bytes + upper.offset).type;
    if (type == wire::icmp6::kEchoRequest) {
      if (packet.at<wire::Ethernet>(0).source.multicast()) {
        return out.drop(packet, DropReason::outer_bad_source);
      }
      return out.respond(packet, Answer::echo_reply_outside);
    }
    // What a router of the fabric says: the control thread asks whether it may be true.
    if (type == wire::icmp6::kPacketTooBig && attachment.kind == AttachmentKind::provider) {
      return out.punt(packet);
    }
  }
  out.drop(packet, DropReason::outer_protocol);
}

}  // namespace

void classify_ipv6(Packet<Side::outside> packet, const Attachment& attachment,
                   const Dataplane& plane, Exit<Stage::classify> out) {
  PacketSlot& slot = packet.slot();
  out.set_family(packet, Family::ipv6);
  const wire::Mac& to = packet.at<wire::Ethernet>(0).destination;
  const bool network = attachment.kind != AttachmentKind::l3_connection;
  const bool ours = network && to.key() == attachment.mac.key();
  const L3Table::Entry* door = nullptr;
  if (!ours && attachment.kind != AttachmentKind::provider) {
    door = plane.l3->find(L3Table::key(slot.attachment, to));
  }
  // Ports are promiscuous: what others tell each other is not for us.
  if (!ours && door == nullptr && !to.multicast()) {
    return out.drop(packet, DropReason::mac_not_ours);
  }
  if (slot.bytes < slot.l2_bytes + sizeof(wire::Ipv6)) {
    return out.drop(packet, DropReason::frame_short);
  }
  const auto& ip = packet.at<wire::Ipv6>(slot.l2_bytes);
  if (!ipv6_header_fits(ip, slot.bytes - slot.l2_bytes)) {
    return out.drop(packet, DropReason::outer_bad_header);
  }
  if (ip.next_header == wire::ip_protocol::kIcmpV6 &&
      ip.total_length() >= sizeof(wire::Ipv6) + sizeof(wire::Icmp) &&
      is_discovery(packet.at<wire::Icmp>(slot.l2_bytes + 40U).type)) {
    return discover(packet, attachment, ip, door, plane, out);
  }
  if (door != nullptr) {
    // Not a compartment yet: enter_l3 gives it, after its checks.
    slot.compartment = plane.compartment(door->compartment);
    slot.in_connection = door->connection;
    return out.to<Stage::enter_l3>(packet);
  }
  Upper6 upper{.offset = sizeof(wire::Ipv6), .protocol = ip.next_header, .whole = true};
  if (ip.next_header != wire::ip_protocol::kGre) [[unlikely]] {
    upper = upper_layer_of(ip);
    if (upper.whole && upper.protocol == wire::ip_protocol::kIcmpV6 && !upper.later_fragment &&
        ip.total_length() >= upper.offset + sizeof(wire::Icmp) &&
        is_listener_message(packet.at<wire::Icmp>(slot.l2_bytes + upper.offset).type)) {
      return out.drop(packet, DropReason::mld_ignored);
    }
  }
  if (!ours) return out.drop(packet, DropReason::outer_not_ours);  // to a group
  const bool hairpin = slot.ingress == Ingress::nat;
  const bool for_vpn = attachment.kind == AttachmentKind::external &&
                       plane.ipsec->addresses.contains(slot.attachment, ip.destination);
  const auto public_address = attachment.kind == AttachmentKind::external && !for_vpn
                                  ? plane.nat->find6(slot.attachment, ip.destination)
                                  : std::nullopt;
  if (public_address && !is_martian_source6(ip.source) &&
      (hairpin || !is_own6(attachment, ip.source))) {
    slot.public_address = *public_address;
    return out.to<Stage::enter_nat>(packet);
  }
  if (is_martian_source6(ip.source) || is_own6(attachment, ip.source)) {
    return out.drop(packet, DropReason::outer_bad_source);
  }
  to_own(packet, attachment, ip, upper, plane, out);
}

}  // namespace hnv
