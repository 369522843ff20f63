// SPDX-License-Identifier: Apache-2.0
//
// NVGRE's inbound door where IPv6 is outside, inside, or both. The rules are those of
// enter_nvgre.cc; addresses are compared in 16 bytes, with their family.
//
//   outer Eth | outer IPv6 (PA → our PA) | [extensions] | GRE key | inner Eth | inner IP (CA)
//
// A virtual subnet's own neighbour discovery is answered for the gateway's addresses only: the
// records are the neighbours, so nobody is asked and nothing is learnt here.
#include <type_traits>

#include "compartments/checksum.h"
#include "compartments/ecn.h"
#include "compartments/neighbor_discovery.h"
#include "compartments/record_lookup.h"
#include "compartments/scratch.h"
#include "gateway/encapsulate.h"
#include "gateway/stations_ipv6.h"

namespace hnv {
namespace {

using Out = Exit<Stage::enter_nvgre>;

constexpr be16 kDhcpServer6{547};
constexpr auto kEthernet = static_cast<uint32_t>(sizeof(wire::Ethernet));

Family inner_family(Packet<Side::outside> packet, const NvgreCandidate& candidate) {
  const be16 type = packet.at<wire::Ethernet>(candidate.inner).type;
  return type == wire::ether_type::kIpv6 ? Family::ipv6 : Family::ipv4;
}

// The compartment is known now (for counters and traces); the packet has not entered it yet.
bool bind_over_ipv6(Packet<Side::outside> packet, const VsidEntry* subnet, const Dataplane& plane,
                    Out out) {
  PacketSlot& slot = packet.slot();
  if (subnet == nullptr) {
    out.drop(packet, DropReason::nvgre_unknown_vsid);
    return false;
  }
  slot.compartment = plane.compartment(subnet->compartment);
  slot.in_subnet = subnet->subnet;
  const VsidDoor& door = plane.vsids->door_of(*subnet);
  if (door.network != slot.attachment) {
    out.drop(packet, DropReason::nvgre_wrong_network);
    return false;
  }
  if (packet.at<wire::Ipv6>(slot.l2_bytes).destination != door.provider_address6) {
    out.drop(packet, DropReason::nvgre_wrong_pa);
    return false;
  }
  return true;
}

// Does a record vouch for who solicits? Null, and the packet dropped, when not.
const CustomerRecord* vouched_solicitor(Packet<Side::outside> packet,
                                        const NvgreCandidate& candidate, const NdMessage& message,
                                        const wire::Ipv6& ip, Out out) {
  const PacketSlot& slot = packet.slot();
  const CompartmentView& tenant = *slot.compartment;
  const wire::Mac& mac = packet.at<wire::Ethernet>(candidate.inner).source;
  if (message.source_mac && message.source_mac->key() != mac.key()) {
    out.drop(packet, DropReason::nvgre_wrong_source_mac);
    return nullptr;
  }
  const CustomerRecord* sender = record_of_nd_sender(tenant, slot.in_subnet, ip.source, mac);
  if (sender == nullptr) {
    out.drop(packet, DropReason::nvgre_unknown_source);
    return nullptr;
  }
  const auto outer = outer_source_of(packet);
  const bool moved =
      tenant.moved != nullptr && tenant.moved->contains({CaAddress6(ip.source), outer});
  if (sender->provider_address() != outer && !moved) {
    out.drop(packet, DropReason::nvgre_wrong_source_pa);
    return nullptr;
  }
  return sender;
}

// Asks for a router: the control thread answers where we are one that says so (RFC 4861 §6.2.6).
// The packet goes there as its inner Ethernet frame.
void enter_router_solicitation(Packet<Side::outside> packet, const NvgreCandidate& candidate,
                               const wire::Ipv6& ip, Out out) {
  PacketSlot& slot = packet.slot();
  if (!slot.compartment->subnet(slot.in_subnet).advertises) {
    return out.drop(packet, DropReason::nd_not_ours);
  }
  const auto message = read_nd(ip, sizeof(wire::Ipv6));
  if (!message) return out.drop(packet, DropReason::nd_bad);
  if (vouched_solicitor(packet, candidate, *message, ip, out) == nullptr) return;
  slot.strip(candidate.inner);
  out.punt(packet);
}

// A solicitation in a virtual subnet: answered for our own addresses there, to whom a record
// vouches for. The link-local address of the gateway is that of its MAC.
void enter_solicitation(Packet<Side::outside> packet, const NvgreCandidate& candidate,
                        const wire::Ipv6& ip, Out out) {
  PacketSlot& slot = packet.slot();
  const CompartmentView& tenant = *slot.compartment;
  const SubnetView& subnet = tenant.subnet(slot.in_subnet);
  const auto message = read_nd(ip, sizeof(wire::Ipv6));
  if (!message) return out.drop(packet, DropReason::nd_bad);
  if (vouched_solicitor(packet, candidate, *message, ip, out) == nullptr) return;
  const CustomerRecord* own = tenant.records->find(CaKey(message->target, Family::ipv6));
  const bool ours = own != nullptr && own->type == RecordType::own && own->subnet == slot.in_subnet;
  const bool link_local =
      !is_unspecified6(subnet.icmp_source6) && message->target == link_local_of(subnet.mac());
  if (!ours && !link_local) return out.drop(packet, DropReason::nd_not_ours);
  slot.strip(candidate.inner);
  out.set_family(packet, Family::ipv6);
  out.respond(out.enter(packet, tenant), Answer::nd_reply_nvgre);
}

// What is said on a link and meant for nobody beyond it. True when the packet has been dealt with.
bool stays_on_link(Packet<Side::outside> packet, const NvgreCandidate& candidate,
                   const wire::Ipv6& ip, Out out) {
  const bool to_link = is_multicast6(ip.destination) || is_link_local6(ip.destination);
  if (ip.next_header == wire::ip_protocol::kIcmpV6 &&
      ip.total_length() >= sizeof(wire::Ipv6) + sizeof(wire::Icmp)) {
    const uint8_t type =
        packet.at<wire::Icmp>(candidate.inner + kEthernet + static_cast<uint32_t>(sizeof ip)).type;
    if (type == wire::icmp6::kNeighborSolicitation) {
      enter_solicitation(packet, candidate, ip, out);
      return true;
    }
    if (type == wire::icmp6::kRouterSolicitation) {
      enter_router_solicitation(packet, candidate, ip, out);
      return true;
    }
    if (type >= wire::icmp6::kRouterSolicitation && type <= wire::icmp6::kRedirect) {
      out.drop(packet, DropReason::nd_not_ours);
      return true;
    }
  }
  if (!to_link) return false;
  const Upper6 upper = upper_layer_of(ip);
  if (!upper.whole) {
    out.drop(packet, DropReason::extension_header_bad);
    return true;
  }
  const uint32_t at = candidate.inner + kEthernet + upper.offset;
  const bool has_ports =
      !upper.later_fragment && ip.total_length() >= upper.offset + sizeof(wire::Ports);
  if (has_ports && upper.protocol == wire::ip_protocol::kUdp &&
      packet.at<wire::Ports>(at).destination == kDhcpServer6) {
    out.drop(packet, DropReason::dhcp_not_served);
    return true;
  }
  const uint8_t type = has_ports ? packet.at<wire::Icmp>(at).type : 0;
  if (upper.protocol == wire::ip_protocol::kIcmpV6 &&
      ((type >= wire::icmp6::kListenerQuery && type <= wire::icmp6::kListenerDone) ||
       type == wire::icmp6::kListenerReport2)) {
    out.drop(packet, DropReason::mld_ignored);
    return true;
  }
  return false;
}

// The inner Ethernet and IPv6 headers. True when a packet is left for the source check.
bool read_inner_ipv6(Packet<Side::outside> packet, const NvgreCandidate& candidate, Out out) {
  const auto& ethernet = packet.at<wire::Ethernet>(candidate.inner);
  const bool to_group = ethernet.destination.multicast();
  if (!to_group && ethernet.destination.key() != candidate.door->mac) {
    out.drop(packet, DropReason::nvgre_inner_mac);
    return false;
  }
  const uint32_t available = candidate.inner_bytes - kEthernet;
  const auto& ip = packet.at<wire::Ipv6>(candidate.inner + kEthernet);
  if (available < sizeof(wire::Ipv6) || !ipv6_header_fits(ip, available)) {
    out.drop(packet, DropReason::inner_bad_header);
    return false;
  }
  const bool plain = !to_group && (ip.next_header == wire::ip_protocol::kTcp ||
                                   ip.next_header == wire::ip_protocol::kUdp);
  if (!plain && stays_on_link(packet, candidate, ip, out)) return false;
  // RFC 4291 §2.5.6: link-local sources go nowhere; neither do groups, whatever they are for.
  if (is_martian_source6(ip.source)) {
    out.drop(packet, DropReason::inner_bad_source);
    return false;
  }
  if (to_group) {
    out.drop(packet, is_multicast6(ip.destination) ? DropReason::inner_bad_destination
                                                   : DropReason::nvgre_inner_mac);
    return false;
  }
  return true;
}

// Is the record's host the one that the outer header says it comes from?
bool comes_from_host_of(Packet<Side::outside> packet, const CustomerRecord& record) {
  const PacketSlot& slot = packet.slot();
  if (record.pa_family != slot.family) return false;
  if (slot.family == Family::ipv4) return record.pa4().value() == slot.outer_source;
  return record.pa == packet.at<wire::Ipv6>(slot.l2_bytes).source;
}

// Does the record vouch for this packet, that came in on `link`? Drops it when not.
bool check_source(Packet<Side::outside> packet, const NvgreCandidate& candidate, const CaKey& key,
                  const CustomerRecord* record, LinkId link, Out out) {
  const PacketSlot& slot = packet.slot();
  const CompartmentView& tenant = *slot.compartment;
  const wire::Mac& mac = packet.at<wire::Ethernet>(candidate.inner).source;
  if (record == nullptr) [[unlikely]] {
    DropReason reason{};
    const bool vouched =
        wildcard_vouches(tenant, slot, key.address(), outer_source_of(packet), mac, reason);
    if (!vouched) out.drop(packet, reason);
    return vouched;
  }
  if (record->type == RecordType::own) [[unlikely]] {
    out.drop(packet, DropReason::inner_bad_source);
    return false;
  }
  if (!comes_from_host_of(packet, *record) || record->link != link) [[unlikely]] {
    if (tenant.moved == nullptr ||
        !tenant.moved->contains({key.address(), outer_source_of(packet)})) {
      out.drop(packet, DropReason::nvgre_wrong_source_pa);
      return false;
    }
    out.counters(tenant).moved_record_packets.add();
  }
  if (record->subnet == slot.in_subnet && wire::mac_key(record->mac) != mac.key()) [[unlikely]] {
    out.drop(packet, DropReason::nvgre_wrong_source_mac);
    return false;
  }
  return true;
}

// The inner traffic class by the outer one: congestion by RFC 6040, the code point by RFC 2983's
// model. False when the packet has been dropped.
template <class Ip>
bool take_over_class(Packet<Side::outside> packet, Ip& ip, uint8_t inner, bool uniform, Out out) {
  const PacketSlot& slot = packet.slot();
  const uint8_t outer = slot.family == Family::ipv6
                            ? packet.at<wire::Ipv6>(slot.l2_bytes).traffic_class()
                            : packet.at<wire::Ipv4>(slot.l2_bytes).tos;
  if (outer == inner || ((outer & kEcnMask) == 0 && !uniform)) return true;
  const auto mark = decapsulated_ecn(outer & kEcnMask, inner & kEcnMask);
  if (!mark) {
    out.drop(packet, DropReason::ecn_congestion);
    return false;
  }
  const auto value = static_cast<uint8_t>(((uniform ? outer : inner) & ~kEcnMask) | *mark);
  if constexpr (std::is_same_v<Ip, wire::Ipv4>) {
    set_tos(ip, value);
  } else {
    ip.set_traffic_class(value);
  }
  return true;
}

void enter(Packet<Side::outside> packet, const NvgreCandidate& candidate, Family family,
           bool uniform, Out out) {
  PacketSlot& slot = packet.slot();
  const uint32_t offset = candidate.inner + kEthernet;
  uint32_t length = 0;
  if (family == Family::ipv6) {
    auto& ip = packet.at<wire::Ipv6>(offset);
    if (!take_over_class(packet, ip, ip.traffic_class(), uniform, out)) return;
    length = ip.total_length();
  } else {
    auto& ip = packet.at<wire::Ipv4>(offset);
    if (!take_over_class(packet, ip, ip.tos, uniform, out)) return;
    length = ip.total_length.value();
    slot.destination = ip.destination.value();
  }
  out.set_family(packet, family);
  slot.ingress = Ingress::nvgre;
  // Strips what is in front, and what Ethernet padded behind.
  slot.data += offset;
  slot.bytes = length;
  CompartmentCounters& counters = out.counters(*slot.compartment);
  counters.in_packets.add();
  counters.in_bytes.add(length);
  out.to<Stage::route>(out.enter(packet, *slot.compartment));
}

// Bound frames of either inner family: headers, then who vouches for the source, then inside.
void vouch(NvgreCandidate* candidates, unsigned count, const Dataplane& plane, Out out) {
  Scratch<CaKey, kVector> sources;
  RecordLookup lookup;
  unsigned left = 0;
  for (unsigned i = 0; i < count; ++i) {
    const NvgreCandidate candidate = candidates[i];
    const Packet<Side::outside> packet(*candidate.slot);
    const CompartmentView& tenant = *candidate.slot->compartment;
    __builtin_prefetch(&out.counters(tenant), 1);
    __builtin_prefetch(tenant.fib6);
    if (inner_family(packet, candidate) == Family::ipv6) {
      if (!read_inner_ipv6(packet, candidate, out)) continue;
      sources[left] =
          CaKey(packet.at<wire::Ipv6>(candidate.inner + kEthernet).source, Family::ipv6);
    } else {
      if (!read_inner(packet, candidate, out)) continue;
      const auto& ip = packet.at<wire::Ipv4>(candidate.inner + kEthernet);
      sources[left] = CaKey(CaAddress(ip.source.value()));
    }
    lookup.ask(left, tenant.record_reader, sources[left]);
    candidates[left++] = candidate;
  }
  lookup.settle();
  for (unsigned i = 0; i < left; ++i) {
    const Packet<Side::outside> packet(*candidates[i].slot);
    const Attachment& from = plane.attachments->attachments[packet.slot().attachment.value()];
    const CustomerRecord* record =
        lookup.answer(i, packet.slot().compartment->record_reader, sources[i]);
    if (check_source(packet, candidates[i], sources[i], record, from.link, out)) {
      enter(packet, candidates[i], sources[i].family(), from.uniform_class, out);
    }
  }
}

}  // namespace

void enter_nvgre_ipv6(NvgreCandidate* candidates, unsigned count, const Dataplane& plane,
                      Exit<Stage::enter_nvgre> out) {
  vouch(candidates, count, plane, out);
}

void enter_nvgre_over_ipv6(Burst<Side::outside> in, const Dataplane& plane,
                           Exit<Stage::enter_nvgre> out) {
  Scratch<NvgreCandidate, kVector> candidates;
  Scratch<uint32_t, kVector> vsids;
  Scratch<const VsidEntry*, kVector> subnets;
  unsigned count = 0;
  for (const auto packet : in) {
    const auto& ip = packet.at<wire::Ipv6>(packet.slot().l2_bytes);
    const uint32_t offset = ip.next_header == wire::ip_protocol::kGre
                                ? static_cast<uint32_t>(sizeof(wire::Ipv6))
                                : upper_layer_of(ip).offset;
    candidates[count].slot = &packet.slot();
    vsids[count] = read_gre(packet, offset, ip.total_length(), candidates[count], out);
    if (vsids[count] == 0) continue;
    plane.vsids->prefetch(vsids[count]);
    ++count;
  }
  for (unsigned i = 0; i < count; ++i) {
    subnets[i] = plane.vsids->find(vsids[i]);
    if (subnets[i] != nullptr) prefetch_view(plane.compartment(subnets[i]->compartment));
  }
  unsigned left = 0;
  for (unsigned i = 0; i < count; ++i) {
    const NvgreCandidate candidate = candidates[i];
    const Packet<Side::outside> packet(*candidate.slot);
    if (!bind_over_ipv6(packet, subnets[i], plane, out)) continue;
    candidates[left] = candidate;
    candidates[left++].door = &plane.vsids->door_of(*subnets[i]);
  }
  vouch(candidates.data(), left, plane, out);
}

}  // namespace hnv
