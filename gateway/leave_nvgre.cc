// SPDX-License-Identifier: Apache-2.0
//
// NVGRE, outbound half of the door (RFC 7637).
//
// The record of (virtual subnet, next-hop CA) says to which PA and MAC; the subnet's template says
// from where and with which VSID: the destination's subnet's own. No record: the subnet's wildcard,
// else the sender is told that the host is unreachable. There is no ARP in a virtual subnet; the
// records are the neighbours. The outer packet is never fragmented (§4.4): what is too large for
// the fabric is cut before it is encapsulated, or refused in the tenant's space with the inner MTU.
#include <algorithm>

#include "compartments/record_lookup.h"
#include "compartments/scratch.h"
#include "gateway/encapsulate.h"
#include "gateway/stations.h"

namespace hnv {
namespace {

using Out = Exit<Stage::leave_nvgre>;

const CustomerRecord* choose(const CustomerRecord* record, const SubnetView& subnet,
                             SubnetId wanted) {
  if (record != nullptr && record->subnet == wanted && record->type != RecordType::own) {
    return record;
  }
  if (subnet.wildcard.type == RecordType::gateway_wildcard) return &subnet.wildcard;
  return nullptr;
}

void leave(Packet<Side::inside> packet, const CustomerRecord* found, const Dataplane& plane,
           Out out) {
  PacketSlot& slot = packet.slot();
  const CompartmentView& tenant = *slot.compartment;
  const SubnetView& subnet = tenant.subnet(slot.subnet);
  const CustomerRecord* record = choose(found, subnet, slot.subnet);
  if (record == nullptr) [[unlikely]] {
    return out.refuse(packet, DropReason::record_missing, IcmpError::host_unreachable());
  }
  const auto& ip = packet.at<wire::Ipv4>(0);
  const uint32_t length = slot.bytes;
  const NextHop& next_hop = plane.next_hops[record->next_hop.value()];
  const uint16_t mtu = std::min(subnet.mtu, next_hop.largest_inner);
  if (length > mtu) [[unlikely]] {
    return out.too_big(packet, mtu);
  }
  if (next_hop.state == NextHopState::failed) [[unlikely]] {
    return out.refuse(packet, DropReason::next_hop_failed, IcmpError::host_unreachable());
  }
  if (!encapsulate(slot, subnet, *record, flow_of(ip, length),
                   static_cast<uint8_t>(ip.tos & subnet.class_bits))) [[unlikely]] {
    return out.drop(packet, DropReason::no_headroom);
  }
  CompartmentCounters& counters = out.counters(tenant);
  counters.out_packets.add();
  counters.out_bytes.add(length);
  slot.inner = subnet.header_bytes();
  out.to<Stage::rewrite>(out.leave(packet, record->next_hop));
}

}  // namespace

void leave_nvgre(Burst<Side::inside> in, const Dataplane& plane, Exit<Stage::leave_nvgre> out) {
  Scratch<const CustomerRecord*, kVector> records;
  RecordLookup lookup;
  const unsigned count = in.size();
  for (unsigned i = 0; i < count; ++i) {
    const PacketSlot& slot = in[i].slot();
    lookup.ask(i, slot.compartment->record_reader, CaKey(CaAddress(slot.destination)));
    __builtin_prefetch(&slot.compartment->subnet(slot.subnet));
  }
  lookup.settle();
  for (unsigned i = 0; i < count; ++i) {
    const PacketSlot& slot = in[i].slot();
    records[i] =
        lookup.answer(i, slot.compartment->record_reader, CaKey(CaAddress(slot.destination)));
    if (records[i] != nullptr) {
      __builtin_prefetch(&plane.next_hops[records[i]->next_hop.value()]);
    }
  }
  for (unsigned i = 0; i < count; ++i) leave(in[i], records[i], plane, out);
}

}  // namespace hnv
