// SPDX-License-Identifier: Apache-2.0
//
// The L3 door, outbound: the packet leaves its compartment for the tenant's physical network. Its
// next hop is a configured peer (known when the route was compiled) or the destination itself,
// on-link: then the connection's neighbour table says which. Whoever is not in it yet is asked for
// by the control thread, which keeps the packet and injects it again when the answer has come.
#include "compartments/scratch.h"
#include "gateway/stations.h"

namespace hnv {
namespace {

using Out = Exit<Stage::leave_l3>;

void leave(Packet<Side::inside> packet, const Dataplane& plane, Out out) {
  PacketSlot& slot = packet.slot();
  const CompartmentView& tenant = *slot.compartment;
  if (plane.next_hops[slot.next_hop.value()].state == NextHopState::failed) [[unlikely]] {
    return out.refuse(packet, DropReason::next_hop_failed, IcmpError::host_unreachable());
  }
  CompartmentCounters& counters = out.counters(tenant);
  counters.l3_out_packets.add();
  counters.l3_out_bytes.add(slot.bytes);
  auto& mine = tenant.connection_counters_of(out.worker(), slot.connection);
  mine.out_packets.add();
  mine.out_bytes.add(slot.bytes);
  out.to<Stage::rewrite>(out.leave(packet, slot.next_hop));
}

// For those without a next hop yet: the connection's neighbours, all at once.
void find_neighbors(Scratch<PacketSlot*, kVector>& slots, unsigned count, const Dataplane& plane) {
  static const CustomerMap::Reader kNobody{};
  Scratch<PacketSlot*, kVector> asking;
  Scratch<CustomerMap::Reader, kVector> readers;
  Scratch<const CustomerMap::Reader*, kVector> maps;
  Scratch<CaKey, kVector> keys;
  Scratch<const CustomerRecord*, kVector> found;
  unsigned asked = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (slots[i]->next_hop.valid()) continue;
    const ConnectionView& connection = slots[i]->compartment->connection(slots[i]->connection);
    const CustomerMap* neighbors = plane.links[connection.link.value()].get();
    readers[asked] = neighbors == nullptr ? kNobody : neighbors->reader();
    maps[asked] = &readers[asked];
    keys[asked] = CaKey(CaAddress(slots[i]->destination));
    asking[asked++] = slots[i];
  }
  if (asked == 0) return;
  find_bulk(maps.data(), keys.data(), found.data(), asked);
  for (unsigned i = 0; i < asked; ++i) {
    if (found[i] != nullptr) asking[i]->next_hop = found[i]->next_hop;
  }
}

}  // namespace

void leave_l3(Burst<Side::inside> in, const Dataplane& plane, Exit<Stage::leave_l3> out) {
  Scratch<PacketSlot*, kVector> slots;
  unsigned count = 0;
  for (const auto packet : in) {
    __builtin_prefetch(&packet.slot().compartment->connection(packet.slot().connection));
  }
  for (const auto packet : in) {
    PacketSlot& slot = packet.slot();
    const ConnectionView& connection = slot.compartment->connection(slot.connection);
    if (slot.bytes > connection.mtu) [[unlikely]] {
      out.too_big(packet, connection.mtu);
      continue;
    }
    __builtin_prefetch(&slot.compartment->connection_counters_of(out.worker(), slot.connection), 1);
    slots[count++] = &slot;
  }
  find_neighbors(slots, count, plane);
  for (unsigned i = 0; i < count; ++i) {
    if (slots[i]->next_hop.valid()) {
      __builtin_prefetch(&plane.next_hops[slots[i]->next_hop.value()]);
    }
  }
  for (unsigned i = 0; i < count; ++i) {
    const Packet<Side::inside> packet(*slots[i]);
    if (slots[i]->next_hop.valid()) {
      leave(packet, plane, out);
    } else {
      out.punt(packet);
    }
  }
}

}  // namespace hnv
