// SPDX-License-Identifier: Apache-2.0
//
// NVGRE, inbound half of the door (RFC 7637).
//
// outer Eth | outer IP (PA → our PA) | GRE key = VSID<<8 | FlowID | inner Eth | inner IP (CA)
//
// The VSID chooses the compartment; nothing in the inner packet may influence that choice. It is
// the VSID of the destination's virtual subnet, so a packet that a host has routed carries the
// gateway subnet's, while its source CA lies in another subnet of the same domain. The lookup
// records vouch for the source: its record names the PA the packet must come from and, when it was
// not routed on the way (wire VSID = the record's), the inner source MAC.
#include <algorithm>

#include "compartments/checksum.h"
#include "compartments/ecn.h"
#include "compartments/ip_checks.h"
#include "compartments/record_lookup.h"
#include "compartments/scratch.h"
#include "gateway/encapsulate.h"
#include "gateway/stations.h"
#include "gateway/stations_ipv6.h"

namespace hnv {
namespace {

using Out = Exit<Stage::enter_nvgre>;

constexpr be16 kDhcpServer{67};

// Where GRE lies in the outer IPv4 packet.
uint32_t read_gre_behind_ipv4(Packet<Side::outside> packet, NvgreCandidate& candidate, Out out) {
  const auto& ip = packet.at<wire::Ipv4>(packet.slot().l2_bytes);
  return read_gre(packet, ip.header_bytes(), ip.total_length.value(), candidate, out);
}

// The compartment is known now (for counters and traces); the packet has not entered it yet.
bool bind(Packet<Side::outside> packet, const VsidEntry& subnet, const VsidDoor& door,
          const CompartmentView* tenant, Out out) {
  PacketSlot& slot = packet.slot();
  slot.compartment = tenant;
  slot.in_subnet = subnet.subnet;
  if (door.network != slot.attachment) [[unlikely]] {
    out.drop(packet, DropReason::nvgre_wrong_network);
    return false;
  }
  if (packet.at<wire::Ipv4>(slot.l2_bytes).destination.value() != door.provider_address)
      [[unlikely]] {
    out.drop(packet, DropReason::nvgre_wrong_pa);
    return false;
  }
  return true;
}

// What read_gre has found, from what was kept of it.
NvgreCandidate candidate_of(PacketSlot& slot, const VsidDoor* door) {
  const auto& ip = *reinterpret_cast<const wire::Ipv4*>(slot.data + slot.l2_bytes);
  const uint32_t behind = ip.total_length.value() + slot.l2_bytes;
  return {&slot, door, slot.inner_at, behind - slot.inner_at};
}

bool recently_moved(const CompartmentView& tenant, uint32_t source, uint32_t provider_address) {
  return tenant.moved != nullptr &&
         tenant.moved->contains({CaAddress(source), PaAddress(provider_address)});
}

// ARP in a virtual subnet: answered for our own addresses, to whom a record vouches for.
void enter_arp(Packet<Side::outside> packet, const NvgreCandidate& candidate, Out out) {
  PacketSlot& slot = packet.slot();
  const CompartmentView& tenant = *slot.compartment;
  if (candidate.inner_bytes < sizeof(wire::Ethernet) + sizeof(wire::Arp)) {
    return out.drop(packet, DropReason::nvgre_short);
  }
  const auto& ethernet = packet.at<wire::Ethernet>(candidate.inner);
  const auto& arp = packet.at<wire::Arp>(candidate.inner + sizeof(wire::Ethernet));
  if (!arp.well_formed() || arp.operation != wire::kArpRequest) {
    return out.drop(packet, arp.well_formed() ? DropReason::arp_not_ours : DropReason::arp_bad);
  }
  const CustomerRecord* sender = record_of_arp_sender(tenant, slot.in_subnet, arp);
  if (sender == nullptr) return out.drop(packet, DropReason::nvgre_unknown_source);
  const auto outer = outer_source_of(packet);
  const bool moved =
      tenant.moved != nullptr && tenant.moved->contains({CaAddress(arp.sender_ip.value()), outer});
  if (sender->provider_address() != outer && !moved) {
    return out.drop(packet, DropReason::nvgre_wrong_source_pa);
  }
  if (ethernet.source.key() != arp.sender_mac.key()) {
    return out.drop(packet, DropReason::nvgre_wrong_source_mac);
  }
  const CustomerRecord* own = tenant.records->find(CaKey(CaAddress(arp.target_ip.value())));
  if (own == nullptr || own->type != RecordType::own || own->subnet != slot.in_subnet) {
    return out.drop(packet, DropReason::arp_not_ours);
  }
  slot.strip(candidate.inner);
  out.set_family(packet, Family::ipv4);
  out.respond(out.enter(packet, tenant), Answer::arp_reply_nvgre);
}

// The frame that nearly all are: to the gateway's MAC, IPv4 without options, sound, from a host.
bool is_plain_inner(const wire::Ethernet& ethernet, const wire::Ipv4& ip, uint64_t gateway_mac,
                    uint32_t bytes) {
  const uint32_t total = ip.total_length.value();
  return ethernet.destination.key() == gateway_mac && ethernet.type == wire::ether_type::kIpv4 &&
         ip.version_ihl == 0x45 && total >= sizeof(wire::Ipv4) &&
         total + sizeof(wire::Ethernet) <= bytes && checksum_fold(checksum_sum(ip)) == 0xffff &&
         !is_martian_source(ip.source.value());
}

// Does the record vouch for this packet, that came in on `link`? Drops it when not.
bool check_source(Packet<Side::outside> packet, const CustomerRecord* record, LinkId link,
                  Out out) {
  const PacketSlot& slot = packet.slot();
  const CompartmentView& tenant = *slot.compartment;
  const auto& ethernet = packet.at<wire::Ethernet>(slot.inner_at);
  if (record == nullptr) [[unlikely]] {
    const auto& ip = packet.at<wire::Ipv4>(slot.inner_at + sizeof(wire::Ethernet));
    DropReason reason{};
    const bool vouched = wildcard_vouches(tenant, slot, CaAddress(ip.source.value()),
                                          PaAddress(slot.outer_source), ethernet.source, reason);
    if (!vouched) out.drop(packet, reason);
    return vouched;
  }
  if (record->type == RecordType::own) [[unlikely]] {
    out.drop(packet, DropReason::inner_bad_source);
    return false;
  }
  // A record on an IPv6 fabric names no IPv4 host, whatever its first four bytes are.
  if (record->pa4().value() != slot.outer_source || record->pa_family != Family::ipv4 ||
      record->link != link) [[unlikely]] {
    const auto& ip = packet.at<wire::Ipv4>(slot.inner_at + sizeof(wire::Ethernet));
    if (!recently_moved(tenant, ip.source.value(), slot.outer_source)) {
      out.drop(packet, DropReason::nvgre_wrong_source_pa);
      return false;
    }
    out.counters(tenant).moved_record_packets.add();
  }
  if (record->subnet == slot.in_subnet && wire::mac_key(record->mac) != ethernet.source.key())
      [[unlikely]] {
    out.drop(packet, DropReason::nvgre_wrong_source_mac);
    return false;
  }
  return true;
}

// The outer header carries a congestion mark, or (uniform model) the code point to go on with.
// False when the packet has been dropped.
[[gnu::noinline]] bool take_over_class(Packet<Side::outside> packet, wire::Ipv4& ip, uint8_t outer,
                                       bool uniform, Out out) {
  const auto mark = decapsulated_ecn(outer & kEcnMask, ip.tos & kEcnMask);
  if (!mark) {
    out.drop(packet, DropReason::ecn_congestion);
    return false;
  }
  const uint8_t code_point = (uniform ? outer : ip.tos) & ~kEcnMask;
  set_tos(ip, code_point | *mark);
  return true;
}

void enter(Packet<Side::outside> packet, bool uniform_class, Out out) {
  PacketSlot& slot = packet.slot();
  const uint32_t offset = slot.inner_at + static_cast<uint32_t>(sizeof(wire::Ethernet));
  auto& ip = packet.at<wire::Ipv4>(offset);
  const uint8_t outer_class = packet.at<wire::Ipv4>(slot.l2_bytes).tos;
  if (((outer_class & kEcnMask) != 0 || uniform_class) && outer_class != ip.tos &&
      !take_over_class(packet, ip, outer_class, uniform_class, out)) [[unlikely]] {
    return;
  }
  const uint16_t length = ip.total_length.value();
  slot.destination = ip.destination.value();
  slot.ingress = Ingress::nvgre;
  // Strips what is in front, and what Ethernet padded behind.
  slot.data += offset;
  slot.bytes = length;
  CompartmentCounters& counters = out.counters(*slot.compartment);
  counters.in_packets.add();
  counters.in_bytes.add(length);
  out.to<Stage::route>(out.enter(packet, *slot.compartment));
}

}  // namespace

[[gnu::noinline]] bool read_inner(Packet<Side::outside> packet, const NvgreCandidate& candidate,
                                  Out out) {
  const auto& ethernet = packet.at<wire::Ethernet>(candidate.inner);
  if (ethernet.type == wire::ether_type::kVlan || ethernet.type == wire::ether_type::kServiceVlan) {
    out.drop(packet, DropReason::nvgre_inner_vlan);
    return false;
  }
  if (ethernet.destination.key() != candidate.door->mac && !ethernet.destination.multicast()) {
    out.drop(packet, DropReason::nvgre_inner_mac);
    return false;
  }
  if (ethernet.type != wire::ether_type::kIpv4) {
    if (ethernet.type == wire::ether_type::kArp) {
      enter_arp(packet, candidate, out);
    } else {
      out.drop(packet, DropReason::nvgre_inner_type);
    }
    return false;
  }
  const uint32_t available = candidate.inner_bytes - static_cast<uint32_t>(sizeof(wire::Ethernet));
  const auto& ip = packet.at<wire::Ipv4>(candidate.inner + sizeof(wire::Ethernet));
  if (available < sizeof(wire::Ipv4) || !ipv4_header_fits(ip, available)) {
    out.drop(packet, DropReason::inner_bad_header);
    return false;
  }
  if (!checksum_right(ip)) {
    out.drop(packet, DropReason::inner_bad_checksum);
    return false;
  }
  // RFC 1812 §5.3.4: what was flooded on the link is forwarded only to a group, and we have none.
  if (ethernet.destination.multicast() && !is_martian_destination(ip.destination.value())) {
    out.drop(packet, DropReason::nvgre_inner_mac);
    return false;
  }
  const uint32_t source = ip.source.value();
  if (source == 0 && ip.protocol == wire::ip_protocol::kUdp &&
      ip.total_length.value() >= ip.header_bytes() + sizeof(wire::Ports) &&
      packet.at<wire::Ports>(candidate.inner + static_cast<uint32_t>(sizeof(wire::Ethernet)) +
                             ip.header_bytes())
              .destination == kDhcpServer) {
    out.drop(packet, DropReason::dhcp_not_served);
    return false;
  }
  if (is_martian_source(source)) {
    out.drop(packet, DropReason::inner_bad_source);
    return false;
  }
  return true;
}

const CustomerRecord* find_l2(const CompartmentView& tenant, SubnetId subnet,
                              const wire::Mac& mac) {
  const L2Record wanted{subnet, mac.key(), {}};
  const auto at =
      std::lower_bound(tenant.l2_records.begin(), tenant.l2_records.end(), wanted, l2_before);
  if (at == tenant.l2_records.end() || l2_before(wanted, *at)) return nullptr;
  return &at->record;
}

IpAddress<Space::provider> outer_source_of(Packet<Side::outside> packet) {
  const PacketSlot& slot = packet.slot();
  if (slot.family == Family::ipv4) return PaAddress(slot.outer_source);
  return PaAddress6(packet.at<wire::Ipv6>(slot.l2_bytes).source);
}

bool wildcard_vouches(const CompartmentView& tenant, const PacketSlot& slot,
                      const IpAddress<Space::customer>& source,
                      const IpAddress<Space::provider>& outer, const wire::Mac& mac,
                      DropReason& reason) {
  reason = DropReason::nvgre_unknown_source;
  for (const auto& prefix : tenant.prefixes) {
    if (!prefix.contains(source)) continue;
    if (find_l2(tenant, slot.in_subnet, mac) != nullptr) reason = DropReason::nvgre_no_record;
    return false;
  }
  return std::any_of(
      tenant.subnets_owner->begin(), tenant.subnets_owner->end(), [&](const SubnetView& subnet) {
        const CustomerRecord& wildcard = source.is_v4() ? subnet.wildcard : subnet.wildcard6;
        return wildcard.type == RecordType::gateway_wildcard && subnet.network == slot.attachment &&
               wildcard.provider_address() == outer && wire::mac_key(wildcard.mac) == mac.key();
      });
}

const CustomerRecord* record_of_nd_sender(const CompartmentView& tenant, SubnetId subnet,
                                          const wire::Address6& source, const wire::Mac& mac) {
  const CustomerRecord* record = tenant.records->find(CaKey(source, Family::ipv6));
  if (record != nullptr && record->type != RecordType::own && record->subnet == subnet &&
      wire::mac_key(record->mac) == mac.key()) {
    return record;
  }
  return find_l2(tenant, subnet, mac);
}

const CustomerRecord* record_of_arp_sender(const CompartmentView& tenant, SubnetId subnet,
                                           const wire::Arp& arp) {
  const CustomerRecord* record = tenant.records->find(CaKey(CaAddress(arp.sender_ip.value())));
  if (record != nullptr && record->type != RecordType::own && record->subnet == subnet &&
      wire::mac_key(record->mac) == arp.sender_mac.key()) {
    return record;
  }
  return find_l2(tenant, subnet, arp.sender_mac);
}

void enter_nvgre(Burst<Side::outside> in, const Dataplane& plane, Exit<Stage::enter_nvgre> out) {
  Scratch<PacketSlot*, kVector> slots;
  Scratch<const VsidDoor*, kVector> doors;
  Scratch<NvgreCandidate, kVector> ipv6;
  RecordLookup lookup;

  // GRE; VSID (which classify has fetched) → compartment; fetch what the next passes read of it.
  unsigned count = 0;
  for (const auto packet : in) {
    NvgreCandidate candidate{};
    const uint32_t vsid = read_gre_behind_ipv4(packet, candidate, out);
    if (vsid == 0) [[unlikely]]
      continue;
    const VsidEntry* subnet = plane.vsids->find(vsid);
    if (subnet == nullptr) [[unlikely]] {
      out.drop(packet, DropReason::nvgre_unknown_vsid);
      continue;
    }
    const CompartmentView* tenant = plane.compartment(subnet->compartment);
    prefetch_view(tenant);
    const VsidDoor& door = plane.vsids->door_of(*subnet);
    if (!bind(packet, *subnet, door, tenant, out)) [[unlikely]]
      continue;
    packet.slot().inner_at = static_cast<uint16_t>(candidate.inner);
    slots[count] = &packet.slot();
    doors[count++] = &door;
  }
  // The inner headers; fetch the source's record.
  unsigned left = 0;
  unsigned ipv6_count = 0;
  for (unsigned i = 0; i < count; ++i) {
    PacketSlot& slot = *slots[i];
    const Packet<Side::outside> packet(slot);
    const CompartmentView& tenant = *slot.compartment;
    __builtin_prefetch(&out.counters(tenant), 1);
    const auto& ethernet = packet.at<wire::Ethernet>(slot.inner_at);
    const auto& ip = packet.at<wire::Ipv4>(slot.inner_at + sizeof(wire::Ethernet));
    const NvgreCandidate candidate = candidate_of(slot, doors[i]);
    if (!is_plain_inner(ethernet, ip, doors[i]->mac, candidate.inner_bytes)) [[unlikely]] {
      if (ethernet.type == wire::ether_type::kIpv6) {
        ipv6[ipv6_count++] = candidate;
        continue;
      }
      if (!read_inner(packet, candidate, out)) continue;
    }
    lookup.ask(left, tenant.record_reader, CaKey(CaAddress(ip.source.value())));
    slots[left++] = &slot;
  }
  lookup.settle();
  // Who vouches for it; then it is inside.
  for (unsigned i = 0; i < left; ++i) {
    const PacketSlot& slot = *slots[i];
    const Packet<Side::outside> packet(*slots[i]);
    const auto& ip = packet.at<wire::Ipv4>(slot.inner_at + sizeof(wire::Ethernet));
    const CustomerRecord* record =
        lookup.answer(i, slot.compartment->record_reader, CaKey(CaAddress(ip.source.value())));
    const Attachment& from = plane.attachments->attachments[slot.attachment.value()];
    if (check_source(packet, record, from.link, out)) enter(packet, from.uniform_class, out);
  }
  if (ipv6_count > 0) enter_nvgre_ipv6(ipv6.data(), ipv6_count, plane, out);
}

}  // namespace hnv
