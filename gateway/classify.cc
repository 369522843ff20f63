// SPDX-License-Identifier: Apache-2.0
//
// The outer headers: which network a frame belongs to, whether it is for us, and at which door.
//
//   Eth | [802.1Q] | ARP           → respond (a request for one of our addresses), punt (an answer)
//   Eth | [802.1Q] | IP (→ our PA) → GRE: enter_nvgre; ICMP echo: respond
//   Eth | [802.1Q] | IP (→ a public address) → enter_nat
//   Eth | [802.1Q] | IP (→ a VPN address)    → ESP, alone or in UDP: enter_ipsec; IKE: punt
//   Eth | [802.1Q] | IP            → another MAC on a physical network: enter_l3
//
// A frame's (port, VLAN) names its attachment; only a provider network's attachment takes GRE.
#include <algorithm>

#include "compartments/checksum.h"
#include "compartments/ip_checks.h"
#include "gateway/stations.h"
#include "gateway/stations_ipv6.h"

namespace hnv {
namespace {

using Out = Exit<Stage::classify>;

bool is_own(const Attachment& attachment, uint32_t address) {
  // Seldom more than a few: a walk beats a search.
  for (const uint32_t own : attachment.own_addresses) {
    if (own == address) return true;
  }
  return false;
}

bool is_attachments_mac(const Attachment& attachment, const wire::Mac& mac) {
  // A private (port, VLAN) has no MAC of its own, only its connection has.
  return attachment.kind != AttachmentKind::l3_connection && mac.key() == attachment.mac.key();
}

// Whose is an address of an L3 connection that an ARP request asks for? Several tenants may have it
// on a shared network: then only a request to one's own MAC can be answered, for a wrong answer
// would bring one tenant's packets into the other's compartment.
void classify_arp_for_connection(Packet<Side::outside> packet, const L3Table::Address& own,
                                 const L3Table::Entry* door, uint32_t target,
                                 const Dataplane& plane, Out out) {
  PacketSlot& slot = packet.slot();
  if (own.connection.valid()) {
    slot.compartment = plane.compartment(own.compartment);
    slot.in_connection = own.connection;
    return out.respond(packet, Answer::arp_reply_outside);
  }
  if (door == nullptr) return out.drop(packet, DropReason::arp_ambiguous);
  const CompartmentView& tenant = *plane.compartment(door->compartment);
  const CustomerRecord* record = tenant.records->find(CaKey(CaAddress(target)));
  if (record == nullptr || record->type != RecordType::own || record->subnet.valid()) {
    return out.drop(packet, DropReason::arp_not_ours);
  }
  slot.compartment = &tenant;
  slot.in_connection = door->connection;
  out.respond(packet, Answer::arp_reply_outside);
}

// ARP on an outside network (RFC 826). Requests for our addresses are answered by `respond`;
// answers go to the control thread, which takes only those it asked for. On the fabric a gratuitous
// request goes there too: a host's takeover of a PA must be seen.
[[gnu::noinline]] void classify_arp(Packet<Side::outside> packet, const Attachment& attachment,
                                    const Dataplane& plane, Out out) {
  PacketSlot& slot = packet.slot();
  if (packet.bytes() < slot.l2_bytes + sizeof(wire::Arp)) {
    return out.drop(packet, DropReason::frame_short);
  }
  const auto& arp = packet.at<wire::Arp>(slot.l2_bytes);
  if (!arp.well_formed() || arp.sender_mac.multicast()) {
    return out.drop(packet, DropReason::arp_bad);
  }
  // Ports are promiscuous: what others tell each other is not for us.
  const wire::Mac& to = packet.at<wire::Ethernet>(0).destination;
  const auto* door = plane.l3->find(L3Table::key(slot.attachment, to));
  if (!to.multicast() && door == nullptr && !is_attachments_mac(attachment, to)) {
    return out.drop(packet, DropReason::mac_not_ours);
  }
  const uint32_t target = arp.target_ip.value();
  if (arp.operation == wire::kArpReply) return out.punt(packet);
  if (arp.operation != wire::kArpRequest) return out.drop(packet, DropReason::arp_bad);
  // RFC 5227 §2.4: somebody else says that one of our addresses is its own.
  const uint32_t sender = arp.sender_ip.value();
  if (arp.sender_mac.key() != attachment.mac.key() &&
      (is_own(attachment, sender) ||
       plane.l3->find_address(L3Table::address_key(slot.attachment, sender)) != nullptr)) {
    return out.punt(packet);
  }
  if (is_own(attachment, target) || plane.nat->at(slot.attachment, arp.target_ip) != nullptr ||
      plane.ipsec->addresses.contains(slot.attachment, arp.target_ip)) {
    slot.in_connection = ConnectionId();
    return out.respond(packet, Answer::arp_reply_outside);
  }
  const auto* own = plane.l3->find_address(L3Table::address_key(slot.attachment, target));
  if (own != nullptr) {
    return classify_arp_for_connection(packet, *own, door, target, plane, out);
  }
  if (attachment.kind == AttachmentKind::provider && arp.sender_ip == arp.target_ip) {
    return out.punt(packet);
  }
  out.drop(packet, DropReason::arp_not_ours);
}

// ICMP to our own address on an outside network: echo requests are answered, what a router on the
// fabric says about an MTU goes to the control thread, which asks whether it may be true.
void classify_own_icmp(Packet<Side::outside> packet, const wire::Ipv4& ip, AttachmentKind kind,
                       Out out) {
  const uint32_t offset = packet.slot().l2_bytes + ip.header_bytes();
  if (ip.total_length.value() >= ip.header_bytes() + sizeof(wire::Icmp)) {
    const auto& icmp = packet.at<wire::Icmp>(offset);
    if (icmp.type == 8) {
      // The answer goes to the MAC it came from: never to a group (RFC 1122 §3.2.2.6).
      if (packet.at<wire::Ethernet>(0).source.multicast()) {
        return out.drop(packet, DropReason::outer_bad_source);
      }
      return out.respond(packet, Answer::echo_reply_outside);
    }
    if (icmp.type == 3 && icmp.code == 4 && kind == AttachmentKind::provider) {
      return out.punt(packet);
    }
  }
  out.drop(packet, DropReason::outer_protocol);
}

// ESP and IKE end at VPN addresses only (vpn/README.md). True when the packet went its way.
bool is_for_ipsec(Packet<Side::outside> packet, const wire::Ipv4& ip, const Attachment& attachment,
                  const Dataplane& plane, Out out) {
  const PacketSlot& slot = packet.slot();
  if (attachment.kind != AttachmentKind::external ||
      (ip.protocol != wire::ip_protocol::kEsp && ip.protocol != wire::ip_protocol::kUdp) ||
      !plane.ipsec->addresses.contains(slot.attachment, ip.destination)) {
    return false;
  }
  return classify_ipsec(packet,
                        {.protocol = ip.protocol,
                         .fragment = ip.is_fragment(),
                         .at = slot.l2_bytes + ip.header_bytes(),
                         .bytes = ip.total_length.value() - ip.header_bytes()},
                        out);
}

// Our own address on an outside network. Header, source and checksum are checked by now.
void classify_own(Packet<Side::outside> packet, const wire::Ipv4& ip, AttachmentKind kind,
                  Out out) {
  if (ip.protocol == wire::ip_protocol::kGre) return out.to<Stage::enter_nvgre>(packet);
  if (ip.protocol == wire::ip_protocol::kIcmp && !ip.is_fragment()) {
    return classify_own_icmp(packet, ip, kind, out);
  }
  out.drop(packet, DropReason::outer_protocol);
}

// The frame that nearly all are on a fabric: NVGRE from a host to a PA of ours, whole and sound,
// without IP options.
bool is_plain_nvgre(const PacketSlot& slot, const Attachment& attachment,
                    const wire::Ethernet& ethernet, const wire::Ipv4& ip) {
  const uint32_t total = ip.total_length.value();
  return attachment.kind == AttachmentKind::provider &&
         slot.bytes >= slot.l2_bytes + sizeof(wire::Ipv4) && ip.version_ihl == 0x45 &&
         ip.protocol == wire::ip_protocol::kGre && !ip.is_fragment() &&
         total >= sizeof(wire::Ipv4) + sizeof(wire::Gre) && total <= slot.bytes - slot.l2_bytes &&
         ethernet.destination.key() == attachment.mac.key() &&
         checksum_fold(checksum_sum(ip)) == 0xffff && is_own(attachment, ip.destination.value()) &&
         !is_martian_source(ip.source.value()) && !is_own(attachment, ip.source.value());
}

// One of NAT's public addresses? The gateway's own may be among them. True when it went there.
bool is_for_nat(Packet<Side::outside> packet, const wire::Ipv4& ip, const Attachment& attachment,
                const Dataplane& plane, Out out) {
  PacketSlot& slot = packet.slot();
  if (attachment.kind != AttachmentKind::external) return false;
  const auto* entry =
      plane.nat->addresses.find(NatPlan::address_key(slot.attachment, ip.destination));
  if (entry == nullptr) return false;
  slot.public_address = entry->id.value();
  out.to<Stage::enter_nat>(packet);
  return true;
}

[[gnu::noinline]] void classify_ipv4(Packet<Side::outside> packet, const Attachment& attachment,
                                     const Dataplane& plane, Out out) {
  PacketSlot& slot = packet.slot();
  const auto& ethernet = packet.at<wire::Ethernet>(0);
  if (!is_attachments_mac(attachment, ethernet.destination)) {
    if (attachment.kind == AttachmentKind::provider) {
      return out.drop(packet, DropReason::mac_not_ours);
    }
    return out.to<Stage::enter_l3>(packet);  // which asks whose MAC it is
  }
  if (packet.bytes() < slot.l2_bytes + sizeof(wire::Ipv4)) {
    return out.drop(packet, DropReason::frame_short);
  }
  const auto& ip = packet.at<wire::Ipv4>(slot.l2_bytes);
  if (!ipv4_header_fits(ip, packet.bytes() - slot.l2_bytes)) {
    return out.drop(packet, DropReason::outer_bad_header);
  }
  if (!checksum_right(ip)) return out.drop(packet, DropReason::outer_bad_checksum);
  slot.outer_source = ip.source.value();
  // What NAT sends back in has a public address of ours.
  const bool hairpin = slot.ingress == Ingress::nat;
  if (is_martian_source(slot.outer_source) || (!hairpin && is_own(attachment, slot.outer_source))) {
    return out.drop(packet, DropReason::outer_bad_source);
  }
  if (is_for_ipsec(packet, ip, attachment, plane, out)) return;
  if (is_for_nat(packet, ip, attachment, plane, out)) return;
  if (ip.protocol == wire::ip_protocol::kGre && attachment.kind != AttachmentKind::provider) {
    return out.drop(packet, DropReason::gre_not_on_fabric);
  }
  if (!is_own(attachment, ip.destination.value()) &&
      !plane.ipsec->addresses.contains(slot.attachment, ip.destination)) {
    return out.drop(packet, DropReason::outer_not_ours);
  }
  // RFC 7637 §4.4: a receiver may discard fragments; nothing here puts them together.
  if (ip.is_fragment() && ip.protocol == wire::ip_protocol::kGre) {
    return out.drop(packet, DropReason::outer_fragment);
  }
  classify_own(packet, ip, attachment.kind, out);
}

// Reads tag and type; sets l2_bytes. False when the packet has been dropped.
bool read_ethernet(Packet<Side::outside> packet, uint16_t& vlan, be16& type, Out out) {
  PacketSlot& slot = packet.slot();
  // Every length below is the first buffer's; a port that scatters frames is not one of ours.
  if (packet.mbuf()->nb_segs != 1) [[unlikely]] {
    out.drop(packet, DropReason::frame_segmented);
    return false;
  }
  if (packet.bytes() < sizeof(wire::Ethernet) + sizeof(wire::VlanTag)) [[unlikely]] {
    out.drop(packet, DropReason::frame_short);
    return false;
  }
  type = packet.at<wire::Ethernet>(0).type;
  slot.l2_bytes = sizeof(wire::Ethernet);
  vlan = 0;
  if (type == wire::ether_type::kVlan) {
    const auto& tag = packet.at<wire::VlanTag>(12);
    vlan = tag.tci.value() & 0x0fff;  // a priority tag (VLAN 0) is as good as none
    type = packet.at<be16>(16);
    slot.l2_bytes = sizeof(wire::Ethernet) + sizeof(wire::VlanTag);
  }
  if (type == wire::ether_type::kVlan || type == wire::ether_type::kServiceVlan) [[unlikely]] {
    out.drop(packet, DropReason::vlan_stacked);
    return false;
  }
  return true;
}

// The attachment of the packet before is nearly always that of the next one, too.
class AttachmentFinder {
 public:
  explicit AttachmentFinder(const AttachmentTable& table) : table_(table) {}
  // Null: nothing is attached there.
  [[nodiscard]] const Attachment* find(uint16_t port, uint16_t vlan, AttachmentId& id) {
    const uint32_t place = uint32_t{port} << 16 | vlan;
    if (place != place_) {
      place_ = place;
      found_ = table_.find(PortId(port), vlan, id_);
    }
    id = id_;
    return found_;
  }

 private:
  const AttachmentTable& table_;
  uint32_t place_ = UINT32_MAX;  // no VLAN is 65535
  const Attachment* found_ = nullptr;
  AttachmentId id_;
};

}  // namespace

void classify(Burst<Side::outside> in, const Dataplane& plane, Exit<Stage::classify> out) {
  AttachmentFinder attachments(*plane.attachments);
  for (const auto packet : in) {
    PacketSlot& slot = packet.slot();
    uint16_t vlan = 0;
    be16 type;
    if (!read_ethernet(packet, vlan, type, out)) [[unlikely]]
      continue;
    const Attachment* attachment = attachments.find(packet.mbuf()->port, vlan, slot.attachment);
    if (attachment == nullptr) {
      out.drop(packet, DropReason::vlan_unknown);
    } else if (type == wire::ether_type::kIpv4) {
      const auto& ip = packet.at<wire::Ipv4>(slot.l2_bytes);
      if (is_plain_nvgre(slot, *attachment, packet.at<wire::Ethernet>(0), ip)) {
        slot.outer_source = ip.source.value();
        const auto& gre = packet.at<wire::Gre>(slot.l2_bytes + sizeof ip);
        plane.vsids->prefetch(gre.key.value() >> 8);
        out.to<Stage::enter_nvgre>(packet);
      } else {
        classify_ipv4(packet, *attachment, plane, out);
      }
    } else if (type == wire::ether_type::kArp) {
      classify_arp(packet, *attachment, plane, out);
    } else if (type == wire::ether_type::kIpv6) {
      classify_ipv6(packet, *attachment, plane, out);
    } else {
      out.drop(packet, DropReason::ether_type_unknown);
    }
  }
}

}  // namespace hnv
